"""What `asv run` does beyond asv's own: whose benchmarks run where, which cells, and what is kept."""

import importlib
import itertools
import math
import os
import signal
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("asv")

from asv import environment, results, util
from asv.commands import run as run_module
from asv_runs import ROOT, answer_by, configuration, known, measure, printed, stored

from xloss.bench.asv import plugin


@pytest.fixture(scope="module")
def conf():
    return configuration()


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


def kill_while_measuring(benchmarks, folder, monkeypatch):
    """Measure in a process that is killed at its third benchmark."""
    count = itertools.count(1)

    def answer(_name, _point):
        if next(count) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    answer_by(monkeypatch, answer, benchmarks)
    child = os.fork()
    if child == 0:
        try:
            measure(benchmarks, "torch", folder)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_killed_run_keeps_what_was_measured(conf, tmp_path, monkeypatch):
    printed(monkeypatch)
    monkeypatch.setattr(plugin, "SAVE_SECONDS", 0.0)
    few = known(conf, [r"^speed_torch_eager\.mse_loss\.(value|value_and_grad|reductions)\((none|xloss), (small|none)"])
    kill_while_measuring(few, None, monkeypatch)
    assert not list(tmp_path.rglob("*.json")), "asv itself saves at its end"
    kill_while_measuring(few, str(tmp_path), monkeypatch)
    (path,) = tmp_path.rglob("*.json")
    kept = results.Results.load(str(path))
    assert kept.get_all_result_keys()
    assert len(set(kept.get_all_result_keys())) < len(few)
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def test_an_interrupted_run_keeps_what_was_measured(conf, tmp_path, monkeypatch):
    printed(monkeypatch)
    few = known(conf, [r"^speed_torch_eager\.mse_loss\.(value|value_and_grad)\(xloss, small"])

    def answer(name, _point):
        if name.endswith("value_and_grad"):
            raise KeyboardInterrupt
        return 1.0

    answer_by(monkeypatch, answer, few)
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
