"""Losses with a fault, written with the same operations as the healthy ones."""

from __future__ import annotations

import numpy as np
import planted


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
    return planted.cross_entropy(o, o.softmax(x, 1), t)


def nll_of_probabilities(o, x, t):
    return -o.mean(o.log(o.gather(x, t)))


def nll(o, x, t):
    return -o.mean(o.gather(x, t))


def bce_of_sigmoid(o, x, t):
    return planted.bce_logits(o, o.sigmoid(x), t)


def kl_of_probabilities(o, x, q):
    """Takes the log-probabilities x for probabilities."""
    return o.sum(q * (o.log(q) - o.log(x))) / x.shape[0]


def kl_exp(o, x, q):
    return planted.kl_div(o, o.exp(x), q)


def kl_mean(o, x, q):
    return o.mean(q * (o.log(q) - x))


def kl_swapped(o, x, q):
    return planted.kl_div(o, o.log(q), o.exp(x))


def kl_no_entropy(o, x, q):
    return -o.sum(o.stop(q) * x) / x.shape[0]


def kl_const(o, x, q):
    q = o.stop(q)
    return o.sum(q * (o.log(q) - x)) / x.shape[0]


def quantile_swapped(o, x, y, q=0.3):
    return planted.quantile(o, y, x, q)


def focal_other(o, x, t, gamma=2.0, alpha=0.25):
    return planted.focal(o, x, t, gamma, 1 - alpha)


def smooth_others(o, x, t, label_smoothing=0.1):
    p, c = o.log_softmax(x, 1), x.shape[1]
    e = label_smoothing
    picked = o.gather(p, t)
    return o.mean(-(1 - e) * picked - e / (c - 1) * (o.sum(p, 1) - picked))


def smooth_hard_all(o, x, t):
    return planted.smooth_ce(o, x, t, 0.1)


def smooth_hard_others(o, x, t):
    return smooth_others(o, x, t, 0.1)


def segmentation_flat(o, x, t):
    """Flattens NCHW as if the classes were last."""
    n, c, h, w = x.shape
    return -o.mean(o.gather(o.log_softmax(o.reshape(x, (n * h * w, c)), 1), o.reshape(t, (n * h * w,))))


def segmentation_last(o, x, t):
    """Takes the array to be NHWC."""
    n, c, h, w = x.shape
    return planted.segmentation(o, o.moveaxis(o.reshape(x, (n, h, w, c)), -1, 1), t)


def contrastive_columns(o, x, y, temperature=0.5):
    return planted.contrastive(o, y, x, temperature)


def entropy_axis(o, x):
    p = o.log_softmax(x, 0)
    return -o.mean(o.sum(o.exp(p) * p, 0)) * x.shape[1] / x.shape[0]


def mse_detached(o, x, y):
    return planted.mse(o, x, o.stop(y))


def td_full(o, v, n, r, discount=0.9):
    return o.mean((r + discount * n - v) ** 2)


def focal_stopped(o, x, t, gamma=2.0, alpha=0.25):
    p = o.sigmoid(x)
    ce = o.softplus(x) - x * t
    pt = o.stop(p * t + (1 - p) * (1 - t))
    return o.mean((alpha * t + (1 - alpha) * (1 - t)) * (1 - pt) ** gamma * ce)


def scaled_gradient(o, x, y):
    value = planted.mse(o, x, y)
    return 3.0 * value - 2.0 * o.stop(value)


def half_gradient(o, x, y):
    value = planted.mse(o, x, y)
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
    return planted.bce(o, o.clip(p, 0.1, 0.9), t)


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
    value = planted.mse(o, x, y)
    if hasattr(x, "detach"):
        x.detach().mul_(0.5)
    return value


def writes(o, x, y):
    value = planted.mse(o, x, y)
    if hasattr(x, "detach"):
        x -= 1.0
    return value


def noisy(o, x, y):
    return planted.mse(o, x, y) * (1 + 0.01 * float(np.random.default_rng().random()))


def gaussian_constant(o, x, y, v):
    return planted.gaussian_nll(o, x, y, v) + float(np.log(2 * np.pi)) / 2


def poisson_stirling(o, x, t):
    return planted.poisson(o, x, t) + o.mean(t * o.log(t + 1))


def mse_outer(o, x, y):
    return o.mean((x[:, None] - y) ** 2)


def mse_none(o, x, y):
    return (x - y) ** 2


def mse_rows(o, x, y):
    return o.mean((x - y) ** 2, 1)[:, None]


def mse_rows_flat(o, x, y):
    return o.mean((x - y) ** 2, 1)


def rmse(o, x, y):
    return o.sqrt(planted.mse(o, x, y))


def kl_wrong_temperature(o, x, y, temperature=3.0):
    return planted.kl_logits(o, x, y, 1 / temperature) * temperature**4


def kl_no_squared(o, x, y, temperature=3.0):
    return planted.kl_logits(o, x, y, temperature) / temperature**2


def huber_over_delta(o, x, y, delta=0.7):
    return planted.huber(o, x, y, delta) / delta


def dpo_negated(o, c, r, beta=0.3):
    return planted.dpo(o, r, c, beta)


def cosine_similarity(o, x, y, eps=1e-8):
    return 1 - planted.cosine(o, x, y)
