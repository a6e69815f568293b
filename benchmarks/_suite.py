"""What the benchmarks share: one class per loss, the same parameters for all, skipping and failing.

asv hands a process the number of a parameter, not its value. So nothing here depends on what is installed, nor on the
commit of it: the names are those of the checkout's files, the parameters fixed lists, and a loss or an implementation that
is not there is skipped.
"""

import ast
import hashlib

from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks import ROOT
from xloss.bench.asv import labels
from xloss.bench.workload import DTYPES, ELEMENTS, SIZES, Work
from xloss.catalog import LOSSES, Unsupported

NAMES = tuple(sorted(path.stem for path in (ROOT / "xloss" / "losses").glob("[!_]*.py")))
# To be raised when the way of measuring changes, so that old results are not compared with new ones.
RULER = 1


class _Cell:
    """A loss to be measured; a method of a subclass is a benchmark, its arguments the parameters."""

    loss = ""
    unit = "seconds"
    timeout = 600

    def measured(self, work, measure):
        """What `measure(work)` gives; skipped where it is another framework's, or there is nothing to measure."""
        try:
            labels.wanted(work.framework)
            if work.loss not in LOSSES:
                raise Unsupported(f"this commit has no {work.loss}")
            return measure(work)
        except Unsupported as reason:
            raise SkipNotImplemented(str(reason)) from None

    def work(self, contestant, quantity="value_and_grad", size="medium", dtype="float32"):
        """The work of this loss, on this run's device."""
        return Work(self.loss, contestant, quantity, size, dtype, labels.device())


def samples(timing):
    """asv's own form of a timing: with it a tracked value gets what a `time_` has, statistics and samples.

    A `time_` itself would set up again before each call, and could not be told how to wait for a device.
    """
    return {"samples": list(timing.samples), "number": timing.number}


def generate(base, namespace):
    """One subclass of `base` for each loss, under the loss's name."""
    for name in NAMES:
        namespace[name] = type(
            name, (base,), {"loss": name, "__module__": namespace["__name__"], "version": version(name)}
        )


def version(name):
    """What asv takes for the same benchmark: the same inputs at the same sizes, by whichever implementation.

    Its own default, a hash of the source, would be one and the same for all generated classes.
    """
    tree = ast.parse((ROOT / "xloss" / "losses" / f"{name}.py").read_text(encoding="utf-8"))
    parts = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "inputs"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Loss":
            given = {word.arg: word.value for word in node.keywords}
            variants = given.get("variants")
            parts += [variants.elts[0] if isinstance(variants, ast.Tuple) else variants, given.get("workloads")]
    text = [ast.dump(part) for part in parts if part is not None]
    return hashlib.sha256(repr((RULER, SIZES, DTYPES, sorted(ELEMENTS.items()), text)).encode()).hexdigest()
