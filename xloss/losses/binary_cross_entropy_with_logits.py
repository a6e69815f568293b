r"""Binary cross entropy of logits: -(pos_weight t log sigmoid(x) + (1 - t) log sigmoid(-x)), times `weight`.

Formula: l = w (P t softplus(-x) + (1 - t) softplus(x)), P being `pos_weight`.

Args:
    input: logits x, any shape.
    target: t, usually in [0, 1], the shape of `input`.
    weight: w, a shape that broadcasts to that of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, which divides by the count, weights or not.
    pos_weight: P, the weight of positive examples, a shape that broadcasts to that of `input` (usually one for each
        class), or None.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient to `input`: w ((1 - t) sigmoid(x) - P t sigmoid(-x)), both terms without cancellation. At an
infinite logit that agrees with a target of 0 or 1 loss and gradients are 0, where torch has 0 * inf = NaN; at one that
does not the loss is infinite.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: `binary_cross_entropy` of sigmoid(x); `soft_margin_loss` for targets of -1 and 1.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.binary_cross_entropy_with_logits(np.float32([0, 100]), np.float32([1, 0])):.3f}")
50.347

Source: torch.nn.functional.binary_cross_entropy_with_logits.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: Reduction = "mean",
    pos_weight: Tensor | None = None
) -> Tensor:  # fmt: skip
    from xloss.ops import fused_torch as fused
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, pos_weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, pos_weight=pos_weight, optional=("weight", "pos_weight")
    )
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    arguments.check_weight(weight, input, broadcast=True)
    arguments.check_weight(pos_weight, input, "pos_weight", broadcast=True)
    return fused.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction, dtype)


def jax_binary_cross_entropy_with_logits(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: Reduction = "mean",
    pos_weight: ArrayLike | None = None
) -> Array:  # fmt: skip
    from xloss.ops import fused_jax as fused
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, pos_weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, pos_weight=pos_weight, optional=("weight", "pos_weight")
    )
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    arguments.check_weight(weight, input, broadcast=True)
    arguments.check_weight(pos_weight, input, "pos_weight", broadcast=True)
    return fused.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction, dtype)


def truth(t, input, target, weight=None, pos_weight=None):
    p = 1 / (1 + np.exp(-input))
    positive = target if pos_weight is None else pos_weight * target
    loss = -(positive * np.log(p) + (1 - target) * np.log(1 - p))
    return loss if weight is None else weight * loss


def inputs(draw):
    input, target = draw.real(draw.shape).astype(np.float64), draw.unit(draw.shape)
    if draw.regime in ("confident", "badly_wrong", "large"):
        ones = draw.rng.integers(0, 2, draw.shape)
        sign = (2 * ones - 1) * (-1 if draw.regime == "badly_wrong" else 1)
        spread = draw.rng.uniform(4, 90 if draw.regime == "confident" else draw.big, draw.shape)
        input, target = (input if draw.regime == "large" else sign * spread), draw.round(ones)
    tensors = {name: draw.optional(name, draw.shape[-1:]) for name in ("weight", "pos_weight")}
    return draw.arrays(input=draw.round(input), target=target, **tensors)


def ruled_out(function):
    """Return the loss at logit -inf, target 1, as text: NaN is not equal to NaN."""
    import torch

    return str(float(function(input=torch.tensor([-torch.inf]), target=torch.tensor([1.0]))))


def mixed(function):
    """Return the dtype of the loss of float32 logits and a bfloat16 target."""
    import torch

    return str(function(input=torch.zeros(2), target=torch.zeros(2, dtype=torch.bfloat16)).dtype)


FUNCTIONAL = third_party.functional("binary_cross_entropy_with_logits")

LOSS = Loss(
    name="binary_cross_entropy_with_logits",
    summary="binary cross entropy of logits",
    torch=torch_binary_cross_entropy_with_logits,
    jax=jax_binary_cross_entropy_with_logits,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
        Variant("pos_weight", tensors=("pos_weight",), shapes=((6, 3),)),
        Variant("weight+pos_weight", tensors=("weight", "pos_weight"), shapes=((6, 3),)),
    ),
    arguments=Arguments(weights=("weight", "pos_weight")),
    domain=Domain(regimes=("zero_weight",)),
    crossed=(crossed.tensor("weight"), crossed.tensor("pos_weight")),
    peers=(
        FUNCTIONAL,
        third_party.optax(lambda optax, input, target: optax.losses.sigmoid_binary_cross_entropy(input, target)),
        third_party.keras(lambda losses: losses.BinaryCrossentropy(from_logits=True)),
    ),
    differences=(
        Difference.between("binary_cross_entropy_with_logits/ruled-out", "logit -inf, target 1: inf, or inf - inf",
                           "torch.nn.functional", ruled_out, torch_binary_cross_entropy_with_logits, FUNCTIONAL.call,
                           ("inf", "nan"), "torch 2.13.0"),
        Difference.between("binary_cross_entropy_with_logits/mixed",
                           "a bfloat16 target with float32 logits: the wider dtype, or that of the target",
                           "torch.nn.functional", mixed, torch_binary_cross_entropy_with_logits, FUNCTIONAL.call,
                           ("torch.float32", "torch.bfloat16"), "torch 2.13.0"),
        Difference.between("binary_cross_entropy_with_logits/certain",
                           "logit inf and target 1: 0, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text("torch", input=[math.inf], target=[1.0]),
                           torch_binary_cross_entropy_with_logits, FUNCTIONAL.call, ("0", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("BCEWithLogitsLoss"),
    adds_nothing=lambda **_: {
        "input": (-np.inf, -1), "target": (0.0, -1), "weight": (1.0, -1), "pos_weight": (1.0, -1),
    },
    latex=(
        r"\ell = w \left( P\, t \operatorname{softplus}(-x) + (1 - t) \operatorname{softplus}(x) \right), \qquad "
        r"\operatorname{softplus}(x) = \log(1 + e^{x})",
    ),
    source="torch.nn.functional.binary_cross_entropy_with_logits",
)  # fmt: skip
