r"""Squared error below `beta`, absolute error above, scaled to meet in value and slope.

Formula, with e = x - y: l = e^2 / (2 beta) where |e| < beta, else |e| - beta / 2; with beta = 0, |e| throughout.

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    beta: the error at which the two meet, >= 0, or infinity, where the loss is 0. Default: 1.0.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: e / beta clipped to [-1, 1]; at e = 0 with beta = 0 it is 0, as in torch.
Errors: `ValueError` for shapes, reductions and a negative beta, `TypeError` for anything but floating tensors.
Identities: beta times it is `huber_loss` with delta = beta; it tends to `l1_loss` as beta goes to 0.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.smooth_l1_loss(np.float32([0.5, 3.0]), np.float32([0.0, 0.0]), beta=0.5, reduction="none"))
[0.25 2.75]

Source: torch.nn.functional.smooth_l1_loss; Girshick 2015, "Fast R-CNN".
"""

from __future__ import annotations

from xloss import crossed, third_party
from xloss.catalog import ClassForm, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_smooth_l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    beta = ops.option("beta", beta, input, least=0, infinite=True)
    input, target = ops.broadcast_with_warning(input, target)
    return ops.reduced_smooth_l1(input, target, beta, 1.0, reduction, dtype)


def jax_smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", beta: float = 1.0) -> Array:
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    beta = ops.option("beta", beta, input, least=0, infinite=True)
    input, target = ops.broadcast_with_warning(input, target)
    return ops.reduced_smooth_l1(input, target, beta, 1.0, reduction, dtype)


def truth(t, input, target, beta=1.0):
    error, beta = input - target, t.const(beta)
    size = t.where(t.lt(0, error), error, t.where(t.lt(error, 0), -error, 0 * error))
    return t.where(t.lt(size, beta), error**2 / (2 * beta) if beta > 0 else size, size - beta / 2)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


def optax_huber(optax, input, target, beta=1.0):
    if beta == 0:
        raise third_party.Unsupported("optax.losses.huber_loss, over beta, has no beta = 0")
    return optax.losses.huber_loss(input, target, delta=beta) / beta


LOSS = Loss(
    name="smooth_l1_loss",
    summary="squared error below beta, absolute error above",
    torch=torch_smooth_l1_loss,
    jax=jax_smooth_l1_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("beta=0.5", options={"beta": 0.5}, shapes=((6, 3),)),
        Variant("beta=0", options={"beta": 0.0}, shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    domain=Domain(kinks=(0.0, 0.5, -0.5, 1.0, -1.0)),
    crossed=(crossed.option("beta", 0.0, 0.25, 0.75, 3.0, 1e-8, 1e8), crossed.flag("broadcast", broadcast=True)),
    peers=(
        third_party.functional("smooth_l1_loss"),
        third_party.optax(optax_huber),
    ),
    class_form=ClassForm("SmoothL1Loss"),
    latex=(
        r"\ell = \begin{cases} \frac{e^2}{2 \beta} & |e| < \beta \\ |e| - \frac{1}{2} \beta & |e| \ge \beta "
        r"\end{cases} \qquad e = x - y",
    ),
    source="torch.nn.functional.smooth_l1_loss",
)
