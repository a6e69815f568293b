r"""Absolute error: |input - target|, times `weight`.

Formula: l_i = w_i |x_i - y_i|; `'mean'` divides by the sum of the weights, without `weight` by the count.

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    weight: w, the shape of `input`, or None.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: w sign(x - y) to `input`, its negative to `target`; at the kink x = y it is 0, as in torch
(that of `jnp.abs` is 1 there).
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: `smooth_l1_loss` with beta = 0; the constant that minimizes the mean is the median of the targets.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.l1_loss(np.float32([0.5, -2.0]), np.float32([0.0, 0.0])))
1.25

Source: torch.nn.functional.l1_loss.
"""

from __future__ import annotations

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", weight: Tensor | None = None) -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.absolute(input - target)
    if weight is not None:
        loss = loss * weight
    return ops.reduce(loss, reduction, dtype, weights=weight)


def jax_l1_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean",
                weight: ArrayLike | None = None) -> Array:  # fmt: skip
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.absolute(input - target)
    if weight is not None:
        loss = loss * weight
    return ops.reduce(loss, reduction, dtype, weights=weight)


def truth(t, input, target, weight=None):
    error = input - target
    loss = t.where(t.lt(0, error), error, t.where(t.lt(error, 0), -error, 0 * error))
    return loss if weight is None else (weight * loss, weight)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", draw.shape))


def tie(function):
    """Return the derivative where input and target are equal."""
    import jax
    import jax.numpy as jnp

    return float(jax.grad(function)(jnp.zeros(()), jnp.zeros(())))


LOSS = Loss(
    name="l1_loss",
    summary="absolute error",
    torch=torch_l1_loss,
    jax=jax_l1_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    arguments=Arguments(batched=("input", "target", "weight"), weights=("weight",)),
    domain=Domain(kinks=(0.0,), regimes=("zero_weight",)),
    crossed=(crossed.tensor("weight"), crossed.flag("broadcast", broadcast=True)),
    excluded=lambda variant: variant.broadcast and "weight" in variant.tensors,
    peers=(
        third_party.functional("l1_loss"),
        third_party.optax(lambda optax, input, target: abs(input - target)),
        third_party.keras(lambda losses: losses.MeanAbsoluteError()),
    ),
    differences=(
        Difference.between("l1_loss/tie", "the derivative where input = target; torch has 0",
                           "abs(input - target) in JAX", tie, jax_l1_loss, lambda input, target: abs(input - target),
                           (0.0, 1.0), "jax 0.10.2"),
    ),
    class_form=ClassForm("L1Loss", call=("weight",)),
    latex=(
        r"\ell_i = w_i \, |x_i - y_i|, \qquad \operatorname{mean} = \frac{\sum_i \ell_i}{\sum_i w_i}",
    ),
    source="torch.nn.functional.l1_loss",
)  # fmt: skip
