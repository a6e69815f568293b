r"""Binary cross entropy of logits averaged over the classes, each of which is a yes-or-no label of its own.

Formula: l_n = -1 / C * sum over c of w_c (y[n, c] log sigmoid(x[n, c]) + (1 - y[n, c]) log sigmoid(-x[n, c])).

Args:
    input: logits x, shape (C), (N, C) or (..., C).
    target: y, in [0, 1], a shape that broadcasts to that of `input`; floating, or of an integer dtype.
    weight: w, usually one for each class, a shape that broadcasts to that of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, which divides by the count, weights or not.

Returns: shape () for `'mean'` and `'sum'`, that of `input` without its last axis for `'none'`; the widest dtype of the
arguments (an integer target does not count).

Domain: all reals; an infinite logit with the label that it says adds 0 (0 * inf = NaN in torch). Gradient to `input`:
w_c / C ((1 - y) sigmoid(x) - y sigmoid(-x)), each term accurate to rounding; to `target`: -w_c x / C.
Errors: `ValueError` for shapes and reductions (torch accepts a target or a weight larger than `input`, and then sums
over another axis), `TypeError` for dtypes.
Identities: the mean over the last axis of `binary_cross_entropy_with_logits`.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.multilabel_soft_margin_loss(np.float32([[100, -100]]), np.int32([[0, 1]])))
100.0

Source: torch.nn.functional.multilabel_soft_margin_loss.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def check_shapes(input, target, weight):
    """Raise `ValueError` for shapes that do not fit; return the number of classes."""
    if not input:
        arguments.raise_value_error("input", "shape ()", "shape (C), (N, C) or (..., C)")
    arguments.check_broadcasts_to("target", target, "input", input)
    if weight is not None:
        arguments.check_broadcasts_to("weight", weight.shape, "input", input)
    return input[-1]


def torch_multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                      reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",), integer=("target",)
    )
    classes = check_shapes(input.shape, target.shape, weight)
    loss = ops.bce_of_logits(input, target)
    if weight is not None:
        loss = ops.weighted(weight.expand(loss.shape), loss)
    return ops.reduce(loss.sum(-1) / classes, reduction, dtype)


def jax_multilabel_soft_margin_loss(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None,
                                    reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",), integer=("target",)
    )
    classes = check_shapes(input.shape, target.shape, weight)
    loss = ops.bce_of_logits(input, jnp.broadcast_to(target, input.shape))
    if weight is not None:
        loss = ops.weighted(jnp.broadcast_to(weight, loss.shape), loss)
    return ops.reduce(loss.sum(-1) / classes, reduction, dtype)


def truth(t, input, target, weight=None):
    p = 1 / (1 + np.exp(-input))
    loss = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    loss = loss if weight is None else weight * loss
    return t.sum(loss, loss.ndim - 1) / input.shape[-1]


def inputs(draw):
    input, target = draw.real(draw.shape).astype(np.float64), draw.unit(draw.shape)
    if draw.regime in ("confident", "badly_wrong", "large"):
        ones = draw.rng.integers(0, 2, draw.shape)
        sign = (2 * ones - 1) * (-1 if draw.regime == "badly_wrong" else 1)
        spread = draw.rng.uniform(4, 90 if draw.regime == "confident" else draw.big, draw.shape)
        input, target = (input if draw.regime == "large" else sign * spread), draw.round(ones)
    return draw.arrays(input=draw.round(input), target=target, weight=draw.optional("weight", draw.shape[-1:]))


def curvature(function):
    """Return the second derivative at the logit 20, target 1, float32."""
    import torch

    x = torch.tensor([20.0], requires_grad=True)
    (slope,) = torch.autograd.grad(function(input=x, target=torch.ones(1)), x, create_graph=True)
    return float(torch.autograd.grad(slope, x)[0])


FUNCTIONAL = third_party.functional("multilabel_soft_margin_loss")

LOSS = Loss(
    name="multilabel_soft_margin_loss",
    summary="binary cross entropy of logits, averaged over the classes",
    torch=torch_multilabel_soft_margin_loss,
    jax=jax_multilabel_soft_margin_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2))),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
    ),
    arguments=Arguments(class_axes=lambda _argument, rank: rank - 1, untyped=("target",), weights=("weight",)),
    domain=Domain(regimes=("zero_weight",)),
    crossed=(crossed.tensor("weight"),),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("multilabel_soft_margin_loss/curvature", "second derivative at logit 20, target 1, float32",
                           "torch.nn.functional", curvature, torch_multilabel_soft_margin_loss, FUNCTIONAL.call,
                           (2.06115369e-09, 0.0), "torch 2.13.0"),
        Difference.between("multilabel_soft_margin_loss/certain",
                           "logit inf and target 1: 0, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text("torch", input=[[math.inf]], target=[[1.0]]),
                           torch_multilabel_soft_margin_loss, FUNCTIONAL.call, ("0", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("MultiLabelSoftMarginLoss"),
    latex=(
        r"\ell_n = -\frac{1}{C} \sum_{c} w_c \left( y_{n,c} \log \sigma(x_{n,c}) + (1 - y_{n,c}) \log "
        r"\sigma(-x_{n,c}) \right)",
    ),
    source="torch.nn.functional.multilabel_soft_margin_loss",
)  # fmt: skip
