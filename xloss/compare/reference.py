"""What is right for a case: a catalogue loss's exact result, a user's formula, or what both agree on in float64."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xloss.catalog import Loss, get
from xloss.compare.run import Case, Result, cotangent
from xloss.parity.expected import Expected
from xloss.parity.inputs import DIGITS
from xloss.parity.reference import expected

# Two float64 results agree within this share of the element and of the greatest element.
AGREE = 1e-9
AGREE_OF_GREATEST = 1e-10
# Relative size of the changes by which the sensitivity of a result is measured: half an ulp of float32.
NUDGE = 2.0**-24


@dataclass(frozen=True)
class Right:
    """The right value and the right gradients of one case."""

    value: Expected
    grads: Mapping[str, Expected]

    def result(self) -> Result:
        """Return it in float64."""
        return Result(self.value.high, {name: g.high for name, g in self.grads.items()})


class CatalogueTruth:
    """The exact result of a loss of the catalogue, for one reduction."""

    kind = "the exact result"

    def __init__(self, name: str, variant: str = "", reduction: str = "mean"):
        self.name, self.variant_name, self.reduction = name, variant, reduction

    @property
    def loss(self) -> Loss:
        """The record."""
        return get(self.name)

    def __call__(self, case: Case, dtype: str = "float64") -> Right:
        """Return what is right at the case's own inputs, precise enough for a dtype.

        The arrays are taken for the loss's own arguments by name, or else by position.
        """
        from xloss.parity.evaluate import reference_of
        from xloss.parity.truth import balls

        own = self.loss.variant(self.variant_name) if self.variant_name else self.loss.variants[0]
        variant = replace(own, options={k: v for k, v in case.options.items() if k != "reduction"})
        reduction = str(case.options.get("reduction", self.reduction))
        names = self._names(case)
        arrays = {names[name]: array for name, array in case.arrays.items()}
        reference = reference_of(self.loss, variant, arrays, dtype, 2)
        value = reference.value(reduction)
        pull = cotangent(value.high.shape, np.dtype(np.float64)) if reduction == "none" else np.ones(())
        grads = reference.gradient(balls(pull), reduction)
        return Right(value, {name: grads[own] for name, own in names.items() if own in grads and name in case.wrt})

    def _names(self, case: Case) -> dict[str, str]:
        """Return the loss's name of each of the case's arrays."""
        parameters = list(inspect.signature(self.loss.torch).parameters)
        # The formula's names differ where an argument is no array: the tail weights of the adaptive softmax.
        for own in (parameters, inspect.signature(self.loss.truth).parameters):
            if set(case.arrays) <= set(own):
                return {name: name for name in case.arrays}
        if len(case.arrays) > len(parameters):
            raise ValueError(f"inputs: {self.name} takes {', '.join(parameters)}, got {len(case.arrays)} arrays")
        return dict(zip(case.arrays, parameters, strict=False))


class FormulaTruth:
    """A user's formula in plain arithmetic, evaluated on intervals of hundreds of bits where it can be.

    The formula gets the arrays in order, as NumPy arrays of `flint.arb`, on which arithmetic, `np.exp`, `np.log`,
    `np.sqrt`, comparisons, sums and indexing work; a formula that needs more (`scipy`, `np.linalg`) gets long doubles,
    and its gradient is a central difference.
    """

    kind = "the formula given as truth"

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.numeric = False

    def __call__(self, case: Case, dtype: str = "float64") -> Right:
        """Return what is right at the case's own inputs."""
        from xloss.parity.truth import Imprecise

        if not self.numeric:
            try:
                return self._exact(case, dtype)
            except (TypeError, AttributeError, ValueError, NotImplementedError, ArithmeticError, Imprecise):
                self.numeric = True
        return self._numeric(case)

    def _call(self, arrays: Mapping[str, Any], case: Case) -> Any:
        try:
            names = set(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            names = set()
        options = {name: value for name, value in case.options.items() if name in names}
        positional = [array for name, array in arrays.items() if name not in case.keywords]
        return self.function(*positional, **{n: arrays[n] for n in case.keywords}, **options)

    def _exact(self, case: Case, dtype: str) -> Right:
        from xloss.parity import truth

        def formula(_: Any, **arrays: Any) -> Any:
            return np.asarray(self._call(arrays, case), dtype=object)

        exact = truth.evaluate(formula, case.arrays, {}, case.wrt, None, 1, *DIGITS[dtype])
        pull = cotangent(exact.values.shape, np.dtype(np.float64))
        grads = {}
        for name in case.wrt:
            total = exact.scatter(name, [first * truth.balls(pull) for first in exact.first])
            grads[name] = expected(total, np.zeros(total.shape), np.zeros(total.shape))
        zeros = np.zeros(exact.values.shape)
        return Right(expected(exact.values, zeros, zeros), grads)

    def _numeric(self, case: Case) -> Right:
        wide = {n: a if a.dtype.kind in "iub" else a.astype(np.longdouble) for n, a in case.arrays.items()}
        value = np.asarray(self._call(wide, case), dtype=np.longdouble)
        pull = cotangent(value.shape, np.dtype(np.float64))
        grads = {}
        for name in case.wrt:
            slope = np.zeros(case.arrays[name].shape)
            for index in np.ndindex(slope.shape):
                ends = []
                step = 1e-6 * max(1.0, abs(float(wide[name][index])))
                for sign in (1, -1):
                    moved = {**wide, name: wide[name].copy()}
                    moved[name][index] += sign * step
                    ends.append(np.asarray(self._call(moved, case), dtype=np.longdouble))
                moving = ends[0] != ends[1]  # a value that stays infinite does not move
                slope[index] = float(((ends[0] - ends[1])[moving] * pull[moving]).sum() / (2 * step))
            grads[name] = plain(slope)
        return Right(plain(value.astype(np.float64)), grads)


Truth = CatalogueTruth | FormulaTruth


def plain(high: np.ndarray, rel_condition: np.ndarray | float = 0.0) -> Expected:
    """Return an `Expected` of a float64 result with the sensitivity given."""
    high = np.asarray(high, dtype=np.float64)
    spread = np.broadcast_to(np.asarray(rel_condition, dtype=np.float64), high.shape)
    return Expected(high, np.zeros(high.shape), spread, np.zeros(high.shape), "nonfinite")


def with_scale(exact: Expected, scale: float, spread: np.ndarray | None, wide: float) -> Expected:
    """Return an `Expected` that allows roundings of the size of the array's greatest element and of `scale`.

    A user's plain formula rounds intermediate results that are as large as the results of typical inputs; that is no
    fault of it. `spread` is the measured sensitivity to relative changes of the inputs, `wide` by how much the unit
    roundoff of the dtype exceeds that of float32.
    """
    finite = np.abs(exact.high[np.isfinite(exact.high)])
    greatest = float(finite.max(initial=0.0))
    own = exact.rel_condition if spread is None else np.fmax(exact.rel_condition, np.where(np.isnan(spread), 0, spread))
    return Expected(exact.high, exact.low, wide * (own + greatest + scale + np.abs(exact.high)), exact.abs_condition,
                    exact.undefined)  # fmt: skip


def agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two float64 results are the same but for rounding; NaN agrees with NaN, inf with inf."""
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        near = np.abs(a - b) <= AGREE * np.abs(b) + AGREE_OF_GREATEST * max(_greatest(a), _greatest(b)) + 1e-14
    return bool((same | near).all())


def _greatest(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max(initial=0.0))


def nudged(case: Case, number: int) -> Case:
    """Return the case with each floating element that is differentiated by moved by half an ulp of float32."""
    rng = np.random.default_rng([17, number])
    moved = {
        name: case.arrays[name] * (1 + NUDGE * rng.choice([-1.0, 1.0], case.arrays[name].shape)) for name in case.wrt
    }
    return case.with_arrays(**moved)


def spread_of(at: Result, moved: list[Result]) -> Result:
    """Return by how much results move, elementwise, per relative change of the inputs (a condition number, estimated).

    It is twice the greatest move that was seen.
    """

    def most(base: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * np.max([np.abs(x - base) for x in others], axis=0) / NUDGE)

    return Result(most(at.value, [m.value for m in moved]),
                  {n: most(g, [m.grads[n] for m in moved]) for n, g in at.grads.items()})  # fmt: skip


def ulps_apart(a: np.ndarray, b: np.ndarray, dtype: str) -> float:
    """Return the greatest distance between two arrays in ulps of the second; infinite where one alone is not finite."""
    from xloss.parity.verdict import ulp

    with np.errstate(invalid="ignore"):
        a, b = a.astype(np.float64), b.astype(np.float64)
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / ulp(dtype, np.nan_to_num(b)))
    return float(np.where(np.isnan(apart), math.inf, apart).max(initial=0.0))
