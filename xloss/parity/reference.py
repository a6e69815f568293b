"""What each mechanism should have given, and how sensitive that is, from the exact values and derivatives of a cell."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import flint
import numpy as np

from xloss.parity.truth import Exact, balls


@dataclass(frozen=True, eq=False)  # one is as good as itself: what is derived from it is kept
class Expected:
    """The exact result, as the sum of two float64, and the scale of its sensitivity.

    `rel_condition` is sum_i |x_i dT/dx_i|, with what the order of a summation may add: a relative error u in each input moves
    the result T by at most u times it; `abs_condition` says what an absolute error does, in an input (sum_i |dT/dx_i|) or in an
    intermediate result (times inputs). Elements that are NaN here have no exact value; `undefined` says what is right there: "nonfinite" (a NaN or an infinity), "nan or zero",
    "anything", or "nan".
    """

    high: np.ndarray
    low: np.ndarray
    rel_condition: np.ndarray
    abs_condition: np.ndarray
    undefined: str = "nonfinite"


def _high(ball: Any) -> float:
    if ball.is_finite():
        return float(ball)
    return float(ball.mid()) if ball.is_exact() else math.nan


def _low(ball: Any, high: float) -> float:
    return float(ball - high) if math.isfinite(high) and ball.is_finite() else 0.0


_highs = np.vectorize(_high, otypes=[float])
_lows = np.vectorize(_low, otypes=[float])


def floats(array: np.ndarray) -> np.ndarray:
    """Balls to the nearest float64."""
    array = np.asarray(array, dtype=object)
    return np.asarray(_highs(array)) if array.size else np.zeros(array.shape)


def expected(truth: Any, condition: Any, slope: Any, undefined: str = "nonfinite") -> Expected:
    """Make an `Expected` of balls."""
    array = np.asarray(truth, dtype=object)
    high = floats(array)
    low = _lows(array, high) if array.size else high
    return Expected(high, low, np.asarray(condition, dtype=float), np.asarray(slope, dtype=float), undefined)


def _precisely(method: Callable[..., Any]) -> Callable[..., Any]:
    """Add up at the precision that the balls have; flint's own default is 53 bits."""

    @functools.wraps(method)
    def precise(self: Reference, *args: Any, **kwargs: Any) -> Any:
        with flint.ctx.workprec(self.exact.precision):
            return method(self, *args, **kwargs)

    return precise


class Reference:
    """The exact results of one cell, each made when it is asked for."""

    def __init__(self, exact: Exact, smooth: np.ndarray | None, batch: int):
        self.exact, self.smooth, self.batch = exact, smooth, batch
        self.count = range(len(exact.columns))

    @cached_property
    def own(self) -> list[np.ndarray]:
        """|x| of each column."""
        return [np.abs(floats(self.exact.own(c))) for c in self.count]

    @cached_property
    def first(self) -> list[np.ndarray]:
        """The first derivatives, absolute."""
        return [np.abs(floats(x)) for x in self.exact.first]

    @cached_property
    def second(self) -> dict[tuple[int, int], np.ndarray]:
        """The second derivatives, absolute."""
        return {key: np.abs(floats(x)) for key, x in self.exact.second.items()}

    def denominator(self, reduction: str) -> Any:
        """What the reduction divides the sum by."""
        if reduction == "mean":
            return self.exact.denominator
        return flint.arb(max(self.batch, 0) if reduction == "batchmean" else 1)

    def _rounding(self) -> float:
        """How many roundings a pairwise sum over the outputs has, and one more."""
        return 1 + math.log2(max(self.exact.values.size, 1))

    @cached_property
    def sensitivity(self) -> list[np.ndarray]:
        """Of each column, the sum over inputs of |x d(first derivative)/dx|."""
        return [self._bent(c, self.own) for c in self.count]

    @cached_property
    def _sensitivity_to_ones(self) -> list[np.ndarray]:
        return [self._bent(c, self._ones) for c in self.count]

    def _bent(self, c: int, sizes: list[np.ndarray]) -> np.ndarray:
        total = np.zeros(self.exact.values.shape)
        with np.errstate(invalid="ignore"):
            for d in self.count:
                total = total + sizes[d] * self.second[min(c, d), max(c, d)]
        return total

    @cached_property
    def _ones(self) -> list[np.ndarray]:
        return [np.ones(())] * len(self.exact.columns)

    @cached_property
    def reach(self) -> np.ndarray:
        """1 + the sum of a row's |x|: by what an absolute error in an intermediate result may be multiplied."""
        return 1 + sum(self.own, np.zeros(self.exact.values.shape))

    def rel_condition(self, sizes: list[np.ndarray]) -> np.ndarray:
        """Sum over inputs of |x d(value)/dx|, x being of the sizes given."""
        with np.errstate(invalid="ignore"):
            return sum((x * d for x, d in zip(sizes, self.first, strict=True)), np.zeros(self.exact.values.shape))

    @_precisely
    def value(self, reduction: str) -> Expected:
        """The loss."""
        values = self.exact.values
        spread, slope = self.rel_condition(self.own), (1 + self.rel_condition(self._ones)) * self.reach
        if reduction == "none":
            return expected(values, spread, slope)
        by = self.denominator(reduction)
        if by == 0:
            return expected(flint.arb("nan"), 0.0, 0.0, "nan")
        if reduction == "mean" and self.exact.factors is not None:
            sizes = np.abs(floats(self.exact.factors))
            values, spread, slope = values * self.exact.factors, spread * sizes, slope * sizes
        mean = sum(np.ravel(values), start=flint.arb(0)) / by
        # Terms of one sign or not, each partial sum is rounded; and so is the denominator.
        spread = np.sum(spread) + self._rounding() * np.sum(np.abs(floats(values)))
        size = abs(float(by))
        return expected(mean, spread / size + self._rounding() * abs(_high(mean)), np.sum(slope) / size)

    @_precisely
    def gradient(self, cotangent: Any, reduction: str = "none") -> dict[str, Expected]:
        """The vector-Jacobian product, by argument; with a reduction its cotangent is divided by the denominator."""
        scale, undefined = self._scale(reduction)
        pull = np.broadcast_to(np.asarray(cotangent, dtype=object), self.exact.values.shape) * scale
        size = np.abs(floats(pull))
        truths, conditions, slopes = [], [], []
        for c in self.count:
            truths.append(self._where_smooth(pull * self.exact.first[c]))
            # A denominator that is a sum itself, and a dense column's sum over outputs, add their roundings.
            summed = self.exact.columns[c].dense or self.exact.weights is not None
            with np.errstate(invalid="ignore"):
                conditions.append(size * (self.sensitivity[c] + (self._rounding() if summed else 1) * self.first[c]))
                slopes.append(size * (1 + self._sensitivity_to_ones[c]) * self.reach)
        return self._by_argument(truths, conditions, slopes, undefined)

    def _scale(self, reduction: str) -> tuple[Any, str]:
        """What a reduction multiplies derivatives by, and what is right where that does not exist."""
        by = flint.arb(1) if reduction == "none" else self.denominator(reduction)
        if by == 0:
            return flint.arb("nan"), "nan or zero"
        weighted = reduction == "mean" and self.exact.factors is not None
        return (self.exact.factors / by if weighted else 1 / by), "anything"

    def _where_smooth(self, array: np.ndarray) -> np.ndarray:
        if self.smooth is None:
            return array
        return np.where(self.smooth, array, np.array(flint.arb("nan"), dtype=object))

    def _by_argument(self, truths: Any, conditions: Any, slopes: Any, undefined: str) -> dict[str, Expected]:
        out = {}
        for name in dict.fromkeys(column.argument for column in self.exact.columns):
            spread, slope = (
                floats(self.exact.scatter(name, [balls(x) for x in what])) for what in (conditions, slopes)
            )
            out[name] = expected(self.exact.scatter(name, truths), spread, slope, undefined)
        return out

    @_precisely
    def directional(self, tangents: Mapping[str, np.ndarray]) -> Expected:
        """The Jacobian-vector product of the unreduced loss."""
        truth = np.full(self.exact.values.shape, flint.arb(0), dtype=object)
        spread, slope = np.zeros(self.exact.values.shape), np.zeros(self.exact.values.shape)
        exact_tangents = {name: balls(tangent) for name, tangent in tangents.items()}
        for c in self.count:
            move = self.exact.own(c, exact_tangents[self.exact.columns[c].argument])
            truth = truth + move * self.exact.first[c]
            with np.errstate(invalid="ignore"):
                spread = spread + np.abs(floats(move)) * (2 * self.first[c] + self.sensitivity[c])
                slope = slope + np.abs(floats(move)) * (1 + self._sensitivity_to_ones[c]) * self.reach
        return expected(self._where_smooth(truth), spread, slope, "anything")

    @_precisely
    def curvature(self, argument: str, direction: np.ndarray, reduction: str) -> Expected:
        """The Hessian-vector product by one argument.

        Its scale is that of the terms which automatic differentiation adds up: first and second derivatives of the row,
        times 1 + |x|, for a relative error in x moves a derivative by up to |x| times the next one.
        """
        scale, undefined = self._scale(reduction)
        moves = balls(direction)
        mine = [c for c in self.count if self.exact.columns[c].argument == argument]
        zeros = np.zeros(self.exact.values.shape)
        truths, spreads = list(self.exact.first), [zeros] * len(self.exact.first)
        for c in mine:
            truth, spread = np.full(self.exact.values.shape, flint.arb(0), dtype=object), zeros
            for d in mine:
                move = self.exact.own(d, moves)
                truth = truth + self.exact.mixed(c, d) * move
                with np.errstate(invalid="ignore"):
                    bend = self.second[min(c, d), max(c, d)] + self.first[c] + self.first[d]
                    spread = spread + np.abs(floats(move)) * bend * self.reach
            truths[c], spreads[c] = self._where_smooth(truth * scale), spread * np.abs(floats(scale))
        return self._by_argument(truths, spreads, spreads, undefined)[argument]
