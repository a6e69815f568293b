"""What the benchmarks share: one class per loss, the same parameters for all, skipping and failing.

asv hands a process the number of a parameter, not its value. So nothing here depends on what is installed, nor on the
commit of it: the names are those of the checkout's files, the parameters fixed lists, and a loss or an implementation
that is not there is skipped.
"""

import functools
import hashlib

from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks import ROOT
from xloss import catalog
from xloss.bench import accuracy, workload
from xloss.bench.asv import labels

NAMES = tuple(sorted(path.stem for path in (ROOT / "xloss" / "losses").glob("[!_]*.py")))
# asv's parameters are strings.
CONTESTANTS = tuple(map(str, workload.CONTESTANTS))
# Part of every benchmark's version: to be raised when the way of measuring changes, so that old results are not
# compared with new ones.
RULER = 1


class _Cell:
    """A loss to be measured; a method of a subclass is a benchmark, its arguments the parameters."""

    loss = ""
    unit = "seconds"
    timeout = 600

    def measured(self, measure, contestant, quantity="value_and_grad", size="medium", dtype="float32"):
        """Return `measure(loss, workload)`; skip where it is another framework's, or there is nothing to measure."""
        who = catalog.Contestant.parse(contestant)
        try:
            labels.require(who.framework)
            if self.loss not in catalog.LOSSES:
                raise catalog.Unsupported(f"this commit has no {self.loss}")
            what = workload.Workload(self.loss, who, quantity, size, dtype, labels.device())
            return measure(catalog.LOSSES[self.loss], what)
        except catalog.Unsupported as reason:
            raise SkipNotImplemented(str(reason)) from None


def samples(timing):
    """Return asv's own form of a timing: a tracked value then gets what a `time_` has, statistics and samples.

    A `time_` itself would set up again before each call, and could not be told how to wait for a device.
    """
    return {"samples": list(timing.samples), "number": timing.number}


def generate(base, namespace):
    """Make one subclass of `base` for each loss, under the loss's name."""
    for name in NAMES:
        namespace[name] = type(
            name, (base,), {"loss": name, "__module__": namespace["__name__"], "version": version(name)}
        )


@functools.cache
def version(name):
    """Return what asv takes for the same benchmark: a digest of the inputs drawn and of the shapes at all sizes.

    It is the same for all implementations, whatever the code is called. (asv's default, a hash of the source, would be
    one and the same for all generated classes.) A loss that the installed catalogue lacks is skipped in any case.
    """
    loss = catalog.LOSSES.get(name)
    return digest(loss) if loss else "absent"


def digest(loss):
    """Digest the small inputs that are timed, those that accuracy is measured at, the options, and the other shapes."""
    variant = loss.variants[0]
    timed = workload.draw(loss, workload.Workload(loss.name, workload.CONTESTANTS[0], size="small"))
    shapes = []
    for size in workload.SIZES:
        try:
            shapes.append((size, workload.shape_at(loss, variant, size)))
        except catalog.Unsupported:
            continue
    options = sorted(variant.options.items())
    text = repr((RULER, workload.DTYPES, shapes, options, sorted(timed.wrt), sorted(timed.batch_axes.items())))
    out = hashlib.sha256(text.encode())
    for arrays in (timed.arrays, *accuracy.draw(loss, variant, "float32")):
        for name, array in sorted(arrays.items()):
            out.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return out.hexdigest()
