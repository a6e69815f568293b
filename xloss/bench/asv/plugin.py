"""A plugin for asv, named in its configurations: what `asv run` does beyond asv's own.

- A framework's benchmarks run in its own environments, not as "n/a" in the other's; tables have the cells asked for.
- Without `-b`, the everyday cells (`everyday` in the configuration); with `XLOSS_BENCH=full`, all.
- With `XLOSS_BENCH=versions` or `full`, the environments of `further`, too: one after the other, and deleted after use.
- Results are saved as they are measured, with samples, and by one run at a time.
- The machine is introduced under its host's name, where it is not known yet.

It imports nothing but asv and the standard library, and names no framework's or loss's benchmark.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from asv import environment, runner, util
from asv.commands import continuous as continuous_module
from asv.commands import find as find_module
from asv.commands import run as run_module
from asv.console import log
from asv.results import Results

from xloss.bench.asv.machine import introduce

ASKED = ("", "versions", "full")
#: A killed run loses what the last so many seconds measured.
SAVE_SECONDS = 20.0


def setup() -> None:
    """Put this in the place of asv's `run`, `continuous` and `find`; asv calls it once it has its configuration."""
    if getattr(run_module.Run.run, "__module__", None) != __name__:
        run_module.Run.run = _run(run_module.Run.run)
        continuous_module.Continuous.run = _continuous(continuous_module.Continuous.run)
        find_module.Find.run = _find(find_module.Find.run)


def asked() -> str:
    """Return `XLOSS_BENCH`: "" for the everyday cells, "versions" for these in all environments, "full" for all."""
    found = os.environ.get("XLOSS_BENCH", "")
    if found not in ASKED:
        raise util.UserError(f"XLOSS_BENCH: expected {', '.join(ASKED[1:])} or nothing, got {found!r}")
    return found


def framework_of(benchmark: str) -> str:
    """Return the framework that a benchmark's name, or a regular expression of it, begins with."""
    return benchmark.split(".")[0].partition("_")[2].partition("_")[0]


def framework_in(env: Any) -> str:
    """Return the framework of an environment: the one named in its variables, or among its requirements."""
    named = env.env_vars.get("XLOSS_FRAMEWORK")
    return named or next((name for name in ("torch", "jax") if name in env.requirements), "")


def _run(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(conf: Any, bench: Any = None, env_spec: Any = None, **options: Any) -> Any:
        options["record_samples"] = True
        if not bench and asked() != "full":
            bench = getattr(conf, "everyday", None)
        introduce(options.get("machine") or "")
        further = list(getattr(conf, "further", []))
        everyday = _names(conf)
        if env_spec or (asked() and further):
            conf.include = [*conf.include, *further]
        alone = [env_spec]
        if not env_spec:
            names = _names(conf, bench)
            alone = [[name] for name in names] if asked() and further else [names]
        folder = None if options.get("dry_run") else conf.results_dir
        worst = 0
        with locked(conf.results_dir), _measuring(folder):
            for names in alone:
                try:
                    worst = max(worst, original(conf, bench=bench, env_spec=names, **options) or 0)
                except (util.UserError, util.ProcessError) as error:
                    if len(alone) == 1 or str(error) == "Interrupted.":
                        raise
                    log.error(f"{names[0]}: {error}")
                    worst = 2
                finally:
                    if not env_spec:
                        _delete(conf, set(names) - set(everyday))
        return worst or None

    return run


def _find(original: Callable[..., Any]) -> Callable[..., Any]:
    def find(conf: Any, range_spec: Any, bench: Any, env_spec: Any = None, **options: Any) -> Any:
        introduce(options.get("machine") or "")
        if not env_spec:  # asv takes the first, whatever can run there
            env_spec = _names(conf, [bench])[:1]
        options["launch_method"] = options.get("launch_method") or conf.launch_method
        folder = None if options.get("skip_save") else conf.results_dir
        with locked(conf.results_dir), _measuring(folder):
            return original(conf, range_spec, bench, env_spec=env_spec, **options)

    return find


def _continuous(original: Callable[..., Any]) -> Callable[..., Any]:
    def continuous(conf: Any, **options: Any) -> Any:
        with contextlib.ExitStack() as stack:
            # It looks for every benchmark in the results of every environment.
            for name, absent in (("value", math.nan), ("stats", None), ("samples", None)):
                getter = f"get_result_{name}"
                stack.enter_context(mock.patch.object(Results, getter, _tolerant(getattr(Results, getter), absent)))
            return original(conf, **options)

    return continuous


def _tolerant(getter: Callable[..., Any], absent: Any) -> Callable[..., Any]:
    """Return what gives `absent` for each point of a benchmark that has no results."""

    def get(results: Any, key: str, params: Any) -> Any:
        if key in results.get_all_result_keys():
            return getter(results, key, params)
        return [absent for _ in itertools.product(*(params or []))]

    return get


def named_in(patterns: Sequence[str] | None) -> set[str]:
    """Return the frameworks that regular expressions for benchmarks leave: those in the names of their modules."""
    found = [re.findall("torch|jax", pattern.replace("\\", "").split(".")[0]) for pattern in patterns or [""]]
    return {name for names in found for name in names or ("torch", "jax")}


def _names(conf: Any, bench: Sequence[str] | None = None) -> list[str]:
    """Return the names of the environments, of those that can have these benchmarks."""
    known = environment.get_environments(conf, None, verbose=False)
    return [env.name for env in known if framework_in(env) in named_in(bench)]


def _delete(conf: Any, names: Collection[str]) -> None:
    """Delete environments: a build for a GPU takes gigabytes."""
    for env in environment.get_environments(conf, None, verbose=False):
        if env.name in names:
            shutil.rmtree(Path(conf.env_dir) / env.dir_name, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Refuse to write results where another run does: asv reads a file at its start and writes all of it at its end."""
    import fcntl

    Path(folder).mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise util.UserError(f"another asv writes to {folder}: run one after the other") from None
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def _measuring(folder: str | None) -> Iterator[None]:
    """Let asv run, or mark as failed, a framework's own benchmarks in its environments, and save to `folder`."""

    def narrowed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(benchmarks: Any, env: Any, *, results: Any = None, **options: Any) -> Any:
            others = [name for name in benchmarks if framework_of(name) != framework_in(env)]
            for _ in others:
                log.step()
            own = benchmarks.filter_out(others)
            if not own:
                return results
            with saving(results, folder), _showing(own):
                return original(own, env, results=results, **options)

        return call

    with contextlib.ExitStack() as stack:
        for module in (run_module, find_module):
            stack.enter_context(mock.patch.object(module, "run_benchmarks", narrowed(module.run_benchmarks)))
        stack.enter_context(mock.patch.object(run_module, "skip_benchmarks", narrowed(run_module.skip_benchmarks)))
        yield


@contextlib.contextmanager
def saving(results: Any, folder: str | None) -> Iterator[None]:
    """Save results every `SAVE_SECONDS`, and when an error or an interrupt ends the run, as asv does at its end."""
    if folder is None:
        yield
        return
    add, last = results.add_result, time.monotonic()

    def add_and_save(*args: Any, **options: Any) -> None:
        nonlocal last
        add(*args, **options)
        if time.monotonic() - last >= SAVE_SECONDS:
            _save(results, folder)
            last = time.monotonic()

    results.add_result = add_and_save
    try:
        yield
    finally:
        del results.add_result
        _save(results, folder)


def _save(results: Any, folder: str) -> None:
    """Write a file of results beside itself and rename it, so that whoever is killed leaves a whole one."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as beside:
        results.save(beside)
        written = next(Path(beside).rglob("*.json"))
        target = Path(folder) / written.relative_to(beside)
        target.parent.mkdir(exist_ok=True)
        written.replace(target)


@contextlib.contextmanager
def _showing(benchmarks: Any) -> Iterator[None]:
    """Let the tables that asv prints hold the parameters that were asked for, where it has "n/a" for the others."""
    original = runner.log_benchmark_result

    def log_benchmark_result(results: Any, benchmark: Any, **options: Any) -> None:
        selected = benchmarks.benchmark_selection.get(benchmark["name"])
        original(results, {**benchmark, "params": chosen(benchmark["params"], selected)}, **options)

    with mock.patch.object(runner, "log_benchmark_result", log_benchmark_result):
        yield


def chosen(params: Sequence[Sequence[str]], selected: Collection[int] | None) -> list[list[str]]:
    """Return of each parameter the values that some selected point has."""
    if selected is None:
        return [list(values) for values in params]
    points = [point for number, point in enumerate(itertools.product(*params)) if number in set(selected)]
    return [[value for value in values if value in {point[axis] for point in points}]
            for axis, values in enumerate(params)]  # fmt: skip
