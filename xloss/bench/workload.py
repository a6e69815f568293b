"""What is measured: a loss, by whom, which quantity of it, at which size; and how that becomes a call to time.

It measures older commits of xloss as well, whose catalogue may lack what a later one has (`workloads`, `adapt`,
`Loss.batch_axes`, `Draw.extra`): hence what is derived here once more, or asked for with a default.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xloss.catalog import Loss, Unsupported, get
from xloss.parity.inputs import Draw

# Who is measured, as framework/mode/implementation. The list is the same for every loss, framework and commit: asv hands a
# benchmark the number of its parameters, and a list that depends on what is installed would give a number two meanings.
CONTESTANTS = (
    "torch/eager/xloss",
    "torch/eager/torch.nn.functional",
    "torch/compile/xloss",
    "torch/compile/torch.nn.functional",
    "jax/jit/xloss",
    "jax/jit/optax",
    "jax/jit/keras",
)
QUANTITIES = ("value", "value_and_grad", "per_sample")
# "small" asks what a call costs at all, "large" how much of the memory's bandwidth is reached. The last two are only
# there where a loss's `workloads` has them: shapes for which others have published numbers, and language models'.
SIZES = ("small", "medium", "large", "published", "vocabulary")
DTYPES = ("float32", "bfloat16")
# Elements of the first argument.
ELEMENTS = {"small": 2**10, "medium": 2**20, "large": 2**25}
# Elements that are drawn; more are copies of these, since drawing a thousand million numbers takes minutes.
DRAWN = 2**16


@dataclass(frozen=True, order=True)
class Work:
    """One thing to measure; small and picklable. `contestant` is one of `CONTESTANTS`."""

    loss: str
    contestant: str
    quantity: str = "value_and_grad"
    size: str = "medium"
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def framework(self) -> str:
        """ "torch" or "jax"."""
        return self.contestant.split("/")[0]

    @property
    def mode(self) -> str:
        """ "eager", "compile" or "jit"."""
        return self.contestant.split("/")[1]

    @property
    def implementation(self) -> str:
        """ "xloss", or the name of a peer."""
        return self.contestant.split("/")[2]


@dataclass(frozen=True)
class Drawn:
    """Inputs in NumPy; where `grow` names an axis and a length, the array is to be repeated along it up to that."""

    arrays: Mapping[str, np.ndarray]
    grow: Mapping[str, tuple[int, int]]
    wrt: tuple[str, ...]
    axes: Mapping[str, int]  # of the batch, by argument

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an argument in full."""
        shape = list(self.arrays[name].shape)
        if name in self.grow:
            axis, length = self.grow[name]
            shape[axis] = length
        return tuple(shape)

    def nbytes(self, name: str) -> int:
        """The bytes of an argument in full."""
        return math.prod(self.shape(name)) * self.arrays[name].dtype.itemsize

    def rows(self) -> int:
        """The size of the batch."""
        for name, axis in self.axes.items():
            return self.shape(name)[axis]
        return 1


def shape_of(loss: Loss, size: str) -> tuple[int, ...]:
    """The shape of the first argument at a size: the loss's own `workloads`, or a rule from rank and row axis."""
    workloads: Mapping[str, tuple[int, ...]] = getattr(loss, "workloads", {})
    if size in workloads:
        return tuple(workloads[size])
    if size not in ELEMENTS:
        raise Unsupported(f"{loss.name} names no {size} workload")
    elements, like = ELEMENTS[size], loss.variants[0].shapes[0]
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


class _Typical(Draw):
    """Draws typical numbers, of great arrays that have no batch to repeat (the weights of a layer) a part.

    `extra` are the numbers of a workload beyond the shape of the first argument: the classes of a loss that makes its
    own logits.
    """

    extra: tuple[int, ...] = ()

    def real(self, shape: tuple[int, ...]) -> np.ndarray:
        """Any real numbers."""
        if math.prod(shape) <= DRAWN:
            return super().real(shape)
        return np.resize(super().real((DRAWN - 1,)), shape)  # odd, so that rows differ


def draw(work: Work) -> Drawn:
    """Draw the inputs of a work: a block of typical ones, to be repeated along the batch."""
    loss = get(work.loss)
    variant, shape = loss.variants[0], shape_of(loss, work.size)
    rank = len(variant.shapes[0])
    shape, extra = shape[:rank], shape[rank:]
    axes = _batch_axes(loss)
    batch_axis = next(iter(axes.values()), None)
    block = None
    if batch_axis is not None and batch_axis < len(shape) and loss.arguments.class_axes is not None:
        length = shape[batch_axis]
        # A power of two, so that it divides the batch and no copy is cut.
        block = 2 ** max(1, int(math.log2(max(2, DRAWN * length // math.prod(shape)))))
        if block < length:
            shape = (*shape[:batch_axis], block, *shape[batch_axis + 1 :])
        else:
            block = None
    drawing = _Typical(loss, variant, shape, "typical", work.dtype)
    drawing.extra = extra
    arrays = loss.inputs(drawing)
    first = next(iter(arrays))
    rows = arrays[first].shape[batch_axis] if batch_axis is not None and arrays[first].ndim > batch_axis else None
    present = {
        name: axis
        for name, axis in axes.items()
        if name in arrays and arrays[name].ndim > axis and arrays[name].shape[axis] == rows
    }
    grow = {name: (axis, length) for name, axis in present.items()} if block is not None else {}
    floating = [name for name in loss.arguments.wrt if name in arrays and arrays[name].dtype.kind not in "iub"]
    # A network's output is differentiated by, the data that it is compared to is not.
    wrt = tuple(name for name in floating if name != "target") or tuple(floating[:1])
    return Drawn(arrays, grow, wrt, present)


def _batch_axes(loss: Loss) -> dict[str, int]:
    """The arguments that carry the batch, and along which axis."""
    batched: Any = loss.arguments.batched
    return dict(batched) if isinstance(batched, Mapping) else dict.fromkeys(batched, 0)


def contestant(loss: Loss, framework: str, implementation: str) -> Callable[..., Any]:
    """The function that is measured; `Unsupported` where the loss has no such implementation."""
    if implementation == "xloss":
        return loss.implementation(framework)
    for peer in loss.peers:
        if (peer.framework, peer.name) == (framework, implementation):
            if implementation == "torch.nn.functional" and getattr(loss, "adapt", None) is None:
                # The function itself, where it is one: what brings it to our call would be timed with it.
                import torch.nn.functional

                return getattr(torch.nn.functional, loss.name, peer.call)
            return peer.call
    raise Unsupported(f"{implementation} has no {loss.name} that computes the same function")


@dataclass
class Ready:
    """A work that is ready to be run: its arrays are on the device.

    `call()` starts it and gives its results, `wait(results)` blocks until they are there. `program` is the compiled
    function before it was compiled for these `arguments` (None in eager mode).
    """

    work: Work
    drawn: Drawn
    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    framework: Any
    device: Any
    program: Any = None
    arguments: tuple[Any, ...] = ()

    def run(self) -> Any:
        """Run once, and give the results when they are there."""
        results = self.call()
        self.wait(results)
        return results


@contextlib.contextmanager
def ready(work: Work, backend: str = "inductor") -> Iterator[Ready]:
    """Make a work ready, within its framework's settings; run it in this context only.

    Raises `Unsupported` where there is no such implementation, no such device, or not the memory. `backend` is
    torch.compile's.
    """
    from xloss.parity.mechanisms import load

    loss = get(work.loss)
    function = contestant(loss, work.framework, work.implementation)
    drawn = draw(work)
    _check(work, loss, drawn)
    framework = load(work.framework)
    device = framework.device(work.device)
    if work.framework == "torch":
        from xloss.bench import torch as way
    else:
        from xloss.bench import jax as way  # type: ignore[no-redef]
    reduction = reduction_of(loss, work)
    options = loss.variants[0].options

    def call(**arrays: Any) -> Any:
        return function(**arrays, **options, reduction=reduction)

    with framework.scope(work.dtype), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # known, of broadcasting and the like; and they would be timed
        check_memory(work, drawn, framework)
        arrays = {
            name: way.grow(framework.put(array, device), *drawn.grow.get(name, (0, 0)))
            for name, array in drawn.arrays.items()
        }
        yield way.make(work, drawn, call, arrays, framework, device, backend)


def first_run(ready: Ready) -> Any:
    """The first run, which compiles."""
    with forgiving(ready.work):
        return ready.run()


@contextlib.contextmanager
def forgiving(work: Work) -> Iterator[None]:
    """What a peer cannot do (be imported here, be compiled, be mapped) is `Unsupported`; an error of ours is one."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        if work.implementation == "xloss":
            raise
        raise Unsupported(f"{work.contestant}: {type(error).__name__}: {error}".split("\n")[0]) from error


def reduction_of(loss: Loss, work: Work) -> str:
    """The mean, which is what is trained with; the sum of one where samples are taken one by one."""
    if work.quantity == "per_sample" and "sum" in loss.reductions:
        return "sum"
    return next(reduction for reduction in ("mean", *loss.reductions) if reduction in loss.reductions)


def _check(work: Work, loss: Loss, drawn: Drawn) -> None:
    if work.quantity == "per_sample":
        if loss.arguments.class_axes is None:
            raise Unsupported(f"{loss.name}: its samples are coupled: the loss of one alone is another function")
        if not drawn.axes or not set(drawn.wrt) & set(drawn.axes):
            raise Unsupported(f"{loss.name}: there is no batch to take samples from")


def check_memory(work: Work, drawn: Drawn, framework: Any) -> None:
    """Refuse what does not fit: inputs, gradients and four temporaries of their size."""
    needed = 6 * sum(drawn.nbytes(name) for name in drawn.arrays)
    free = available(work.device, framework)
    if free is not None and needed > free:
        raise Unsupported(f"{work.size} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def available(device: str, framework: Any) -> int | None:
    """The free memory in bytes, of the machine or of its GPU; None where nobody says."""
    if device == "cuda":
        if framework.name == "torch":
            import torch

            return int(torch.cuda.mem_get_info()[0])
        statistics = framework.device(device).memory_stats() or {}
        return statistics["bytes_limit"] - statistics["bytes_in_use"] if "bytes_limit" in statistics else None
    try:
        with open("/proc/meminfo") as lines:  # noqa: PTH123 - a device, not a file
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return None
