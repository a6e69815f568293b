r"""Squared hinge loss of a score and a label of 1 or -1: the square of `hinge_loss`.

Formula: l = max(0, 1 - y x)^2.

Args:
    input: scores x, any shape.
    target: y, 1 or -1 (other numbers scale the score), a shape that broadcasts with that of `input` (one other than
        equal gets a warning); floating, or of an integer dtype.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest floating dtype given.

Domain: all reals. Gradient, with m = max(0, 1 - y x): -2 y m to `input`, -2 x m to `target`; the second derivative at
y x = 1 is that of the side y x < 1.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes.
Identities: the square of `hinge_loss`.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.squared_hinge_loss(np.float32([0.5, 2.0, 2.0]), np.int32([1, 1, -1]), reduction="none"))
[0.25 0.   9.  ]

Source: keras.losses.SquaredHinge (which takes labels 0 and 1 for -1 and 1).
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_squared_hinge_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.positive_part(1 - target * input) ** 2
    return ops.reduce(loss, reduction, dtype)


def jax_squared_hinge_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.positive_part(1 - target * input) ** 2
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target):
    short = 1 - target * input
    return t.where(t.lt(short, 0), 0, short) ** 2


def inputs(draw):
    x, y = draw.real(draw.shape).astype(np.float64), draw.signs(draw.shape).astype(np.float64)
    if draw.regime == "confident":
        x = y * (1 - x * 10.0 ** -draw.rng.uniform(1, 7, draw.shape))
    elif draw.regime == "badly_wrong":
        x = -draw.big * y * (1 + np.abs(x))
    elif draw.regime in ("near_kink", "on_kink"):
        x = y
    x = draw.nudge(draw.round(x)) if draw.regime == "near_kink" else draw.round(x)
    return draw.arrays(input=x, target=y.astype(np.int64) if draw.has("integers") else draw.round(y))


KERAS = third_party.keras(lambda losses: losses.SquaredHinge())


def label_zero(function):
    """Return the loss of the score 1/2 and the label 0."""
    import jax.numpy as jnp

    return float(function(input=jnp.full((1, 1), 0.5), target=jnp.zeros((1, 1)), reduction="mean"))


LOSS = Loss(
    name="squared_hinge_loss",
    summary="square of the hinge loss of a score and a label of 1 or -1",
    torch=torch_squared_hinge_loss,
    jax=jax_squared_hinge_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("integers", draws=("integers",), shapes=((6, 3),)),
    ),
    arguments=Arguments(untyped=("target",)),
    domain=Domain(regimes=("near_kink", "on_kink")),
    crossed=(crossed.flag("integers", draws=("integers",)),),
    peers=(KERAS,),
    differences=(
        Difference.between("squared_hinge_loss/binary-labels", "score 1/2, label 0: taken as it is, or for -1",
                           "keras", label_zero, jax_squared_hinge_loss, KERAS.call, (1.0, 2.25), "keras 3.15.1"),
    ),
    latex=(
        r"\ell = \max(0, 1 - y\, x)^2",
    ),
    source="keras.losses.SquaredHinge",
)  # fmt: skip
