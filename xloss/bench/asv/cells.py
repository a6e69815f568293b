"""Which benchmarks there are: what the catalogue of this checkout has to measure, whatever is installed.

asv hands a process the number of a parameter, so that a list must be the same in every environment and at every commit
of a run. The lists here follow from the records of the losses alone: `benchmarks/` takes them from the checkout's
catalogue, by `python -m xloss.bench.asv.cells` where another xloss is installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xloss.bench import accuracy, workload
from xloss.catalog import LOSSES, Contestant, Loss, Unsupported, Variant

# Part of every benchmark's version: to be raised when the way of measuring changes, so that old results are not
# compared with new ones.
RULER = 1
# Kinds of benchmarks, their methods, the parameters of each. A module is named by its kind, framework and mode
# (speed_torch_eager), machine by the framework alone.
_POINT = ("implementation", "size", "dtype")
PARAMETERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "speed": {
        "value": _POINT,
        "value_and_grad": _POINT,
        "per_sample": _POINT,
        "variants": ("implementation", "variant"),
        "reductions": ("implementation", "reduction"),
    },
    "device": dict.fromkeys(("value", "value_and_grad"), (*_POINT, "caches")),
    "compiling": dict.fromkeys(("lowering", "cold", "cached"), ("implementation",)),
    "memory": dict.fromkeys(("resident", "analysed", "device"), (*_POINT, "quantity")),
    "accuracy": dict.fromkeys(accuracy.METRICS, ("implementation", "dtype")),
    "machine": {"copy": ()},
}
# Implementations that take the options of every variant, and every reduction: the others have some, or none.
COMPLETE = ("xloss", "torch.nn.functional")
# Those that have unreduced values, of which accuracy is measured.
UNREDUCED = (*COMPLETE, "optax")


@dataclass(frozen=True)
class Cells:
    """What there is to measure of a loss.

    `contestants` are written as `Contestant`s are; `variants` are those beyond the first, `reductions` those beyond the
    main one; `per_sample` tells whether a sample has a gradient of its own. asv compares results of one `version`,
    those of variants of one `variants_version`.
    """

    contestants: tuple[str, ...]
    sizes: tuple[str, ...]
    variants: tuple[str, ...]
    reductions: tuple[str, ...]
    per_sample: bool
    version: str
    variants_version: str

    def implementations(self, framework: str, mode: str) -> tuple[str, ...]:
        """Return who is measured in a mode of a framework."""
        parsed = map(Contestant.parse, self.contestants)
        return tuple(one.implementation for one in parsed if (one.framework, one.mode) == (framework, mode))


def modules(device: str) -> tuple[str, ...]:
    """Return the names of the modules that have benchmarks on a device."""
    modes = dict.fromkeys(f"{one.framework}_{one.mode}" for one in workload.CONTESTANTS)
    kinds = [kind for kind in PARAMETERS if kind != "machine" and (kind != "device" or device != "cpu")]
    there = [f"{kind}_{mode}" for kind in kinds for mode in modes if kind != "compiling" or not mode.endswith("_eager")]
    return (*there, *(f"machine_{name}" for name in dict.fromkeys(one.framework for one in workload.CONTESTANTS)))


def parse(module: str) -> tuple[str, str, str]:
    """Return kind, framework and mode ("" for the machine) of a module's name."""
    kind, framework, *mode = module.split("_")
    return kind, framework, "".join(mode)


def methods(kind: str, framework: str, device: str) -> tuple[str, ...]:
    """Return the benchmarks of a kind that a framework has on a device."""
    if kind != "memory":
        return tuple(PARAMETERS[kind])
    rulers = ("resident",) if device == "cpu" else ("device",)
    return (*rulers, "analysed") if framework == "jax" else rulers


def values(cells: Cells, module: str, method: str) -> tuple[tuple[str, ...], ...]:
    """Return the values of each parameter of a benchmark of a loss; one that is empty says that there is none."""
    kind, framework, mode = parse(module)
    who = cells.implementations(framework, mode)
    if method in ("variants", "reductions"):
        who = tuple(name for name in who if name in COMPLETE)
    if kind == "accuracy":
        who = tuple(name for name in who if name in UNREDUCED)
    sizes = cells.sizes
    if method == "per_sample":  # at larger sizes it is memory that is measured
        sizes = tuple(size for size in sizes if size in ("small", "medium") and cells.per_sample)
    known = {
        "implementation": who,
        "size": sizes,
        "dtype": workload.DTYPES,
        "variant": cells.variants,
        "reduction": cells.reductions,
        "caches": ("warm", "cold"),
        "quantity": ("value", "value_and_grad"),
    }
    return tuple(known[name] for name in PARAMETERS[kind][method])


def of(loss: Loss) -> Cells:
    """Find out what there is to measure of a loss."""
    peers = {(peer.framework, peer.name) for peer in loss.peers}
    # A row without its batch is the same computation.
    variants = [one for one in loss.variants[1:] if not one.unbatched]
    small = workload.draw(loss, workload.Workload(loss.name, workload.CONTESTANTS[0], size="small"))
    return Cells(
        tuple(
            str(one)
            for one in workload.CONTESTANTS
            if one.implementation == "xloss" or (one.framework, one.implementation) in peers
        ),
        tuple(size for size, _ in _shapes(loss)),
        tuple(one.name for one in variants),
        tuple(name for name in loss.reductions if name != loss.main_reduction),
        loss.arguments.class_axes is not None and bool(set(small.wrt) & set(small.batch_axes)),
        digest(loss),
        digest_of_variants(loss, variants),
    )


def all_cells() -> dict[str, Cells]:
    """Return the cells of every loss of the catalogue, by name."""
    return {name: of(loss) for name, loss in LOSSES.items()}


def digest(loss: Loss) -> str:
    """Digest the small inputs that are timed, those that accuracy is measured at, the options, and the other shapes.

    It is the same for all implementations, whatever the code is called. (asv's default, a hash of the source, would be
    one and the same for all generated classes.)
    """
    variant = loss.variants[0]
    timed = workload.draw(loss, workload.Workload(loss.name, workload.CONTESTANTS[0], size="small"))
    options = sorted(variant.options.items())
    text = repr((RULER, workload.DTYPES, _shapes(loss), options, sorted(timed.wrt), sorted(timed.batch_axes.items())))
    return _digest(text, (timed.arrays, *accuracy.draw(loss, variant, "float32")))


def digest_of_variants(loss: Loss, variants: Sequence[Variant]) -> str:
    """Digest the small inputs of these variants, their options, and the shapes that are timed."""
    contestant = workload.CONTESTANTS[0]
    timed = [workload.Workload(loss.name, contestant, size="small", variant=one.name) for one in variants]
    shapes = [(one.name, sorted(one.options), workload.shape_at(loss, one, "medium")) for one in variants]
    return _digest(repr((RULER, shapes)), [workload.draw(loss, one).arrays for one in timed])


def _digest(text: str, drawn: Iterable[Mapping[str, np.ndarray]]) -> str:
    out = hashlib.sha256(text.encode())
    for arrays in drawn:
        for name, array in sorted(arrays.items()):
            out.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return out.hexdigest()


def _shapes(loss: Loss) -> list[tuple[str, tuple[int, ...]]]:
    shapes = []
    for size in workload.SIZES:
        try:
            shapes.append((size, workload.shape_at(loss, loss.variants[0], size)))
        except Unsupported:
            continue
    return shapes


def load(text: str) -> dict[str, Cells]:
    """Read what this module prints."""
    out = {}
    for name, found in json.loads(text).items():
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in found.items()
        }
        out[name] = Cells(**fields)
    return out


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: asdict(one) for name, one in all_cells().items()}))
