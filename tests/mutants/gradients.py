"""Mutants whose value is right, and whose derivatives are wrong: of first, second and third order, by one argument."""

from __future__ import annotations

from tests.mutants import conditions as c
from tests.mutants import operations as o
from tests.mutants.model import Mutant
from tests.mutants.templates import both


def first_order() -> list[Mutant]:
    """Return those with a wrong first derivative."""
    return [
        *(m for by in (0.0, -1.0, 1 + 1e-3, 2.0) for m in both("mse_loss", o.gradient("target", by))),
        *(
            m
            for by in (0.0, -1.0, 1 + 1e-3)
            for m in both("binary_cross_entropy_with_logits", o.gradient("pos_weight", by))
        ),
        *both("binary_cross_entropy_with_logits", o.gradient("weight", 1 + 1e-3)),
        *both("binary_cross_entropy", o.gradient("weight", 1 + 1e-3)),
        *both("cross_entropy", o.gradient("weight", 1 + 1e-3)),
        *both("nll_loss", o.gradient("weight", 0.0)),
        *both("l1_loss", o.gradient("weight", 1 + 1e-2)),
        *both("huber_loss", o.gradient("weight", -1.0)),
        *both("multi_margin_loss", o.gradient("weight", 2.0)),
        *both("linear_cross_entropy", o.gradient("weight", 0.0)),
        *both("linear_cross_entropy", o.gradient("linear_bias", 1 + 1e-3)),
        *both("gaussian_nll_loss", o.gradient("var", 1 + 1e-3)),
        *both("td_semi_gradient_loss", o.gradient("input", 1 + 1e-3)),
        *both("td_semi_gradient_loss", o.gradient_added("reward", 1e-2)),
        *both("td_semi_gradient_loss", o.gradient_added("next_value", 1e-2)),
        *both("sigmoid_focal_loss", o.gradient_added("target", 1e-2)),
        *both("soft_margin_loss", o.gradient_added("target", 1e-2)),
        *both("cross_entropy", o.gradient("target", 0.0)),
        *both("cross_entropy", o.gradient_added("input", 1e-4)),
        *both("poisson_nll_loss", o.gradient("input", 1 + 1e-3, "last row")),
        *both("dice_loss", o.gradient("target", 1 + 1e-3, "first row")),
        *both("triplet_margin_loss", o.gradient("negative", 1 + 1e-3, "last element")),
        *both("cross_entropy", o.gradient("input", 1 + 1e-3, "last class")),
        *both("ctc_loss", o.gradient("log_probs", 1 + 1e-3, "last element")),
        *both("multi_margin_loss", o.gradient("input", 0.0, "first class")),
        *both("hinge_loss", o.gradient("target", 0.0)),
        *both("huber_loss", o.gradient("input", 2.0), c.reduction("sum")),
        *both("nll_loss", o.gradient("input", 2.0), c.reduction("none")),
        *both("smooth_l1_loss", o.gradient("target", -1.0), c.reduction("sum")),
        *both("cosine_embedding_loss", o.gradient("input2", 0.0), c.reduction("sum")),
        *both("kl_div", o.gradient("target", 1.01), c.reduction("batchmean")),
        *both("triplet_margin_loss", o.gradient("positive", 1.01), c.together(c.reduction("sum"), c.dtype("float64"))),
        *both("binary_cross_entropy", o.gradient("target", 1.05), c.together(c.reduction("sum"), c.dtype("bfloat16"))),
        *both("quantile_loss", o.gradient("target", 1.05), c.dtype("float16")),
        *both("gaussian_nll_loss", o.gradient("target", 1.01), c.together(c.reduction("none"), c.dtype("float64"))),
        *both("poisson_nll_loss", o.gradient("target", 1.01), c.together(c.reduction("none"), c.dtype("bfloat16"))),
        *both("cross_entropy", o.gradient("weight", 1.01), c.reduction("sum")),
        *both("mse_loss", o.gradient("weight", 1.01), c.together(c.reduction("sum"), c.dtype("float64"))),
        *both("binary_cross_entropy_with_logits", o.gradient("pos_weight", 1.05), c.reduction("none")),
    ]


def higher_order() -> list[Mutant]:
    """Return those with right first derivatives, and wrong ones beyond."""
    return [
        *both("mse_loss", o.second("input", 0.1)),
        *both("mse_loss", o.second("target", 0.1)),
        *both("cross_entropy", o.second("input", 1e-2)),
        *both("cross_entropy", o.second("weight", 1e-2)),
        *both("gaussian_nll_loss", o.second("var", 0.1)),
        *both("triplet_margin_loss", o.second("negative", 0.1)),
        *both("linear_cross_entropy", o.second("linear_weight", 0.1)),
        *both("td_semi_gradient_loss", o.second("next_value", 0.1)),
        *both("kl_div", o.second("input", 0.1), c.reduction("sum")),
        *both("soft_margin_loss", o.second("input", 0.1), c.dtype("float64")),
        *both("ctc_loss", o.second("log_probs", 0.1), c.reduction("sum")),
        *both("poisson_nll_loss", o.second("input", 0.1), c.reduction("none")),
        *both("dice_loss", o.off_diagonal("input", 0.1)),
        *both("huber_loss", o.mixed("input", "target", 0.1)),
        *both("binary_cross_entropy_with_logits", o.mixed("input", "pos_weight", 0.1)),
        *both("linear_cross_entropy", o.mixed("input", "linear_weight", 0.1)),
        *both("gaussian_nll_loss", o.mixed("input", "var", 0.1)),
        *both("mse_loss", o.third("input", 0.1)),
        *both("cross_entropy", o.third("input", 0.1)),
        *both("poisson_nll_loss", o.third("input", 0.1)),
        *both("binary_cross_entropy_with_logits", o.frozen_gradient("input")),
        *both("sigmoid_focal_loss", o.frozen_gradient("input")),
        *both("kl_div", o.frozen_gradient("target")),
        *both("ntxent_loss", o.second("input", 0.1), c.dtype("float64")),
        *both("smooth_l1_loss", o.second("input", 0.1), c.option("beta", lambda v: v == 0, "=0")),
    ]


def forward_mode() -> list[Mutant]:
    """Return those with a wrong forward mode alone."""
    return [
        *both("mse_loss", o.tangent("input", 1.01)),
        *both("l1_loss", o.tangent("target", 0.0)),
        *both("kl_div", o.tangent("input", -1.0), c.reduction("mean")),
        *both("cross_entropy", o.tangent("input", 1.01), c.reduction("sum")),
        *both("quantile_loss", o.tangent("input", 1.05), c.dtype("float64")),
        *both("cosine_embedding_loss", o.tangent("input2", 2.0), c.option("margin", lambda v: v == 0.5, "=0.5")),
    ]


def mutants() -> list[Mutant]:
    """Return all."""
    return [*first_order(), *higher_order(), *forward_mode()]
