"""What the rest of the package asks of a framework.

A `Problem` is a loss at a point: a function, its arrays on the device, its options. A mechanism is one way in which a
user gets a number out of it; `Framework.mechanisms` gives them by name, and `torch_.py` and `jax_.py` implement them in
the same order. All take and give dictionaries of arrays by argument name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from xloss.catalog import Unsupported
from xloss.ops.arguments import PARTS

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A loss at a point.

    `function(**arrays, **options, reduction=reduction)`; `wrt` names the arguments to differentiate by, `batched` those
    that carry the batch, and along which axis; `denominator` is what the batch's mean divides by, for mechanisms that
    see a part of the batch at a time, and `scaled` says that this mean is not that of the sum; `spoiled` and `widened`
    are arguments for which the results hold as well (`xloss.parity.immaterial`); `program` the compiled function, for
    the mechanism that runs one.
    """

    function: Callable[..., Any]
    arrays: Arrays
    options: Mapping[str, Any]
    reduction: str
    wrt: tuple[str, ...]
    batched: Mapping[str, int] = field(default_factory=dict)
    denominator: Any = 1.0
    scaled: bool = False
    spoiled: Arrays = field(default_factory=dict)
    widened: Arrays = field(default_factory=dict)
    program: Any = None

    def __call__(self, *values: Any, **changes: Any) -> Any:
        """Evaluate with other arrays for `wrt`, in order, or by name."""
        arrays = {**self.arrays, **dict(zip(self.wrt, values, strict=False)), **changes}
        return self.function(**arrays, **self.options, reduction=self.reduction)

    def by_position(self) -> Any:
        """Evaluate with as many arguments by position as can be, and without a reduction that is the default."""
        names = inspect.signature(self.function)
        given = {**self.arrays, **self.options, "reduction": self.reduction}
        outer = inspect.signature(self.function, follow_wrapped=False).parameters.values()
        by_name = all(one.kind in (one.KEYWORD_ONLY, one.VAR_KEYWORD) for one in outer)  # adapted to another call
        if by_name or not set(given) <= set(names.parameters):
            return self.function(**given)
        if names.parameters["reduction"].default == self.reduction:
            del given["reduction"]
        bound = names.bind(**given)
        return self.function(*bound.args, **bound.kwargs)

    @property
    def primals(self) -> tuple[Any, ...]:
        """The arrays to differentiate by."""
        return tuple(self.arrays[name] for name in self.wrt)

    @property
    def argnums(self) -> tuple[int, ...]:
        """The numbers of the arrays to differentiate by, in a call with all of them."""
        return tuple(range(len(self.wrt)))

    def by_name(self, values: Any) -> dict[str, Any]:
        """Return values in the order of `wrt` as a dictionary by name."""
        return dict(zip(self.wrt, values, strict=True))

    def with_reduction(self, reduction: str) -> Problem:
        """Return the same problem with another reduction."""
        return replace(self, reduction=reduction)

    def rows(self) -> int:
        """Return the number of rows of the batch."""
        name, axis = next(iter(self.batched.items()))
        return int(self.arrays[name].shape[axis])

    def contribution(self, **part: Any) -> Any:
        """Return what a part of the batch (its batched arguments) adds to the loss of the whole."""
        scaled = self.scaled and self.reduction == "mean"
        total = self.with_reduction(PARTS)(**part)[0] if scaled else self.with_reduction("sum")(**part)
        # In the denominator's dtype, which is not of 16 bits; PyTorch promotes so itself.
        wide = total.astype(self.denominator.dtype) if hasattr(total, "astype") else total
        return wide / self.denominator

    def within(self, name: str) -> tuple[slice, ...]:
        """Return the place of an argument within the one among `widened` that has one more element."""
        return tuple(slice(size) for size in self.arrays[name].shape)

    def slice_batch(self, arrays: Arrays, part: slice) -> dict[str, Any]:
        """Return a slice of the batch: the batched ones of these arrays, cut along their axes."""
        return {name: arrays[name][(slice(None),) * axis + (part,)] for name, axis in self.batched.items()}


@dataclass(frozen=True)
class Directions:
    """What the linear mechanisms act on: the cotangent of the unreduced loss, a tangent for each argument."""

    cotangent: Any
    tangents: Arrays


@dataclass(frozen=True)
class Task:
    """One run of one mechanism, for `Framework.run`.

    `separate_program` keeps it out of a greater program; `fast_compile` lets the compiler leave out optimizations.
    `compiled` asks PyTorch for a compiled program of the loss, `dynamic` for one whose sizes are symbols.
    `name` says what it is, for tasks that differ in values only; JAX makes one program of those alike in `typical`.
    """

    run: Callable[[Problem, Directions], Arrays]
    problem: Problem
    separate_program: bool = False
    fast_compile: bool = False
    compiled: bool = False
    dynamic: bool = False
    name: str = ""
    typical: bool = False


Outcome = tuple[Any, float]  # what a task gave, or the exception that it raised, and the seconds it took


# How an array may lie in memory: "strided" with its axes reversed and gaps, "expanded" with stride 0 along the batch,
# "overlapping" with rows that begin one element after the last.
LAYOUTS = ("contiguous", "strided", "expanded", "overlapping")


class Framework(Protocol):
    """One framework, on one device at a time."""

    name: str

    def version(self) -> str:
        """Return the installed version."""
        ...

    def device(self, device: str) -> Any:
        """Return the framework's device for "cpu" or "cuda"; `RuntimeError` says why there is none."""
        ...

    def scope(self, dtype: str) -> AbstractContextManager[Any]:
        """Return a context in which arrays of that dtype keep it (x64 in JAX)."""
        ...

    def put(self, array: np.ndarray, device: Any, layout: str = "contiguous", axis: int = 0) -> Any:
        """Return the array on the device, of the very same dtype, in a layout of `LAYOUTS` where that is possible.

        `axis` is that of the batch.
        """
        ...

    def get(self, array: Any) -> np.ndarray:
        """Return the array as NumPy's, of the very same dtype."""
        ...

    def memory(self, array: Any) -> int:
        """Return the address of an array's memory where it can be written to, or 0."""
        ...

    def is_watched(self, array: Any) -> bool:
        """Tell whether an array that came without a gradient has one, or a hook on it, by now."""
        ...

    def run(self, tasks: list[Task], directions: Directions, programs: dict[Any, Any], key: Any) -> list[Outcome]:
        """Run all tasks. `programs` keeps what was compiled, under `key`, for tasks that differ in values only."""
        ...

    def mechanisms(self) -> Mapping[str, Callable[..., Any]]:
        """Return the mechanisms by name; `xloss.parity.probes` shows what each takes and returns."""
        ...


def refusing_dtypes(call: Callable[[], Any]) -> Any:
    """Call a loss with arguments of dtypes that it may refuse, by a `TypeError`."""
    try:
        return call()
    except TypeError as error:
        raise Unsupported(f"{error}".split("\n")[0][:300]) from error


def out_of_memory(error: Exception) -> bool:
    """Tell whether an exception, of Python, PyTorch or XLA, says that memory ran out."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text.lower() or "RESOURCE_EXHAUSTED" in text
