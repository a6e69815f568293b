r"""Squared error: (input - target)^2, times `weight`.

Formula: l_i = w_i (x_i - y_i)^2; `'mean'` divides by the sum of the weights, without `weight` by the count.

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    weight: w, the shape of `input`, or None.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: 2 w (x - y) to `input`, its negative to `target`. The minimum, 0, is at x = y.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: `huber_loss` with delta beyond all errors is half of it; `detached_squared_error` has its value and half its
gradient; the constant that minimizes the mean is the mean of the targets.

>>> import numpy as np, xloss.jax
>>> x, y, w = np.float32([1.0, 2.0]), np.float32([0.0, 0.0]), np.float32([3.0, 1.0])
>>> print(xloss.jax.mse_loss(x, y), xloss.jax.mse_loss(x, y, weight=w))
2.5 1.75

Source: torch.nn.functional.mse_loss.
"""

from __future__ import annotations

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_mse_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean",
                   weight: Tensor | None = None) -> Tensor:  # fmt: skip
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    if weight is None:
        return ops.reduced_squared_error(input, target, reduction, dtype)
    loss = ops.squared_error(input, target) * weight
    return ops.reduce(loss, reduction, dtype, weights=weight)


def jax_mse_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean",
                 weight: ArrayLike | None = None) -> Array:  # fmt: skip
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    if weight is None:
        return ops.reduced_squared_error(input, target, reduction, dtype)
    loss = ops.squared_error(input, target) * weight
    return ops.reduce(loss, reduction, dtype, weights=weight)


def truth(t, input, target, weight=None):
    loss = (input - target) ** 2
    return loss if weight is None else (weight * loss, weight)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", draw.shape))


LOSS = Loss(
    name="mse_loss",
    summary="squared error",
    torch=torch_mse_loss,
    jax=jax_mse_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    arguments=Arguments(batched=("input", "target", "weight"), weights=("weight",)),
    domain=Domain(regimes=("zero_weight",)),
    crossed=(crossed.tensor("weight"), crossed.flag("broadcast", broadcast=True)),
    excluded=lambda variant: variant.broadcast and "weight" in variant.tensors,
    peers=(
        third_party.functional("mse_loss"),
        third_party.optax(lambda optax, input, target: optax.losses.squared_error(input, target)),
        third_party.keras(lambda losses: losses.MeanSquaredError()),
    ),
    class_form=ClassForm("MSELoss", call=("weight",)),
    workloads={"published": (32768, 32768)},
    latex=(r"\ell_i = w_i (x_i - y_i)^2, \qquad \operatorname{mean} = \frac{\sum_i \ell_i}{\sum_i w_i}",),
    source="torch.nn.functional.mse_loss",
)
