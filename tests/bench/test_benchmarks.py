"""The benchmarks as asv sees them: generated, with fixed parameters, of pinned and labelled environments.

Each test here holds one of asv's traps; what `asv run` does beyond asv's own is in test_asv_plugin.py.
"""

import ast
import dataclasses
import importlib
import inspect
import itertools
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
from xloss.bench.asv import cells

pytest.importorskip("asv_runner")
pytest.importorskip("asv")

ROOT = Path(__file__).resolve().parents[2]
MODULES = cells.modules("cpu")
LOSSES = {path.stem for path in (ROOT / "xloss" / "losses").glob("[!_]*.py")}
CONFIGURATIONS = ("asv.conf.json", "asv.given.conf.json")


@pytest.fixture(scope="module", autouse=True)
def importable():
    """The benchmarks' package, as asv imports it."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


def classes(name):
    """The public classes of a module, all of which asv takes for benchmarks."""
    return {key: value for key, value in vars(module(name)).items() if inspect.isclass(value) and key[0] != "_"}


def methods(cls):
    return dict(inspect.getmembers(cls, inspect.isfunction))


def configuration(name):
    return importlib.import_module("asv.config").Config.load(str(ROOT / name))


def test_no_loss_is_named_in_the_benchmarks():
    text = "\n".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    assert [name for name in LOSSES if re.search(rf"\b{name}\b", text)] == []


def test_a_module_is_named_by_its_kind_framework_and_mode():
    files = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")}
    assert files == {*cells.modules("cpu"), *cells.modules("cuda")}
    assert cells.parse("speed_torch_eager") == ("speed", "torch", "eager")
    assert not [name for name in cells.modules("cpu") if name.startswith("device_")], "a CPU has no time of its own"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_class_for_each_loss_and_no_other(name):
    """asv finds every public class, those that a module imports for its own use too."""
    assert set(classes(name)) == ({"memory"} if name.startswith("machine") else LOSSES)


def test_parameters_are_words_that_the_loss_has():
    """asv's dashboard joins them by ", "; and `-b` is matched against what is printed, so nothing is in quotes."""
    for name in MODULES:
        for loss, cls in classes(name).items():
            for method, function in methods(cls).items():
                kind, framework, _ = cells.parse(name)
                assert getattr(function, "param_names", []) == list(cells.PARAMETERS[kind][method])
                for values in getattr(function, "params", []):
                    assert values, (name, loss, method)
                    assert all(repr(value) == value and "'" not in value and ", " not in value for value in values)
                if kind == "machine":
                    continue
                peers = {peer.name for peer in catalog.get(loss).peers if peer.framework == framework}
                assert set(function.params[0]) <= {"xloss", *peers}
    at = methods(classes("speed_torch_eager")["cross_entropy"])
    assert at["value_and_grad"].params[1] == ["small", "medium", "large", "published", "vocabulary"]
    assert "weight+smoothing" in at["variants"].params[1]
    assert at["reductions"].params[1] == ["none", "sum"]
    assert methods(classes("speed_torch_eager")["mse_loss"])["value_and_grad"].params[1][-1] == "published"
    assert "per_sample" not in methods(classes("speed_jax_jit")["ntxent_loss"]), "its samples are coupled"


@pytest.mark.parametrize("hidden", [("torch",), ("jax", "jaxlib", "optax", "keras")])
def test_parameters_do_not_depend_on_what_is_installed(hidden):
    """asv discovers in one environment and hands all of them the number of a parameter."""
    script = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({hidden!r}))\n"
        f"runpy.run_module({cells.__name__!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert cells.load(done.stdout) == cells.all_cells()


def test_the_cells_are_those_of_the_checkout_not_of_the_installed_catalogue(tmp_path):
    """Or the first commit of a run would give a number another meaning than the last."""
    shutil.copytree(ROOT / "xloss", tmp_path / "xloss", ignore=shutil.ignore_patterns("__pycache__", "bench"))
    for name in ("wing_loss", "z_loss"):
        (tmp_path / "xloss" / "losses" / f"{name}.py").unlink()
    script = (
        "import sys; sys.path[:0] = sys.argv[1:];"
        "from xloss import catalog; from benchmarks import _suite;"
        "print(len(catalog.LOSSES), len(_suite.CELLS), _suite.CELLS['mse_loss'].contestants)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(ROOT)], cwd=tmp_path, capture_output=True,
                          text=True, check=True, env={**os.environ, "PYTHONPATH": ""})  # fmt: skip
    installed, found, contestants = done.stdout.split(maxsplit=2)
    assert int(installed) < int(found) == len(LOSSES)
    assert "optax" in contestants


def test_names_read_as_they_are_asked_for():
    """By asv's own discovery, of the package as asv imports it."""
    found = discovered()
    assert {name.split(".")[0] for name in found} == set(MODULES)
    points = {
        f"{name}({', '.join(point)})" for name, one in found.items() for point in itertools.product(*one["params"])
    }
    assert "speed_torch_eager.cross_entropy.value_and_grad(xloss, medium, float32)" in points
    assert "accuracy_jax_jit.mse_loss.gradient_worst(optax, float32)" in points
    assert "speed_jax_jit.cross_entropy.variants(xloss, weight+smoothing)" in points
    assert "machine_jax.memory.copy" in found
    assert {one["type"] for one in found.values()} == {"track"}
    assert all(one["code"].count("\n") < 5 for one in found.values()), "asv parses the code of each"


def discovered():
    """What asv finds, by name."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from asv_runner.discovery import list_benchmarks;"
        "list_benchmarks(sys.argv[1] + '/benchmarks', sys.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT)], cwd=ROOT, capture_output=True, text=True,
                          check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    return {one["name"]: one for one in json.loads(done.stdout)}


def test_versions_follow_the_inputs_and_not_the_implementation_or_the_spelling():
    """asv's own version, a hash of the source, is one for all generated classes; a hash of the loss erases history."""
    versions = {cls.value.version for cls in classes("speed_torch_eager").values()}
    assert len(versions) == len(LOSSES)
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
    version = classes("speed_torch_eager")[loss.name].value.version
    assert {cells.digest(dataclasses.replace(loss, **changes)) for changes in same} == {version}
    digests = {cells.digest(dataclasses.replace(loss, **changes)) for changes in different}
    assert len(digests - {version}) == len(different)


def test_variants_have_a_version_of_their_own():
    loss = catalog.get("mse_loss")
    changed = dataclasses.replace(
        loss, variants=(loss.variants[0], dataclasses.replace(loss.variants[1], shapes=((9, 9),)))
    )
    before, after = cells.of(loss), cells.of(changed)
    assert before.version == after.version
    assert before.variants_version != after.variants_version
    at = classes("speed_torch_eager")[loss.name]
    assert (at.variants.version, at.reductions.version) == (before.variants_version, before.version)


def test_versions_are_found_without_a_framework():
    script = "import sys, benchmarks.speed_torch_eager; print(sorted({'torch', 'jax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_there_is_no_setup_for_asv_to_repeat():
    """From asv_runner 0.3 on `setup` runs again before each timed call; and a `time_` could not wait for a device."""
    known = {name for some in cells.PARAMETERS.values() for name in some}
    for name in MODULES:
        for cls in classes(name).values():
            assert set(methods(cls))
            assert set(methods(cls)) <= known
    assert not [name for name in known if re.match("setup|time_|timeraw_|peakmem_|mem_", name)]


def test_tracked_are_only_quantities_that_are_better_when_smaller():
    """asv takes growth for a regression, whatever is tracked."""
    assert {cls.unit for name in MODULES for cls in classes(name).values()} == {"seconds", "bytes", "ulps"}


def run(name, *point, environ=None):
    """Run one cell as asv_runner does, in a process of its own; what it stored."""
    names, cls, method = name.split(".")
    params = getattr(getattr(module(names), cls), method).params
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


def test_a_timing_is_stored_with_its_samples_and_another_frameworks_cell_is_skipped():
    pytest.importorskip("torch")
    found = run("speed_torch_eager.z_loss.value", "xloss", "small", "float32")
    assert set(found) == {"samples", "number"}
    assert len(found["samples"]) >= 10
    assert math.isnan(run("speed_jax_jit.z_loss.value", "xloss", "small", "float32"))


@pytest.mark.parametrize("point", [("variants", "weight"), ("reductions", "none"), ("reductions", "sum")])
def test_a_variant_or_another_reduction_is_timed(point):
    pytest.importorskip("torch")
    method, what = point
    assert run(f"speed_torch_eager.mse_loss.{method}", "torch.nn.functional", what)["number"] >= 1


def test_a_mislabelled_environment_is_refused_by_every_cell(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "asv-env-info.json").write_text(json.dumps({"requirements": {"torch": "1.0.0"}}))
    with pytest.raises(RuntimeError, match=r"Mislabelled: torch .* in an environment labelled torch 1\.0\.0"):
        run("speed_torch_eager.z_loss.value", "xloss", "small", "float32", environ={"ASV_ENV_DIR": str(tmp_path)})


def test_asv_makes_statistics_of_what_a_timing_stores():
    """The form is that of asv's own protocol between runner and process; in another the cell would hold no number."""
    runner = importlib.import_module("asv.runner")

    class Spawner:
        def run(self, result_file_name, **_):
            stored = module("_measures").samples(
                importlib.import_module("xloss.bench.timer").Timing((1.0, 2.0, 3.0), 7)
            )
            Path(result_file_name).write_text(json.dumps(stored))
            return "", 0

    benchmark = {"name": "speed_torch_eager.a.value", "params": [], "timeout": 1, "version": "1"}
    found = runner.run_benchmark(benchmark, Spawner(), profile=False)
    stored = importlib.import_module("asv.results").Results({"machine": "m"}, {}, "a" * 40, 0, "3.11", "e", {})
    stored.add_result(benchmark, found, record_samples=True)
    assert stored.get_result_value("speed_torch_eager.a.value", []) == [2.0]
    assert stored.get_result_samples("speed_torch_eager.a.value", []) == [[1.0, 2.0, 3.0]]
    assert stored.get_result_stats("speed_torch_eager.a.value", [])[0]["number"] == 7


def test_the_ruler_is_the_checkouts_whichever_xloss_is_installed(tmp_path):
    """Two commits measured by two rulers could not be compared."""
    installed = tmp_path / "xloss"
    shutil.copytree(ROOT / "xloss", installed, ignore=shutil.ignore_patterns("__pycache__", "bench"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import xloss; from asv_runner._aux import update_sys_path;"
        "update_sys_path(sys.argv[2]); import benchmarks.speed_torch_eager, xloss.bench.timer, xloss.catalog;"
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
    conf = configuration("asv.conf.json")
    assert [name for entry in conf.include for name in entry["req"] if name in catalog.FRAMEWORKS] == ["torch", "jax"]
    conf.include = conf.include + conf.further
    for name, least in (("torch", 3), ("jax", 4)):
        assert len({entry["req"].get(name) for entry in conf.include} - {None}) >= least
    for entry in conf.include:
        requirements = entry["req"]
        assert len({"torch", "jax"} & set(requirements)) == 1
        assert "pip+asv_runner" in requirements
        assert "numpy" in requirements
        assert "python-flint" in requirements
        assert "jax" in requirements or "ml_dtypes" in requirements, "which jax brings along, and torch does not"
        assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)+", version) for version in requirements.values())
    environments = list(importlib.import_module("asv.environment").iter_matrix("virtualenv", ["3.11"], conf))
    assert len(environments) == len(conf.include), "and none without a framework"


def test_nothing_is_resolved_anew_when_xloss_is_built_and_installed():
    """Without --no-deps on both, the installation replaces what the label names, without a word."""
    conf = configuration("asv.conf.json")
    for commands in (conf.build_command, conf.install_command):
        assert all("--no-deps" in command for command in commands if " pip " in command)


def test_the_versions_of_a_plain_run_are_those_that_the_tests_run_with():
    lock = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for entry in configuration("asv.conf.json").include:
        assert all(lock[name.removeprefix("pip+")] == version for name, version in entry["req"].items())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_results_go_where_they_are_committed_and_cells_are_forked(name):
    conf = configuration(name)
    # Those of a GPU box beside its parity, from which its report is made.
    assert conf.results_dir == {"asv.conf.json": "reports/history", "asv.given.conf.json": "reports/cuda/history"}[name]
    assert conf.launch_method == "forkserver"
    assert conf.html_dir.startswith(".asv/")
    assert conf.env_dir.startswith(".asv/")


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
def test_a_history_from_run_to_publish_with_a_planted_slowdown(tmp_path):
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
    bench = ("-b", rf"speed_torch_eager\.{loss}\.value\(xloss, medium, float32\)", "-b", "machine")
    file = tmp_path / "xloss" / "losses" / f"{loss}.py"
    commits = []
    for planted in (False, True):
        if planted:
            work = "ops.reduced_squared_error(input, target, reduction, dtype)\n"
            whole = f"        return {work}"
            assert whole in file.read_text()
            again = f"        for _ in range(40):\n            {work}{whole}"
            file.write_text(file.read_text().replace(whole, again, 1))
        for command in (["init", "-q"], ["add", "-A", "-f", "xloss", "benchmarks"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], cwd=tmp_path, check=True)
        done = asv(tmp_path, "run", *use, *bench, "HEAD^!")
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
