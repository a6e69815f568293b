"""Makes the benchmarks of a module, by the module's name: a class for each loss, a method for each quantity.

asv hands a process the number of a parameter, not its value. So nothing here depends on what is installed, nor on the
commit of it: what there is to measure follows from the catalogue of the checkout, and a loss, a variant or a peer that
the installed commit or version lacks is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

from asv_runner.benchmarks.mark import SkipNotImplemented

import xloss
from benchmarks import ROOT, _measures
from xloss import catalog
from xloss.bench import bandwidth, workload
from xloss.bench.asv import cells, labels


class Word(str):
    """A parameter that is printed, and matched by `-b`, without quotation marks."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def _find():
    """Return what the checkout's catalogue has to measure, by loss."""
    if Path(xloss.__file__).resolve().parent == ROOT / "xloss":
        return cells.all_cells()
    command = [sys.executable, "-m", cells.__name__]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {ROOT}:\n{done.stderr}")
    return cells.load(done.stdout)


CELLS = _find()


def generate(namespace):
    """Make the benchmarks of the module with this namespace."""
    module = namespace["__name__"].rpartition(".")[2]
    kind, framework, mode = cells.parse(module)
    if module not in cells.modules(labels.device()):
        return
    if kind == "machine":
        _class(namespace, "memory", kind, {"copy": _control(framework)})
        return
    for loss, found in CELLS.items():
        methods = {}
        for name in cells.methods(kind, framework, labels.device()):
            values = cells.values(found, module, name)
            if all(values):
                methods[name] = _benchmark(loss, kind, framework, mode, name)
                methods[name].params = [list(map(Word, some)) for some in values]
                methods[name].param_names = list(cells.PARAMETERS[kind][name])
                methods[name].version = found.variants_version if name == "variants" else found.version
        if methods:
            _class(namespace, loss, kind, methods)


def _class(namespace, name, kind, methods):
    unit = _measures.UNITS.get(kind, "seconds")
    namespace[name] = type(name, (), {"unit": unit, "timeout": 600, "__module__": namespace["__name__"], **methods})


def _control(framework):
    def copy(_self):
        try:
            labels.require(framework)
        except catalog.Unsupported as reason:
            raise SkipNotImplemented(str(reason)) from None
        return _measures.control(framework)

    copy.pretty_source = f"xloss.bench.bandwidth.copy({framework!r})"
    copy.version = f"{cells.RULER} {bandwidth.COPY_BYTES}"
    return copy


def _benchmark(name, kind, framework, mode, method):
    """Return the method that measures a point, given as asv gives it; it skips where there is nothing to measure."""

    def measured(_self, *point):
        given = dict(zip(cells.PARAMETERS[kind][method], map(str, point), strict=True))
        quantity = given.get("quantity") or (method if method in workload.QUANTITIES else "value_and_grad")
        try:
            labels.require(framework)
            if name not in catalog.LOSSES:
                raise catalog.Unsupported(f"this commit has no {name}")
            loss = catalog.LOSSES[name]
            variant = given.get("variant", "")
            if variant and variant not in [one.name for one in loss.variants]:
                raise catalog.Unsupported(f"at this commit {name} has no variant {variant}")
            what = workload.Workload(
                name,
                catalog.Contestant(framework, mode, given["implementation"]),
                quantity,
                given.get("size", "medium"),
                given.get("dtype", "float32"),
                labels.device(),
                variant,
                reduction=given.get("reduction", ""),
            )
            return _measures.measure(kind, method, given.get("caches"), loss, what)
        except catalog.Unsupported as reason:
            raise SkipNotImplemented(str(reason)) from None

    measured.__name__ = measured.__qualname__ = method
    # What the dashboard shows, for asv would parse the code of this function once a benchmark.
    measured.pretty_source = f"xloss.bench.workload.Workload({name!r}, ...)  # {kind}, {method}"
    return measured
