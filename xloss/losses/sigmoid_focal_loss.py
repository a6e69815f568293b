r"""Focal loss of logits, each a question of yes or no: binary cross entropy times (1 - p_t)^gamma, balanced by alpha.

Formula, with p = sigmoid(x) and q = p (1 - t) + (1 - p) t, what is left to be learned:
l = (alpha t + (1 - alpha) (1 - t)) q^gamma * -(t log p + (1 - t) log(1 - p)); without the first factor for alpha < 0.

Args:
    input: logits x, any shape.
    target: t, 0 or 1 or between, the shape of `input`.
    alpha: the weight of the positive examples, 1 - alpha being that of the others; <= 1, negative for none. Default: 0.25.
    gamma: the power, >= 0. Default: 2.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'` (torchvision's is `'none'`).

Domain: all reals, t in [0, 1]; elsewhere q may be negative, and its power NaN. Gradient to `input`: that of binary cross
entropy times q^gamma, plus the cross entropy times gamma q^(gamma - 1) dq; q^gamma is taken as exp(gamma log q), so that
it is never 0 * inf, also for gamma < 1. Targets are labels: the gradient to them is there, but not to the last digits
for confident logits (beyond 29 in float32).
Errors: `ValueError` for shapes, reductions, alpha and gamma, `TypeError` for anything but floating tensors.
Identities: `binary_cross_entropy_with_logits` for gamma = 0 and alpha < 0; `softmax_focal_loss` of the logits (0, x).

Source: torchvision.ops.sigmoid_focal_loss; Lin et al. 2017, arXiv:1708.02002.
"""

import math

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Difference, Loss, Variant
from xloss.ops import arguments


def torch_sigmoid_focal_loss(input, target, alpha=0.25, gamma=2.0, reduction="mean"):
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_number("alpha", alpha, most=1)
    arguments.check_number("gamma", gamma, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    side = ops.neg_sign(input)
    size = input * -side
    # How far the target is from the side on which the logit is, and from the other.
    negative = 0.5 + 0.5 * side
    wrong, right = torch.lerp(1 - target, target, negative), torch.lerp(target, 1 - target, negative)
    tail = torch.exp(-size)
    log_total = ops.log1p(tail)
    loss = wrong * size + log_total
    if gamma > 0:
        # q (1 + tail) is wrong + right tail; where the first is the lesser, tail (right + wrong / tail), whose log is
        # there also where tail is 0.
        lesser = (wrong == 0) | (wrong < right * tail)
        taken_out = torch.where(lesser, size, 0.0)
        growth = torch.exp(torch.where(taken_out < math.log(torch.finfo(input.dtype).max) - 1, taken_out, 0.0))
        inner = torch.where(lesser, right + wrong * growth, wrong + right * tail)
        loss = loss * torch.exp(m.scale(torch.log(inner) - taken_out - log_total, gamma))
    if alpha >= 0:
        loss = loss * (m.scale(target, alpha) + m.scale(1 - target, 1 - alpha))
    return ops.reduce(loss, reduction, dtype)


def jax_sigmoid_focal_loss(input, target, alpha=0.25, gamma=2.0, reduction="mean"):
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    arguments.check_number("alpha", alpha, most=1)
    arguments.check_number("gamma", gamma, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    side = ops.neg_sign(input)
    size = input * -side
    # How far the target is from the side on which the logit is, and from the other.
    negative = side > 0
    wrong, right = jnp.where(negative, target, 1 - target), jnp.where(negative, 1 - target, target)
    tail = jnp.exp(-size)
    log_total = ops.log1p(tail)
    loss = wrong * size + log_total
    if gamma > 0:
        # q (1 + tail) is wrong + right tail; where the first is the lesser, tail (right + wrong / tail), whose log is
        # there also where tail is 0.
        lesser = (wrong == 0) | (wrong < right * tail)
        taken_out = jnp.where(lesser, size, 0.0)
        growth = jnp.exp(jnp.where(taken_out < math.log(float(jnp.finfo(input.dtype).max)) - 1, taken_out, 0.0))
        inner = jnp.where(lesser, right + wrong * growth, wrong + right * tail)
        loss = loss * jnp.exp(m.scale(jnp.log(inner) - taken_out - log_total, gamma))
    if alpha >= 0:
        loss = loss * (m.scale(target, alpha) + m.scale(1 - target, 1 - alpha))
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, alpha=0.25, gamma=2.0):
    p = 1 / (1 + np.exp(-input))
    entropy = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    alpha = t.const(alpha)
    weight = alpha * target + (1 - alpha) * (1 - target) if alpha >= 0 else 1
    factor = (p * (1 - target) + (1 - p) * target) ** t.const(gamma) if gamma else 1
    return weight * factor * entropy


def inputs(draw):
    input, target = draw.real(draw.shape).astype(np.float64), draw.unit(draw.shape)
    if draw.regime in ("confident", "badly_wrong", "large"):
        ones = draw.rng.integers(0, 2, draw.shape)
        sign = (2 * ones - 1) * (-1 if draw.regime == "badly_wrong" else 1)
        spread = draw.rng.uniform(4, 90 if draw.regime == "confident" else draw.big, draw.shape)
        input, target = (input if draw.regime == "large" else sign * spread), draw.round(ones)
    return draw.arrays(input=draw.round(input), target=target)


def optax_focal(optax, input, target, alpha=0.25, gamma=2.0):
    return optax.losses.sigmoid_focal_loss(input, target, alpha=alpha if alpha >= 0 else None, gamma=gamma)


def keras_focal(losses, alpha=0.25, gamma=2.0):
    return losses.BinaryFocalCrossentropy(alpha >= 0, alpha=abs(alpha), gamma=gamma, from_logits=True)


def clipped(function):
    """Of the logit -50 and the target 1, alpha 0.25, float32."""
    import jax.numpy as jnp

    return float(
        function(input=jnp.asarray([-50.0], "float32"), target=jnp.asarray([1.0], "float32"), reduction="mean")
    )


def clipped_here():
    return clipped(jax_sigmoid_focal_loss)


def clipped_there():
    return clipped(next(peer for peer in LOSS.peers if peer.name == "keras").call)


LOSS = Loss(
    name="sigmoid_focal_loss",
    summary="binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha",
    torch=torch_sigmoid_focal_loss,
    jax=jax_sigmoid_focal_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("gamma=0.5,no alpha", options={"alpha": -1.0, "gamma": 0.5}, shapes=((6, 3),)),
        Variant("gamma=0", options={"gamma": 0.0}, shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input",)),
    peers=(third_party.optax(optax_focal), third_party.keras(keras_focal)),
    differences=(
        Difference("sigmoid_focal_loss/badly-wrong", "logit -50, target 1: Keras clips the probability to 1e-7", "keras",
                   clipped_here, clipped_there, (12.5, 4.0295238), "keras 3.15.1"),
    ),
    source="torchvision.ops.sigmoid_focal_loss; Lin et al. 2017, arXiv:1708.02002",
)  # fmt: skip
