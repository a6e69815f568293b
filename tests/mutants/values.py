"""Mutants whose value is wrong."""

from __future__ import annotations

from tests.mutants import conditions as c
from tests.mutants import operations as o
from tests.mutants.model import Mutant
from tests.mutants.templates import both, in_jax, in_torch

DTYPES = ("float64", "float32", "bfloat16", "float16")


def everywhere() -> list[Mutant]:
    """Return those that are wrong in all calls, or with one reduction."""
    return [
        *both("mse_loss", o.scaled(1 + 1e-3)),
        *both("cross_entropy", o.scaled(1 + 1e-5)),
        *both("dice_loss", o.offset(1e-4)),
        *both("hinge_loss", o.scaled(-1)),
        *both("kl_div", o.last_element(1 + 1e-3)),
        *both("poisson_nll_loss", o.last_element(0.0)),
        *both("huber_loss", o.coupled(1e-3)),
        *both("quantile_loss", o.one_less()),
        *both("cross_entropy", o.another_reduction("mean", "sum")),
        *both("binary_cross_entropy", o.another_reduction("sum", "mean")),
        *both("kl_div", o.another_reduction("batchmean", "mean")),
        *both("ctc_loss", o.another_reduction("mean", "sum")),
        *both("cross_entropy", o.unweighted_mean(), c.given("weight")),
        *both("mse_loss", o.unweighted_mean()),
        *both("nll_loss", o.unweighted_mean()),
        *both("linear_cross_entropy", o.unweighted_mean()),
        *both("l1_loss", o.one_axis_more(), c.reduction("sum")),
        *both("triplet_margin_loss", o.detached()),
        *both("smooth_l1_loss", o.detached(), c.reduction("none")),
        *both("binary_cross_entropy_with_logits", o.nan_for_infinity()),
        *both("mse_loss", o.zero_for_nan()),
        *both("cross_entropy", o.argument_without_nan("input")),
        *both("l1_loss", o.clipped(least=1e-6)),
        *both("nll_loss", o.clipped(most=100.0)),
        *both("binary_cross_entropy_with_logits", o.argument_clipped("input", -88.0, 88.0)),
        *both("kl_div", o.argument_clipped("target", least=1e-8)),
        *both("binary_cross_entropy", o.argument_clipped("input", 1e-7, 1 - 1e-7)),
        *both("soft_margin_loss", o.rounded_to("float16"), c.dtype("float32")),
        *both("gaussian_nll_loss", o.computed_in("float32"), c.dtype("float64")),
        *both("ntxent_loss", o.computed_in("bfloat16"), c.dtype("float16")),
        *both("sigmoid_focal_loss", o.cast_to("float32"), c.dtype("bfloat16")),
        *both("cosine_embedding_loss", o.cast_to("float16"), c.dtype("float32")),
    ]


def by_reduction_and_dtype() -> list[Mutant]:
    """Return those that are wrong with one reduction, in one dtype, or with both."""
    return [
        *(m for name in ("none", "mean", "sum") for m in both("smooth_l1_loss", o.scaled(1.01), c.reduction(name))),
        *(m for name in ("none", "mean", "sum") for m in both("multi_margin_loss", o.offset(0.5), c.reduction(name))),
        *both("kl_div", o.scaled(1.01), c.reduction("batchmean")),
        *(m for name in DTYPES for m in both("quantile_loss", o.scaled(1.05), c.dtype(name))),
        *(
            m
            for name in DTYPES
            for m in both("ctc_loss", o.scaled(1.05), c.together(c.reduction("sum"), c.dtype(name)))
        ),
        *both("td_semi_gradient_loss", o.scaled(1 + 2e-6), c.dtype("float64")),
        *both("dice_loss", o.scaled(1 + 2e-2), c.together(c.reduction("mean"), c.dtype("float16"))),
        *in_torch("mse_loss", o.scaled(1.01), c.dtypes_differ("input", "weight")),
        *in_torch("binary_cross_entropy_with_logits", o.scaled(1.01), c.dtypes_differ("input", "target")),
        *both("cross_entropy", o.scaled(1.01), c.dtype_of("target", "uint8")),
        *both("hinge_loss", o.scaled(1.01), c.dtype_of("target", "int32")),
        *both("soft_margin_loss", o.offset(0.1), c.dtype_of("target", "int64")),
        *in_torch("nll_loss", o.scaled(1.01), c.dtype_of("target", "uint8")),
    ]


def by_size() -> list[Mutant]:
    """Return those that are wrong for some shapes."""
    return [
        *both("mse_loss", o.scaled(1.01), c.numel_over(30)),
        *both("l1_loss", o.scaled(1.01), c.numel_over(1000)),
        *both("huber_loss", o.gradient("input", 1.01), c.numel_over(4096)),
        *both("cross_entropy", o.scaled(1.01), c.rows_over(64)),
        *both("triplet_margin_loss", o.gradient("anchor", 0.0), c.rows_over(64)),
        *both("ntxent_loss", o.scaled(1.01), c.rows_over(8)),
        *both("cross_entropy", o.scaled(1.01), c.classes_over(8)),
        *both("nll_loss", o.scaled(1.01), c.classes_over(128)),
        *both("linear_cross_entropy", o.gradient("linear_weight", 1.01), c.numel_over(100)),
        *both("multi_margin_loss", o.scaled(1.01), c.classes_over(1024)),
        *both("multi_margin_loss", o.offset(0.5), c.classes_are(1)),
        *both("cross_entropy", o.offset(0.5), c.classes_are(1)),
        *both("cross_entropy", o.scaled(1.01), c.classes_are(2)),
        *both("ctc_loss", o.scaled(1.01), c.rows_over(10)),
        *both("mse_loss", o.scaled(1.01), c.rank(0)),
        *both("poisson_nll_loss", o.scaled(1.01), c.rank(1)),
        *both("binary_cross_entropy", o.scaled(1.01), c.rank(3)),
        *both("smooth_l1_loss", o.scaled(1.01), c.rank(4)),
        *both("cross_entropy", o.scaled(1.01), c.rank(4)),
        *both("nll_loss", o.scaled(1.01), c.rank(5)),
        *both("gaussian_nll_loss", o.gradient("var", 0.0), c.rank(3)),
        *both("sigmoid_focal_loss", o.gradient("input", 1.01), c.rank(0)),
        *both("hinge_loss", o.scaled(1.01), c.rows_are(1)),
        *both("quantile_loss", o.one_axis_more(), c.together(c.reduction("sum"), c.rows_are(0))),
        *both("td_semi_gradient_loss", o.scaled(1.01), c.odd_rows()),
        *both("dice_loss", o.another_reduction("mean", "sum"), c.rows_are(0)),
        *both("kl_div", o.gradient("target", 1.01), c.together(c.reduction("batchmean"), c.rank(3))),
        *both("cosine_embedding_loss", o.scaled(1.01), c.classes_over(16)),
        *both("dice_loss", o.scaled(1.01), c.rank(4)),
    ]


def by_values() -> list[Mutant]:
    """Return those that are wrong for some values."""
    return [
        *both("mse_loss", o.scaled(1.01), c.some_beyond(100)),
        *both("soft_margin_loss", o.scaled(1.01), c.some_beyond(1e4)),
        *both("cross_entropy", o.gradient("input", 1.01), c.some_beyond(100)),
        *both("l1_loss", o.scaled(1.01), c.some_below(1e-4)),
        *both("cosine_embedding_loss", o.gradient("input1", 0.0), c.some_below(1e-4)),
        *both("cross_entropy", o.scaled(1.01), c.tied(1)),
        *both("multi_margin_loss", o.gradient("input", 2.0), c.tied(1)),
        *both("huber_loss", o.gradient("input", 0.5), c.error_is(1.0)),
        *both("l1_loss", o.gradient_added("input", 1.0), c.error_is(0.0)),
        *both("binary_cross_entropy_with_logits", o.scaled(2.0), c.some_infinite()),
        *both("poisson_nll_loss", o.zero_for_nan(), c.some_nan("target")),
        *both("nll_loss", o.gradient("input", 1.01), c.last_class()),
        *both("cross_entropy", o.scaled(1.01), c.one_class()),
        *both("cross_entropy", o.offset(1.0), c.all_equal(-100, "target")),
        *both("nll_loss", o.zero_for_nan(), c.all_equal(-100, "target")),
        *both("mse_loss", o.zero_for_nan(), c.all_zero("weight")),
        *both("linear_cross_entropy", o.zero_for_nan(), c.all_zero("weight")),
        *both("binary_cross_entropy", o.gradient("weight", 0.0), c.all_zero("weight")),
        *both("binary_cross_entropy", o.offset(0.01), c.some_equal(1.0, "input")),
        *both("kl_div", o.offset(0.01), c.some_zero("target")),
        *both("poisson_nll_loss", o.gradient("target", 0.0), c.some_zero("target")),
        *both("gaussian_nll_loss", o.gradient("var", 0.0), c.some_below(1e-6, "var")),
        *both("sigmoid_focal_loss", o.scaled(1.01), c.subnormal()),
        *both("dice_loss", o.offset(0.5), c.all_zero("target")),
        *both("dice_loss", o.offset(0.5), c.all_equal(1.0, "target")),
        *both("cross_entropy", o.scaled(2.0), c.some_equal(0, "weight")),
        *both("ctc_loss", o.scaled(1.5), c.all_zero("target_lengths")),
        *both("triplet_margin_loss", o.gradient("negative", 0.0), c.some_infinite("negative")),
        *both("ntxent_loss", o.offset(0.1), c.one_class()),
        *in_torch("soft_margin_loss", o.gradient("input", 0.0), c.some_beyond(60)),
        *in_jax("soft_margin_loss", o.gradient("input", 0.0), c.some_beyond(60)),
    ]


def mutants() -> list[Mutant]:
    """Return all."""
    return [*everywhere(), *by_reduction_and_dtype(), *by_size(), *by_values()]
