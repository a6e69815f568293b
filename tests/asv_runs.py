"""Runs of asv in which no cell is run: an answer is made up for each. For the tests of the plugin."""

import functools
import itertools
import json
from pathlib import Path

from asv import results, runner
from asv.benchmarks import Benchmarks
from asv.commands import run as run_module
from asv.config import Config

from xloss.bench.asv import cells, plugin

ROOT = Path(__file__).resolve().parents[1]
all_cells = functools.cache(cells.all_cells)


class Environment:
    """An environment of one framework, as much of it as a run looks at."""

    def __init__(self, framework):
        self.name, self.requirements, self.env_vars = f"py-{framework}", {framework: "1"}, {}
        self._default_benchmark_timeout = 60


def known(conf, regex):
    """The benchmarks of the checkout, as asv holds what it has discovered, chosen by expressions."""
    found = []
    for module in cells.modules("cpu"):
        kind, framework, _ = cells.parse(module)
        common = {"version": "1", "type": "track", "unit": "ulps"}
        if kind == "machine":
            found.append({**common, "name": f"{module}.memory.copy", "params": [], "param_names": []})
            continue
        for loss, one in all_cells().items():
            for method in cells.methods(kind, framework, "cpu"):
                values = cells.values(one, module, method)
                names = cells.PARAMETERS[kind][method]
                found.append({**common, "name": f"{module}.{loss}.{method}", "params": list(map(list, values)),
                              "param_names": list(names)})  # fmt: skip
    return Benchmarks(conf, [one for one in found if all(one["params"])], regex=regex)


def configuration(name="asv.conf.json"):
    return Config.load(str(ROOT / name))


def stored(framework):
    one = {"machine": "m", "python": "3.11", framework: "1"}
    return results.Results(one, {framework: "1"}, "a" * 40, 0, "3.11", f"py-{framework}", {})


def measure(benchmarks, framework, folder=None):
    found = stored(framework)
    with plugin._measuring(folder):
        run_module.run_benchmarks(benchmarks, Environment(framework), results=found, record_samples=True)
    return found


def printed(monkeypatch):
    """Return what asv prints from here on."""
    said = []
    monkeypatch.setattr(runner.log, "info", lambda text, **_: said.extend(str(text).splitlines()))
    monkeypatch.setattr(runner.log, "add_padded", lambda text: said.append(str(text)))
    monkeypatch.setattr(runner.log, "step", lambda: None)
    return said


def answer_by(monkeypatch, answer, benchmarks):
    """Let cells be answered by a function of their name and parameters."""

    class Spawner:
        def __init__(self, *_, **__):
            self.interrupt = self.close = lambda: None
            self.preimport = lambda: (True, "")

        def run(self, name, result_file_name, **_):
            name, _, number = name.partition("-")
            params = benchmarks[name]["params"]
            point = next(itertools.islice(itertools.product(*params), int(number or 0), None), ())
            value = answer(name, point)
            Path(result_file_name).write_text(json.dumps(value))
            return "", 0 if value is not None else 1

    monkeypatch.setattr(runner, "get_spawner", Spawner)
