r"""Charbonnier loss: the absolute error, smoothed within about `eps` of 0.

Formula: l = sqrt((x - y)^2 + eps^2).

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    eps: the width of the smoothed part, in the units of the error, > 0. Default: 1e-3.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals; neither error nor eps is squared itself, only their ratio up to 1, so that no square overflows or
underflows. Gradient: (x - y) / l to `input`, its negative to `target`.
Errors: `ValueError` for shapes, reductions and an eps that is not positive, `TypeError` for anything but floating
tensors.
Identities: eps where x = y; elsewhere between |x - y| and |x - y| + eps.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.charbonnier_loss(np.float32([0.0, 3.0]), np.float32([0.0, 0.0]), eps=4.0, reduction="none"))
[4. 5.]

Source: Charbonnier et al. 1994, "Two deterministic half-quadratic regularization algorithms for computed imaging"; form
and default are those of Lai et al. 2017, arXiv:1704.03915. BasicSR's CharbonnierLoss adds its eps without squaring it:
its eps is the square of ours.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_charbonnier_loss(input: Tensor, target: Tensor, eps: float = 1e-3, reduction: Reduction = "mean") -> Tensor:
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    eps = ops.option("eps", eps, input, above=0)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    size = ops.absolute(error)
    far = size > eps
    # Factor the greater of both out of the root; each branch sees only elements whose ratio is at most 1.
    near = torch.where(far, 0.0, error) / eps
    size = torch.where(far, size, 1.0)
    ratio = torch.where(far, eps / size, 0.0)
    loss = torch.where(far, size * torch.sqrt(1 + ratio * ratio), eps * torch.sqrt(1 + near * near))
    return ops.reduce(loss, reduction, dtype)


def jax_charbonnier_loss(input: ArrayLike, target: ArrayLike, eps: float = 1e-3,
                         reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    eps = ops.option("eps", eps, input, above=0)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    size = ops.absolute(error)
    far = size > eps
    # Factor the greater of both out of the root; each branch sees only elements whose ratio is at most 1.
    near = jnp.where(far, 0.0, error) / eps
    size = jnp.where(far, size, 1.0)
    ratio = jnp.where(far, eps / size, 0.0)
    loss = jnp.where(far, size * jnp.sqrt(1 + ratio * ratio), eps * jnp.sqrt(1 + near * near))
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, eps=1e-3):
    error = input - target
    return np.sqrt(error * error + t.const(eps) ** 2)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="charbonnier_loss",
    summary="the absolute error, rounded off near 0",
    torch=torch_charbonnier_loss,
    jax=jax_charbonnier_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("eps=1", options={"eps": 1.0}, shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    crossed=(crossed.option("eps", 0.0625, 2.0), crossed.flag("broadcast", broadcast=True)),
    latex=(r"\ell = \sqrt{(x - y)^2 + \varepsilon^2}",),
    source="Lai et al. 2017, arXiv:1704.03915",
)
