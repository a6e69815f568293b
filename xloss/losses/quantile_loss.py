r"""Quantile (pinball) loss: the absolute error, weighted by q where the prediction is too small, else by 1 - q.

Formula, with e = y - x: l = q e where e >= 0, else (q - 1) e.

Args:
    input: predicted quantiles x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    quantile: q, in (0, 1). Default: 0.5.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient to `input`: -q where x < y, 1 - q where x > y, and 0 on the kink x = y, as in `l1_loss`; its
negative to `target`.
Errors: `ValueError` for shapes, reductions and a quantile outside (0, 1), `TypeError` for anything but floating
tensors.
Identities: a constant `input` that minimizes the mean is the q-quantile of the targets; half of `l1_loss` for q = 1/2.

>>> import numpy as np, xloss.jax
>>> x, y = np.float32([1.0, 1.0]), np.float32([3.0, 0.0])
>>> print(xloss.jax.quantile_loss(x, y, quantile=0.75, reduction="none"))
[1.5  0.25]

Source: Koenker and Bassett 1978, "Regression Quantiles".
"""

from __future__ import annotations

from xloss import crossed
from xloss.catalog import Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_quantile_loss(input: Tensor, target: Tensor, quantile: float = 0.5, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    quantile = ops.option("quantile", quantile, input, above=0, below=1)
    input, target = ops.broadcast_with_warning(input, target)
    error = target - input
    above = (error > 0).to(error.dtype)
    loss = ops.absolute(error) * (quantile * above + (1 - quantile) * (1 - above))
    return ops.reduce(loss, reduction, dtype)


def jax_quantile_loss(input: ArrayLike, target: ArrayLike, quantile: float = 0.5,
                      reduction: Reduction = "mean") -> Array:  # fmt: skip
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    quantile = ops.option("quantile", quantile, input, above=0, below=1)
    input, target = ops.broadcast_with_warning(input, target)
    error = target - input
    above = (error > 0).astype(error.dtype)
    loss = ops.absolute(error) * (quantile * above + (1 - quantile) * (1 - above))
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, quantile=0.5):
    error, q = target - input, t.const(quantile)
    return t.where(t.lt(0, error), q * error, t.where(t.lt(error, 0), (q - 1) * error, 0 * error))


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="quantile_loss",
    summary="absolute error, weighted by q or 1 - q according to its sign",
    torch=torch_quantile_loss,
    jax=jax_quantile_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(options={"quantile": 0.9}, shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("broadcast", options={"quantile": 0.25}, broadcast=True, shapes=((4, 3),)),
    ),
    domain=Domain(kinks=(0.0,)),
    crossed=(crossed.option("quantile", 0.0625, 0.25, 0.5, 0.9375), crossed.flag("broadcast", broadcast=True)),
    latex=(r"\ell = \begin{cases} q\, e & e \ge 0 \\ (q - 1)\, e & e < 0 \end{cases} \qquad e = y - x",),
    source="Koenker and Bassett 1978",
)
