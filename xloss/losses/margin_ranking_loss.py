r"""Amount by which the difference of two inputs, in the order that the target asks for, falls short of a margin.

Formula: l = max(0, -y (x1 - x2) + margin).

Args:
    input1: x1, any shape.
    input2: x2, the same number of axes as `input1`, a shape that broadcasts with its.
    target: y, 1 if x1 should be greater and -1 if x2 should be (other numbers scale the difference), the same number
        of axes, a shape that broadcasts with those of the inputs; floating, or of an integer dtype.
    margin: any finite number. Default: 0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments (that of
the inputs for an integer target).

Domain: all reals. Gradient: -y to `input1`, y to `input2`, x2 - x1 to `target`, where the loss is positive and at the
kink, -y (x1 - x2) + margin = 0 (torch's convention); 0 elsewhere.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes and for a margin that is not a number.
Identities: with margin 0 and y = 1 it is relu(x2 - x1), except for the derivative at the kink.

>>> import numpy as np, xloss.jax
>>> x1, x2, y = np.float32([0.5, 0.5]), np.float32([0.0, 1.0]), np.int32([1, 1])
>>> print(xloss.jax.margin_ranking_loss(x1, x2, y, margin=0.25, reduction="none"))
[0.   0.75]

Source: torch.nn.functional.margin_ranking_loss.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                              reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input1, input2, target, dtype = ops.validate_and_upcast(
        input1=input1, input2=input2, target=target, integer=("target",)
    )
    margin = ops.option("margin", margin, input1)
    check_axes(input1=input1.shape, input2=input2.shape, target=target.shape)
    loss = ops.positive_part(margin - target * (input1 - input2))
    return ops.reduce(loss, reduction, dtype)


def jax_margin_ranking_loss(input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0,
                            reduction: Reduction = "mean") -> Array:  # fmt: skip
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input1, input2, target, dtype = ops.validate_and_upcast(
        input1=input1, input2=input2, target=target, integer=("target",)
    )
    margin = ops.option("margin", margin, input1)
    check_axes(input1=input1.shape, input2=input2.shape, target=target.shape)
    loss = ops.positive_part(margin - target * (input1 - input2))
    return ops.reduce(loss, reduction, dtype)


def check_axes(**shapes):
    """Raise `ValueError` unless shapes broadcast and have, as torch asks, the same number of axes."""
    rank = len(shapes["input1"])
    for name, shape in shapes.items():
        if len(shape) != rank:
            arguments.raise_value_error(
                name, f"shape {tuple(shape)}", f"as many axes as input1, of shape {tuple(shapes['input1'])}"
            )
    arguments.broadcast_shape(**shapes)


def truth(t, input1, input2, target, margin=0):
    gap = -target * (input1 - input2) + t.const(margin)
    return t.where(t.lt(gap, 0), 0, gap)


def differentiable_mask(input1, input2, target, margin=0):
    wide = np.longdouble
    x1, x2, y = (array.astype(wide) for array in (input1, input2, target))
    with np.errstate(invalid="ignore"):
        gap = -y * (x1 - x2) + wide(margin)
    eps = 2.0**-52 if input1.dtype == np.float64 else 2.0**-23
    return (gap == 0) | (np.abs(gap) > 4 * eps * (np.abs(y) * (np.abs(x1) + np.abs(x2)) + abs(margin)))


def inputs(draw):
    shape, margin = draw.shape, draw.variant.options.get("margin", 0)
    kink = draw.regime in ("near_kink", "on_kink")
    input1, input2 = draw.real(shape), draw.real(shape)
    sign = np.asarray(2 * draw.labels(shape, 2) - 1)
    if draw.has("scaled"):
        sign = draw.round(sign * (draw.rng.choice([0.5, 1.0, 2.0], shape) if kink else draw.weights(shape)))
    if kink:  # multiples of 1/8: exact in every dtype, as are their sums with margin / y
        input2 = draw.round(draw.rng.integers(-16, 17, shape) / 8)
    if draw.has("columns"):
        input2, sign = input2[:, :1], sign[:1]
    wide, y = input2.astype(np.float64), sign.astype(np.float64)
    if kink:
        input1 = draw.round(wide + margin / y)
        input1 = draw.nudge(input1) if draw.regime == "near_kink" else input1
    elif draw.regime in ("confident", "badly_wrong"):
        side = 1 if draw.regime == "confident" else -draw.big
        input1 = draw.round(wide + y * (margin + side * draw.rng.exponential(size=shape)))
    return draw.arrays(input1=input1, input2=input2, target=sign)


FUNCTIONAL = third_party.functional("margin_ranking_loss")

LOSS = Loss(
    name="margin_ranking_loss",
    summary="by how much the order of two inputs fails a margin",
    torch=torch_margin_ranking_loss,
    jax=jax_margin_ranking_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("margin=0.5", options={"margin": 0.5}, draws=("scaled",), shapes=((6, 3),)),
        Variant("columns", options={"margin": 1.0}, draws=("scaled", "columns"), shapes=((4, 3),)),
    ),
    arguments=Arguments(
        wrt=("input1", "input2", "target"),
        batched=("input1", "input2", "target"),
        untyped=("target",),
    ),
    domain=Domain(kinks=(0.0,), differentiable_mask=differentiable_mask),
    crossed=(crossed.option("margin", -0.5, 0.25, 4.0), crossed.flag("scaled", draws=("scaled",))),
    peers=(FUNCTIONAL,),
    differences=(
        third_party.kink(
            "margin_ranking_loss",
            torch_margin_ranking_loss,
            FUNCTIONAL.call,
            "input1",
            -1.0,
            input1=[0.5],
            input2=[0.5],
            target=[1],
        ),
    ),
    latex=(r"\ell = \max\left( 0, -y (x_1 - x_2) + \mathrm{margin} \right)",),
    source="torch.nn.functional.margin_ranking_loss",
)
