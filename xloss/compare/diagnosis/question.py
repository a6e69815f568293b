"""Two functions of which one may deviate, the cases that can tell, and what equal means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis, Evidence
from xloss.compare.run import Case, Result, cotangent

EQUAL = 1e-9  # of the array's largest element: what two orders of the same float64 operations leave apart
DERIVATIVE = 2e-5  # what a central difference in float64 is right to
STEP = 1e-6
MOST_ROWS = 256  # of the cases that are transformed; a larger one is for sums in few digits
MOST_DIFFERING, MOST_EQUAL = 5, 3

Value = np.ndarray
Model = Callable[[Case], Value | None]


@dataclass(frozen=True)
class Function:
    """One of the two that are set against each other: a side, or the exact result.

    Attributes:
        evidence: where it is run.
        index: 0 or 1 for a side; 2 for the exact result.
    """

    evidence: Evidence
    index: int

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return self.evidence.names[self.index] if self.index < 2 else "the exact result"

    @property
    def label(self) -> str:
        """What a diagnosis calls the side."""
        return self.evidence.label(self.index) if self.index < 2 else ""

    def result(self, case: Case, dtype: str = "float64") -> Result | None:
        """Return value and gradients; None where it raises."""
        return self.evidence.run(self.index, case, dtype) if self.index < 2 else self.evidence.exact(case)

    def value(self, case: Case, dtype: str = "float64") -> Value | None:
        """Return the value; None where it raises."""
        if self.index < 2:
            return self.evidence.value(self.index, case, dtype)
        got = self.evidence.exact(case)
        return None if got is None else np.asarray(got.value)


@dataclass
class Question:
    """Why do these two differ?

    Attributes:
        evidence: both functions, and the cases.
        pair: the two; where one is known to deviate, it is the second.
        guilty: the label of the side that is known to deviate, else "".
        cases: those on which both run and are finite, those that differ first.
        differing: how many of `cases` differ.
    """

    evidence: Evidence
    pair: tuple[Function, Function]
    guilty: str = ""
    cases: list[Case] = field(default_factory=list)
    differing: int = 0

    def prepare(self) -> None:
        """Sort out the cases, and add rolled ones (other samples against the same labels) where too few differ."""
        small = [case for case in self.evidence.cases if case.rows <= MOST_ROWS] or self.evidence.cases
        usable = [case for case in small if self._finite(case)]
        differ = [case for case in usable if self.differs(case)]
        for turn in (1, 2, 3):
            if not differ or len(differ) > 1:
                break
            more = rolled(differ[0], turn)
            if self._finite(more) and self.differs(more):
                differ.append(more)
        agree = [case for case in usable if not self.differs(case)]
        differ = differ[:MOST_DIFFERING]
        self.cases, self.differing = differ + agree[:MOST_EQUAL], len(differ)

    def _finite(self, case: Case) -> bool:
        return all((got := f.result(case)) is not None and finite(got) for f in self.pair)

    def differs(self, case: Case) -> bool:
        """Tell whether value or a gradient differs on a case."""
        a, b = (f.result(case) for f in self.pair)
        return a is not None and b is not None and not same(a, b)

    @property
    def values_equal(self) -> bool:
        """Tell whether the values agree on every case, so that only gradients differ."""
        return all(equal(a.value, b.value) for a, b in self.results())

    @property
    def telling(self) -> list[Case]:
        """The cases that differ."""
        return self.cases[: self.differing]

    def results(self, cases: list[Case] | None = None) -> list[tuple[Result, Result]]:
        """Return what both gave on each case (all finite ones, unless told)."""
        out = []
        for case in self.cases if cases is None else cases:
            a, b = (f.result(case) for f in self.pair)
            if a is not None and b is not None:
                out.append((a, b))
        return out

    def directions(self) -> Iterator[tuple[Function, Function]]:
        """Return (base, deviating) in both orders; the likelier first."""
        yield self.pair
        yield self.pair[::-1]

    def says(self, cause: str, sentence: str, side: str | None = None, **numbers: Any) -> Diagnosis:
        """Make the diagnosis; the side is the one known to deviate, unless this cause knows better."""
        return Diagnosis(cause, self.guilty or (side or ""), sentence, numbers)

    def explains(self, model: Model, deviating: Function, cases: list[Case] | None = None) -> bool:
        """Tell whether a model of the deviating function gives its value and gradients on every case.

        The model's gradient is its derivative in one direction for each argument, by a central difference.
        """
        cases = self.cases if cases is None else cases
        if not cases:
            return False
        for case in cases:
            got, said = deviating.value(case), model(case)
            if got is None or said is None or not equal(said, got):
                return False
        return all(self._derivative_explains(model, deviating, case) for case in cases[:2])

    def _derivative_explains(self, model: Model, deviating: Function, case: Case) -> bool:
        got = deviating.result(case)
        if got is None:
            return False
        for name, grad in got.grads.items():
            slope = directional(model, case, name)
            if slope is None:
                return False
            along = direction(case.arrays[name].shape)
            scale = float(np.abs(grad).max(initial=0.0)) * np.sqrt(max(grad.size, 1)) + slope.floor
            if not abs(float((grad * along).sum()) - slope.value) <= DERIVATIVE * max(scale, abs(slope.value)) + 1e-8:
                return False
        return True

    def own_derivative(self, which: Function, case: Case, name: str) -> bool | None:
        """Tell whether a side's gradient is the derivative of its own value, along two directions; None: unclear."""
        got = which.result(case)
        if got is None or name not in got.grads or not finite(got):
            return None
        grad = got.grads[name]
        for seed in (0, 1):
            slope = directional(which.value, case, name, seed)
            if slope is None:
                return None
            along = direction(grad.shape, seed)
            scale = max(float(np.abs(grad * along).sum()), abs(slope.value)) + slope.floor
            if abs(float((grad * along).sum()) - slope.value) > 1e-4 * scale + 1e-8:
                return False
        return True


@dataclass(frozen=True)
class Slope:
    """A derivative in one direction, and the noise that rounding leaves in it."""

    value: float
    floor: float


def direction(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return a fixed direction, elements between 0.5 and 1.5 of either sign."""
    draw = np.random.default_rng([7, seed, *shape])
    return np.asarray(draw.uniform(0.5, 1.5, shape) * draw.choice([-1.0, 1.0], shape))


def directional(model: Model, case: Case, name: str, seed: int = 0, step: float = STEP) -> Slope | None:
    """Return the derivative of the model's value (weighted by `cotangent`) along `direction`."""
    base, along = case.arrays[name].astype(np.float64), direction(case.arrays[name].shape, seed)
    ends = []
    size = 0.0
    for sign in (1, -1):
        got = model(case.with_arrays(**{name: base + sign * step * along}))
        if got is None or not np.isfinite(got).all():
            return None
        weighted = got * cotangent(got.shape, np.dtype(np.float64))
        ends.append(float(weighted.sum()))
        size = max(size, float(np.abs(weighted).sum()))
    return Slope((ends[0] - ends[1]) / (2 * step), size * 1e-6)


def finite(result: Result) -> bool:
    """Tell whether value and gradients are all finite."""
    return bool(np.isfinite(result.value).all() and all(np.isfinite(g).all() for g in result.grads.values()))


def equal(a: np.ndarray, b: np.ndarray, tolerance: float = EQUAL, floor: float = 0.0) -> bool:
    """Tell whether two arrays have one shape and agree to the tolerance, relative to their largest element."""
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return bool(np.array_equal(a, b, equal_nan=True))
    a, b = a.astype(np.float64), b.astype(np.float64)
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()), floor)
    return bool(np.abs(a - b).max() <= tolerance * scale + 1e-14)


def same_grads(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], tolerance: float = EQUAL) -> bool:
    """Tell whether all gradients agree; rounding noise is judged by the largest of them."""
    floor = 1e-3 * max((float(np.abs(g).max(initial=0.0)) for g in [*a.values(), *b.values()]), default=0.0)
    return all(equal(g, b[name], tolerance, floor) for name, g in a.items() if name in b)


def same(a: Result, b: Result, tolerance: float = EQUAL) -> bool:
    """Tell whether value and gradients agree."""
    return equal(a.value, b.value, tolerance) and same_grads(a.grads, b.grads, tolerance)


def rolled(case: Case, turn: int) -> Case:
    """Return the case with the samples of its differentiated arguments moved on against those of the others.

    Where every argument that carries the batch is differentiated, each is moved by another number of samples.
    """
    carried = [name for name in case.batch_arguments() if name in case.wrt]
    return case.with_arrays(**{n: np.roll(case.arrays[n], turn * (i + 1), axis=0) for i, n in enumerate(carried)})


def floating(case: Case) -> list[str]:
    """Return the names of the floating arrays."""
    return [name for name, array in case.arrays.items() if array.dtype.kind == "f"]


def labels(case: Case) -> list[str]:
    """Return the names of the integer arrays: class labels."""
    return [name for name, array in case.arrays.items() if array.dtype.kind in "iu"]


def numbers(case: Case) -> dict[str, float]:
    """Return the options that are plain numbers, not flags."""
    return {
        name: float(option)
        for name, option in case.options.items()
        if isinstance(option, (int, float)) and not isinstance(option, bool) and np.isfinite(option)
    }


def show(number: float) -> str:
    """Write a number for a sentence."""
    return f"{number:.4g}" if abs(number) < 1e5 else f"{number:.3g}"
