"""Faults of rounding and range: digits, eps, clipping, NaN and infinity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.compare import planted
from tests.compare.faults.common import (
    Fault,
    infinite,
    l1_negative,
    large,
    near,
    saturated,
    ties,
    with_case,
    zero_row,
    zero_target,
    zeros,
)


def bce_clipped(o, p, t):
    return planted.bce(o, o.clip(p, 0.1, 0.9), t)


def ce_clipped_value(o, x, t):
    return o.mean(o.clip(-o.gather(o.log_softmax(x, 1), t), 0.0, 1.6))


def charbonnier_outside(o, x, y, eps=1e-3):
    return o.mean(o.sqrt((x - y) ** 2 + 1e-30) + eps)


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


def ce_float32(o, x, t):
    return o.cast(planted.cross_entropy(o, o.cast(x, "float32"), t), "float64") if "64" in str(x.dtype) else (
        planted.cross_entropy(o, x, t))  # fmt: skip


def ce_float32_inside(o, x, t):
    p = o.like(o.cast(o.softmax(x, 1), "float32"), x)
    return -o.mean(o.log(o.gather(p, t)))


def contrastive_low(o, x, y, temperature=0.5):
    low = lambda v: o.like(o.cast(v, "bfloat16"), v)  # noqa: E731
    logits = o.log_softmax(o.matmul(low(x), o.T(low(y))), 1)
    return -o.mean(o.sum(logits * planted._eye(o, logits), 1))


def contrastive_plain(o, x, y, temperature=0.5):
    logits = o.log_softmax(o.matmul(x, o.T(y)), 1)
    return -o.mean(o.sum(logits * planted._eye(o, logits), 1))


def mse_bf16_sum(o, x, y):
    e = (x - y) ** 2
    return o.like(o.scan_sum(o.cast(e, "bfloat16")), x) / e.shape[0] / e.shape[1]


def mse_bf16_in_float32(o, x, y):
    return mse_bf16_sum(o, x, y) if "32" in str(x.dtype) else planted.mse(o, x, y)


def l1_sqrt(o, x, y):
    return o.mean(o.sqrt((x - y) ** 2))


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


def expanded_mse(o, x, y):
    """The square of a difference, expanded: loses digits where both are large."""
    return o.mean(x * x - 2 * x * y + y * y)


def ce_soft(o, x, t):
    return -o.mean(o.sum(o.where(t > 0, t * o.where(t > 0, o.log_softmax(x, 1), 0 * t), 0 * t), 1))


def ce_soft_plain(o, x, t):
    return -o.mean(o.sum(t * o.log_softmax(x, 1), 1))


def kl_with_itself(o, x):
    p = o.softmax(x, 1)
    return o.sum(p * o.log(p) - p * o.log_softmax(x, 1))


def kl_zero(o, x):
    p = o.log_softmax(x, 1)
    return o.sum(o.exp(p) * (p - p))


def ce_late_shift(o, x, t):
    top = o.max(x, 1)[:, None]
    return -o.mean(o.gather(x - (top + o.log(o.sum(o.exp(x - top), 1))[:, None]), t))


def _masked_logits(cases):
    p = planted.softmax(cases[0].arrays["y"])
    x, t = cases[0].arrays["x"].copy(), p.copy()
    t[:, 0], x[:, 0] = 0.0, -np.inf
    first = replace(cases[0], arrays={"x": x, "t": t / t.sum(1, keepdims=True)}, wrt=("x",))
    rest = [replace(c, arrays={"x": c.arrays["x"], "t": planted.softmax(c.arrays["y"])}, wrt=("x",)) for c in cases]
    return [*rest, replace(first, name="masked")]


def _offset(cases):
    return with_case(cases, "offset", x=cases[0].arrays["x"] * 0.01 + 1e6)


def faults() -> list[Fault]:
    """Every planted fault of this family."""
    c = planted.cases
    F = Fault
    pairs, label = c("pairs"), c("labels")
    return [
        F("clipped probabilities", "clipped_value", planted.bce, bce_clipped, c("probabilities"), alone=True),
        F("clipped value", "clipped_value", planted.cross_entropy, ce_clipped_value, label, alone=True),
        F("eps outside", "eps_placement", planted.charbonnier, charbonnier_outside, c("pairs", eps=1e-3)),
        F("eps in a denominator", "eps_placement", planted.cosine, cosine_eps, pairs),
        F("eps in a logarithm", "eps_placement", planted.bce, bce_log_eps, c("probabilities")),
        F("eps in dice", "eps_placement", dice_eps_none, dice_eps_outside, c("binary")),
        F("float32 inside", "float32_inside_float64", planted.cross_entropy, ce_float32, label, alone=True),
        F(
            "float32 in the middle",
            "float32_inside_float64",
            planted.cross_entropy,
            ce_float32_inside,
            label,
            alone=True,
        ),
        F("low matmul", "low_matmul_precision", contrastive_plain, contrastive_low, pairs, alone=True),
        F("bf16 sum", "low_precision_accumulation", planted.mse, mse_bf16_sum, pairs, alone=True),
        F(
            "bf16 sum in float32",
            "low_precision_accumulation",
            planted.mse,
            mse_bf16_in_float32,
            pairs,
            alone=True,
        ),
        F("zero norm", "nan_at_zero_norm", cosine_safe, planted.cosine, zero_row(pairs, "x"), alone=True),
        F(
            "zero distance",
            "nan_at_zero_norm",
            triplet_safe,
            planted.triplet,
            with_case(c("triplets"), "same", p=c("triplets")[0].arrays["a"]),
            alone=True,
        ),
        F("sqrt of a square", "nan_at_zero_norm", l1_negative, l1_sqrt, ties(pairs), alone=True),
        F(
            "0 log 0",
            "zero_times_log_zero",
            xlogx_safe,
            xlogx,
            saturated(c("probabilities")),
            alone=True,
        ),
        F(
            "where trap",
            "zero_times_log_zero",
            bce_no_trap,
            bce_where_trap,
            zero_target(c("two probabilities")),
            alone=True,
        ),
        F("inf - inf", "inf_minus_inf", lse, lse_inf, infinite(c("logits")), alone=True),
        F(
            "no max-shift",
            "overflow_without_max_shift",
            planted.cross_entropy,
            ce_no_shift,
            large(label, "x"),
            alone=True,
        ),
        F(
            "no max-shift in float32",
            "overflow_without_max_shift",
            planted.bce_logits,
            bce_no_shift,
            large(c("soft binary"), "x", 150.0),
            alone=True,
        ),
        F("lost digits", "lost_digits", planted.mse, expanded_mse, near(pairs), alone=True),
        F("zeros", "nan_at_zero_norm", cosine_safe, planted.cosine, zeros(pairs), alone=True),
        F("minus infinity", "zero_times_log_zero", ce_soft, ce_soft_plain, _masked_logits(pairs), alone=True),
        F("KL with itself", "lost_digits", kl_zero, kl_with_itself, [replace(x, wrt=()) for x in c("logits")]),
        F("shifted too late", "lost_digits", planted.cross_entropy, ce_late_shift, _offset(label), alone=True),
    ]
