"""What each mechanism should have given, and how sensitive that is, from the exact values and derivatives of a cell."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import flint
import numpy as np

from xloss.parity.expected import Expected
from xloss.parity.truth import Exact, balls


def _high(ball: Any) -> float:
    if ball.is_finite():
        return float(ball)
    return float(ball.mid()) if ball.is_exact() else math.nan


def _low(ball: Any, high: float) -> float:
    return float(ball - high) if math.isfinite(high) and ball.is_finite() else 0.0


_highs = np.vectorize(_high, otypes=[float])
_lows = np.vectorize(_low, otypes=[float])


def floats(array: np.ndarray) -> np.ndarray:
    """Return the nearest float64 of each ball."""
    array = np.asarray(array, dtype=object)
    return np.asarray(_highs(array)) if array.size else np.zeros(array.shape)


def expected(truth: Any, condition: Any, slope: Any, undefined: str = "nonfinite") -> Expected:
    """Make an `Expected` of balls and their condition numbers."""
    array = np.asarray(truth, dtype=object)
    high = floats(array)
    low = _lows(array, high) if array.size else high
    return Expected(high, low, np.asarray(condition, dtype=float), np.asarray(slope, dtype=float), undefined)


def _precisely(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run a method at the precision that the balls have; flint's own default is 53 bits."""

    @functools.wraps(method)
    def precise(self: Reference, *args: Any, **kwargs: Any) -> Any:
        with flint.ctx.workprec(self.exact.precision):
            return method(self, *args, **kwargs)

    return precise


class Reference:
    """The exact results of one cell with their condition numbers, each computed when it is asked for.

    A column is a set of elements of one argument that no output shares (`xloss.parity.truth.Column`); `mask` is True
    where the derivative is that of the formula (`Domain.differentiable_mask`), None everywhere.
    """

    def __init__(
        self, exact: Exact, mask: np.ndarray | None, batch: int,
        third: Callable[[Mapping[str, np.ndarray], Exact], np.ndarray] | None = None,
    ):  # fmt: skip
        self.exact, self.mask, self.batch = exact, mask, batch
        self._third = third  # computes third derivatives along tangents, which few cells ask for
        self.columns = range(len(exact.columns))

    @cached_property
    def abs_x(self) -> list[np.ndarray]:
        """|x| of each column, of the shape of the values."""
        return [np.abs(floats(self.exact.own(c))) for c in self.columns]

    @cached_property
    def abs_first(self) -> list[np.ndarray]:
        """|dT/dx| of each column, or what it were if no gradient were stopped: a scale of errors, as what follows."""
        own = [np.abs(floats(x)) for x in self.exact.first]
        if (through := self.exact.through) is None:
            return own
        return [np.maximum(a, np.abs(floats(b))) for a, b in zip(own, through.first, strict=True)]

    @cached_property
    def abs_second(self) -> dict[tuple[int, int], np.ndarray]:
        """|d2T/dx dy| of each pair of columns."""
        own = {key: np.abs(floats(x)) for key, x in self.exact.second.items()}
        if (through := self.exact.through) is None:
            return own
        return {key: np.maximum(x, np.abs(floats(through.second[key]))) for key, x in own.items()}

    @cached_property
    def _shares(self) -> list[float]:
        """Of each column, 1, or the share of elements known of an argument of which a few columns were taken."""
        shares = {name: self.exact.known_share(name) for name in {one.argument for one in self.exact.columns}}
        return [shares[column.argument] for column in self.exact.columns]

    def denominator(self, reduction: str) -> Any:
        """Return what the reduction divides the sum by, as a ball."""
        if reduction == "mean":
            return self.exact.denominator
        return flint.arb(max(self.batch, 0) if reduction == "batchmean" else 1)

    def _roundings(self) -> float:
        """Return one more than the number of roundings that an element meets in a pairwise sum over the outputs."""
        return 1 + math.log2(max(self.exact.values.size, 1))

    @cached_property
    def rel_conditions(self) -> list[np.ndarray]:
        """Of each first derivative, its relative condition: the sum over inputs of |x d(derivative)/dx|."""
        return [self._weighted_second(c, self.abs_x) for c in self.columns]

    @cached_property
    def _abs_conditions(self) -> list[np.ndarray]:
        return [self._weighted_second(c, self._ones) for c in self.columns]

    def _weighted_second(self, c: int, sizes: list[np.ndarray]) -> np.ndarray:
        total = np.zeros(self.exact.values.shape)
        with np.errstate(invalid="ignore"):
            for d in self.columns:
                total = total + sizes[d] * self.abs_second[min(c, d), max(c, d)] / self._shares[d]
        return total

    @cached_property
    def _ones(self) -> list[np.ndarray]:
        return [np.ones(())] * len(self.exact.columns)

    @cached_property
    def amplification(self) -> np.ndarray:
        """1 + the sum of a row's |x|: the factor by which an absolute error of an intermediate result may grow."""
        return 1 + sum(self.abs_x, np.zeros(self.exact.values.shape))

    def rel_condition(self, sizes: list[np.ndarray]) -> np.ndarray:
        """Return the sum over inputs of |x d(value)/dx|, for |x| as given."""
        with np.errstate(invalid="ignore"):
            terms = (x * d / share for x, d, share in zip(sizes, self.abs_first, self._shares, strict=True))
            return sum(terms, np.zeros(self.exact.values.shape))

    @_precisely
    def value(self, reduction: str) -> Expected:
        """Return what the loss should be."""
        values = self.exact.values
        spread, slope = self.rel_condition(self.abs_x), (1 + self.rel_condition(self._ones)) * self.amplification
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
        spread = np.sum(spread) + self._roundings() * np.sum(np.abs(floats(values)))
        size = abs(float(by))
        return expected(mean, spread / size + self._roundings() * abs(_high(mean)), np.sum(slope) / size)

    @_precisely
    def gradient(self, cotangent: Any, reduction: str = "none", given: bool = False) -> dict[str, Expected]:
        """Return the vector-Jacobian product by argument; with a reduction its cotangent is divided by the
        denominator, which moves with the weights unless it is `given`.
        """
        scale, undefined = self._scale(reduction)
        pull = np.broadcast_to(np.asarray(cotangent, dtype=object), self.exact.values.shape) * scale
        size = np.abs(floats(pull))
        mean = self.value("mean") if self.moves_denominator(reduction) and not given else None
        quotient = None if mean is None else self._mean()
        truths, conditions, slopes = [], [], []
        for c in self.columns:
            slope, heavier = self.exact.first[c], self.exact.weights_first[c] if mean is not None else None
            # A denominator that is a sum itself, and a dense column's sum over outputs, add their roundings.
            summed = self.exact.columns[c].dense or self.exact.weights is not None
            roundings = self._roundings() if summed else 1
            with np.errstate(invalid="ignore"):
                condition = self.rel_conditions[c] + roundings * self.abs_first[c]
                absolute = (1 + self._abs_conditions[c]) * self.amplification
                if heavier is not None and mean is not None:  # d(N / D) = (dN - (N / D) dD) / D
                    share = np.abs(floats(heavier))
                    condition = condition + share * (mean.rel_condition + roundings * np.abs(mean.high))
                    absolute = absolute + share * mean.abs_condition
                    slope = slope - quotient * heavier
                conditions.append(size * condition)
                # What is flushed to 0 may be a derivative times the cotangent: a small one makes that no smaller.
                slopes.append(np.maximum(size, 1) * absolute)
            truths.append(self.where_differentiable(pull * slope))
        return self._by_argument(truths, conditions, slopes, undefined)

    def moves_denominator(self, reduction: str) -> bool:
        """Tell whether what the reduction divides by depends on an argument."""
        return (
            reduction == "mean"
            and any(slope is not None for slope in self.exact.weights_first)
            and self.denominator("mean") != 0
        )

    def _mean(self) -> Any:
        return sum(np.ravel(self.exact.values), start=flint.arb(0)) / self.exact.denominator

    def _scale(self, reduction: str) -> tuple[Any, str]:
        """Return what a reduction multiplies derivatives by, and what is right where that does not exist."""
        by = flint.arb(1) if reduction == "none" else self.denominator(reduction)
        if by == 0:
            return flint.arb("nan"), "nan or zero"
        weighted = reduction == "mean" and self.exact.factors is not None
        return (self.exact.factors / by if weighted else 1 / by), "anything"

    def where_differentiable(self, array: np.ndarray) -> np.ndarray:
        """Return the array with NaN where the derivative is a convention, not that of the formula."""
        if self.mask is None:
            return array
        return np.where(self.mask, array, np.array(flint.arb("nan"), dtype=object))

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
        """Return the Jacobian-vector product of the unreduced loss."""
        truth = np.full(self.exact.values.shape, flint.arb(0), dtype=object)
        spread, slope = np.zeros(self.exact.values.shape), np.zeros(self.exact.values.shape)
        exact_tangents = {name: balls(tangent) for name, tangent in tangents.items()}
        for c in self.columns:
            move = self.exact.own(c, exact_tangents[self.exact.columns[c].argument])
            truth = truth + move * self.exact.first[c]
            with np.errstate(invalid="ignore"):
                spread = spread + np.abs(floats(move)) * (2 * self.abs_first[c] + self.rel_conditions[c])
                slope = slope + np.abs(floats(move)) * (1 + self._abs_conditions[c]) * self.amplification
        return expected(self.where_differentiable(truth), spread, slope, "anything")

    @_precisely
    def directional_of_reduced(self, tangents: Mapping[str, np.ndarray], reduction: str) -> Expected:
        """Return the Jacobian-vector product of the reduced loss: the gradient times the tangents, added up."""
        truth, spread, slope, undefined = flint.arb(0), 0.0, 0.0, "anything"
        for name, gradient in self.gradient(flint.arb(1), reduction).items():
            size = np.abs(tangents[name].astype(np.float64))
            exact = balls(gradient.high) + balls(gradient.low)
            truth = sum(np.ravel(exact * balls(tangents[name])), start=truth)
            terms = size * np.abs(gradient.high)
            spread = spread + np.sum(size * gradient.rel_condition) + (2 + self._roundings()) * np.sum(terms)
            slope = slope + np.sum(size * gradient.abs_condition)
            undefined = gradient.undefined
        return expected(truth, spread, slope, undefined)

    def curvature(self, argument: str, direction: np.ndarray, reduction: str) -> Expected:
        """Return the Hessian-vector product by one argument."""
        found: dict[str, Expected] = self.curvatures({argument: direction}, reduction)
        return found[argument]

    @_precisely
    def curvatures(
        self, directions: Mapping[str, np.ndarray], reduction: str, cotangent: Any = None
    ) -> dict[str, Expected]:
        """Return the Hessian-vector product by the arguments that have a direction, mixed derivatives included; of the
        sum of the values times a cotangent, where there is one.

        Its scale is that of the terms which automatic differentiation adds up: first and second derivatives of the row,
        times 1 + |x|, for a relative error in x moves a derivative by up to |x| times the next one.
        """
        scale, undefined = self._scale(reduction)
        if cotangent is not None:
            scale = np.broadcast_to(np.asarray(cotangent, dtype=object), self.exact.values.shape) * scale
        by = {name: balls(direction) for name, direction in directions.items()}
        mine = [c for c in self.columns if self.exact.columns[c].argument in by]
        zeros = np.zeros(self.exact.values.shape)
        none = np.full(zeros.shape, flint.arb(0), dtype=object)
        moves = {c: self.exact.own(c, by[self.exact.columns[c].argument]) for c in mine}
        sizes = {c: np.abs(floats(move)) for c, move in moves.items()}
        truths, spreads = list(self.exact.first), [zeros] * len(self.exact.first)
        for c in mine:
            truth, spread = none, zeros
            for d in mine:
                truth = truth + self.exact.mixed(c, d) * moves[d]
                with np.errstate(invalid="ignore"):
                    bend = self.abs_second[min(c, d), max(c, d)] + self.abs_first[c] + self.abs_first[d]
                    spread = spread + sizes[d] * bend * self.amplification
            truths[c], spreads[c] = truth, spread
        if self.moves_denominator(reduction):
            truths, spreads = self._quotient(mine, moves, sizes, truths, spreads)
        for c in mine:
            truths[c] = self.where_differentiable(truths[c] * scale)
            spreads[c] = spreads[c] * np.abs(floats(scale))
        found = self._by_argument(truths, spreads, spreads, undefined)
        return {name: found[name] for name in by}

    def _quotient(self, mine: Any, moves: Any, sizes: Any, truths: Any, spreads: Any) -> tuple[Any, Any]:
        """Return what the second derivative of N / D is along a direction, before it is divided by D.

        With N_c and D_c the derivatives by column c, and a dot for the derivative along the direction, that is
        (N_c)' - F' D_c - (D'/D) (N_c - F D_c), F = N / D, F' = (N' - F D') / D; D is linear.
        """
        total, mean = self.exact.denominator, self._mean()
        heavier = {c: self.exact.weights_first[c] for c in mine}
        n_dot, d_dot, n_size, d_size = flint.arb(0), flint.arb(0), 0.0, 0.0
        for c in mine:
            n_dot += sum(np.ravel(self.exact.first[c] * moves[c]), start=flint.arb(0))
            n_size += float(np.sum(sizes[c] * (self.abs_first[c] + self.rel_conditions[c])))
            if heavier[c] is not None:
                d_dot += sum(np.ravel(heavier[c] * moves[c]), start=flint.arb(0))
                d_size += float(np.sum(sizes[c] * np.abs(floats(heavier[c]))))
        size, value = abs(float(total)), self.value("mean")
        mean_size = abs(_high(mean)) + float(value.rel_condition)
        slope, slope_size = (n_dot - mean * d_dot) / total, (n_size + mean_size * d_size) / size
        truths, spreads = list(truths), list(spreads)
        for c in mine:
            by_weight = 0 if heavier[c] is None else heavier[c]
            share = 0.0 if heavier[c] is None else np.abs(floats(heavier[c]))
            truths[c] = truths[c] - slope * by_weight - d_dot / total * (self.exact.first[c] - mean * by_weight)
            with np.errstate(invalid="ignore"):
                own = self.abs_first[c] + self.rel_conditions[c] + mean_size * share
                spreads[c] = spreads[c] + self._roundings() * (slope_size * share + d_size / size * own)
        return truths, spreads

    @_precisely
    def third(self, tangents: Mapping[str, np.ndarray]) -> Expected:
        """Return the third derivative of the unreduced loss along tangents."""
        assert self._third is not None
        derivative = self._third(tangents, self.exact)
        by = {name: balls(tangent) for name, tangent in tangents.items()}
        size = np.zeros(self.exact.values.shape)
        moves = {c: np.abs(floats(self.exact.own(c, by[self.exact.columns[c].argument]))) for c in self.columns}
        for c, move in moves.items():
            size = size + move * self.abs_first[c]
            for d, other in moves.items():
                size = size + move * other * self.abs_second[min(c, d), max(c, d)]
        reach = 1 + sum(moves.values(), np.zeros(self.exact.values.shape))
        size = (size * reach + np.abs(floats(derivative))) * self.amplification
        return expected(self.where_differentiable(derivative), size, size, "anything")
