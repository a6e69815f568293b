"""Faults, each planted in a loss: the healthy one, the faulty one, the inputs, and the cause to be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import faulty
import numpy as np
import planted

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


def _zeros(cases: list[Case]) -> list[Case]:
    return with_case(cases, "zeros", **{n: np.zeros_like(a) for n, a in cases[0].arrays.items()})


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
        F("over delta", "factor", planted.huber, faulty.huber_over_delta, c("pairs", delta=0.7), "delta"),
        F(
            "temperature squared missing",
            "factor",
            planted.kl_logits,
            faulty.kl_no_squared,
            c("pairs", temperature=3.0),
            "temperature squared",
        ),
        F(
            "times beta",
            "factor",
            planted.dpo,
            times(planted.dpo, lambda o, c, r, beta=0.3: beta),
            _renamed(c("vectors", beta=0.3)),
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
        F("masked sum", "sum_against_mean", planted.masked_lm, faulty.lm_sum, c("masked"), "unmasked"),
        F(
            "weights of labels",
            "sum_against_mean",
            planted.weighted_ce,
            faulty.weighted_ce_sum,
            c("weighted"),
            "sum of the class weights",
        ),
        F("kl mean", "mean_against_batchmean", planted.kl_div, faulty.kl_mean, c("distributions"), "classes"),
        F("mean of means", "mean_of_means", planted.masked_lm, faulty.lm_mean_of_means, c("masked")),
        F(
            "ignored counted",
            "ignored_in_denominator",
            planted.nll_ignore,
            faulty.nll_unmasked_denominator,
            c("ignored", ignore_index=-100),
            "not ignored",
        ),
        F(
            "masked counted",
            "ignored_in_denominator",
            planted.masked_lm,
            faulty.lm_all_in_denominator,
            c("masked"),
            "unmasked",
        ),
        F(
            "weights not in denominator",
            "weights_in_denominator",
            planted.weighted_ce,
            faulty.weighted_ce_mean,
            c("weighted"),
        ),
        F("minus", "sign", planted.cosine, times(planted.cosine, lambda o, x, y: -1.0), pairs),
        F("similarity", "sign", planted.cosine, faulty.cosine_similarity, pairs),
        F("swapped", "swapped_arguments", planted.quantile, faulty.quantile_swapped, c("pairs", q=0.45)),
        F("columns", "swapped_arguments", planted.contrastive, faulty.contrastive_columns, c("pairs", temperature=0.5)),
        F(
            "chosen and rejected",
            "swapped_arguments",
            planted.dpo,
            faulty.dpo_negated,
            _renamed(c("vectors", beta=0.3)),
        ),
        F(
            "no softmax",
            "logits_as_probabilities",
            planted.cross_entropy,
            faulty.nll_of_probabilities,
            label,
            alone=True,
        ),
        F("softmax twice", "probabilities_as_logits", planted.cross_entropy, faulty.ce_of_softmax, label),
        F("no log_softmax", "logits_as_log_probabilities", planted.cross_entropy, faulty.nll, label),
        F("sigmoid twice", "probabilities_as_logits", planted.bce_logits, faulty.bce_of_sigmoid, c("soft binary")),
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
            faulty.kl_of_probabilities,
            c("distributions"),
            alone=True,
        ),
        F("exp too often", "probabilities_as_log_probabilities", planted.kl_div, faulty.kl_exp, c("distributions")),
        F(
            "smoothing on others",
            "smoothing_convention",
            planted.smooth_ce,
            faulty.smooth_others,
            c("labels", label_smoothing=0.1),
            "0.1",
        ),
        F(
            "hard-coded smoothing",
            "smoothing_convention",
            faulty.smooth_hard_all,
            faulty.smooth_hard_others,
            label,
            "0.1",
        ),
        F("off by one", "labels_off_by_one", planted.cross_entropy, faulty.ce_off_by_one, label),
        F("wrapped", "labels_wrapped", faulty.ce_nan_outside, faulty.ce_wrapped, _with_labels(label, -1), alone=True),
        F("clamped", "labels_clamped", faulty.ce_nan_outside, faulty.ce_clamped, _with_labels(label, 9, 7), alone=True),
        F("flattened", "axis_transposed", planted.segmentation, faulty.segmentation_flat, c("images")),
        F("NHWC", "axis_transposed", planted.segmentation, faulty.segmentation_last, c("images")),
        F("other axis", "axis_transposed", planted.entropy, faulty.entropy_axis, c("logits")),
        F("detached", "detached", planted.mse, faulty.mse_detached, pairs, "y", alone=True),
        F(
            "stopped term",
            "detached",
            planted.focal,
            faulty.focal_stopped,
            c("binary", gamma=2.0, alpha=0.25),
            "x",
            alone=True,
        ),
        F("three times the gradient", "gradient_factor", planted.mse, faulty.scaled_gradient, pairs, "3", alone=True),
        F("half the gradient", "gradient_factor", planted.mse, faulty.half_gradient, pairs, "0.5", alone=True),
        F(
            "clipped gradient",
            "clipped_gradient",
            faulty.clipped_gradient_good,
            faulty.clipped_gradient,
            pairs,
            alone=True,
        ),
        F("clipped probabilities", "clipped_value", planted.bce, faulty.bce_clipped, c("probabilities"), alone=True),
        F("clipped value", "clipped_value", planted.cross_entropy, faulty.ce_clipped_value, label, alone=True),
        F("eps outside", "eps_placement", planted.charbonnier, faulty.charbonnier_outside, c("pairs", eps=1e-3)),
        F(
            "eps not squared",
            "option_convention",
            planted.charbonnier,
            faulty.charbonnier_eps,
            c("pairs", eps=1e-3),
            "squared",
        ),
        F("eps in a denominator", "eps_placement", planted.cosine, faulty.cosine_eps, pairs),
        F("eps in a logarithm", "eps_placement", planted.bce, faulty.bce_log_eps, c("probabilities")),
        F("eps in dice", "eps_placement", faulty.dice_eps_none, faulty.dice_eps_outside, c("binary")),
        F("unbiased", "biased_variance", planted.vicreg_variance, faulty.vicreg_unbiased, c("logits")),
        F("unbiased alone", "biased_variance", faulty.variance, faulty.variance_unbiased, c("logits")),
        F("float32 inside", "float32_inside_float64", planted.cross_entropy, faulty.ce_float32, label, alone=True),
        F(
            "float32 in the middle",
            "float32_inside_float64",
            planted.cross_entropy,
            faulty.ce_float32_inside,
            label,
            alone=True,
        ),
        F("low matmul", "low_matmul_precision", faulty.contrastive_plain, faulty.contrastive_low, pairs, alone=True),
        F("bf16 sum", "low_precision_accumulation", planted.mse, faulty.mse_bf16_sum, pairs, alone=True),
        F(
            "bf16 sum in float32",
            "low_precision_accumulation",
            planted.mse,
            faulty.mse_bf16_in_float32,
            pairs,
            alone=True,
        ),
        F("kink, both", "kink_convention", faulty.l1_negative, faulty.l1_positive, _ties(pairs)),
        F("hinge kink", "kink_convention", faulty.hinge_none, faulty.hinge_other, _on_margin(c("signs"))),
        F("zero norm", "nan_at_zero_norm", faulty.cosine_safe, planted.cosine, zero_row(pairs, "x"), alone=True),
        F(
            "zero distance",
            "nan_at_zero_norm",
            faulty.triplet_safe,
            planted.triplet,
            with_case(c("triplets"), "same", p=c("triplets")[0].arrays["a"]),
            alone=True,
        ),
        F("sqrt of a square", "nan_at_zero_norm", faulty.l1_negative, faulty.l1_sqrt, _ties(pairs), alone=True),
        F(
            "0 log 0",
            "zero_times_log_zero",
            faulty.xlogx_safe,
            faulty.xlogx,
            _saturated(c("probabilities")),
            alone=True,
        ),
        F(
            "where trap",
            "zero_times_log_zero",
            faulty.bce_no_trap,
            faulty.bce_where_trap,
            _zero_target(c("two probabilities")),
            alone=True,
        ),
        F("inf - inf", "inf_minus_inf", faulty.lse, faulty.lse_inf, _infinite(c("logits")), alone=True),
        F(
            "no max-shift",
            "overflow_without_max_shift",
            planted.cross_entropy,
            faulty.ce_no_shift,
            large(label, "x"),
            alone=True,
        ),
        F(
            "no max-shift in float32",
            "overflow_without_max_shift",
            planted.bce_logits,
            faulty.bce_no_shift,
            large(c("soft binary"), "x", 150.0),
            alone=True,
        ),
        F("lost digits", "lost_digits", planted.mse, faulty.expanded_mse, _near(pairs), alone=True),
        F("mutates", "argument_mutated", planted.mse, faulty.mutates, pairs, "x", alone=True, only="torch"),
        F("writes", "argument_mutated", planted.mse, faulty.writes, pairs, "x", alone=True, only="torch"),
        F("reversed", "swapped_arguments", planted.kl_div, faulty.kl_swapped, c("distributions")),
        F("zeros", "nan_at_zero_norm", faulty.cosine_safe, planted.cosine, _zeros(pairs), alone=True),
        F("random", "nondeterministic", planted.mse, faulty.noisy, pairs, alone=True),
        F(
            "constant term",
            "additive_constant",
            planted.gaussian_nll,
            faulty.gaussian_constant,
            c("variances"),
            "log(2 pi)/2",
        ),
        F("Stirling", "missing_term", planted.poisson, faulty.poisson_stirling, c("counts"), "t"),
        F(
            "entropy of the target",
            "missing_term",
            faulty.kl_const,
            faulty.kl_no_entropy,
            [replace(x, wrt=("x",)) for x in c("distributions")],
            "q",
        ),
        F("outer product", "wrong_shape", planted.mse, faulty.mse_outer, c("vectors"), "broadcast"),
        F("kept dimension", "wrong_shape", faulty.mse_rows_flat, faulty.mse_rows, pairs, "dimension"),
        F("not reduced", "wrong_shape", planted.mse, faulty.mse_none, pairs, "mean"),
        F("root", "wrong_power", planted.mse, faulty.rmse, pairs, "square"),
        F(
            "1 - alpha",
            "option_convention",
            planted.focal,
            faulty.focal_other,
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
        F("mask not used", "argument_unused", planted.masked_lm, faulty.lm_no_mask, c("masked"), "mask", alone=True),
    ]


def _renamed(cases: list[Case]) -> list[Case]:
    return [replace(x, arrays={"c": x.arrays["x"], "r": x.arrays["y"]}, wrt=("c", "r")) for x in cases]


def _near(cases: list[Case]) -> list[Case]:
    """Two large arguments close to each other."""
    x = cases[0].arrays["x"] + 300.0
    return with_case(cases, "near", x=x, y=x + 0.05)
