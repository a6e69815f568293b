r"""Hinge loss: the amount by which the product of score and sign falls short of 1.

Formula: l = max(0, 1 - y x).

Args:
    input: scores x, any shape.
    target: y, 1 or -1 (other numbers scale the score), a shape that broadcasts with that of `input` (one other than
        equal gets a warning); floating, or of an integer dtype.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input` and `target`
(that of `input` for an integer target).

Domain: all reals. Gradient: -y to `input` and -x to `target` where y x <= 1, else 0. At the kink y x = 1 this is the
subgradient of the side with positive loss, as torch takes it in its margin losses.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes.
Identities: `hinge_embedding_loss` of y x and -1; the square root of `squared_hinge_loss`.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.hinge_loss(np.float32([0.5, 0.5, 2.0]), np.int32([1, -1, 1]), reduction="none"))
[0.5 1.5 0. ]

Source: optax.losses.hinge_loss and keras.losses.Hinge (which takes 0 and 1 for -1 and 1).
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_hinge_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.positive_part(1 - target * input)
    return ops.reduce(loss, reduction, dtype)


def jax_hinge_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    input, target = ops.broadcast_with_warning(input, target)
    loss = ops.positive_part(1 - target * input)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target):
    short = 1 - target * input
    return t.where(t.lt(short, 0), 0, short)


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


def of_optax(optax, input, target):
    if target.dtype != input.dtype:
        raise third_party.Unsupported(
            "optax leaves integer labels to JAX, which does not promote them where promotion is strict"
        )
    return optax.losses.hinge_loss(input, target)


def on_kink(function):
    """Return the derivative by the score at the kink, label 1."""
    import jax
    import jax.numpy as jnp

    return float(jax.grad(lambda x: function(input=x, target=jnp.ones(()), reduction="mean"))(jnp.ones(())))


def labels(function):
    """Return the loss at a score of 1/2, label 0."""
    import jax.numpy as jnp

    return float(function(input=jnp.full((1, 1), 0.5), target=jnp.zeros((1, 1)), reduction="mean"))


OPTAX = third_party.optax(of_optax)
KERAS = third_party.keras(lambda losses: losses.Hinge())

LOSS = Loss(
    name="hinge_loss",
    summary="the amount by which the product of score and sign falls short of 1",
    torch=torch_hinge_loss,
    jax=jax_hinge_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("integers", draws=("integers",), shapes=((6, 3),)),
    ),
    arguments=Arguments(untyped=("target",)),
    domain=Domain(regimes=("near_kink", "on_kink")),
    crossed=(crossed.flag("integers", draws=("integers",)),),
    peers=(OPTAX, KERAS),
    differences=(
        Difference.between("hinge_loss/kink", "the derivative by the score where y x = 1", "optax", on_kink,
                           jax_hinge_loss, OPTAX.call, (-1.0, -0.5), "optax 0.2.8"),
        Difference.between("hinge_loss/binary-labels", "score 1/2, label 0: a number like others, or taken for -1",
                           "keras", labels, jax_hinge_loss, KERAS.call, (1.0, 1.5), "keras 3.15.1"),
    ),
    workloads={"published": (32768, 32768)},
    latex=(
        r"\ell = \max(0, 1 - y\, x)",
    ),
    source="optax.losses.hinge_loss",
)  # fmt: skip
