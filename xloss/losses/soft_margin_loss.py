r"""Logistic loss of a score and a label of 1 or -1.

Formula: l = log(1 + exp(-y x)).

Args:
    input: scores x, any shape.
    target: y, 1 or -1 (other numbers scale the score), a shape that broadcasts to that of `input`; floating, or of an
        integer dtype.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest floating dtype given.

Domain: all reals; finite also where exp(-y x) overflows. Gradient: -y / (1 + exp(y x)) to `input`,
-x / (1 + exp(y x)) to `target` (torch has none).
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes.
Identities: `binary_cross_entropy_with_logits` of x and (1 + y) / 2, for y = 1 and y = -1.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.soft_margin_loss(np.float32([-200.0, 300.0]), np.int32([1, -1]), reduction="none"))
[200. 300.]

Source: torch.nn.functional.soft_margin_loss.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_soft_margin_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import fused_torch as fused
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    arguments.check_broadcasts_to("target", target.shape, "input", input.shape)
    return fused.soft_margin(input, target, reduction, dtype)


def jax_soft_margin_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    from xloss.ops import fused_jax as fused
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    arguments.check_broadcasts_to("target", target.shape, "input", input.shape)
    return fused.soft_margin(input, target, reduction, dtype)


def truth(t, input, target):
    return np.log(1 + np.exp(-target * input))


def inputs(draw):
    x, y = draw.real(draw.shape).astype(np.float64), draw.signs(draw.shape).astype(np.float64)
    # Beyond 709, or 88 in float32, exp overflows in torch.nn.functional.
    if draw.regime in ("confident", "badly_wrong"):
        gap = draw.rng.uniform(4, 90 if draw.regime == "confident" else 0.7 * draw.big, draw.shape)
        x = gap * y if draw.regime == "confident" else -gap * y
    elif draw.regime == "large":
        x = 0.2 * x
    return draw.arrays(input=draw.round(x), target=y.astype(np.int64) if draw.has("integers") else draw.round(y))


def badly_wrong(function):
    """Return the loss of the score -200 and the label 1 in float32, as text: "inf" where it overflows."""
    import torch

    return str(float(function(input=torch.tensor([-200.0]), target=torch.ones(1))))


FUNCTIONAL = third_party.functional("soft_margin_loss")

LOSS = Loss(
    name="soft_margin_loss",
    summary="logistic loss of a score and a label of 1 or -1",
    torch=torch_soft_margin_loss,
    jax=jax_soft_margin_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("integers", draws=("integers",), shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input",), untyped=("target",)),
    crossed=(crossed.flag("integers", draws=("integers",)),),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("soft_margin_loss/overflow", "score -200, label 1, float32", "torch.nn.functional",
                           badly_wrong, torch_soft_margin_loss, FUNCTIONAL.call, ("200.0", "inf"), "torch 2.13.0",
                           "https://github.com/pytorch/pytorch/issues/77529"),
    ),
    latex=(
        r"\ell = \log\left( 1 + e^{-y\, x} \right)",
    ),
    source="torch.nn.functional.soft_margin_loss",
)  # fmt: skip
