"""What a plain `asv run` prints: at most one line in twenty says "n/a", in either framework."""

import math
import re

import pytest

pytest.importorskip("asv")

from asv.commands import run as run_module
from asv_runs import Environment, all_cells, answer_by, configuration, known, measure, printed, stored

from xloss.bench.asv import cells, plugin


@pytest.fixture(scope="module")
def everyday():
    conf = configuration()
    return known(conf, conf.everyday)


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
def test_at_most_a_twentieth_of_what_a_plain_run_prints_is_na(framework, everyday, monkeypatch):
    pytest.importorskip(framework)
    pytest.importorskip("optax" if framework == "jax" else framework)
    pytest.importorskip("keras" if framework == "jax" else framework)
    asked = {}

    def answer(name, point):
        key = (*name.split(".")[:2], *point[:1], cells.parse(name.split(".")[0])[0])
        if key not in asked:
            asked[key] = unsupported(name, point)
        return math.nan if asked[key] else 1.0

    answer_by(monkeypatch, answer, everyday)
    lines = printed(monkeypatch)
    found = measure(everyday, framework)
    absent = [line for line in lines if re.search(r"\bn/a\b", line)]
    assert len(lines) > 1000
    assert len(absent) <= len(lines) / 20, absent[:20]
    assert all(plugin.framework_of(name) == framework for name in found.get_all_result_keys())
    losses = {name.split(".")[1] for name in found.get_all_result_keys()} - {"memory"}
    assert losses == set(all_cells())


def test_without_the_plugin_most_of_it_is_na(everyday, monkeypatch):
    """The same run by asv alone: another framework's cells, and all those that were not asked for."""
    answer_by(monkeypatch, lambda name, _: 1.0 if plugin.framework_of(name) == "torch" else math.nan, everyday)
    lines = printed(monkeypatch)
    run_module.run_benchmarks(everyday, Environment("torch"), results=stored("torch"))
    assert sum("n/a" in line for line in lines) > len(lines) / 5


def test_a_plain_run_has_few_enough_cells_for_its_minutes(everyday):
    """At a second a cell, with two minutes to install: the errors of a cell are found once, and read three times."""
    count = sum(len(everyday.benchmark_selection[name] or [0]) for name in everyday)
    assert 600 < count < 1200
    assert not any("torch_compile" in name for name in everyday)


def test_a_gpu_takes_about_two_hundred_cells(monkeypatch):
    conf = configuration("asv.given.conf.json")
    here = cells.modules, cells.methods
    monkeypatch.setattr(cells, "modules", lambda _: here[0]("cuda"))
    monkeypatch.setattr(cells, "methods", lambda kind, framework, _: here[1](kind, framework, "cuda"))
    chosen = known(conf, conf.everyday)
    count = sum(len(chosen.benchmark_selection[name] or [0]) for name in chosen)
    assert 150 < count < 260
    names = {name.split(".")[0] for name in chosen}
    assert {"device_torch_eager", "device_jax_jit", "memory_jax_jit", "machine_torch"} <= names
