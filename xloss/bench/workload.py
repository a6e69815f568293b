"""What is measured: a loss, by whom, which quantity of it, at which size; and the inputs that are drawn for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from xloss.catalog import Contestant, Loss, Unsupported, Variant
from xloss.parity.inputs import Draw

# The same for every loss, framework and commit: asv hands a benchmark the number of its parameters, and a list that
# depends on what is installed would give a number two meanings.
CONTESTANTS = (
    Contestant("torch", "eager", "xloss"),
    Contestant("torch", "eager", "torch.nn.functional"),
    Contestant("torch", "compile", "xloss"),
    Contestant("torch", "compile", "torch.nn.functional"),
    Contestant("jax", "jit", "xloss"),
    Contestant("jax", "jit", "optax"),
    Contestant("jax", "jit", "keras"),
)
QUANTITIES = ("value", "value_and_grad", "per_sample")
# "small" measures the cost of a call, "large" how much of the memory's bandwidth is reached. The last two exist only
# where a loss's `workloads` has them: shapes for which others have published numbers, and language models'.
SIZES = ("small", "medium", "large", "published", "vocabulary")
DTYPES = ("float32", "bfloat16")
# Elements of the first argument.
ELEMENTS = {"small": 2**10, "medium": 2**20, "large": 2**25}
# Elements that are drawn; more are copies of these, since drawing 2**30 numbers takes minutes.
DRAWN_ELEMENTS = 2**16


def kind(device: str) -> str:
    """Return what kind of device it is: "cpu", or "cuda" for "cuda:1" as well."""
    return device.partition(":")[0]


@dataclass(frozen=True)
class Workload:
    """One thing to measure, small and picklable.

    `loss` and `variant` are names ("" is the first variant); the first argument has the explicit `shape`, or without
    one the shape of the loss at `size`. `reduction` is "" for the main one. `extra` are the further sizes that go with
    an explicit shape, such as the classes of a loss that makes its own logits.
    """

    loss: str
    contestant: Contestant
    quantity: str = "value_and_grad"
    size: str = "medium"
    dtype: str = "float32"
    device: str = "cpu"
    variant: str = ""
    shape: tuple[int, ...] | None = None
    reduction: str = ""
    extra: tuple[int, ...] = ()

    def variant_of(self, loss: Loss) -> Variant:
        """Return the variant that is called."""
        return loss.variant(self.variant) if self.variant else loss.variants[0]

    def shape_of(self, loss: Loss) -> tuple[int, ...]:
        """Return the shape of the first argument, followed by the further sizes that a workload of the loss names."""
        return shape_at(loss, self.variant_of(loss), self.size) if self.shape is None else (*self.shape, *self.extra)

    def reduction_of(self, loss: Loss) -> str:
        """Return what is asked, else the main one; 'sum' for per-sample gradients, whose batches have one sample."""
        if self.reduction:
            return self.reduction
        return "sum" if self.quantity == "per_sample" and "sum" in loss.reductions else loss.main_reduction


@dataclass(frozen=True)
class Inputs:
    """NumPy arrays by argument; where `repeats` has an axis and a length, the array is repeated along it up to that.

    `wrt` names the arguments to differentiate by, `batch_axes` the batch axis of those that have one.
    """

    arrays: Mapping[str, np.ndarray]
    repeats: Mapping[str, tuple[int, int]]
    wrt: tuple[str, ...]
    batch_axes: Mapping[str, int]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an argument after repetition."""
        shape = list(self.arrays[name].shape)
        if name in self.repeats:
            axis, length = self.repeats[name]
            shape[axis] = length
        return tuple(shape)

    def nbytes(self, names: Iterable[str] | None = None) -> int:
        """Return the bytes of these arguments (of all of them by default) after repetition."""
        chosen = self.arrays if names is None else names
        return sum(math.prod(self.shape(name)) * self.arrays[name].dtype.itemsize for name in chosen)

    def rows(self) -> int:
        """Return the size of the batch."""
        return next((self.shape(name)[axis] for name, axis in self.batch_axes.items()), 1)


def shape_at(loss: Loss, variant: Variant, size: str) -> tuple[int, ...]:
    """Return the shape of a variant's first argument at a size: from the loss's `workloads`, or by rank.

    `Unsupported` where the loss names no such size.
    """
    if size in loss.workloads:
        return tuple(loss.workloads[size])
    if size not in ELEMENTS:
        raise Unsupported(f"{loss.name} names no {size} workload")
    elements, like = ELEMENTS[size], variant.shapes[0]
    rank = len(like)
    if rank == 0:
        return ()
    if rank == 1:
        return (elements,)
    if loss.arguments.class_axes is None:
        # Each sample meets every other: time and memory grow with the square of the batch.
        batch = {"small": 32, "medium": 512, "large": 2048}[size]
        return (batch, *(max(1, round((elements / batch / 32) ** (1 / (rank - 1)))) for _ in like[1:]))
    if rank == 2:
        columns = {"small": 32, "medium": 1024, "large": 8192}[size]
        return (elements // columns, columns)
    return tuple(max(2, round(elements ** (1 / rank))) for _ in like)


class _TypicalDraw(Draw):
    """Draws typical numbers; of large arrays without a batch to repeat (the weights of a layer) only a part.

    `extra` are the sizes of a workload beyond the rank of the first argument: the classes of a loss that makes its own
    logits.
    """

    def __init__(self, loss: Loss, variant: Variant, shape: tuple[int, ...], dtype: str, extra: tuple[int, ...]):
        super().__init__(loss, variant, shape, "typical", dtype)
        self.extra = extra

    def real(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draw normal numbers."""
        if math.prod(shape) <= DRAWN_ELEMENTS:
            return super().real(shape)
        return np.resize(super().real((DRAWN_ELEMENTS - 1,)), shape)  # an odd number, so that rows differ


def draw(loss: Loss, workload: Workload) -> Inputs:
    """Draw the inputs of a workload: a block of typical ones, to be repeated along the batch."""
    variant, shape = workload.variant_of(loss), workload.shape_of(loss)
    rank = len(workload.shape) if workload.shape is not None else len(variant.shapes[0])
    shape, extra = shape[:rank], shape[rank:]
    axes = {} if variant.unbatched or not variant.per_sample else loss.arguments.batch_axes
    axis = next(iter(axes.values()), None)
    length = 0
    if axis is not None and axis < rank and loss.arguments.class_axes is not None:
        # A power of two, so that it divides the batch and no copy is cut.
        block = 2 ** int(math.log2(max(2, DRAWN_ELEMENTS * shape[axis] // math.prod(shape))))
        if block < shape[axis]:
            length = shape[axis]
            shape = (*shape[:axis], block, *shape[axis + 1 :])
    arrays = loss.inputs(_TypicalDraw(loss, variant, shape, workload.dtype, extra))
    first = next(iter(arrays.values()))
    rows = first.shape[axis] if axis is not None and first.ndim > axis else None
    batch_axes = {
        name: axis
        for name, axis in axes.items()
        if name in arrays
        and arrays[name].ndim > axis
        and arrays[name].shape[axis] == rows
        and (arrays[name].ndim == first.ndim or not variant.broadcast)
    }
    repeats = {name: (axis, length) for name, axis in batch_axes.items()} if length else {}
    floating = loss.arguments.differentiable(arrays)
    # A network's output is differentiated by, the target that it is compared to is not.
    wrt = tuple(name for name in floating if name != "target") or floating[:1]
    return Inputs(arrays, repeats, wrt, batch_axes)
