"""Faults in targets, the weights of classes, options and what surrounds them; and other formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.compare import planted
from tests.compare.faults.common import Fault, with_case
from xloss.compare.run import Case


def focal_reversed(o, x, t):
    return planted.focal(o, x, t, 2.0, 0.75)


def focal_alone(o, x, t):
    return planted.focal(o, x, t, 2.0, 0.25)


def bce_positive(o, x, t):
    return o.mean(o.softplus(x) - x * t + 2 * t * o.softplus(-x))


def ce_weighted_inside(o, x, t):
    return -o.mean(o.like(1 + t % 2, x) * o.gather(o.log_softmax(x, 1), t))


def ce_next(o, x, t):
    return planted.cross_entropy(o, x[:-1], t[1:])


def lm(o, x, t):
    return -o.mean(o.gather(o.log_softmax(x, 1), t))


def lm_next(o, x, t):
    return lm(o, x[:, :, :-1], t[:, 1:])


def bce_strict(o, p, t):
    loss = planted.bce(o, p, t)
    return o.where(o.sum(o.like((t < 0) | (t > 1), p)) > 0, loss * float("nan"), loss)


def bce_lax(o, p, t):
    return planted.bce(o, p, o.clip(t, 0, 1))


def bce_smooth(o, x, t):
    return planted.bce_logits(o, x, 0.8 * t + 0.1)


def ce_temperature(o, x, t):
    return planted.cross_entropy(o, x / 0.07, t)


def huber_fixed(o, x, y, delta=0.7):
    return planted.huber(o, x, y, 1.2)


def js(o, x, y, beta=0.2, inside=None):
    inside = beta if inside is None else inside
    p, q = o.softmax(y, 1), o.softmax(x, 1)
    m = inside * p + (1 - inside) * q
    return o.mean(o.sum(beta * p * o.log(p / m) + (1 - beta) * q * o.log(q / m), 1))


def js_plain(o, x, y, beta=0.2):
    return js(o, x, y, beta)


def js_turned(o, x, y, beta=0.2):
    return js(o, x, y, beta, 1 - beta)


def kl_of_logits(o, x, y):
    p = o.softmax(y, 1)
    return o.sum(p * (o.log(p) - o.log_softmax(x, 1))) / x.shape[0]


def kl_of_softmax(o, x, y):
    p = o.softmax(y, 1)
    return o.sum(p * (o.log(p) - o.softmax(x, 1))) / x.shape[0]


def gaussian_kl(o, x, u, y, v):
    return o.mean(o.log(v) - o.log(u) + (u**2 + (x - y) ** 2 + x) / (2 * v**2))


def gaussian_kl_swapped(o, x, u, y, v):
    return gaussian_kl(o, y, v, x, u)


def ce_gathered(o, x, t):
    return planted.cross_entropy(o, x, t) + float(np.log(4.0))


def kl_pixels(o, x, y):
    return -o.mean(o.sum(o.softmax(y, 1) * o.log_softmax(x, 1), 1))


def kl_pixels_viewed(o, x, y):
    x, y = (o.reshape(z, (-1, z.shape[1])) for z in (x, y))
    return kl_pixels(o, x, y)


def logcosh_squared(o, x, y):
    return o.mean(planted.mse(o, x, y) * 0.3 + o.abs(x - y) ** 3)


def focal_of_logarithm(o, x, t):
    p = o.gather(o.log_softmax(x, 1), t)
    return -o.mean((1 - p) ** 2 * p)


def focal_of_probability(o, x, t):
    p = o.gather(o.log_softmax(x, 1), t)
    return -o.mean((1 - o.exp(p)) ** 2 * p)


def _outside(cases: list[Case]) -> list[Case]:
    t = cases[0].arrays["t"].copy()
    t[0, 0] = 1.5
    return with_case(cases, "outside", t=t)


def _gaussians(cases: list[Case]) -> list[Case]:
    out = []
    for i, case in enumerate(cases):
        shape, draw = case.arrays["x"].shape, np.random.default_rng(i)
        spread = {n: draw.uniform(0.5, 2.0, shape) for n in ("u", "v")}
        arrays = {n: {**case.arrays, **spread}[n] for n in ("x", "u", "y", "v")}
        out.append(replace(case, arrays=arrays, wrt=("x", "u", "y", "v")))
    return out


def _pairs_of_images() -> list[Case]:
    out = []
    for case in planted.cases("images"):
        x = case.arrays["x"]
        out.append(replace(case, arrays={"x": x, "y": np.flip(x, 0) * 0.5 + np.sin(x)}, wrt=("x", "y")))
    return out


def faults() -> list[Fault]:
    """Every planted fault of this family."""
    c = planted.cases
    F = Fault
    pairs, label, binary = c("pairs"), c("labels"), c("binary")
    tokens = [replace(x, arrays={n: x.arrays[n] for n in ("x", "t")}) for x in c("masked")]
    logits = [replace(x, wrt=("x",)) for x in pairs]
    return [
        F("weights reversed", "class_weights", focal_alone, focal_reversed, binary, "each other's place"),
        F("positives three times", "class_weights", planted.bce_logits, bce_positive, binary, "3 times"),
        F("odd classes twice", "class_weights", planted.cross_entropy, ce_weighted_inside, label, "2 times"),
        F("next label", "labels_shifted", planted.cross_entropy, ce_next, label, "1 place"),
        F("next token", "labels_shifted", lm, lm_next, tokens, "axis 1"),
        F("lets 1.5 through", "outside_domain", bce_strict, bce_lax, _outside(c("probabilities")), "1.5", alone=True),
        F("targets smoothed", "smoothing_convention", planted.bce_logits, bce_smooth, binary, "0.8 * t + 0.1"),
        F("temperature written in", "argument_scaled", planted.cross_entropy, ce_temperature, label, "14.29"),
        F("delta written in", "option_unused", planted.huber, huber_fixed, c("pairs", delta=0.7), "1.2", alone=True),
        F("beta turned inside", "option_convention", js_plain, js_turned, c("pairs", beta=0.2), "1 - beta"),
        F("softmax inside", "probabilities_as_log_probabilities", kl_of_logits, kl_of_softmax, logits, "softmax"),
        F("Gaussians swapped", "swapped_arguments", gaussian_kl, gaussian_kl_swapped, _gaussians(pairs), "pairs"),
        F("four ranks", "additive_constant", planted.cross_entropy, ce_gathered, label, "log 4"),
        F("both viewed", "axis_transposed", kl_pixels, kl_pixels_viewed, _pairs_of_images(), "x and y"),
        F("a cube", "wrong_formula", planted.mse, logcosh_squared, pairs, "that differs"),
        F(
            "focal of a logarithm",
            "wrong_formula",
            focal_of_probability,
            focal_of_logarithm,
            label,
            "that differs",
        ),
    ]
