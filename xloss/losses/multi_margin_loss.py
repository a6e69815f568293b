r"""Multi-class hinge: how far other classes' scores come within `margin` of the target's, averaged over the classes.

Formula: l_n = w[y_n] / C * sum over c != y_n of max(0, margin - x[n, y_n] + x[n, c])^p. `'mean'` divides by the count,
weights or not.

Args:
    input: scores x, shape (C), (N, C), or () for one class.
    target: class indices y, shape (N), or () or (1) for a single row; torch: int64 or uint8, JAX: any integer dtype.
    p: the power, 1 or 2. Default: 1.
    margin: any finite number. Default: 1.0.
    weight: w, one for each class, shape (C), the dtype of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, that of `target` for `'none'`; the dtype of `input`.

Domain: all reals; a NaN in a row makes its loss NaN, where torch ignores it. Gradient: w[y_n] / C for each class whose
term is positive (times 2 (margin - x[n, y_n] + x[n, c]) for p = 2), minus their sum for the target's class; at its kink
a term has gradient 0.
Errors: `ValueError` for shapes, reductions, powers and margins, and for labels outside [0, C) where their values are
known (concrete, on the CPU); elsewhere value and gradient of such a row are NaN. `TypeError` for dtypes.
The mean over an empty batch is NaN (torch's kernel leaves it uninitialized).
Identities: for two classes and p = 1 half of `margin_ranking_loss` of their scores.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.multi_margin_loss(np.float32([[0.0, 1.0, 3.0]]), np.int32([1])))
1.0

Source: torch.nn.functional.multi_margin_loss; Crammer and Singer 2001.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def check_shapes(input, target, weight):
    """Raise `ValueError` for shapes that do not fit; return the numbers of rows and of classes."""
    if len(input) > 2 or 0 in input[-1:]:
        arguments.raise_value_error("input", f"shape {tuple(input)}", "shape (), (C) or (N, C), with one class or more")
    rows, classes = (1, 1, *input)[-2:] if len(input) < 2 else input
    if len(target) > 1 or math.prod(target) != rows:
        expected = f"shape ({rows},), one label for each row of input, {tuple(input)}"
        arguments.raise_value_error("target", f"shape {tuple(target)}", expected)
    if weight is not None and tuple(weight.shape) != (classes,):
        arguments.raise_value_error(
            "weight", f"shape {tuple(weight.shape)}", f"one for each of the {classes} classes, ({classes},)"
        )
    return rows, classes


def check_power(p):
    """Refuse a power other than the numbers 1 and 2; return it as a Python number."""
    p = arguments.check_number("p", p)
    if p not in (1, 2):
        arguments.raise_value_error("p", repr(p), "1 or 2")
    return p


def torch_multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0,
                            weight: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    p = check_power(p)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    margin = ops.option("margin", margin, input)
    target = ops.as_indices(target)
    ops.check_devices(input=input, target=target)
    rows, classes = check_shapes(input.shape, target.shape, weight)
    labels, outside = ops.validate_range(target, 0, classes)
    input, labels = input.reshape(rows, classes), labels.reshape(rows)
    loss = m.mean_hinge(input, labels, margin, p)
    if weight is not None:
        loss = loss * ops.gather_class_weight(weight, labels)
    if outside is not None:
        loss = ops.nan_where(loss, outside, input.gather(1, labels.unsqueeze(1)).squeeze(1))
    return ops.reduce(loss.reshape(target.shape), reduction, dtype)


def jax_multi_margin_loss(input: ArrayLike, target: ArrayLike, p: int = 1, margin: float = 1.0,
                          weight: ArrayLike | None = None, reduction: Reduction = "mean") -> Array:  # fmt: skip
    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    p = check_power(p)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    margin = ops.option("margin", margin, input)
    target = ops.as_indices(target)
    ops.check_devices(input=input, target=target)
    rows, classes = check_shapes(input.shape, target.shape, weight)
    labels, outside = ops.validate_range(target, 0, classes)
    input, labels = input.reshape(rows, classes), labels.reshape(rows)
    loss = m.mean_hinge(input, labels, margin, p)
    if weight is not None:
        loss = loss * ops.gather_class_weight(weight, labels)
    if outside is not None:
        loss = ops.nan_where(loss, outside, ops.gather(input, labels[:, None], 1).squeeze(1))
    return ops.reduce(loss.reshape(target.shape), reduction, dtype)


def truth(t, input, target, p=1, margin=1.0, weight=None):
    input, labels = np.atleast_2d(input), target.reshape(-1)
    slack = t.const(margin) - np.take_along_axis(input, labels[:, None], 1) + input
    own = np.arange(input.shape[1]) == labels[:, None]
    hinge = t.where(own | t.lt(slack, 0) | (slack == 0), 0, slack)
    loss = t.sum(hinge**p, 1) / input.shape[1]
    return (loss if weight is None else weight[labels] * loss).reshape(target.shape)


def differentiable_mask(input, target, p=1, margin=1.0, weight=None):
    """Return the mask of rows in which rounding (16 eps) does not decide on which side of its kink a term is."""
    eps = 16 * np.finfo(np.float64 if input.dtype == np.float64 else np.float32).eps
    input, labels = np.atleast_2d(input).astype(np.longdouble), target.reshape(-1)
    picked = np.take_along_axis(input, labels[:, None], 1)
    with np.errstate(invalid="ignore"):
        slack = (margin - picked) + input
        near = (slack != 0) & (np.abs(slack) <= eps * (abs(margin) + np.abs(picked) + np.abs(input)))
    return ~near.any(1).reshape(target.shape)


def inputs(draw):
    batch, classes = draw.shape[:-1], draw.shape[-1]
    target = draw.labels(batch, classes)
    input = draw.logits(draw.shape, len(batch), target)
    if draw.regime in ("near_kink", "on_kink"):
        margin = draw.variant.options.get("margin", 1.0)
        base = draw.rng.integers(-8, 9, (*batch, 1)) / 4
        input = draw.round(base + margin * draw.rng.integers(0, 2, draw.shape))
        input = draw.nudge(input) if draw.regime == "near_kink" else input
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", (classes,)))


def patched_torch(functional):
    """Return torch's function, but with NaN where it ignores a NaN score, and for the mean over an empty batch."""

    def call(input, target, reduction="mean", **options):
        if not input.isnan().any() and input.numel():
            return functional(input=input, target=target, reduction=reduction, **options)
        loss = functional(input=input, target=target, reduction="none", **options)
        loss = loss + input.masked_fill(~input.isnan(), 0.0).sum(-1)
        return loss if reduction == "none" else getattr(loss, reduction)()

    return call


def swallowed(function):
    """Return the loss of scores (0, NaN, 0) and class 0."""
    import torch

    return str(float(function(input=torch.tensor([[0.0, torch.nan, 0.0]]), target=torch.tensor([0]))))


FUNCTIONAL = third_party.functional("multi_margin_loss")

LOSS = Loss(
    name="multi_margin_loss",
    summary="multi-class hinge: how much closer than the margin the other classes come to the target's",
    torch=torch_multi_margin_loss,
    jax=jax_multi_margin_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 4), (5, 1))),
        Variant("unbatched", unbatched=True, shapes=((4,),)),
        Variant("p=2", options={"p": 2}, shapes=((6, 4),)),
        Variant("margin=0.5+weight", options={"margin": 0.5}, tensors=("weight",), shapes=((6, 4),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: rank - 1, weights=("weight",)),
    domain=Domain(regimes=("near_kink", "on_kink", "zero_weight"), differentiable_mask=differentiable_mask),
    crossed=(crossed.option("p", 2), crossed.option("margin", 0.25, 4.0, -0.5), crossed.tensor("weight")),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("multi_margin_loss/nan", "scores (0, NaN, 0), class 0: torch ignores the NaN",
                           "torch.nn.functional", swallowed, torch_multi_margin_loss, FUNCTIONAL.call,
                           ("nan", "0.3333333432674408"), "torch 2.13.0"),
    ),
    patched_torch=patched_torch,
    latex=(
        r"\ell_n = \frac{w_{y_n}}{C} \sum_{c \ne y_n} \max(0, \mathrm{margin} - x_{n, y_n} + x_{n,c})^{p}, \qquad "
        r"\operatorname{mean} = \frac{1}{N} \sum_n \ell_n",
    ),
    source="torch.nn.functional.multi_margin_loss",
)  # fmt: skip
