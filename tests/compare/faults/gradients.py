"""Faults that leave the value as it is: in the gradient, in the arguments, in the second call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.compare import planted
from tests.compare.faults.common import Fault, l1_negative, on_margin, ties, with_case


def mse_detached(o, x, y):
    return planted.mse(o, x, o.stop(y))


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


def hinge_other(o, x, t):
    """At the kink the other subgradient."""
    z = 1 - t * x
    return o.mean(o.where(z >= 0, z, 0 * z))


def l1_positive(o, x, y):
    e = x - y
    return o.mean(o.where(e >= 0, e, -e))


def hinge_none(o, x, t):
    z = 1 - t * x
    return o.mean(o.where(z > 0, z, 0 * z))


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


def weighted(o, x, t, w):
    return -o.sum(w * o.gather(o.log_softmax(x, 1), t))


def first_weight(o, x, t, w):
    scaled = -w[0] * o.gather(o.log_softmax(x, 1), t)
    return o.sum(o.stop(-w * o.gather(o.log_softmax(x, 1), t)) + scaled - o.stop(scaled))


def half_detached(o, x, y):
    keep = o.like(o.where(_arange(o, x) < 2, 1, 0), y)[:, None]
    return planted.mse(o, x, y * keep + o.stop(y) * (1 - keep))


def _arange(o, x):
    return planted._arange(o, x.shape[0], x)


def bce_pieces(o, x, t):
    return o.mean(o.relu(x) - x * t + o.log(1 + o.exp(-o.abs(x))))


def _at_zero(cases):
    x = cases[0].arrays["x"].copy()
    x[0, :2] = 0.0
    return with_case(cases, "at zero", x=x)


def _row_weights(cases):
    out = []
    for case in cases:
        w = np.linspace(0.5, 2.0, case.rows)
        out.append(replace(case, arrays={**case.arrays, "w": w}))
    return out


def faults() -> list[Fault]:
    """Every planted fault of this family."""
    c = planted.cases
    F = Fault
    pairs = c("pairs")
    return [
        F("detached", "detached", planted.mse, mse_detached, pairs, "y", alone=True),
        F(
            "stopped term",
            "detached",
            planted.focal,
            focal_stopped,
            c("binary", gamma=2.0, alpha=0.25),
            "x",
            alone=True,
        ),
        F("three times the gradient", "gradient_factor", planted.mse, scaled_gradient, pairs, "3", alone=True),
        F("half the gradient", "gradient_factor", planted.mse, half_gradient, pairs, "0.5", alone=True),
        F(
            "clipped gradient",
            "clipped_gradient",
            clipped_gradient_good,
            clipped_gradient,
            pairs,
            alone=True,
        ),
        F("kink, both", "kink_convention", l1_negative, l1_positive, ties(pairs)),
        F("hinge kink", "kink_convention", hinge_none, hinge_other, on_margin(c("signs"))),
        F("mutates", "argument_mutated", planted.mse, mutates, pairs, "x", alone=True, only="torch"),
        F("writes", "argument_mutated", planted.mse, writes, pairs, "x", alone=True, only="torch"),
        F("random", "nondeterministic", planted.mse, noisy, pairs, alone=True),
        F(
            "first weight",
            "gradient_factor",
            weighted,
            first_weight,
            _row_weights(c("labels")),
            "proportion to",
            alone=True,
        ),
        F("half detached", "detached", planted.mse, half_detached, pairs, "a part of y", alone=True),
        F(
            "kinks that cancel",
            "kink_convention",
            planted.bce_logits,
            bce_pieces,
            _at_zero(c("soft binary")),
            "smooth",
            only="torch",
        ),
    ]
