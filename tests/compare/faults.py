"""Faults, each planted in a loss: the healthy one, the faulty one, the inputs, and the cause to be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import planted as P

from xloss.compare.run import Case


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        name: what was planted.
        cause: what is to be named.
        good, bad: the losses.
        cases: the inputs.
        says: words that the sentence must hold.
        alone: whether the side is to be named without knowing what is right.
        only: the framework in which it can be planted; "" for both.
    """

    name: str
    cause: str
    good: Callable[..., Any]
    bad: Callable[..., Any]
    cases: list[Case]
    says: str = ""
    alone: bool = False
    only: str = ""


def times(loss: Callable[..., Any], factor: Callable[..., Any]) -> Callable[..., Any]:
    """The loss times a number of its own arguments."""

    def scaled(o, *args, **options):
        return loss(o, *args, **options) * factor(o, *args, **options)

    import inspect

    scaled.__signature__ = inspect.signature(loss)  # type: ignore[attr-defined]
    scaled.__name__ = f"{loss.__name__}_times"
    return scaled


def large(cases: list[Case], name: str, scale: float = 1000.0) -> list[Case]:
    big = cases[0]
    return [*cases, replace(big.with_arrays(**{name: big.arrays[name] * scale}), name="large")]


def with_case(cases: list[Case], name: str, **arrays: np.ndarray) -> list[Case]:
    return [*cases, replace(cases[0].with_arrays(**arrays), name=name)]


def zero_row(cases: list[Case], name: str) -> list[Case]:
    array = cases[0].arrays[name].copy()
    array[1] = 0
    return with_case(cases, "zero", **{name: array})


# --- faulty losses ------------------------------------------------------------------------------------------------


def ce_off_by_one(o, x, t):
    return -o.mean(o.gather(o.log_softmax(x, 1), (t + 1) % x.shape[1]))


def ce_wrapped(o, x, t):
    return -o.mean(o.gather(o.log_softmax(x, 1), t % x.shape[1]))


def ce_clamped(o, x, t):
    return -o.mean(o.gather(o.log_softmax(x, 1), o.clip(t, 0, x.shape[1] - 1)))


def ce_nan_outside(o, x, t):
    ok = (t >= 0) & (t < x.shape[1])
    picked = o.gather(o.log_softmax(x, 1), o.where(ok, t, 0 * t))
    return -o.mean(o.where(ok, picked, picked * float("nan")))


def nll_unmasked_denominator(o, x, t, ignore_index=-100):
    keep = t != ignore_index
    picked = -o.gather(o.log_softmax(x, 1), o.where(keep, t, 0 * t))
    return o.mean(picked * o.like(keep, x))


def lm_mean_of_means(o, x, t, mask):
    each = -o.gather(o.log_softmax(x, 1), t) * mask
    return o.mean(o.sum(each, 1) / o.sum(mask, 1))


def lm_all_in_denominator(o, x, t, mask):
    return o.mean(-o.gather(o.log_softmax(x, 1), t) * mask)


def lm_sum(o, x, t, mask):
    return o.sum(-o.gather(o.log_softmax(x, 1), t) * mask)


def lm_no_mask(o, x, t, mask):
    return o.mean(-o.gather(o.log_softmax(x, 1), t))


def weighted_ce_mean(o, x, t, w):
    return -o.mean(o.take(w, t) * o.gather(o.log_softmax(x, 1), t))


def weighted_ce_sum(o, x, t, w):
    return -o.sum(o.take(w, t) * o.gather(o.log_softmax(x, 1), t))


def ce_of_softmax(o, x, t):
    return P.cross_entropy(o, o.softmax(x, 1), t)


def nll_of_probabilities(o, x, t):
    return -o.mean(o.log(o.gather(x, t)))


def nll(o, x, t):
    return -o.mean(o.gather(x, t))


def bce_of_sigmoid(o, x, t):
    return P.bce_logits(o, o.sigmoid(x), t)


def kl_of_probabilities(o, x, q):
    """Takes the log-probabilities x for probabilities."""
    return o.sum(q * (o.log(q) - o.log(x))) / x.shape[0]


def kl_exp(o, x, q):
    return P.kl_div(o, o.exp(x), q)


def kl_mean(o, x, q):
    return o.mean(q * (o.log(q) - x))


def kl_swapped(o, x, q):
    return P.kl_div(o, o.log(q), o.exp(x))


def kl_no_entropy(o, x, q):
    return -o.sum(o.stop(q) * x) / x.shape[0]


def kl_const(o, x, q):
    q = o.stop(q)
    return o.sum(q * (o.log(q) - x)) / x.shape[0]


def quantile_swapped(o, x, y, q=0.3):
    return P.quantile(o, y, x, q)


def focal_other(o, x, t, gamma=2.0, alpha=0.25):
    return P.focal(o, x, t, gamma, 1 - alpha)


def smooth_others(o, x, t, label_smoothing=0.1):
    p, c = o.log_softmax(x, 1), x.shape[1]
    e = label_smoothing
    picked = o.gather(p, t)
    return o.mean(-(1 - e) * picked - e / (c - 1) * (o.sum(p, 1) - picked))


def smooth_hard_all(o, x, t):
    return P.smooth_ce(o, x, t, 0.1)


def smooth_hard_others(o, x, t):
    return smooth_others(o, x, t, 0.1)


def segmentation_flat(o, x, t):
    """Flattens NCHW as if the classes were last."""
    n, c, h, w = x.shape
    return -o.mean(o.gather(o.log_softmax(o.reshape(x, (n * h * w, c)), 1), o.reshape(t, (n * h * w,))))


def segmentation_last(o, x, t):
    """Takes the array to be NHWC."""
    n, c, h, w = x.shape
    return P.segmentation(o, o.moveaxis(o.reshape(x, (n, h, w, c)), -1, 1), t)


def contrastive_columns(o, x, y, temperature=0.5):
    return P.contrastive(o, y, x, temperature)


def entropy_axis(o, x):
    p = o.log_softmax(x, 0)
    return -o.mean(o.sum(o.exp(p) * p, 0)) * x.shape[1] / x.shape[0]


def mse_detached(o, x, y):
    return P.mse(o, x, o.stop(y))


def td_full(o, v, n, r, discount=0.9):
    return o.mean((r + discount * n - v) ** 2)


def focal_stopped(o, x, t, gamma=2.0, alpha=0.25):
    p = o.sigmoid(x)
    ce = o.softplus(x) - x * t
    pt = o.stop(p * t + (1 - p) * (1 - t))
    return o.mean((alpha * t + (1 - alpha) * (1 - t)) * (1 - pt) ** gamma * ce)


def scaled_gradient(o, x, y):
    value = P.mse(o, x, y)
    return 3.0 * value - 2.0 * o.stop(value)


def half_gradient(o, x, y):
    value = P.mse(o, x, y)
    return 0.5 * value + 0.5 * o.stop(value)


def clipped_gradient(o, x, y):
    e = x - y
    limit = 0.8
    inside = o.clip(e, -limit, limit)
    linear = o.sum(2 * o.stop(inside) * e) / 35.0
    return linear + o.stop(o.mean(e * e) - linear)


def clipped_gradient_good(o, x, y):
    e = x - y
    linear = o.sum(2 * o.stop(e) * e) / 35.0
    return linear + o.stop(o.mean(e * e) - linear)


def bce_clipped(o, p, t):
    return P.bce(o, o.clip(p, 0.1, 0.9), t)


def ce_clipped_value(o, x, t):
    return o.mean(o.clip(-o.gather(o.log_softmax(x, 1), t), 0.0, 1.6))


def charbonnier_outside(o, x, y, eps=1e-3):
    return o.mean(o.sqrt((x - y) ** 2 + 1e-30) + eps)


def charbonnier_eps(o, x, y, eps=1e-3):
    return o.mean(o.sqrt((x - y) ** 2 + eps))


def cosine_eps(o, x, y, eps=1e-8):
    nx, ny = o.sqrt(o.sum(x * x, 1)), o.sqrt(o.sum(y * y, 1))
    return o.mean(1 - o.sum(x * y, 1) / (nx * ny + 1e-6))


def bce_log_eps(o, p, t):
    return -o.mean(t * o.log(p + 1e-7) + (1 - t) * o.log(1 - p + 1e-7))


def dice_eps_outside(o, x, t, smooth=1.0):
    p = o.sigmoid(x)
    return 1 - 2 * o.sum(p * t) / (o.sum(p) + o.sum(t) + 1e-5)


def dice_eps_none(o, x, t, smooth=1.0):
    p = o.sigmoid(x)
    return 1 - 2 * o.sum(p * t) / (o.sum(p) + o.sum(t))


def vicreg_unbiased(o, x):
    return o.mean(o.relu(2.0 - o.sqrt(o.var(x, 0, 1) + 1e-4)))


def variance(o, x):
    return o.mean(o.var(x, 0, 0))


def variance_unbiased(o, x):
    return o.mean(o.var(x, 0, 1))


def ce_float32(o, x, t):
    return o.cast(P.cross_entropy(o, o.cast(x, "float32"), t), "float64") if "64" in str(x.dtype) else (
        P.cross_entropy(o, x, t))  # fmt: skip


def ce_float32_inside(o, x, t):
    p = o.like(o.cast(o.softmax(x, 1), "float32"), x)
    return -o.mean(o.log(o.gather(p, t)))


def contrastive_low(o, x, y, temperature=0.5):
    low = lambda v: o.like(o.cast(v, "bfloat16"), v)  # noqa: E731
    logits = o.log_softmax(o.matmul(low(x), o.T(low(y))), 1)
    return -o.mean(o.sum(logits * P._eye(o, logits), 1))


def contrastive_plain(o, x, y, temperature=0.5):
    logits = o.log_softmax(o.matmul(x, o.T(y)), 1)
    return -o.mean(o.sum(logits * P._eye(o, logits), 1))


def mse_bf16_sum(o, x, y):
    e = (x - y) ** 2
    return o.like(o.scan_sum(o.cast(e, "bfloat16")), x) / e.shape[0] / e.shape[1]


def mse_bf16_in_float32(o, x, y):
    return mse_bf16_sum(o, x, y) if "32" in str(x.dtype) else P.mse(o, x, y)


def l1_sqrt(o, x, y):
    return o.mean(o.sqrt((x - y) ** 2))


def hinge_other(o, x, t):
    """At the kink the other subgradient."""
    z = 1 - t * x
    return o.mean(o.where(z >= 0, z, 0 * z))


def l1_positive(o, x, y):
    e = x - y
    return o.mean(o.where(e >= 0, e, -e))


def l1_negative(o, x, y):
    e = x - y
    return o.mean(o.where(e > 0, e, -e))


def hinge_none(o, x, t):
    z = 1 - t * x
    return o.mean(o.where(z > 0, z, 0 * z))


def triplet_safe(o, a, p, n, margin=1.0):
    def norm(v):
        s = o.sum(v * v, 1)
        zero = s == 0
        return o.where(zero, 0 * s, o.sqrt(o.where(zero, o.ones(s), s)))

    return o.mean(o.relu(norm(a - p) - norm(a - n) + margin))


def cosine_safe(o, x, y, eps=1e-8):
    def norm(v):
        s = o.sum(v * v, 1)
        zero = s == 0
        return o.where(zero, o.ones(s), o.sqrt(o.where(zero, o.ones(s), s)))

    return o.mean(1 - o.sum(x * y, 1) / (norm(x) * norm(y)))


def xlogx(o, p, t):
    return o.sum(p * o.log(p)) + o.mean(t * p)


def xlogx_safe(o, p, t):
    zero = p == 0
    safe = o.where(zero, o.ones(p), p)
    return o.sum(o.where(zero, 0 * p, safe * o.log(safe))) + o.mean(t * p)


def bce_where_trap(o, p, t):
    return o.sum(o.where(t == 0, 0 * p, t * (o.log(t) - o.log(p))))


def bce_no_trap(o, p, t):
    safe = o.where(t == 0, o.ones(t), t)
    return o.sum(o.where(t == 0, 0 * p, safe * (o.log(safe) - o.log(p))))


def lse(o, x):
    top = o.stop(o.max(x, 1))
    finite = o.where(o.abs(top) == float("inf"), 0 * o.where(o.abs(top) == float("inf"), o.ones(top), top), top)
    return o.mean(o.log(1 + o.sum(o.exp(x - finite[:, None]), 1)) + finite)


def lse_inf(o, x):
    top = o.stop(o.max(x, 1))
    return o.mean(o.log(1 + o.sum(o.exp(x - top[:, None]), 1)) + top)


def ce_no_shift(o, x, t):
    return -o.mean(o.gather(x, t) - o.log(o.sum(o.exp(x), 1)))


def bce_no_shift(o, x, t):
    return o.mean(o.log(1 + o.exp(x)) - x * t)


def bce_cancels(o, x, t):
    """Rounds to 1 in float32."""
    p = o.sigmoid(x)
    return -o.mean(t * o.log(p + 1e-300) + (1 - t) * o.log(1 - p + 1e-300)) if "64" in str(x.dtype) else (
        -o.mean(t * o.log(p) + (1 - t) * o.log(1 - p + 1e-30)))  # fmt: skip


def expanded_mse(o, x, y):
    """The square of a difference, expanded: loses digits where both are large."""
    return o.mean(x * x - 2 * x * y + y * y)


def mutates(o, x, y):
    value = P.mse(o, x, y)
    if hasattr(x, "detach"):
        x.detach().mul_(0.5)
    return value


def noisy(o, x, y):
    return P.mse(o, x, y) * (1 + 0.01 * float(np.random.default_rng().random()))


def gaussian_constant(o, x, y, v):
    return P.gaussian_nll(o, x, y, v) + float(np.log(2 * np.pi)) / 2


def poisson_stirling(o, x, t):
    return P.poisson(o, x, t) + o.mean(t * o.log(t + 1))


def mse_outer(o, x, y):
    return o.mean((x[:, None] - y) ** 2)


def mse_none(o, x, y):
    return (x - y) ** 2


def mse_rows(o, x, y):
    return o.mean((x - y) ** 2, 1)[:, None]


def mse_rows_flat(o, x, y):
    return o.mean((x - y) ** 2, 1)


def rmse(o, x, y):
    return o.sqrt(P.mse(o, x, y))


def kl_wrong_temperature(o, x, y, temperature=3.0):
    return P.kl_logits(o, x, y, 1 / temperature) * temperature**4


def kl_no_squared(o, x, y, temperature=3.0):
    return P.kl_logits(o, x, y, temperature) / temperature**2


def huber_over_delta(o, x, y, delta=0.7):
    return P.huber(o, x, y, delta) / delta


def dpo_negated(o, c, r, beta=0.3):
    return P.dpo(o, r, c, beta)


def cosine_similarity(o, x, y, eps=1e-8):
    return 1 - P.cosine(o, x, y)


def _with_labels(cases: list[Case], *values: int) -> list[Case]:
    t = cases[0].arrays["t"].copy()
    t[: len(values)] = values
    return with_case(cases, "odd labels", t=t)


def _saturated(cases: list[Case]) -> list[Case]:
    p = cases[0].arrays["p"].copy()
    t = cases[0].arrays["t"].copy()
    p[0, :2], t[0, :2] = (0.0, 1.0), (0.0, 1.0)
    return with_case(cases, "saturated", p=p, t=t)


def _zero_target(cases: list[Case]) -> list[Case]:
    t = cases[0].arrays["t"].copy()
    t[0, :2] = 0.0
    return with_case(cases, "zero target", t=t)


def _ties(cases: list[Case]) -> list[Case]:
    y = cases[0].arrays["y"].copy()
    y[0] = cases[0].arrays["x"][0]
    return with_case(cases, "ties", y=y)


def _on_margin(cases: list[Case]) -> list[Case]:
    x = cases[0].arrays["x"].copy()
    x[0] = cases[0].arrays["t"][0]
    return with_case(cases, "on margin", x=x)


def _infinite(cases: list[Case]) -> list[Case]:
    x = cases[0].arrays["x"].copy()
    x[0] = -np.inf
    return with_case(cases, "infinite", x=x)


def faults() -> list[Fault]:
    """Every planted fault."""
    c = P.cases
    F = Fault
    pairs, label = c("pairs"), c("labels")
    out = [
        F("times N", "sum_against_mean", P.cross_entropy, times(P.cross_entropy, lambda o, x, t: x.shape[0]), label,
          "number of rows"),
        F("times elements", "sum_against_mean", P.mse, times(P.mse, lambda o, x, y: x.shape[0] * x.shape[1]), pairs,
          "number of elements"),
        F("times C", "mean_against_batchmean", P.mse, times(P.mse, lambda o, x, y: x.shape[1]), pairs, "classes"),
        F("half", "factor", P.mse, times(P.mse, lambda o, x, y: 0.5), pairs, "1/2"),
        F("twice", "factor", P.cosine, times(P.cosine, lambda o, x, y: 2.0), pairs, "2"),
        F("in bits", "factor", P.cross_entropy, times(P.cross_entropy, lambda o, x, t: 1 / float(np.log(2))), label, "ln 2"),
        F("over delta", "factor", P.huber, huber_over_delta, c("pairs", delta=0.7), "delta"),
        F("temperature squared missing", "factor", P.kl_logits, kl_no_squared, c("pairs", temperature=3.0),
          "temperature squared"),
        F("times beta", "factor", P.dpo, times(P.dpo, lambda o, c, r, beta=0.3: beta), _renamed(c("vectors", beta=0.3)),
          "beta"),
        F("world size", "factor", P.mse, lambda o, x, y, world_size=8: P.mse(o, x, y) / world_size,
          c("pairs", world_size=8), "world_size"),
        F("a constant", "factor", P.mse, times(P.mse, lambda o, x, y: 0.37), pairs, "constant"),
        F("masked sum", "sum_against_mean", P.masked_lm, lm_sum, c("masked"), "unmasked"),
        F("weights of labels", "sum_against_mean", P.weighted_ce, weighted_ce_sum, c("weighted"), "sum of the class weights"),
        F("kl mean", "mean_against_batchmean", P.kl_div, kl_mean, c("distributions"), "classes"),
        F("mean of means", "mean_of_means", P.masked_lm, lm_mean_of_means, c("masked")),
        F("ignored counted", "ignored_in_denominator", P.nll_ignore, nll_unmasked_denominator,
          c("ignored", ignore_index=-100), "not ignored"),
        F("masked counted", "ignored_in_denominator", P.masked_lm, lm_all_in_denominator, c("masked"), "unmasked"),
        F("weights not in denominator", "weights_in_denominator", P.weighted_ce, weighted_ce_mean, c("weighted")),
        F("minus", "sign", P.cosine, times(P.cosine, lambda o, x, y: -1.0), pairs),
        F("similarity", "sign", P.cosine, cosine_similarity, pairs),
        F("swapped", "swapped_arguments", P.quantile, quantile_swapped, c("pairs", q=0.45)),
        F("columns", "swapped_arguments", P.contrastive, contrastive_columns, c("pairs", temperature=0.5)),
        F("chosen and rejected", "swapped_arguments", P.dpo, dpo_negated, _renamed(c("vectors", beta=0.3))),
        F("no softmax", "logits_as_probabilities", P.cross_entropy, nll_of_probabilities, label, alone=True),
        F("softmax twice", "probabilities_as_logits", P.cross_entropy, ce_of_softmax, label),
        F("no log_softmax", "logits_as_log_probabilities", P.cross_entropy, nll, label),
        F("sigmoid twice", "probabilities_as_logits", P.bce_logits, bce_of_sigmoid, c("soft binary")),
        F("no sigmoid in dice", "logits_as_probabilities", P.dice, P.dice_probabilities, c("binary", smooth=1.0)),
        F("log of log-probabilities", "log_probabilities_as_probabilities", P.kl_div, kl_of_probabilities,
          c("distributions"), alone=True),
        F("exp too often", "probabilities_as_log_probabilities", P.kl_div, kl_exp, c("distributions")),
        F("smoothing on others", "smoothing_convention", P.smooth_ce, smooth_others, c("labels", label_smoothing=0.1), "0.1"),
        F("hard-coded smoothing", "smoothing_convention", smooth_hard_all, smooth_hard_others, label, "0.1"),
        F("off by one", "labels_off_by_one", P.cross_entropy, ce_off_by_one, label),
        F("wrapped", "labels_wrapped", ce_nan_outside, ce_wrapped, _with_labels(label, -1), alone=True),
        F("clamped", "labels_clamped", ce_nan_outside, ce_clamped, _with_labels(label, 9, 7), alone=True),
        F("flattened", "axis_transposed", P.segmentation, segmentation_flat, c("images")),
        F("NHWC", "axis_transposed", P.segmentation, segmentation_last, c("images")),
        F("other axis", "axis_transposed", P.entropy, entropy_axis, c("logits")),
        F("detached", "detached", P.mse, mse_detached, pairs, "y", alone=True),
        F("stopped term", "detached", P.focal, focal_stopped, c("binary", gamma=2.0, alpha=0.25), "x", alone=True),
        F("three times the gradient", "gradient_factor", P.mse, scaled_gradient, pairs, "3", alone=True),
        F("half the gradient", "gradient_factor", P.mse, half_gradient, pairs, "0.5", alone=True),
        F("clipped gradient", "clipped_gradient", clipped_gradient_good, clipped_gradient, pairs, alone=True),
        F("clipped probabilities", "clipped_value", P.bce, bce_clipped, c("probabilities"), alone=True),
        F("clipped value", "clipped_value", P.cross_entropy, ce_clipped_value, label, alone=True),
        F("eps outside", "eps_placement", P.charbonnier, charbonnier_outside, c("pairs", eps=1e-3)),
        F("eps not squared", "option_convention", P.charbonnier, charbonnier_eps, c("pairs", eps=1e-3), "squared"),
        F("eps in a denominator", "eps_placement", P.cosine, cosine_eps, pairs),
        F("eps in a logarithm", "eps_placement", P.bce, bce_log_eps, c("probabilities")),
        F("eps in dice", "eps_placement", dice_eps_none, dice_eps_outside, c("binary")),
        F("unbiased", "biased_variance", P.vicreg_variance, vicreg_unbiased, c("logits")),
        F("unbiased alone", "biased_variance", variance, variance_unbiased, c("logits")),
        F("float32 inside", "float32_inside_float64", P.cross_entropy, ce_float32, label, alone=True),
        F("float32 in the middle", "float32_inside_float64", P.cross_entropy, ce_float32_inside, label, alone=True),
        F("low matmul", "low_matmul_precision", contrastive_plain, contrastive_low, pairs, alone=True),
        F("bf16 sum", "low_precision_accumulation", P.mse, mse_bf16_sum, pairs, alone=True),
        F("bf16 sum in float32", "low_precision_accumulation", P.mse, mse_bf16_in_float32, pairs, alone=True),
        F("kink, both", "kink_convention", l1_negative, l1_positive, _ties(pairs)),
        F("hinge kink", "kink_convention", hinge_none, hinge_other, _on_margin(c("signs"))),
        F("zero norm", "nan_at_zero_norm", cosine_safe, P.cosine, zero_row(pairs, "x"), alone=True),
        F("zero distance", "nan_at_zero_norm", triplet_safe, P.triplet,
          with_case(c("triplets"), "same", p=c("triplets")[0].arrays["a"]), alone=True),
        F("sqrt of a square", "nan_at_zero_norm", l1_negative, l1_sqrt, _ties(pairs), alone=True),
        F("0 log 0", "zero_times_log_zero", xlogx_safe, xlogx, _saturated(c("probabilities")), alone=True),
        F("where trap", "zero_times_log_zero", bce_no_trap, bce_where_trap,
          _zero_target(c("two probabilities")), alone=True),
        F("inf - inf", "inf_minus_inf", lse, lse_inf, _infinite(c("logits")), alone=True),
        F("no max-shift", "overflow_without_max_shift", P.cross_entropy, ce_no_shift, large(label, "x"), alone=True),
        F("no max-shift in float32", "overflow_without_max_shift", P.bce_logits, bce_no_shift,
          large(c("soft binary"), "x", 150.0), alone=True),
        F("lost digits", "lost_digits", P.mse, expanded_mse, _near(pairs), alone=True),
        F("mutates", "argument_mutated", P.mse, mutates, pairs, "x", alone=True, only="torch"),
        F("random", "nondeterministic", P.mse, noisy, pairs, alone=True),
        F("constant term", "additive_constant", P.gaussian_nll, gaussian_constant, c("variances"), "log(2 pi)/2"),
        F("Stirling", "missing_term", P.poisson, poisson_stirling, c("counts"), "t"),
        F("entropy of the target", "missing_term", kl_const, kl_no_entropy, [replace(x, wrt=("x",)) for x in c("distributions")],
          "q"),
        F("outer product", "wrong_shape", P.mse, mse_outer, c("vectors"), "broadcast"),
        F("kept dimension", "wrong_shape", mse_rows_flat, mse_rows, pairs, "dimension"),
        F("not reduced", "wrong_shape", P.mse, mse_none, pairs, "mean"),
        F("root", "wrong_power", P.mse, rmse, pairs, "square"),
        F("1 - alpha", "option_convention", P.focal, focal_other, c("binary", gamma=2.0, alpha=0.25), "1 - alpha"),
        F("temperature turned over", "option_convention", P.contrastive,
          lambda o, x, y, temperature=0.5: P.contrastive(o, x, y, 1 / temperature), c("pairs", temperature=0.4), "temperature"),
        F("mask not used", "argument_unused", P.masked_lm, lm_no_mask, c("masked"), "mask", alone=True),
    ]  # fmt: skip
    return out


def _renamed(cases: list[Case]) -> list[Case]:
    return [replace(x, arrays={"c": x.arrays["x"], "r": x.arrays["y"]}, wrt=("c", "r")) for x in cases]


def _near(cases: list[Case]) -> list[Case]:
    """Two large arguments close to each other."""
    x = cases[0].arrays["x"] + 300.0
    return with_case(cases, "near", x=x, y=x + 0.05)
