"""The benchmarks as asv sees them: generated, with fixed parameters, of pinned and labelled environments.

Each test here holds one of asv's traps.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xloss import catalog

pytest.importorskip("asv_runner")
pytest.importorskip("asv")

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("speed", "device", "compiling", "memory", "accuracy")
CONFIGURATIONS = ("asv.conf.json", "asv.given.conf.json")


@pytest.fixture(scope="module", autouse=True)
def importable():
    """The benchmarks' package, as asv imports it."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture
def suite():
    return importlib.import_module("benchmarks._suite")


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


def classes(name):
    """The public classes of a module, all of which asv takes for benchmarks."""
    return {key: value for key, value in vars(module(name)).items() if inspect.isclass(value) and key[0] != "_"}


def configuration(name):
    return importlib.import_module("asv.config").Config.load(str(ROOT / name))


def test_no_loss_is_named_in_the_benchmarks(suite):
    text = "\n".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    assert [name for name in suite.NAMES if re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_class_for_each_loss_and_no_other(suite, name):
    """asv finds every public class, those that a module imports for its own use too."""
    assert set(classes(name)) == set(suite.NAMES)
    assert all(cls.loss == key for key, cls in classes(name).items())


@pytest.mark.parametrize("name", MODULES)
def test_parameters_are_the_same_for_all_losses_whatever_is_installed(suite, name):
    """asv hands over the number of a parameter: a list that depended on anything would give it another meaning."""
    parameters = [(cls.params, cls.param_names) for cls in classes(name).values()]
    assert all(one == parameters[0] for one in parameters)
    for literal in (x for values in parameters[0][0] for x in values):
        assert isinstance(literal, str)
        assert "'" not in literal
        assert ", " not in literal


def test_the_names_are_those_of_the_checkout_not_of_the_installed_catalogue(suite):
    assert set(suite.NAMES) == {path.stem for path in (ROOT / "xloss" / "losses").glob("*.py")} - {"__init__"}
    assert "in catalog.LOSSES" in inspect.getsource(suite._Cell.measured), (
        "asked whether a loss is there at this commit"
    )


def test_versions_follow_the_inputs_and_not_the_implementation_or_the_spelling(suite):
    """asv's own version, a hash of the source, is one for all generated classes; a hash of the loss erases history."""
    assert len({cls.version for cls in classes("speed").values()}) == len(suite.NAMES)
    loss = catalog.get("mse_loss")
    first, *others = loss.variants

    def renamed(drawing):
        x, y = drawing.pair()
        return {"target": y, "input": x}

    def other(drawing):
        x, y = drawing.pair()
        return {"input": x, "target": 2 * y}

    same = [{}, {"torch": abs, "jax": abs, "truth": abs}, {"variants": (first,)}, {"inputs": renamed}, {"peers": ()}]
    different = [
        {"inputs": other},
        {"variants": (dataclasses.replace(first, shapes=((6, 4),)), *others)},
        {"variants": (dataclasses.replace(first, options={"a": 1}), *others)},
        {"workloads": {**loss.workloads, "large": (2, 2)}},
    ]
    assert {suite.digest(dataclasses.replace(loss, **changes)) for changes in same} == {suite.version(loss.name)}
    digests = {suite.digest(dataclasses.replace(loss, **changes)) for changes in different}
    assert len(digests - {suite.version(loss.name)}) == len(different)
    assert suite.version("no_loss") == "absent"


def test_versions_are_found_without_a_framework(suite):
    script = "import sys, benchmarks.speed; print(sorted({'torch', 'jax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_there_is_no_setup_for_asv_to_repeat(suite):
    """From asv_runner 0.3 on `setup` runs again before each timed call; and a `time_` could not wait for a device."""
    for name in (*MODULES, "machine"):
        for cls in classes(name).values():
            methods = [key for key, _ in inspect.getmembers(cls, inspect.isfunction)]
            assert "setup" not in methods
            assert not [key for key in methods if key.startswith(("time_", "timeraw_", "peakmem_", "mem_"))]
            assert [key for key in methods if key.startswith("track_")]


def test_tracked_are_only_quantities_that_are_better_when_smaller():
    """asv takes growth for a regression, whatever is tracked."""
    assert {cls.unit for name in (*MODULES, "machine") for cls in classes(name).values()} == {
        "seconds",
        "bytes",
        "ulps",
    }


def run(name, *point, environ=None):
    """Run one cell as asv_runner does, in a process of its own; what it stored."""
    names, cls, _ = name.split(".")
    params = getattr(module(names), cls).params
    number = 0
    for values, value in zip(params, point, strict=True):
        number = number * len(values) + values.index(value)
    script = "import sys, json; sys.path.insert(0, sys.argv[1]); from asv_runner.run import _run; _run(sys.argv[2:])"
    out = ROOT / ".pytest_cache" / f"benchmark-{os.getpid()}.json"
    out.parent.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-c",
        script,
        str(ROOT),
        str(ROOT / "benchmarks"),
        f"{name}-{number}",
        "{}",
        "None",
        str(out),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XLOSS_BENCH_SECONDS": "0.01",
        "XLOSS_FRAMEWORK": "torch",
        **(environ or {}),
    }
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    try:
        return json.loads(out.read_text())
    finally:
        out.unlink()


def first(suite):
    return suite.NAMES[-1]


def test_a_timing_is_stored_with_its_samples_and_another_frameworks_cell_is_skipped(suite):
    pytest.importorskip("torch")
    name = f"speed.{first(suite)}.track_value"
    found = run(name, "torch/eager/xloss", "small", "float32")
    assert set(found) == {"samples", "number"}
    assert len(found["samples"]) >= 10
    assert math.isnan(run(name, "jax/jit/xloss", "small", "float32"))
    assert math.isnan(run(name, "torch/eager/xloss", "vocabulary", "float32"))


def test_a_mislabelled_environment_is_refused_by_every_cell(suite, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "asv-env-info.json").write_text(json.dumps({"requirements": {"torch": "1.0.0"}}))
    with pytest.raises(RuntimeError, match=r"Mislabelled: torch .* in an environment labelled torch 1\.0\.0"):
        run(f"speed.{first(suite)}.track_value", "torch/eager/xloss", "small", "float32",
            environ={"ASV_ENV_DIR": str(tmp_path)})  # fmt: skip


def test_asv_makes_statistics_of_what_a_timing_stores(suite):
    """The form is that of asv's own protocol between runner and process; in another the cell would hold no number."""
    runner = importlib.import_module("asv.runner")

    class Spawner:
        def run(self, result_file_name, **_):
            stored = suite.samples(importlib.import_module("xloss.bench.timer").Timing((1.0, 2.0, 3.0), 7))
            Path(result_file_name).write_text(json.dumps(stored))
            return "", 0

    benchmark = {"name": "speed.a.track_value", "params": [], "timeout": 1, "version": "1"}
    found = runner.run_benchmark(benchmark, Spawner(), profile=False)
    stored = importlib.import_module("asv.results").Results({"machine": "m"}, {}, "a" * 40, 0, "3.11", "e", {})
    stored.add_result(benchmark, found, record_samples=True)
    assert stored.get_result_value("speed.a.track_value", []) == [2.0]
    assert stored.get_result_samples("speed.a.track_value", []) == [[1.0, 2.0, 3.0]]
    assert stored.get_result_stats("speed.a.track_value", [])[0]["number"] == 7


def test_the_ruler_is_the_checkouts_whichever_xloss_is_installed(tmp_path):
    """Two commits measured by two rulers could not be compared."""
    installed = tmp_path / "xloss"
    shutil.copytree(ROOT / "xloss", installed, ignore=shutil.ignore_patterns("__pycache__", "bench"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import xloss; from asv_runner._aux import update_sys_path;"
        "update_sys_path(sys.argv[2]); import benchmarks.speed, xloss.bench.timer, xloss.catalog;"
        "print(xloss.bench.timer.__file__); print(xloss.catalog.__file__)"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(ROOT / "benchmarks")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": "", "XLOSS_FRAMEWORK": "torch"})  # fmt: skip
    ruler, catalogue = done.stdout.split()
    assert Path(ruler).is_relative_to(ROOT)
    assert Path(catalogue).is_relative_to(tmp_path)


def test_every_environment_has_one_framework_and_exact_versions():
    """asv's parser mangles ranges and extras; and an unpinned asv_runner is another runner tomorrow."""
    includes = configuration("asv.conf.json").include
    assert len(includes) == 5
    for entry in includes:
        requirements = entry["req"]
        assert len({"torch", "jax"} & set(requirements)) == 1
        assert "pip+asv_runner" in requirements
        assert "numpy" in requirements
        assert "python-flint" in requirements
        assert "jax" in requirements or "ml_dtypes" in requirements, "which jax brings along, and torch does not"
        assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)+", version) for version in requirements.values())
    environments = list(importlib.import_module("asv.environment").iter_matrix(
        "virtualenv", ["3.11"], configuration("asv.conf.json")))  # fmt: skip
    assert len(environments) == len(includes), "and none without a framework"


def test_nothing_is_resolved_anew_when_xloss_is_built_and_installed():
    """Without --no-deps on both, the installation replaces what the label names, without a word."""
    conf = configuration("asv.conf.json")
    for commands in (conf.build_command, conf.install_command):
        assert all("--no-deps" in command for command in commands if " pip " in command)


def test_the_newest_versions_are_those_that_the_tests_run_with():
    lock = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    seen = set()
    for entry in configuration("asv.conf.json").include:
        framework = "torch" if "torch" in entry["req"] else "jax"
        if framework not in seen:
            seen.add(framework)
            assert all(lock[name.removeprefix("pip+")] == version for name, version in entry["req"].items())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_results_go_where_they_are_committed_and_cells_are_forked(name):
    conf = configuration(name)
    # Those of a GPU box beside its parity, from which its report is made.
    assert conf.results_dir == {"asv.conf.json": "reports/history", "asv.given.conf.json": "reports/cuda/history"}[name]
    assert conf.launch_method == "forkserver"
    assert conf.html_dir.startswith(".asv/")
    assert conf.env_dir.startswith(".asv/")


def test_the_newest_environment_of_each_framework_is_the_first():
    from xloss.bench.asv.environments import newest

    names = ["virtualenv-py3.11-torch2.13.0", "virtualenv-py3.11-jax0.10.2-optax0.2.8", "virtualenv-py3.11-jax0.9.2"]
    assert newest(names) == names[:2]


def test_the_benchmarks_need_no_more_than_their_environments_have():
    """What they import at the top is the standard library, asv_runner, themselves and xloss."""
    known = {"asv_runner", "benchmarks", "xloss", *sys.stdlib_module_names}
    for path in (ROOT / "benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= known, path.name


def asv(folder, *arguments):
    """Run asv in a folder, with a home and a machine of its own."""
    variables = {**os.environ, "HOME": str(folder), "XLOSS_BENCH_SECONDS": "0.2", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", "asv", *arguments], cwd=folder, env=variables, capture_output=True,
                          text=True, timeout=900, check=False)  # fmt: skip


@pytest.mark.slow
def test_a_history_from_run_to_publish_with_a_planted_slowdown(suite, tmp_path):
    """In a given environment, at two commits: the second does the work of one loss twice."""
    pytest.importorskip("jax")
    for name in ("xloss", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (
        (ROOT / "asv.given.conf.json").read_text().replace('"cuda"', '"cpu"').replace('["torch", "jax"]', '["torch"]')
    )
    (tmp_path / "asv.given.conf.json").write_text(text)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    use, loss = ("--config", "asv.given.conf.json"), "mse_loss"
    bench = ("-b", rf"speed\.{loss}\.track_value\(.torch/eager/xloss., .medium., .float32.\)", "-b", "machine")
    assert asv(tmp_path, "machine", *use, "--yes").returncode == 0
    file = tmp_path / "xloss" / "losses" / f"{loss}.py"
    commits = []
    for planted in (False, True):
        if planted:
            whole = '    loss = torch.nn.functional.mse_loss(input, target, reduction="none")\n'
            assert whole in file.read_text()
            file.write_text(file.read_text().replace(whole, f"    for _ in range(8):\n    {whole}"))
        for command in (["init", "-q"], ["add", "-A", "-f", "xloss", "benchmarks"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], cwd=tmp_path, check=True)
        done = asv(tmp_path, "run", *use, *bench, "--record-samples", "HEAD^!")
        assert done.returncode == 0, done.stdout + done.stderr
        commits.append(
            subprocess.run(
                [*git, "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
            ).stdout.strip()
        )
    from xloss.bench.asv import results

    table = results.read(tmp_path / "reports" / "cuda" / "history")
    row = table[(table["kind"] == "speed") & (table["status"] == "ok")].set_index("commit")
    assert set(row.index) == set(commits)
    assert all(len(samples) >= 10 for samples in row["samples"])
    assert row["version"].nunique() == 1
    assert all(row["version"].notna())
    assert row["value"][commits[1]] > 1.5 * row["value"][commits[0]]
    done = asv(tmp_path, "compare", *use, "--only-changed", *commits)
    assert done.returncode == 0
    assert re.search(rf"\| \+ .*{loss}", done.stdout), done.stdout
    done = asv(tmp_path, "publish", *use)
    assert done.returncode == 0, done.stdout + done.stderr
    done = asv(tmp_path, "run", *use, *bench, "HEAD~1^!")
    assert "measures what is checked out" in done.stdout + done.stderr


def test_a_machine_is_introduced_once_and_under_its_own_name(tmp_path, monkeypatch):
    pytest.importorskip("asv")
    from asv.machine import Machine, MachineCollection

    from xloss.bench.asv.machine import introduce

    monkeypatch.setattr(MachineCollection, "get_machine_file_path", staticmethod(lambda: str(tmp_path / "machines")))
    assert introduce("big-box") == "big-box"
    noted = MachineCollection.load("big-box")
    assert noted["machine"] == "big-box"
    assert noted["cpu"] == Machine.get_defaults()["cpu"]
    MachineCollection.save("big-box", {**noted, "cpu": "as its owner wrote"})
    introduce("big-box")
    assert MachineCollection.load("big-box")["cpu"] == "as its owner wrote"
    assert introduce() == Machine.get_defaults()["machine"]
