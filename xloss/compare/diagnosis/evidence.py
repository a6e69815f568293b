"""What a diagnosis has to go on: both functions to run again on other inputs, and what is right where that is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xloss.compare.run import Case, Failure, Result, run
from xloss.compare.sides import Side

Right = Callable[[Case], Result]


class OutOfTime(Exception):
    """Say that a diagnosis has used up its time: raised by the next run of a function, within any hypothesis."""


@dataclass(frozen=True)
class Diagnosis:
    """Name one cause of a disagreement.

    Attributes:
        cause: its identifier ("factor", "swapped_arguments", ...).
        side: the framework label of the side that deviates ("torch", "jax"; "a" and "b" where both are in one
            framework), "" where the evidence cannot tell.
        sentence: one line for a person, with the evidence: "jax/torch = 3 = the number of unmasked tokens: ...".
        numbers: what was measured.
    """

    cause: str
    side: str
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Evidence:
    """Two functions, the cases on which they were compared, and what is right.

    Attributes:
        sides: the two functions.
        cases: their inputs in float64, the telling ones (typical values, at least two sizes) first.
        names: what the sides are called in sentences: ("torch", "jax"), or their labels.
        right: `right(case)` returns value and gradients of the exact result in float64; None where it is not known.
        found: the disagreements and failures that were seen, as rows of the comparison.
        deadline: the time (of `time.monotonic`) after which no function is run any more.
    """

    sides: tuple[Side, Side]
    cases: list[Case]
    names: tuple[str, str] = ("torch", "jax")
    right: Right | None = None
    found: Sequence[Mapping[str, Any]] = field(default_factory=list)
    deadline: float = math.inf
    _kept: dict[Any, Result | Failure] = field(default_factory=dict)
    _values: dict[Any, np.ndarray | None] = field(default_factory=dict)
    _exact: dict[Any, Result | None] = field(default_factory=dict)

    def check_time(self) -> None:
        """Raise `OutOfTime` where the time is up: before each run, as one hypothesis may run a function very often."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    def run(self, which: int, case: Case, dtype: str = "float64") -> Result | None:
        """Run side 0 or 1 on a case; None where it raises. Results are kept."""
        out = self.answer(which, case, dtype)
        return out if isinstance(out, Result) else None

    def answer(self, which: int, case: Case, dtype: str = "float64") -> Result | Failure:
        """Run side 0 or 1 on a case, and return also what it raised."""
        key = (which, dtype, *_key(case))
        if key not in self._kept:
            self.check_time()
            self._kept[key] = run(self.sides[which], case, dtype)
        return self._kept[key]

    def value(self, which: int, case: Case, dtype: str = "float64") -> np.ndarray | None:
        """Run side 0 or 1 without its gradients, which is cheaper; None where it raises. Values are kept."""
        key = (which, dtype, *_key(case))
        if isinstance(known := self._kept.get(key), Result):
            return known.value
        if key not in self._values:
            self.check_time()
            got = run(self.sides[which], case, dtype, grads=False)
            self._values[key] = got.value if isinstance(got, Result) else None
        return self._values[key]

    def exact(self, case: Case) -> Result | None:
        """Return what is right on a case; None where it is not known, or not defined."""
        if self.right is None:
            return None
        key = _key(case)
        if key not in self._exact:
            self.check_time()
            try:
                self._exact[key] = self.right(case)
            except Exception:  # inputs outside its domain: a hypothesis that asks for them is rejected
                self._exact[key] = None
        return self._exact[key]

    def label(self, which: int) -> str:
        """What a diagnosis calls a side: its framework, or "a" and "b" where both are in one."""
        if self.sides[0].framework == self.sides[1].framework:
            return "ab"[which]
        return self.sides[which].framework

    def numerical_gradient(self, which: int, case: Case, name: str, step: float = 1e-6) -> np.ndarray | None:
        """Return the derivative of a side's own float64 value by central differences, elementwise; None if it raises.

        Where the value is an array, that of the sum of value times `xloss.compare.run.cotangent`.
        """
        from xloss.compare.run import cotangent

        base = case.arrays[name].astype(np.float64)
        out = np.zeros(base.shape)
        for index in np.ndindex(base.shape):
            ends = []
            for sign in (1, -1):
                moved = base.copy()
                moved[index] += sign * step
                self.check_time()
                got = run(self.sides[which], case.with_arrays(**{name: moved}), grads=False)
                if isinstance(got, Failure):
                    return None
                ends.append(float((got.value * cotangent(got.value.shape, np.dtype(np.float64))).sum()))
            out[index] = (ends[0] - ends[1]) / (2 * step)
        return out


def _key(case: Case) -> tuple[Any, ...]:
    return (
        tuple((name, array.dtype.str, array.shape, array.tobytes()) for name, array in case.arrays.items()),
        repr(sorted(case.options.items())),
        case.wrt,
    )
