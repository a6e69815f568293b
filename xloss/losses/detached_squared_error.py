r"""The error times the same error held constant: e * detach(e).

Formula: l_i = e_i sg(e_i) with e = x - y, where sg is `detach()` in PyTorch and `jax.lax.stop_gradient` in JAX.

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: e to `input`, -e to `target`: half of that of `mse_loss`, exactly. The second derivative by
automatic differentiation is 0, where that of `mse_loss` is 2: second-order optimizers do not work on it.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: its value is that of `mse_loss`; gradient descent on it is that on `mse_loss` at half the learning rate.

>>> import jax, numpy as np, xloss.jax
>>> print(*jax.value_and_grad(xloss.jax.detached_squared_error)(np.float32(3), np.float32(1)))
4.0 2.0

Source: a question of 2022 on Cross Validated about the loss surface of `error * error.detach()`.
"""

from __future__ import annotations

from xloss import crossed
from xloss.catalog import Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_detached_squared_error(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    loss = error * error.detach()
    return ops.reduce(loss, reduction, dtype)


def jax_detached_squared_error(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    import jax

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    loss = error * jax.lax.stop_gradient(error)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target):
    error = input - target
    return error * t.stop_gradient(error)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="detached_squared_error",
    summary="the error times itself held constant: the value of mse_loss, half its gradient",
    torch=torch_detached_squared_error,
    jax=jax_detached_squared_error,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    crossed=(crossed.flag("broadcast", broadcast=True),),
    latex=(r"\ell_i = e_i \operatorname{sg}(e_i), \qquad e = x - y",),
    source="a question of 2022 on Cross Validated",
)
