r"""A distance where two things are alike, by how much it fails a margin where they are not.

Formula: l = x where y = 1, max(0, margin - x) where y = -1, and the sum of both for any other y.

Args:
    input: distances x, any shape (any numbers are taken).
    target: y, 1 (alike) or -1 (not), a shape that broadcasts with that of `input`; floating, or of an integer dtype.
    margin: any number. Default: 1.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Domain: all reals. Gradient to `input`: 1 where y = 1; where y = -1, -1 for x <= margin (on the kink, too: torch's
convention), 0 beyond. None to `target`.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes and for a margin that is not a number.
Identities: for y = -1 and margin 1 it is `hinge_loss` of x and 1.

Source: torch.nn.functional.hinge_embedding_loss.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Domain, Loss, Variant
from xloss.ops import arguments


def torch_hinge_embedding_loss(input, target, margin=1.0, reduction="mean"):
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_number("margin", margin)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    input, target = ops.broadcast(input=input, target=target)
    loss = torch.where(target != 1, ops.positive_part(margin - input), 0.0) + torch.where(target != -1, input, 0.0)
    return ops.reduce(loss, reduction, dtype)


def jax_hinge_embedding_loss(input, target, margin=1.0, reduction="mean"):
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    arguments.check_number("margin", margin)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
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


LOSS = Loss(
    name="hinge_embedding_loss",
    summary="a distance, or by how much it fails a margin",
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
    peers=(third_party.functional("hinge_embedding_loss"),),
    source="torch.nn.functional.hinge_embedding_loss",
)
