r"""The distance of similar pairs, and the amount by which that of dissimilar pairs falls short of a margin.

Formula: l = x where y = 1, max(0, margin - x) where y = -1, and the sum of both for any other y.

Args:
    input: distances x, any shape (negative numbers are accepted).
    target: y, 1 (similar) or -1 (dissimilar), a shape that broadcasts with that of `input`; floating or integer.
    margin: any finite number. Default: 1.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input` and `target`
(that of `input` for an integer target).

Domain: all reals. Gradient to `input`: 1 where y = 1; where y = -1, -1 for x <= margin (also at the kink x = margin, by
torch's convention) and 0 beyond. None to `target`.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes and for a margin that is not a number.
Identities: for y = -1 and margin 1 it is `hinge_loss` of x and 1.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.hinge_embedding_loss(np.float32([0.25, 0.25, 2.0]), np.int32([1, -1, -1]), reduction="none"))
[0.25 0.75 0.  ]

Source: torch.nn.functional.hinge_embedding_loss.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0,
                               reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    margin = ops.option("margin", margin, input)
    input, target = ops.broadcast(input=input, target=target)
    loss = torch.where(target != 1, ops.positive_part(margin - input), 0.0) + torch.where(target != -1, input, 0.0)
    return ops.reduce(loss, reduction, dtype)


def jax_hinge_embedding_loss(input: ArrayLike, target: ArrayLike, margin: float = 1.0,
                             reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    margin = ops.option("margin", margin, input)
    input, target = ops.broadcast(input=input, target=target)
    loss = jnp.where(target != 1, ops.positive_part(margin - input), 0.0) + jnp.where(target != -1, input, 0.0)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, margin=1.0):
    short = t.const(margin) - input
    hinge = t.where(t.lt(short, 0), 0, short)
    return t.where(target != 1, hinge, 0) + t.where(target != -1, input, 0)


def inputs(draw):
    margin = draw.variant.options.get("margin", 1.0)
    x, y = draw.real(draw.shape).astype(np.float64), draw.signs(draw.shape).astype(np.float64)
    if draw.regime == "confident":
        x = np.where(y == 1, 1e-3 * x, margin + np.abs(x))
    elif draw.regime == "badly_wrong":
        x = draw.big * y * (1 + np.abs(x))
    elif draw.regime in ("near_kink", "on_kink"):
        x = np.full(draw.shape, margin)
    x = draw.nudge(draw.round(x)) if draw.regime == "near_kink" else draw.round(x)
    return draw.arrays(input=x, target=y.astype(np.int64) if draw.has("integers") else draw.round(y))


FUNCTIONAL = third_party.functional("hinge_embedding_loss")

LOSS = Loss(
    name="hinge_embedding_loss",
    summary="a distance, or the amount by which it falls short of a margin",
    torch=torch_hinge_embedding_loss,
    jax=jax_hinge_embedding_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("margin=0.25", options={"margin": 0.25}, draws=("integers",), shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input",), untyped=("target",)),
    domain=Domain(regimes=("near_kink", "on_kink")),
    crossed=(crossed.option("margin", 0.25, 4.0, -0.5), crossed.flag("integers", draws=("integers",))),
    peers=(FUNCTIONAL,),
    differences=(
        third_party.kink(
            "hinge_embedding_loss", torch_hinge_embedding_loss, FUNCTIONAL.call, "input", -1.0, input=[1.0], target=[-1]
        ),
    ),
    latex=(
        r"\ell = \begin{cases} x & y = 1 \\ \max(0, \mathrm{margin} - x) & y = -1 \\ x + \max(0, \mathrm{margin} "
        r"- x) & \text{otherwise} \end{cases}",
    ),
    source="torch.nn.functional.hinge_embedding_loss",
)
