"""Mutants made by an edit of the source, of the kind that a person makes: a sign, a bound, an axis, a factor."""

from __future__ import annotations

from tests.mutants.model import Mutant
from tests.mutants.templates import edit, edit_both

STIRLING = "0.5 * NP.log(2 * math.pi * count)"


def elementwise() -> list[Mutant]:
    """Return edits of the losses of single elements."""
    return [
        *edit_both("mse_loss", "mean-over-count", "", "dtype, weights=weight)", "dtype)"),
        *edit("mse_loss", "torch", "weight-squared", "", "target) * weight", "target) * weight * weight"),
        *edit("mse_loss", "jax", "error-times-size", "ops.jax:squared_error", "error * error", "abs(error) * error"),
        *edit("mse_loss", "torch", "rounded-before-mean", "ops.torch:reduced_squared_error",
              "return torch._C._nn",
              "return squared_error(input, target).to(dtype).mean() if kernel == 1 else torch._C._nn"),
        *edit("mse_loss", "jax", "rounded-before-mean", "ops.reductions:jax_reduce",
              "found = loss.mean()", "found = loss.astype(dtype).mean()"),
        *edit("l1_loss", "jax", "abs-at-tie", "", "ops.absolute(input - target)", "abs(input - target)"),
        *edit_both("l1_loss", "mean-over-count", "", "dtype, weights=weight)", "dtype)"),
        *edit_both("huber_loss", "scale-forgotten", "", "delta, delta, reduction", "delta, 1.0, reduction"),
        *edit_both("huber_loss", "infinite-delta", "", "if isinstance(delta, (int, float)):", "if False:"),
        *edit("smooth_l1_loss", "jax", "bound-not-inside", "ops.jax:smooth_l1", "size >= beta", "size > beta"),
        *edit("smooth_l1_loss", "torch", "half-beta-forgotten", "ops.torch:smooth_l1", "(size - 0.5 * beta)", "size"),
        *edit_both("smooth_l1_loss", "subnormal-beta", "ops.FRAMEWORK:smooth_l1",
                   "beta < NP.finfo(error.dtype).tiny", "beta == 0"),
        *edit_both("gaussian_nll_loss", "constant-not-halved", "", "0.5 * math.log(2 * math.pi)",
                   "math.log(2 * math.pi)"),
        *edit_both("gaussian_nll_loss", "logarithm-not-halved", "", "0.5 * NP.log(var) + (0.5 * error)",
                   "NP.log(var) + (0.5 * error)"),
        *edit_both("gaussian_nll_loss", "squared-before-divided", "", "(0.5 * error) * (error / var)",
                   "0.5 * (error * error) / var"),
        *edit("gaussian_nll_loss", "torch", "no-gradient-below-eps", "", "eps + (var - var.detach())", "eps"),
        *edit("gaussian_nll_loss", "jax", "no-gradient-below-eps", "", "eps + (var - jax.lax.stop_gradient(var))",
              "eps"),
        *edit_both("poisson_nll_loss", "zero-times-infinity", "", "NP.exp(input) - ops.weighted(target, input)",
                   "NP.exp(input) - target * input"),
        *edit_both("poisson_nll_loss", "one-is-many", "", "target <= 1", "target < 1"),
        *edit_both("poisson_nll_loss", "stirling-not-halved", "", STIRLING, STIRLING.removeprefix("0.5 * ")),
        *edit_both("poisson_nll_loss", "eps-forgotten", "", "NP.where(absent, 1.0, input + eps)",
                   "NP.where(absent, 1.0, input)"),
        *edit("soft_margin_loss", "torch", "overflows", "ops.fused_torch:_soft_margin", "ops.softplus(-target * input)",
              "__import__('torch').log1p(__import__('torch').exp(-target * input))"),
        *edit("soft_margin_loss", "jax", "sign", "ops.fused_jax:_soft_margin", "ops.softplus(-jnp", "ops.softplus(jnp"),
        *edit("hinge_loss", "jax", "half-at-kink", "", "ops.positive_part(1 - target * input)",
              "__import__('jax').numpy.maximum(1 - target * input, 0)"),
        *edit("hinge_loss", "torch", "none-at-kink", "", "ops.positive_part(1 - target * input)",
              "(1 - target * input).relu()"),
        *edit_both("quantile_loss", "sides-swapped", "", "quantile * above + (1 - quantile) * (1 - above)",
                   "(1 - quantile) * above + quantile * (1 - above)"),
        *edit_both("td_semi_gradient_loss", "not-halved", "", "0.5 * error * error", "error * error"),
        *edit("td_semi_gradient_loss", "torch", "gradient-not-stopped", "", "target.detach()", "target"),
        *edit("td_semi_gradient_loss", "jax", "gradient-not-stopped", "", "jax.lax.stop_gradient(target)", "target"),
        *edit_both("td_semi_gradient_loss", "done-forgotten", "", "NP.where(done, 0.0, next_value)", "next_value"),
        *edit("td_semi_gradient_loss", "torch", "done-times-nan", "", "torch.where(done, 0.0, next_value)",
              "next_value * (~done).to(next_value.dtype)"),
        *edit("td_semi_gradient_loss", "jax", "done-times-nan", "", "jnp.where(done, 0.0, next_value)",
              "next_value * (~done).astype(next_value.dtype)"),
    ]  # fmt: skip


def binary() -> list[Mutant]:
    """Return edits of the losses of probabilities, logits and masks."""
    balance = "loss = loss * (m.scale(target, alpha) + m.scale(1 - target, 1 - alpha))"
    return [
        *edit("binary_cross_entropy", "torch", "log-of-difference", "ops.torch:bce", "log1p(-p)", "torch.log(1 - p)"),
        *edit("binary_cross_entropy", "jax", "log-of-difference", "ops.jax:bce", "log1p(-input)", "jnp.log(1 - input)"),
        *edit("binary_cross_entropy", "torch", "bound-of-50", "ops.torch:_bce_at_edge", "log_p.clamp(min=-100)",
              "log_p.clamp(min=-50)"),
        *edit("binary_cross_entropy", "jax", "bound-of-50", "ops.jax:bce", "jnp.log(input), -100.0",
              "jnp.log(input), -50.0"),
        *edit("binary_cross_entropy", "torch", "curvature-twice-at-edge", "ops.torch:_bce_at_edge",
              "0.5 * curvature", "curvature"),
        *edit("binary_cross_entropy", "torch", "slope-at-edge", "ops.torch:_bce_at_edge",
              "change * (at - target)", "change * (target - at)"),
        *edit("binary_cross_entropy", "torch", "weights-normalized", "", "loss = loss * weight",
              "loss = loss * weight / weight.mean()"),
        *edit("binary_cross_entropy", "jax", "weight-forgotten", "", "loss * jnp.broadcast_to(weight, loss.shape)",
              "loss"),
        *edit_both("binary_cross_entropy_with_logits", "pos-weight-not-in-tail", "ops.FRAMEWORK:bce_of_logits",
                   "(positive + (1 - target)) * tail", "tail"),
        *edit("binary_cross_entropy_with_logits", "torch", "pos-weight-not-in-size", "ops.torch:bce_of_logits",
              "torch.lerp(1 - target, positive,", "torch.lerp(1 - target, target,"),
        *edit_both("kl_div", "no-entropy-at-zero", "", "(target == 0) & ops.is_infinite(input)", "target == 0"),
        *edit("kl_div", "jax", "zero-times-log-zero", "",
              "jnp.where(target == 0, 0.0, ops.x_log_x(jnp.where(absent, 1.0, target)))",
              "ops.x_log_x(jnp.where(absent, 1.0, target))"),
        *edit_both("kl_div", "absent-not-left-out", "", "NP.where(absent, 0.0, target - input)", "(target - input)"),
        *edit_both("kl_div", "batch-is-last-axis", "", "batch = input.shape[0]", "batch = input.shape[-1]"),
        *edit_both("kl_div", "zero-times-infinity", "", "entropy - ops.weighted(target, input)",
                   "entropy - target * input"),
        *edit("kl_div", "torch", "batchmean-is-mean", "ops.reductions:torch_reduce", "loss.sum() / batch",
              "loss.mean()"),
        *edit("kl_div", "jax", "batchmean-is-mean", "ops.reductions:jax_reduce", "loss.sum() / batch", "loss.mean()"),
        *edit_both("sigmoid_focal_loss", "alpha-for-both", "", balance, balance.replace("1 - alpha", "alpha")),
        *edit_both("sigmoid_focal_loss", "alpha-zero-is-none", "", "elif alpha >= 0:", "elif alpha > 0:"),
        *edit_both("sigmoid_focal_loss", "normalizer-forgotten", "", "taken_out - log_total, gamma",
                   "taken_out, gamma"),
        *edit_both("sigmoid_focal_loss", "infinite-logit", "", "NP.where(size > 1e4, 0.0, NP.exp(-size))",
                   "NP.exp(-size)"),
        *edit_both("dice_loss", "smooth-not-halved", "", "smooth / 2", "smooth"),
        *edit_both("dice_loss", "last-axis-only", "ops.overlap_FRAMEWORK:tversky",
                   "tuple(range(min(1, p.ndim - 1), p.ndim))", "(p.ndim - 1,)"),
        *edit_both("dice_loss", "empty-is-one", "ops.overlap_FRAMEWORK:tversky", "NP.where(empty, 0.0, loss)",
                   "NP.where(empty, 1.0, loss)"),
    ]  # fmt: skip


def classes() -> list[Mutant]:
    """Return edits of the losses over classes."""
    share = "NP.ones_like(input) if weight is None else ops.broadcast_class_weight(weight, axis, input)"
    smoothed = "target * (1 - label_smoothing) + label_smoothing / max({}, 1)"
    hard, soft, nll = (f"ops.fused_FRAMEWORK:{name}" for name in ("_cross_entropy", "_soft_cross_entropy", "_nll"))
    reduced = "return ops.reduce(loss, reduction, dtype, weights=weights)"
    return [
        *edit_both("cross_entropy", "smoothing-added", hard, "(1 - label_smoothing) * loss + uniform",
                   "loss + uniform"),
        *edit_both("cross_entropy", "smoothing-over-others", hard, "share * (label_smoothing / max(classes, 1))",
                   "share * (label_smoothing / max(classes - 1, 1))"),
        *edit_both("cross_entropy", "smoothing-unweighted", hard, share, "NP.ones_like(input)"),
        *edit_both("cross_entropy", "ignored-counted", hard, "NP.where(ignored, 0.0, ops.nan_where(loss, outside))",
                   "ops.nan_where(loss, outside)"),
        *edit_both("cross_entropy", "soft-smoothing-not-divided", soft, smoothed.format("input.shape[axis]"),
                   "target * (1 - label_smoothing) + label_smoothing"),
        *edit_both("cross_entropy", "soft-unweighted", soft, "target if weights is None else target * weights",
                   "target"),
        *edit_both("cross_entropy", "ignored-not-cleared", hard, "input = ops.clear_ignored(input, ignored, axis)",
                   "pass"),
        *edit_both("cross_entropy", "mean-over-count", "ops.fused_FRAMEWORK:cross_entropy", reduced,
                   "return ops.reduce(loss, reduction, dtype)"),
        *edit_both("cross_entropy", "infinite-logit-is-certain", "ops.FRAMEWORK:nll_of_logits",
                   "return nan_where(loss, picked == NP.inf)", "return loss"),
        *edit_both("cross_entropy", "naive-softplus", "ops.FRAMEWORK:nll_of_logits",
                   "softplus((greatest - picked) + log_total)", "NP.log(1 + NP.exp((greatest - picked) + log_total))"),
        *edit_both("cross_entropy", "all-others-ruled-out", "ops.FRAMEWORK:log_sum_exp",
                   "greatest = NP.where(greatest == -NP.inf, 0.0, greatest)", "pass"),
        *edit_both("cross_entropy", "coefficients-not-summed", "ops.FRAMEWORK:nll_of_logits_soft",
                   "coefficients.sum(dim) * log_total", "log_total"),
        *edit_both("nll_loss", "sign", nll, "-ops.weighted", "ops.weighted"),
        *edit_both("nll_loss", "zero-times-infinity", nll, "-ops.weighted(weights, picked)", "-weights * picked"),
        *edit_both("nll_loss", "mean-over-count", "ops.fused_FRAMEWORK:nll", reduced,
                   "return ops.reduce(loss, reduction, dtype)"),
        *edit_both("linear_cross_entropy", "smoothing-over-others", "", smoothed.format("logits.shape[1]"),
                   smoothed.format("logits.shape[1] - 1")),
        *edit_both("linear_cross_entropy", "ignored-not-cleared", "", "input = NP.where(silent, 0.0, input)", "pass"),
        *edit_both("linear_cross_entropy", "unweighted", "",
                   "loss if weight is None or smooth else ops.weighted(weights, loss)", "loss"),
        *edit("linear_cross_entropy", "torch", "slope-sign", "ops.linear_torch:_Nll.backward",
              "-slope[part].unsqueeze(1)", "slope[part].unsqueeze(1)"),
        *edit("linear_cross_entropy", "torch", "slope-sign-of-sums", "ops.linear_sum_torch:sum_of_nll",
              "-slope * share", "slope * share"),
        *edit("linear_cross_entropy", "torch", "cotangent-forgotten", "ops.linear_sum_torch:_Sum.backward",
              "next(found) * cotangent", "next(found) * 1"),
        *edit("linear_cross_entropy", "torch", "bias-of-last-chunk", "ops.linear_torch:GradientSums.add",
              "self.grads[2] += slope.sum(0).view(self.grads[2].shape)",
              "self.grads[2].copy_(slope.sum(0).view(self.grads[2].shape))"),
        *edit("multi_margin_loss", "torch", "kink-counted", "ops.margins_torch:_MeanHinge.backward",
              "torch.ne(hinge, 0, out=hinge)", "torch.ge(hinge, 0, out=hinge)"),
        *edit("multi_margin_loss", "torch", "own-slope-sign", "ops.margins_torch:_MeanHinge.backward",
              "hinge.sum(1, keepdim=True).neg_()", "hinge.sum(1, keepdim=True)"),
        *edit("multi_margin_loss", "jax", "nan-swallowed", "ops.jax:above_zero", "jnp.where(x <= 0, 0.0, x)",
              "jnp.where(x > 0, x, 0.0)"),
        *edit_both("multi_margin_loss", "own-class-not-counted", "", "margin, p)\n    if weight",
                   "margin, p) * (classes / max(classes - 1, 1))\n    if weight"),
        *edit_both("multi_margin_loss", "power-forgotten", "", "labels, margin, p)", "labels, margin, 1)"),
        *edit_both("multi_margin_loss", "weight-forgotten", "", "loss * ops.gather_class_weight(weight, labels)",
                   "loss"),
    ]  # fmt: skip


def vectors() -> list[Mutant]:
    """Return edits of the losses of vectors and sequences."""
    swap = "ops.minimum(to_negative, d.distance(positive, negative, p, eps))"
    return [
        *edit_both("cosine_embedding_loss", "zero-is-dissimilar", "", "NP.where(target == -1, other, 0.0)", "other"),
        *edit_both("cosine_embedding_loss", "margin-forgotten", "", "1.0, margin)", "1.0, 0.0)"),
        *edit_both("cosine_embedding_loss", "opposite-side", "ops.distances_FRAMEWORK:_minus", "-1 - level",
                   "1 - level"),
        *edit_both("triplet_margin_loss", "always-swapped", "", swap, "d.distance(positive, negative, p, eps)"),
        *edit_both("triplet_margin_loss", "sign", "", "+ to_positive - to_negative", "- to_positive + to_negative"),
        *edit("triplet_margin_loss", "torch", "eps-forgotten", "ops.distances_torch:_difference",
              "difference.add_(eps) if eps else difference", "difference"),
        *edit("triplet_margin_loss", "torch", "both-sides-alike", "ops.distances_torch:_Distance.backward",
              "torch.neg(to_x, out=to_y)", "to_y.copy_(to_x)"),
        *edit_both("triplet_margin_loss", "root-forgotten", "ops.distances_FRAMEWORK:distance", "total ** (1 / p)",
                   "total"),
        *edit("triplet_margin_loss", "torch", "ties-not-shared", "ops.torch:greatest",
              "(is_greatest / is_greatest.sum(-1, keepdim=True))", "is_greatest"),
        *edit("triplet_margin_loss", "jax", "ties-not-shared", "ops.jax:greatest",
              "(is_greatest / is_greatest.sum(-1, keepdims=True))", "is_greatest"),
        *edit_both("ntxent_loss", "mean-over-all-pairs", "",
                   "return ops.reduce(loss, reduction, dtype, weights=weights)",
                   "return ops.reduce(loss, reduction, dtype)"),
        *edit_both("ntxent_loss", "itself-among-negatives", "", "NP.where(negative, logits, -NP.inf)",
                   "NP.where(~positive, logits, -NP.inf)"),
        *edit_both("ctc_loss", "least-length-of-two", "", "lengths.clip(min=1)", "lengths.clip(min=2)"),
        *edit_both("ctc_loss", "skips-between-equal-labels", "ops.ctc_FRAMEWORK:negative_log_likelihood",
                   "states[2:] != states[:-2]", "states[2:] == states[2:]"),
        *edit_both("ctc_loss", "infinity-kept", "ops.ctc_FRAMEWORK:negative_log_likelihood",
                   "NP.where(infinite, 0.0, loss)", "loss"),
    ]  # fmt: skip


def mutants() -> list[Mutant]:
    """Return all."""
    return [*elementwise(), *binary(), *classes(), *vectors()]
