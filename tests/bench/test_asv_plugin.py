"""What `asv run` does beyond asv's own: whose benchmarks run where, which cells, what is printed and what is kept."""

import functools
import importlib
import itertools
import json
import math
import os
import re
import signal
import sys
import types
from pathlib import Path

import pytest

from xloss.bench.asv import cells

pytest.importorskip("asv")

from asv import environment, results, runner, util
from asv.benchmarks import Benchmarks
from asv.commands import run as run_module
from asv.config import Config

from xloss.bench.asv import plugin

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="module")
def conf():
    return Config.load(str(ROOT / "asv.conf.json"))


@pytest.fixture(scope="module")
def everyday(conf):
    return known(conf, conf.everyday)


@pytest.fixture
def lines(monkeypatch):
    """What asv prints."""
    said = []
    monkeypatch.setattr(runner.log, "info", lambda text, **_: said.extend(str(text).splitlines()))
    monkeypatch.setattr(runner.log, "add_padded", lambda text: said.append(str(text)))
    monkeypatch.setattr(runner.log, "step", lambda: None)
    return said


@pytest.fixture
def answers(monkeypatch):
    """Cells are answered by a function of their name and parameters: nothing is run."""

    def use(answer, benchmarks):
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

    return use


def stored(framework):
    one = {"machine": "m", "python": "3.11", framework: "1"}
    return results.Results(one, {framework: "1"}, "a" * 40, 0, "3.11", f"py-{framework}", {})


def measure(benchmarks, framework, folder=None):
    found = stored(framework)
    with plugin._measuring(folder):
        run_module.run_benchmarks(benchmarks, Environment(framework), results=found, record_samples=True)
    return found


def unsupported(name, point):
    """Whether nothing is there to measure, found by running the cell at the small size: compiled abstractly in JAX."""
    from xloss.bench.runner import compile_and_run, peer_errors_as_unsupported, prepare
    from xloss.bench.workload import Workload
    from xloss.catalog import Contestant, Unsupported, get

    module, loss, method = name.split(".")
    kind, framework, mode = cells.parse(module)
    if kind == "machine":
        return False
    reduction = "none" if kind == "accuracy" else ""
    who = Contestant(framework, mode, dict(zip(cells.PARAMETERS[kind][method], point, strict=True))["implementation"])
    what = Workload(loss, who, "value_and_grad", "small", reduction=reduction)
    try:
        with prepare(get(loss), what) as prepared:
            if framework == "torch":
                compile_and_run(prepared)
            else:
                import jax

                with peer_errors_as_unsupported(what):
                    jax.eval_shape(prepared.program, *prepared.arguments)
    except Unsupported:
        return True
    return False


@pytest.mark.parametrize("framework", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_at_most_a_twentieth_of_what_a_plain_run_prints_is_na(framework, everyday, answers, lines):
    pytest.importorskip(framework)
    pytest.importorskip("optax" if framework == "jax" else framework)
    pytest.importorskip("keras" if framework == "jax" else framework)
    asked = {}

    def answer(name, point):
        key = (*name.split(".")[:2], *point[:1], cells.parse(name.split(".")[0])[0])
        if key not in asked:
            asked[key] = unsupported(name, point)
        return math.nan if asked[key] else 1.0

    answers(answer, everyday)
    found = measure(everyday, framework)
    absent = [line for line in lines if re.search(r"\bn/a\b", line)]
    assert len(lines) > 1000
    assert len(absent) <= len(lines) / 20, absent[:20]
    assert all(plugin.framework_of(name) == framework for name in found.get_all_result_keys())
    losses = {name.split(".")[1] for name in found.get_all_result_keys()} - {"memory"}
    assert losses == set(all_cells())


def test_without_the_plugin_most_of_it_is_na(everyday, answers, lines):
    """The same run by asv alone: another framework's cells, and all those that were not asked for."""
    answers(lambda name, _: 1.0 if plugin.framework_of(name) == "torch" else math.nan, everyday)
    run_module.run_benchmarks(everyday, Environment("torch"), results=stored("torch"))
    assert sum("n/a" in line for line in lines) > len(lines) / 5


def test_a_plain_run_has_few_enough_cells_for_its_minutes(everyday):
    """At a second a cell, with two minutes to install: the errors of a cell are found once, and read three times."""
    count = sum(len(everyday.benchmark_selection[name] or [0]) for name in everyday)
    assert 600 < count < 1200
    assert not any("torch_compile" in name for name in everyday)


def test_a_gpu_takes_about_two_hundred_cells(monkeypatch):
    conf = Config.load(str(ROOT / "asv.given.conf.json"))
    here = cells.modules, cells.methods
    monkeypatch.setattr(cells, "modules", lambda _: here[0]("cuda"))
    monkeypatch.setattr(cells, "methods", lambda kind, framework, _: here[1](kind, framework, "cuda"))
    chosen = known(conf, conf.everyday)
    count = sum(len(chosen.benchmark_selection[name] or [0]) for name in chosen)
    assert 150 < count < 260
    names = {name.split(".")[0] for name in chosen}
    assert {"device_torch_eager", "device_jax_jit", "memory_jax_jit", "machine_torch"} <= names


def test_tables_hold_what_was_asked():
    params = [["xloss", "optax"], ["small", "medium", "large"]]
    assert plugin.chosen(params, [1, 4]) == [["xloss", "optax"], ["medium"]]
    assert plugin.chosen(params, None) == params
    assert plugin.chosen([], [0]) == []


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("speed_jax_jit.mse_loss.value", "jax"),
        ("machine_torch.memory.copy", "torch"),
        ("memory_torch_compile.a.b", "torch"),
    ],
)
def test_a_benchmark_says_its_framework(name, framework):
    assert plugin.framework_of(name) == framework
    assert plugin.named_in([rf"^{name}\(xloss".replace(".", r"\.")]) == {framework}


def test_an_environment_that_has_none_of_the_cells_is_not_made(runs):
    assert plugin.named_in(None) == plugin.named_in(["^speed.*torch"]) == {"torch", "jax"}
    assert plugin.named_in([r"^speed_(torch_eager|jax_jit)\..*"]) == {"torch", "jax"}
    runs.run(runs.conf, bench=[r"speed_torch_eager\.mse", "^machine_torch"])
    assert [names for _, names, _ in runs.seen[1:]] == [["torch 2.13.0"]]


def kill_while_measuring(benchmarks, folder, answers):
    """Measure in a process that is killed at its third benchmark."""
    count = itertools.count(1)

    def answer(_name, _point):
        if next(count) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    answers(answer, benchmarks)
    child = os.fork()
    if child == 0:
        try:
            measure(benchmarks, "torch", folder)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_killed_run_keeps_what_was_measured(conf, tmp_path, answers, lines, monkeypatch):
    monkeypatch.setattr(plugin, "SAVE_SECONDS", 0.0)
    few = known(conf, [r"^speed_torch_eager\.mse_loss\.(value|value_and_grad|reductions)\((none|xloss), (small|none)"])
    kill_while_measuring(few, None, answers)
    assert not list(tmp_path.rglob("*.json")), "asv itself saves at its end"
    kill_while_measuring(few, str(tmp_path), answers)
    (path,) = tmp_path.rglob("*.json")
    kept = results.Results.load(str(path))
    assert kept.get_all_result_keys()
    assert len(set(kept.get_all_result_keys())) < len(few)
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def test_an_interrupted_run_keeps_what_was_measured(conf, tmp_path, answers, lines):
    few = known(conf, [r"^speed_torch_eager\.mse_loss\.(value|value_and_grad)\(xloss, small"])

    def answer(name, _point):
        if name.endswith("value_and_grad"):
            raise KeyboardInterrupt
        return 1.0

    answers(answer, few)
    with pytest.raises(util.UserError, match="Interrupted"):
        measure(few, "torch", str(tmp_path))
    (path,) = tmp_path.rglob("*.json")
    assert set(results.Results.load(str(path)).get_all_result_keys()) == {"speed_torch_eager.mse_loss.value"}


def test_two_runs_do_not_write_to_one_history(tmp_path):
    with plugin.locked(str(tmp_path / "history")):
        with pytest.raises(util.UserError, match="another asv writes to"), plugin.locked(str(tmp_path / "history")):
            pass
        with plugin.locked(str(tmp_path / "other")):
            pass
    with plugin.locked(str(tmp_path / "history")):
        pass
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.fixture
def runs(conf, tmp_path, monkeypatch):
    """What `asv run` is asked to do: (cells, environments, samples); environments are folders here."""
    conf = types.SimpleNamespace(**{**vars(conf), "results_dir": str(tmp_path), "env_dir": str(tmp_path / "env")})
    seen = []
    monkeypatch.setattr(plugin, "introduce", lambda name: seen.append(name))
    monkeypatch.delenv("XLOSS_BENCH", raising=False)

    def original(given, bench=None, env_spec=None, **options):
        chosen = list(environment.get_environments(given, env_spec, verbose=False))
        for env in chosen:
            (Path(given.env_dir) / env.dir_name).mkdir(parents=True, exist_ok=True)
        seen.append((bench, [framework(env) for env in chosen], options.get("record_samples")))
        return 2 if len(seen) == 3 else None

    def framework(env):
        return next(f"{name} {version}" for name, version in env.requirements.items() if name in ("torch", "jax"))

    return types.SimpleNamespace(conf=conf, seen=seen, run=plugin._run(original), folder=tmp_path / "env")


def test_a_plain_run_takes_the_everyday_cells_in_the_newest_environments(runs):
    assert runs.run(conf=runs.conf, bench=None, env_spec=None, machine="box") is None
    assert runs.seen == ["box", (runs.conf.everyday, ["torch 2.13.0", "jax 0.10.2"], True)]
    assert len(list(runs.folder.iterdir())) == 2
    runs.run(runs.conf, bench=["a"])
    assert runs.seen[-1][0] == ["a"]


@pytest.mark.parametrize("asked", ["versions", "full"])
def test_further_versions_are_taken_one_after_the_other_and_deleted(runs, monkeypatch, asked):
    monkeypatch.setenv("XLOSS_BENCH", asked)
    assert runs.run(runs.conf) == 2, "one of them failed"
    done = runs.seen[1:]
    assert {bench is None for bench, *_ in done} == {asked == "full"}
    assert [names for _, names, _ in done] == [[name] for _, (name,), _ in done]
    versions = {name: [n.split()[1] for _, (n,), _ in done if n.startswith(name)] for name in ("torch", "jax")}
    assert len(versions["torch"]) >= 3
    assert len(versions["jax"]) >= 4
    assert len(list(runs.folder.iterdir())) == 2, "the everyday ones stay"


def test_an_environment_that_cannot_be_made_costs_only_itself(runs, monkeypatch):
    monkeypatch.setenv("XLOSS_BENCH", "versions")
    told = []

    def original(_conf, env_spec=None, **_):
        told.append(env_spec)
        if len(told) == 1:
            raise util.ProcessError(["pip"], 1, "no such version", "")

    monkeypatch.setattr(plugin.log, "error", told.append)
    assert plugin._run(original)(runs.conf) == 2
    assert len(told) > 4


def test_an_environment_by_name_is_found_among_the_further_ones(runs):
    name = [env for env in known_names(runs.conf) if "jax0.8.3" in env]
    runs.run(runs.conf, env_spec=name)
    assert runs.seen[-1][1] == ["jax 0.8.3"]


def known_names(conf):
    both = types.SimpleNamespace(**{**vars(conf), "include": conf.include + conf.further})
    return [env.name for env in environment.get_environments(both, None, verbose=False)]


def test_what_is_asked_for_is_one_of_three(monkeypatch):
    monkeypatch.setenv("XLOSS_BENCH", "everything")
    with pytest.raises(util.UserError, match="XLOSS_BENCH: expected versions, full or nothing, got 'everything'"):
        plugin.asked()


def test_find_runs_in_an_environment_that_has_the_benchmark(runs, monkeypatch):
    seen = []
    find = plugin._find(lambda *_, **options: seen.append(options))
    find(runs.conf, "a..b", r"^speed_jax_jit\.mse_loss\.value\(xloss, medium", skip_save=True)
    (options,) = seen
    assert "jax0.10.2" in options["env_spec"][0]
    assert options["launch_method"] == "forkserver"


def test_continuous_finds_no_results_of_another_framework_and_goes_on():
    """asv looks for every benchmark in the results of every environment, where it would raise KeyError."""
    params = [["xloss", "optax"], ["small"]]

    def both(conf):
        assert conf == "conf"
        found = stored("torch")
        return [
            getattr(found, f"get_result_{name}")("speed_jax_jit.a.value", params)
            for name in ("value", "stats", "samples")
        ]

    with pytest.raises(KeyError):
        both("conf")
    values, statistics, samples = plugin._continuous(both)("conf")
    assert len(values) == 2
    assert all(map(math.isnan, values))
    assert statistics == samples == [None, None]
    with pytest.raises(KeyError):
        both("conf")


def test_asv_takes_the_plugin_from_its_configuration(conf, monkeypatch):
    """asv calls `setup`; what it replaces is there in this version of asv."""
    continuous = importlib.import_module("asv.commands.continuous").Continuous
    find = importlib.import_module("asv.commands.find").Find
    before = run_module.Run.run, continuous.run, find.run
    assert conf.plugins == [".xloss.bench.asv.plugin"]
    monkeypatch.chdir(ROOT)
    manager = importlib.import_module("asv.plugin_manager").plugin_manager
    try:
        manager.import_plugin(conf.plugins[0])
        manager.import_plugin(conf.plugins[0])
        replaced = run_module.Run.run
        assert {one.__module__ for one in (replaced, continuous.run, find.run)} == {"xloss.bench.asv.plugin"}
        assert "torch" not in vars(sys.modules["xloss.bench.asv.plugin"])
    finally:
        run_module.Run.run, continuous.run, find.run = before
