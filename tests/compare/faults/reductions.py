"""Faults in how the losses of samples are put together, and in what is added or multiplied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.compare import planted
from tests.compare.faults.common import Fault, renamed, times


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


def kl_mean(o, x, q):
    return o.mean(q * (o.log(q) - x))


def kl_no_entropy(o, x, q):
    return -o.sum(o.stop(q) * x) / x.shape[0]


def kl_const(o, x, q):
    q = o.stop(q)
    return o.sum(q * (o.log(q) - x)) / x.shape[0]


def vicreg_unbiased(o, x):
    return o.mean(o.relu(2.0 - o.sqrt(o.var(x, 0, 1) + 1e-4)))


def variance(o, x):
    return o.mean(o.var(x, 0, 0))


def variance_unbiased(o, x):
    return o.mean(o.var(x, 0, 1))


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


def kl_no_squared(o, x, y, temperature=3.0):
    return planted.kl_logits(o, x, y, temperature) / temperature**2


def huber_over_delta(o, x, y, delta=0.7):
    return planted.huber(o, x, y, delta) / delta


def cosine_similarity(o, x, y, eps=1e-8):
    return 1 - planted.cosine(o, x, y)


def bce_marked(o, x, t):
    keep = o.like(t >= 0, x)
    return o.sum((o.softplus(x) - x * t) * keep) / o.sum(keep)


def bce_marked_mean(o, x, t):
    return o.mean((o.softplus(x) - x * t) * o.like(t >= 0, x))


def lm_rows(o, x, t, mask):
    return o.mean(o.sum(-o.gather(o.log_softmax(x, 1), t) * mask, 1))


def next_label(o, x, t):
    return planted.cross_entropy(o, x[:-1], t[1:])


def next_label_over_all(o, x, t):
    return next_label(o, x, t) * (x.shape[0] - 1) / x.shape[0]


def _marked(cases):
    out = []
    for case in cases:
        t = case.arrays["t"].copy()
        t[0, :3] = -1.0
        out.append(case.with_arrays(t=t))
    return out


def faults() -> list[Fault]:
    """Every planted fault of this family."""
    c = planted.cases
    F = Fault
    pairs, label = c("pairs"), c("labels")
    return [
        F(
            "times N",
            "sum_against_mean",
            planted.cross_entropy,
            times(planted.cross_entropy, lambda o, x, t: x.shape[0]),
            label,
            "number of rows",
        ),
        F(
            "times elements",
            "sum_against_mean",
            planted.mse,
            times(planted.mse, lambda o, x, y: x.shape[0] * x.shape[1]),
            pairs,
            "number of elements",
        ),
        F(
            "times C",
            "mean_against_batchmean",
            planted.mse,
            times(planted.mse, lambda o, x, y: x.shape[1]),
            pairs,
            "classes",
        ),
        F("half", "factor", planted.mse, times(planted.mse, lambda o, x, y: 0.5), pairs, "1/2"),
        F("twice", "factor", planted.cosine, times(planted.cosine, lambda o, x, y: 2.0), pairs, "2"),
        F(
            "in bits",
            "factor",
            planted.cross_entropy,
            times(planted.cross_entropy, lambda o, x, t: 1 / float(np.log(2))),
            label,
            "ln 2",
        ),
        F("over delta", "factor", planted.huber, huber_over_delta, c("pairs", delta=0.7), "delta"),
        F(
            "temperature squared missing",
            "factor",
            planted.kl_logits,
            kl_no_squared,
            c("pairs", temperature=3.0),
            "temperature squared",
        ),
        F(
            "times beta",
            "factor",
            planted.dpo,
            times(planted.dpo, lambda o, c, r, beta=0.3: beta),
            renamed(c("vectors", beta=0.3)),
            "beta",
        ),
        F(
            "world size",
            "factor",
            planted.mse,
            lambda o, x, y, world_size=8: planted.mse(o, x, y) / world_size,
            c("pairs", world_size=8),
            "world_size",
        ),
        F("a constant", "factor", planted.mse, times(planted.mse, lambda o, x, y: 0.37), pairs, "constant"),
        F("masked sum", "sum_against_mean", planted.masked_lm, lm_sum, c("masked"), "unmasked"),
        F(
            "weights of labels",
            "sum_against_mean",
            planted.weighted_ce,
            weighted_ce_sum,
            c("weighted"),
            "sum of the class weights",
        ),
        F("kl mean", "mean_against_batchmean", planted.kl_div, kl_mean, c("distributions"), "classes"),
        F("mean of means", "mean_of_means", planted.masked_lm, lm_mean_of_means, c("masked")),
        F(
            "ignored counted",
            "ignored_in_denominator",
            planted.nll_ignore,
            nll_unmasked_denominator,
            c("ignored", ignore_index=-100),
            "not ignored",
        ),
        F(
            "masked counted",
            "ignored_in_denominator",
            planted.masked_lm,
            lm_all_in_denominator,
            c("masked"),
            "unmasked",
        ),
        F(
            "weights not in denominator",
            "weights_in_denominator",
            planted.weighted_ce,
            weighted_ce_mean,
            c("weighted"),
        ),
        F("minus", "sign", planted.cosine, times(planted.cosine, lambda o, x, y: -1.0), pairs),
        F("similarity", "sign", planted.cosine, cosine_similarity, pairs),
        F("unbiased", "biased_variance", planted.vicreg_variance, vicreg_unbiased, c("logits")),
        F("unbiased alone", "biased_variance", variance, variance_unbiased, c("logits")),
        F(
            "constant term",
            "additive_constant",
            planted.gaussian_nll,
            gaussian_constant,
            c("variances"),
            "log(2 pi)/2",
        ),
        F("Stirling", "missing_term", planted.poisson, poisson_stirling, c("counts"), "t"),
        F(
            "entropy of the target",
            "missing_term",
            kl_const,
            kl_no_entropy,
            [replace(x, wrt=("x",)) for x in c("distributions")],
            "q",
        ),
        F("outer product", "wrong_shape", planted.mse, mse_outer, c("vectors"), "broadcast"),
        F("kept dimension", "wrong_shape", mse_rows_flat, mse_rows, pairs, "dimension"),
        F("not reduced", "wrong_shape", planted.mse, mse_none, pairs, "mean"),
        F("vectors not reduced", "wrong_shape", planted.mse, mse_none, c("vectors"), "mean"),
        F("root", "wrong_power", planted.mse, rmse, pairs, "square"),
        F("mask not used", "argument_unused", planted.masked_lm, lm_no_mask, c("masked"), "mask", alone=True),
        F("marked counted", "ignored_in_denominator", bce_marked, bce_marked_mean, _marked(c("binary")), "part in"),
        F("shifted counted", "ignored_in_denominator", next_label, next_label_over_all, label, "part in"),
        F("tokens by rows", "mean_against_batchmean", planted.masked_lm, lm_rows, c("masked"), "unmasked"),
    ]
