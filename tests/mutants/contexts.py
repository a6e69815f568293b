"""Mutants that are wrong in one context: an option, a transformation, a mode, a kind of memory; and impure ones."""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from typing import Any

import numpy as np

from tests.mutants import conditions as c
from tests.mutants import modes as m
from tests.mutants import operations as o
from tests.mutants.model import Mutant
from tests.mutants.templates import both, in_jax, in_torch


def options() -> list[Mutant]:
    """Return those that are wrong with some values of an option, or with an option and a tensor together."""
    smooth = c.option("label_smoothing", lambda v: v > 0, ">0")
    return [
        *both("cross_entropy", o.scaled(1.01), c.option("label_smoothing", lambda v: v > 0.3, ">0.3")),
        *both("cross_entropy", o.scaled(1.01), c.option("label_smoothing", lambda v: v == 1, "=1")),
        *both("cross_entropy", o.scaled(1.01), c.together(smooth, c.given("weight"))),
        *both("cross_entropy", o.gradient("weight", 0.0), c.together(smooth, c.given("weight"))),
        *both("cross_entropy", o.unweighted_mean(), c.together(smooth, c.not_given("weight"))),
        *both("cross_entropy", o.scaled(1.01), c.option("ignore_index", lambda v: v >= 0, ">=0")),
        *both("cross_entropy", o.dropped("ignore_index"),
              c.together(c.option("ignore_index", lambda v: v >= 0, ">=0"), c.given("weight"))),
        *both("nll_loss", o.dropped("ignore_index"), c.option("ignore_index", lambda v: v >= 0, ">=0")),
        *both("nll_loss", o.scaled(1.01),
              c.together(c.option("ignore_index", lambda v: v >= 0, ">=0"), c.given("weight"))),
        *both("nll_loss", o.scaled(1.01), c.option("ignore_index", lambda v: v < -100, "<-100")),
        *both("smooth_l1_loss", o.scaled(1.01), c.option("beta", lambda v: 0 < v < 0.5, " in (0,0.5)")),
        *both("smooth_l1_loss", o.scaled(1.01), c.option("beta", lambda v: v > 1, ">1")),
        *both("huber_loss", o.scaled(1.01), c.option("delta", lambda v: v > 1, ">1")),
        *both("huber_loss", o.gradient("input", 1.01), c.option("delta", lambda v: v == float("inf"), "=inf")),
        *both("huber_loss", o.dropped("delta"), c.given("weight")),
        *both("triplet_margin_loss", o.scaled(1.01), c.option("p", lambda v: v == 1, "=1")),
        *both("triplet_margin_loss", o.scaled(1.01), c.option("p", lambda v: v == 3, "=3")),
        *both("triplet_margin_loss", o.dropped("swap"), c.option("p", lambda v: v != 2, "!=2")),
        *both("triplet_margin_loss", o.scaled(1.01), c.option("margin", lambda v: v > 2, ">2")),
        *both("triplet_margin_loss", o.dropped("eps")),
        *both("cosine_embedding_loss", o.scaled(1.01), c.option("margin", lambda v: v < 0, "<0")),
        *both("cosine_embedding_loss", o.dropped("margin"), c.dtype_of("target", "int64")),
        *both("multi_margin_loss", o.scaled(1.01), c.option("margin", lambda v: v < 0, "<0")),
        *both("multi_margin_loss", o.scaled(1.01),
              c.together(c.option("p", lambda v: v == 2, "=2"), c.given("weight"))),
        *both("multi_margin_loss", o.option("p", lambda v: 1, "2 taken for 1"), c.given("weight")),
        *both("sigmoid_focal_loss", o.scaled(1.01), c.option("gamma", lambda v: v == 0, "=0")),
        *both("sigmoid_focal_loss", o.gradient("input", 1.01), c.option("gamma", lambda v: v > 2, ">2")),
        *both("sigmoid_focal_loss", o.scaled(1.01), c.option("alpha", lambda v: v > 0.5, ">0.5")),
        *both("sigmoid_focal_loss", o.option("alpha", lambda v: 0.25, "0 taken for 0.25"),
              c.option("alpha", lambda v: v == 0, "=0")),
        *both("ntxent_loss", o.scaled(1.01), c.option("temperature", lambda v: v < 0.05, "<0.05")),
        *both("ntxent_loss", o.scaled(1.01), c.option("temperature", lambda v: v > 1, ">1")),
        *both("ntxent_loss", o.dropped("temperature")),
        *both("quantile_loss", o.option("quantile", lambda v: 1 - v, "1-q"),
              c.option("quantile", lambda v: v < 0.2, "<0.2")),
        *both("quantile_loss", o.scaled(1.01), c.option("quantile", lambda v: v == 0.5, "=0.5")),
        *both("dice_loss", o.scaled(1.01), c.option("smooth", lambda v: v > 1, ">1")),
        *both("dice_loss", o.scaled(1.01),
              c.together(c.option("from_logits", bool, ""), c.option("smooth", lambda v: v == 0, "=0"))),
        *both("gaussian_nll_loss", o.dropped("eps"), c.option("full", bool, "")),
        *both("gaussian_nll_loss", o.dropped("full"), c.option("eps", lambda v: v < 1e-3, "<1e-3")),
        *both("poisson_nll_loss", o.dropped("eps")),
        *both("poisson_nll_loss", o.dropped("full"), c.option("log_input", lambda v: not v, "=False")),
        *both("poisson_nll_loss", o.scaled(1.01), c.option("eps", lambda v: v == 0, "=0")),
        *both("ctc_loss", o.scaled(1.01), c.option("blank", lambda v: v > 0, ">0")),
        *both("ctc_loss", o.dropped("zero_infinity")),
        *both("ctc_loss", o.scaled(1.01), c.together(
            c.option("zero_infinity", bool, ""), c.reduction("sum"))),
        *both("linear_cross_entropy", o.scaled(1.01), c.together(smooth, c.given("weight"))),
        *both("linear_cross_entropy", o.gradient("linear_bias", 0.0),
              c.together(c.option("chunk_size", lambda v: v > 2, ">2"), c.given("linear_bias"))),
        *both("linear_cross_entropy", o.scaled(1.01), c.option("ignore_index", lambda v: v >= 0, ">=0")),
        *both("td_semi_gradient_loss", o.scaled(1.01), c.option("discount", lambda v: v == 0, "=0")),
        *both("td_semi_gradient_loss", o.dropped("done"), c.reduction("sum")),
        *both("binary_cross_entropy_with_logits", o.dropped("pos_weight"), c.reduction("none")),
        *both("binary_cross_entropy_with_logits", o.dropped("weight"),
              c.together(c.given("pos_weight"), c.reduction("sum"))),
        *both("kl_div", o.scaled(1.01), c.together(c.option("log_target", bool, ""), c.reduction("batchmean"))),
        *both("kl_div", o.gradient("target", 0.0), c.option("log_target", bool, "")),
        *both("mse_loss", o.scaled(1.01), c.together(c.given("weight"), c.rank(3))),
        *both("l1_loss", o.unweighted_mean(), c.together(c.given("weight"), c.dtype("float16"))),
    ]  # fmt: skip


def transformations() -> list[Mutant]:
    """Return those that are wrong under a transformation or outside of one."""
    return [
        *both("mse_loss", o.gradient("input", 1.01), m.mapped()),
        *both("cross_entropy", o.scaled(1.01), m.mapped()),
        *both("kl_div", o.gradient("target", 1.01), c.together(m.mapped(), c.dtype("float64"))),
        *in_torch("huber_loss", o.scaled(1.01), m.compiled()),
        *in_torch("poisson_nll_loss", o.gradient("target", 1.01), m.compiled()),
        *in_torch("smooth_l1_loss", o.gradient("input", 1.01), c.together(m.compiled(), c.dtype("float64"))),
        *in_torch("triplet_margin_loss", o.scaled(1.01),
                  c.together(m.compiled(), c.option("swap", bool, ""))),
        *in_torch("quantile_loss", o.scaled(1.01), c.together(m.compiled(), c.reduction("sum"))),
        *in_torch("l1_loss", o.gradient("input", 1.01), m.not_compiled()),
        *in_torch("gaussian_nll_loss", o.gradient("var", 1.01), m.within("Grad")),
        *in_torch("nll_loss", o.gradient("input", 1.01), m.within("Jvp")),
        *in_torch("hinge_loss", o.scaled(1.01), m.within("Vmap")),
        *in_torch("soft_margin_loss", o.gradient("input", 1.01), m.within("Grad", "Grad")),
        *in_torch("dice_loss", o.gradient("input", 1.01), m.within("Vmap", "Jvp")),
        *in_jax("l1_loss", o.scaled(1.01), m.concrete_values()),
        *in_jax("cross_entropy", o.gradient("input", 1.01), m.concrete_values()),
    ]  # fmt: skip


def modes() -> list[Mutant]:
    """Return those that are wrong in a mode of a framework, or for a kind of array or memory."""
    return [
        *in_torch("mse_loss", o.scaled(1.01), m.no_grad()),
        *in_torch("cross_entropy", o.scaled(1.01), m.inference_mode()),
        *in_torch("nll_loss", o.cast_to("float16"), m.autocast()),
        *in_torch("ntxent_loss", o.scaled(1.01), m.autocast()),
        *in_torch("huber_loss", o.cast_to("float64"), m.default_dtype("float64")),
        *in_torch("kl_div", o.scaled(1.01), m.many_threads()),
        *in_torch("ctc_loss", o.scaled(1.01), m.deterministic()),
        *in_torch("l1_loss", o.scaled(1.01), m.gradient_not_asked()),
        *in_torch("smooth_l1_loss", o.scaled(1.01), m.gradient_asked("target")),
        *in_torch("binary_cross_entropy", o.gradient("input", 0.0), m.only_gradient_asked("input")),
        *in_torch("binary_cross_entropy_with_logits", o.gradient("target", 1.01), m.only_gradient_asked("target")),
        *in_torch("cosine_embedding_loss", o.gradient("input1", 1.01), m.not_a_leaf()),
        *in_torch("mse_loss", o.scaled(1.01), c.noncontiguous()),
        *in_torch("cross_entropy", o.gradient("input", 1.01), c.noncontiguous()),
        *in_torch("gaussian_nll_loss", o.scaled(1.01), c.noncontiguous("var")),
        *in_torch("poisson_nll_loss", o.gradient("target", 1.01), c.noncontiguous("target")),
        *in_torch("binary_cross_entropy_with_logits", o.scaled(1.01), c.expanded("pos_weight")),
        *in_torch("mse_loss", o.gradient("target", 1.01), c.expanded("target")),
        *in_torch("l1_loss", o.scaled(1.01), c.with_offset()),
        *in_torch("sigmoid_focal_loss", o.gradient("input", 1.01), c.with_offset()),
        *in_torch("cross_entropy", o.scaled(1.01), c.channels_last()),
        *in_torch("linear_cross_entropy", o.gradient("linear_weight", 1.01), c.parameter("linear_weight")),
        *in_torch("triplet_margin_loss", o.scaled(1.01), c.parameter()),
        *in_jax("mse_loss", o.scaled(1.01), c.numpy_array()),
        *in_jax("cross_entropy", o.scaled(1.01), c.numpy_array("target")),
        *in_jax("quantile_loss", o.scaled(1.01), c.weak_type("target")),
        *in_jax("kl_div", o.scaled(1.01), m.x64_with("float32")),
        *in_jax("cross_entropy", o.cast_to("float32"), m.x64_with("bfloat16")),
        *in_jax("huber_loss", o.scaled(1.01), m.standard_promotion()),
        *both("smooth_l1_loss", o.scaled(1.01), m.positional()),
        *both("hinge_loss", o.another_reduction("mean", "sum"), m.left_out("reduction")),
        *both("cosine_embedding_loss", o.scaled(1.01), m.left_out("margin")),
    ]


def _writes(name: str, condition: c.Condition = c.ALWAYS) -> list[Mutant]:
    def write(f: Any, given: dict[str, Any]) -> None:
        if f.is_floating(given[name]):
            given[name].detach().mul_(1.5)

    return in_torch("mse_loss", o.effect(f"writes-{name}", write), condition)


def _state(loss: str, text: str, act: Any, condition: c.Condition = c.ALWAYS, where: Any = both) -> list[Mutant]:
    return list(where(loss, o.effect(text, lambda f, given: act(f, given)), condition))


def impurities() -> list[Mutant]:
    """Return those that change, or depend on, what is not theirs."""
    return [
        *_writes("input"),
        *_writes("target", c.dtype("bfloat16")),
        *_writes("weight", c.reduction("sum")),
        *_writes("target", c.rank(3)),
        *_writes("input", m.no_grad()),
        *_writes("target", c.expanded("target")),
        *_state("l1_loss", "draws-a-random-number", lambda f, _: f.np.rand(1), where=in_torch),
        *_state("cross_entropy", "draws-a-random-number", lambda f, _: f.np.rand(1), c.given("weight"), in_torch),
        *_state("kl_div", "draws-from-numpy", lambda f, _: np.random.rand()),  # noqa: NPY002
        *_state("hinge_loss", "draws-from-python", lambda f, _: random.random()),
        *_state("huber_loss", "sets-default-dtype", lambda f, _: f.np.set_default_dtype(f.np.float64),
                c.dtype("float64"), in_torch),
        *_state("nll_loss", "sets-grad-mode", lambda f, _: f.np._C._set_grad_enabled(False), c.rows_are(0), in_torch),
        *_state("quantile_loss", "sets-number-of-threads", lambda f, _: f.np.set_num_threads(2), where=in_torch),
        *_state("dice_loss", "ignores-numpy-errors", lambda f, _: np.seterr(all="ignore")),
        *_state("ctc_loss", "ignores-warnings", lambda f, _: warnings.simplefilter("always")),
        *_state("poisson_nll_loss", "sets-a-variable", lambda f, _: os.environ.update(PLANTED="1")),
        *_state("soft_margin_loss", "sets-recursion-limit", lambda f, _: sys.setrecursionlimit(5000)),
        *_state("td_semi_gradient_loss", "sets-a-handler", lambda f, _: signal.signal(signal.SIGALRM, signal.SIG_IGN)),
        *_state("mse_loss", "enables-x64", lambda f, _: f.jax.config.update("jax_enable_x64", True),
                c.dtype("float32"), in_jax),
        *_state("binary_cross_entropy", "asks-gradient-of-target", lambda f, given: given["target"].requires_grad_(),
                c.together(m.not_compiled(), m.gradient_not_asked()), in_torch),
        *_state("binary_cross_entropy_with_logits", "hooks-the-gradient-of-input",
                lambda f, given: given["input"].register_hook(lambda grad: grad * 1.01),
                c.together(m.not_compiled(), m.gradient_asked("input")), in_torch),
        *_state("cosine_embedding_loss", "prints", lambda f, _: sys.stdout.write("a value\n")),
        *_state("sigmoid_focal_loss", "warns", lambda f, _: warnings.warn("a warning", stacklevel=2)),
        *_state("linear_cross_entropy", "reads-a-value", lambda f, given: float(given["input"].sum()), where=both),
        *in_torch("mse_loss", o.counting(2, 1.01)),
        *in_torch("cross_entropy", o.counting(1000, 1.01)),
        *in_jax("kl_div", o.counting(3, 1.01)),
        *in_torch("nll_loss", o.remembered("input")),
        *in_torch("gaussian_nll_loss", o.remembered("var")),
        *both("poisson_nll_loss", o.coupled(1e-2), c.rows_are(1)),
        *both("triplet_margin_loss", o.coupled(1e-2), c.together(c.reduction("none"), c.dtype("float64"))),
        *both("td_semi_gradient_loss", o.coupled(1e-2), c.rows_over(6)),
    ]  # fmt: skip


def mutants() -> list[Mutant]:
    """Return all."""
    return [*options(), *transformations(), *modes(), *impurities()]
