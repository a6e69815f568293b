"""The problems: which loss, of which inputs, and what is right there, in float64.

A formula takes float64 arrays of the arguments that vary and gives value and derivative, with the size of the terms
that are added up where they may cancel. Each is a chain of at most ten operations without cancellation between terms
of that size; NumPy's elementary functions are within 4 ulps, its arithmetic within half of one. So 64 units of
roundoff, `BOUND`, is more than a formula can lose, relative to its size: `tests/exhaustive` holds it against balls.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xloss.catalog import Loss, get

BOUND = 2.0**-47
#: The first and the last bit pattern (without the sign) of the non-negative finite numbers of a dtype.
LARGEST = {"float32": 0x7F7FFFFF, "bfloat16": 0x7F7F, "float16": 0x7BFF}
ONE = {"float32": 0x3F800000, "bfloat16": 0x3F80, "float16": 0x3C00}
BITS = {"float32": 32, "bfloat16": 16, "float16": 16}


@dataclass(frozen=True)
class Right:
    """What is right, in float64: NaN where there is no derivative, or where it is a convention.

    The sizes are those of the terms that are added up, None where that is the size of the result.
    """

    value: np.ndarray
    gradient: np.ndarray
    value_size: np.ndarray | None = None
    gradient_size: np.ndarray | None = None


@dataclass(frozen=True)
class Axis:
    """All numbers of one argument: ranges of bit patterns, each from its first to its last."""

    argument: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(last - first + 1 for first, last in self.ranges)

    def bits(self, index: np.ndarray) -> np.ndarray:
        """Return the bit patterns of the numbers at these places."""
        first, last = self.ranges[0]
        bits, passed = index + first, last - first + 1
        if int(index.max(initial=0)) < passed:
            return bits
        for first, last in self.ranges[1:]:
            bits = np.where(index < passed, bits, index + (first - passed))
            passed += last - first + 1
        return bits


def finite(argument: str, dtype: str) -> Axis:
    """Every finite number."""
    sign = 1 << (BITS[dtype] - 1)
    return Axis(argument, ((0, LARGEST[dtype]), (sign, sign + LARGEST[dtype])))


def positive(argument: str, dtype: str) -> Axis:
    """Every finite number from 0 on."""
    return Axis(argument, ((0, LARGEST[dtype]),))


def negative(argument: str, dtype: str) -> Axis:
    """Every finite number up to -0."""
    sign = 1 << (BITS[dtype] - 1)
    return Axis(argument, ((sign, sign + LARGEST[dtype]),))


def unit(argument: str, dtype: str) -> Axis:
    """Every number in [0, 1]."""
    return Axis(argument, ((0, ONE[dtype]),))


@dataclass(frozen=True, eq=False)
class Problem:
    """One loss over all numbers of its axes, the other arguments fixed, and its derivative by one argument."""

    name: str
    loss_name: str
    dtype: str
    axes: tuple[Axis, ...]
    fixed: Mapping[str, float]
    formula: Callable[..., Right]
    wrt: str = "input"
    options: Mapping[str, Any] = field(default_factory=dict)
    bound: float = BOUND
    #: A record that is not of the catalogue: tests plant faults in one.
    record: Loss | None = None

    @property
    def loss(self) -> Loss:
        """The record of the loss."""
        return get(self.loss_name) if self.record is None else self.record

    @property
    def size(self) -> int:
        """How many inputs there are."""
        return math.prod(axis.size for axis in self.axes)

    def bits(self, index: np.ndarray) -> list[np.ndarray]:
        """Return the bit patterns of the inputs at these places, by axis: those of the last run fastest."""
        places, rest = [], index
        for axis in reversed(self.axes[1:]):
            above = rest // axis.size
            places.append(rest - above * axis.size)
            rest = above
        return [axis.bits(place) for axis, place in zip(self.axes, [rest, *reversed(places)], strict=True)]

    def right(self, *wide: np.ndarray) -> Right:
        """Evaluate the formula; infinities on the way are meant."""
        with np.errstate(all="ignore"):
            return self.formula(*wide)


def _softplus_and_sigmoid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute log(1 + exp(x)) and its derivative, terms of one sign only."""
    tail = np.exp(-np.abs(x))
    # exp(min(x, 0)) is 1, or the tail, which is less; `where` is slow where signs are mixed.
    return np.maximum(x, 0) + np.log1p(tail), np.maximum(tail, x >= 0) / (1 + tail)


def logistic(x: np.ndarray, sign: int) -> Right:
    """log(1 + exp(sign x))."""
    value, slope = _softplus_and_sigmoid(x if sign > 0 else -x)
    return Right(value, slope if sign > 0 else -slope)


def focal(x: np.ndarray, sign: int, weight: float) -> Right:
    """weight q^2 softplus(sign x), q = sigmoid(sign x): the label is 0 for the sign +, 1 for -."""
    z = x if sign > 0 else -x
    tail = np.exp(-np.abs(z))
    below = 1 + tail
    value = np.maximum(z, 0) + np.log1p(tail)
    q, other = np.maximum(tail, z >= 0) / below, np.maximum(tail, z < 0) / below
    square = weight * q * q
    return Right(square * value, sign * square * (2 * other * value + q))


def log_cosh(x: np.ndarray) -> Right:
    """log cosh(x), by expm1 of |x| up to 1: log(1 + m^2 / (2 (m + 1)))."""
    size = np.abs(x)
    less = np.expm1(np.minimum(size, 1))
    near = np.log1p(less * less / (2 * (less + 1)))
    value = np.where(size < 1, near, (size - math.log(2)) + np.log1p(np.exp(-2 * size)))
    return Right(value, np.tanh(x))


def charbonnier(x: np.ndarray, eps: float = 1e-3) -> Right:
    """sqrt(x^2 + eps^2): no float32 overflows when squared in float64."""
    value = np.sqrt(x * x + eps * eps)
    return Right(value, x / value)


def wing(x: np.ndarray, omega: float = 10.0, epsilon: float = 2.0) -> Right:
    """omega log(1 + |x| / epsilon) below omega, |x| + a constant from there on."""
    size = np.abs(x)
    curved, inside = omega * np.log1p(np.minimum(size, omega) / epsilon), size < omega
    straight = (size - omega) + omega * math.log1p(omega / epsilon)
    slope = np.where(inside, omega / (epsilon + size), 1.0)
    return Right(np.where(inside, curved, straight), np.sign(x) * slope)


def huber(error: np.ndarray, delta: float = 1.0) -> Right:
    """error^2 / 2 below delta, delta (|error| - delta / 2) from there on."""
    size, inside = np.abs(error), np.abs(error) < delta
    value = np.where(inside, 0.5 * size * size, delta * (size - 0.5 * delta))
    return Right(value, np.where(inside, error, delta * np.sign(error)))


def squared_hinge(x: np.ndarray) -> Right:
    """max(0, 1 - x)^2."""
    short = np.maximum(1 - x, 0)
    return Right(short * short, -2 * short)


def hinge_embedding(x: np.ndarray) -> Right:
    """max(0, 1 - x), of which 0 is part of the slope."""
    short = 1 - x
    return Right(np.maximum(short, 0), np.where(short < 0, 0.0, -1.0))


def bce_of_probability(p: np.ndarray, label: int) -> Right:
    """-log p or -log(1 - p), at most 100; the derivative next to 0 and 1 is torch's convention, not the formula's."""
    value = np.minimum(-np.log(p) if label else -np.log1p(-p), 100)
    slope = -1 / p if label else 1 / (1 - p)
    return Right(value, np.where(p * (1 - p) >= 1e-12, slope, np.nan))


def poisson(x: np.ndarray, target: np.ndarray | float = 1.0) -> Right:
    """exp(x) - target x, whose derivative, for a target near 1, is expm1(x) - (target - 1)."""
    power, product = np.exp(x), target * x
    less = np.expm1(x)
    near = np.abs(target - 1) < 0.5
    slope = np.where(near, less - (target - 1), power - target)
    sizes = np.where(near, np.abs(less) + np.abs(target - 1), power + target)
    return Right(power - product, slope, power + np.abs(product), sizes)


def poisson_rate(rate: np.ndarray, target: float = 3.0, eps: float = 1e-8) -> Right:
    """rate - target log(rate + eps), terms that cancel at two rates; the derivative's numerator has two roundings."""
    shifted = rate + eps
    logarithm = target * np.log(shifted)
    return Right(rate - logarithm, ((rate - target) + eps) / shifted, rate + np.abs(logarithm))


def gaussian_variance(var: np.ndarray, error: np.ndarray | float = 1.0, eps: float = 1e-6) -> Right:
    """(log var + error^2 / var) / 2 by the variance, which is at least eps; error^2 has no rounding."""
    var = np.maximum(var, eps)
    logarithm, fit = np.log(var), error * error / var
    slope = (var - error * error) / (var * var)
    return Right(0.5 * (logarithm + fit), 0.5 * slope, 0.5 * (np.abs(logarithm) + fit), 0.5 * (1 / var) * (1 + fit))


def squared_error(x: np.ndarray, y: np.ndarray) -> Right:
    """(x - y)^2."""
    error = x - y
    return Right(error * error, 2 * error)


def bce_of_logit(x: np.ndarray, t: np.ndarray) -> Right:
    """t softplus(-x) + (1 - t) softplus(x); its derivative is (1 - t) sigmoid(x) - t sigmoid(-x)."""
    size = np.abs(x)
    tail = np.exp(-size)
    wrong = np.where(x >= 0, 1 - t, t)
    value = wrong * size + np.log1p(tail)
    below = 1 + tail
    up, down = (1 - t) / below, t / below
    up, down = np.where(x >= 0, up, up * tail), np.where(x >= 0, down * tail, down)
    return Right(value, up - down, None, up + down)


def divergence(x: np.ndarray, y: np.ndarray) -> Right:
    """y (log y - x); its derivative by y is log y + 1 - x, where y is a normal number."""
    logarithm = np.log(np.where(y > 0, y, 1.0))
    slope = np.where(y >= 2.0**-126, logarithm + 1 - x, np.nan)
    sizes = np.abs(logarithm) + np.abs(x)
    return Right(y * (logarithm - x), slope, y * sizes, sizes + 1)


_ZERO = {"target": 0.0}
_F32 = functools.partial(finite, "input", "float32")


def _one(name: str, loss: str, formula: Callable[..., Right], target: float, axis: Axis | None = None,
         **more: Any) -> Problem:  # fmt: skip
    """Make a problem of every float32 `input`, with this target."""
    return Problem(name, loss, "float32", (_F32() if axis is None else axis,), {"target": target}, formula, **more)


def _pair(name: str, loss: str, formula: Callable[..., Right], *axes: Axis, **more: Any) -> Problem:
    """Make a problem of every pair of bfloat16."""
    return Problem(name, loss, "bfloat16", axes, more.pop("fixed", {}), formula, **more)


def _poisson_pair(x: np.ndarray, y: np.ndarray) -> Right:
    return poisson(x, y)


def _gaussian_pair(error: np.ndarray, var: np.ndarray) -> Right:
    return gaussian_variance(var, error)


def _huber_pair(x: np.ndarray, y: np.ndarray) -> Right:
    return huber(x - y)


_BF = "bfloat16"
PROBLEMS: Mapping[str, Problem] = {
    problem.name: problem
    for problem in (
        _one("binary_cross_entropy, t=1", "binary_cross_entropy", functools.partial(bce_of_probability, label=1), 1.0,
             unit("input", "float32")),
        _one("binary_cross_entropy, t=0", "binary_cross_entropy", functools.partial(bce_of_probability, label=0), 0.0,
             unit("input", "float32")),
        _one("binary_cross_entropy_with_logits, t=1", "binary_cross_entropy_with_logits",
             functools.partial(logistic, sign=-1), 1.0),
        _one("binary_cross_entropy_with_logits, t=0", "binary_cross_entropy_with_logits",
             functools.partial(logistic, sign=1), 0.0),
        _one("soft_margin_loss, y=1", "soft_margin_loss", functools.partial(logistic, sign=-1), 1.0),
        _one("sigmoid_focal_loss, t=1", "sigmoid_focal_loss", functools.partial(focal, sign=-1, weight=0.25), 1.0),
        _one("sigmoid_focal_loss, t=0", "sigmoid_focal_loss", functools.partial(focal, sign=1, weight=0.75), 0.0),
        _one("log_cosh_loss, y=0", "log_cosh_loss", log_cosh, 0.0),
        _one("charbonnier_loss, y=0", "charbonnier_loss", charbonnier, 0.0),
        _one("wing_loss, y=0", "wing_loss", wing, 0.0),
        _one("huber_loss, y=0", "huber_loss", huber, 0.0),
        _one("smooth_l1_loss, y=0", "smooth_l1_loss", huber, 0.0),
        _one("squared_hinge_loss, y=1", "squared_hinge_loss", squared_hinge, 1.0),
        _one("hinge_embedding_loss, y=-1", "hinge_embedding_loss", hinge_embedding, -1.0),
        _one("poisson_nll_loss, y=1", "poisson_nll_loss", poisson, 1.0),
        _one("poisson_nll_loss of rates, y=3", "poisson_nll_loss", poisson_rate, 3.0, positive("input", "float32"),
             options={"log_input": False}),
        Problem("gaussian_nll_loss by var, error 1", "gaussian_nll_loss", "float32", (positive("var", "float32"),),
                {"input": 1.0, "target": 0.0}, gaussian_variance, "var"),
        _pair("mse_loss, pairs", "mse_loss", squared_error, finite("input", _BF), finite("target", _BF)),
        _pair("huber_loss, pairs", "huber_loss", _huber_pair, finite("input", _BF), finite("target", _BF)),
        _pair("binary_cross_entropy_with_logits, pairs", "binary_cross_entropy_with_logits", bce_of_logit,
              finite("input", _BF), unit("target", _BF)),
        _pair("kl_div by target, pairs", "kl_div", divergence, negative("input", _BF), unit("target", _BF),
              wrt="target"),
        _pair("poisson_nll_loss, pairs", "poisson_nll_loss", _poisson_pair, finite("input", _BF),
              positive("target", _BF)),
        _pair("gaussian_nll_loss by var, pairs", "gaussian_nll_loss", _gaussian_pair, finite("input", _BF),
              positive("var", _BF), wrt="var", fixed=_ZERO),
    )
}  # fmt: skip
