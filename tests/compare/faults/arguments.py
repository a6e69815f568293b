"""Faults in what an argument, a label or an option means."""

from __future__ import annotations

from tests.compare import planted
from tests.compare.faults.common import Fault, renamed, with_labels


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


def kl_swapped(o, x, q):
    return planted.kl_div(o, o.log(q), o.exp(x))


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


def charbonnier_eps(o, x, y, eps=1e-3):
    return o.mean(o.sqrt((x - y) ** 2 + eps))


def dpo_negated(o, c, r, beta=0.3):
    return planted.dpo(o, r, c, beta)


def faults() -> list[Fault]:
    """Every planted fault of this family."""
    c = planted.cases
    F = Fault
    label = c("labels")
    return [
        F("swapped", "swapped_arguments", planted.quantile, quantile_swapped, c("pairs", q=0.45)),
        F("columns", "swapped_arguments", planted.contrastive, contrastive_columns, c("pairs", temperature=0.5)),
        F(
            "chosen and rejected",
            "swapped_arguments",
            planted.dpo,
            dpo_negated,
            renamed(c("vectors", beta=0.3)),
        ),
        F(
            "no softmax",
            "logits_as_probabilities",
            planted.cross_entropy,
            nll_of_probabilities,
            label,
            alone=True,
        ),
        F("softmax twice", "probabilities_as_logits", planted.cross_entropy, ce_of_softmax, label),
        F("no log_softmax", "logits_as_log_probabilities", planted.cross_entropy, nll, label),
        F("sigmoid twice", "probabilities_as_logits", planted.bce_logits, bce_of_sigmoid, c("soft binary")),
        F(
            "no sigmoid in dice",
            "logits_as_probabilities",
            planted.dice,
            planted.dice_probabilities,
            c("binary", smooth=1.0),
        ),
        F(
            "log of log-probabilities",
            "log_probabilities_as_probabilities",
            planted.kl_div,
            kl_of_probabilities,
            c("distributions"),
            alone=True,
        ),
        F("exp too often", "probabilities_as_log_probabilities", planted.kl_div, kl_exp, c("distributions")),
        F(
            "smoothing on others",
            "smoothing_convention",
            planted.smooth_ce,
            smooth_others,
            c("labels", label_smoothing=0.1),
            "0.1",
        ),
        F(
            "hard-coded smoothing",
            "smoothing_convention",
            smooth_hard_all,
            smooth_hard_others,
            label,
            "0.1",
        ),
        F("off by one", "labels_off_by_one", planted.cross_entropy, ce_off_by_one, label),
        F("wrapped", "labels_wrapped", ce_nan_outside, ce_wrapped, with_labels(label, -1), alone=True),
        F("clamped", "labels_clamped", ce_nan_outside, ce_clamped, with_labels(label, 9, 7), alone=True),
        F("flattened", "axis_transposed", planted.segmentation, segmentation_flat, c("images")),
        F("NHWC", "axis_transposed", planted.segmentation, segmentation_last, c("images")),
        F("other axis", "axis_transposed", planted.entropy, entropy_axis, c("logits")),
        F(
            "eps not squared",
            "option_convention",
            planted.charbonnier,
            charbonnier_eps,
            c("pairs", eps=1e-3),
            "squared",
        ),
        F("reversed", "swapped_arguments", planted.kl_div, kl_swapped, c("distributions")),
        F(
            "1 - alpha",
            "option_convention",
            planted.focal,
            focal_other,
            c("binary", gamma=2.0, alpha=0.25),
            "1 - alpha",
        ),
        F(
            "temperature turned over",
            "option_convention",
            planted.contrastive,
            lambda o, x, y, temperature=0.5: planted.contrastive(o, x, y, 1 / temperature),
            c("pairs", temperature=0.4),
            "temperature",
        ),
    ]
