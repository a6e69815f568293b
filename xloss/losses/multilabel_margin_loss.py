r"""Multi-label hinge: how far the scores of classes that are not labels come within 1 of those of the labels.

Formula: l_n = 1 / C * sum over labels j and classes i that are not labels of max(0, 1 - x[n, j] + x[n, i]). The labels
are the entries of y_n before its first -1; one that occurs twice counts twice.

Args:
    input: scores x, shape (C), (N, C), or () for one class.
    target: class indices y, the shape of `input`, each row ended by -1 (what follows does not count) unless it is full;
        torch: int64 or uint8, JAX: any integer dtype.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, (N) or () for `'none'`; the dtype of `input`.

Domain: all reals; a NaN that enters a term makes the row's loss NaN, where torch ignores it. Gradient: 1 / C to the
class and -1 / C to the label of each positive term; at its kink a term has gradient 0.
Errors: `ValueError` for shapes and reductions, and for labels outside [-1, C), also after the first -1, where their
values are known (concrete, on the CPU); elsewhere value and gradient of such a row are NaN. `TypeError` for dtypes.
The mean over an empty batch is NaN, where torch leaves it uninitialized.
All pairs of classes are compared at once, which takes memory for N C^2 numbers.
Identities: with a single label `multi_margin_loss`.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.multilabel_margin_loss(np.float32([[1, 1, 3, -5]]), np.int32([[2, 1, -1, -1]])))
0.25

Source: torch.nn.functional.multilabel_margin_loss.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def check_shapes(input, target):
    """Raise `ValueError` for shapes that do not fit; return the numbers of rows and of classes."""
    if len(input) > 2 or 0 in input[-1:]:
        arguments.raise_value_error("input", f"shape {tuple(input)}", "shape (), (C) or (N, C), with one class or more")
    rows, classes = (1, 1, *input)[-2:] if len(input) < 2 else input
    one_class = math.prod(input) == 1 and len(input) < 2 and math.prod(target) == 1 and len(target) < 2
    if not one_class:
        arguments.check_same_shape("target", target, "input", input)
    return rows, classes


def torch_multilabel_margin_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    target = ops.as_indices(target)
    ops.check_devices(input=input, target=target)
    batch = input.shape[:-1]
    rows, classes = check_shapes(input.shape, target.shape)
    labels, outside = ops.validate_range(target, -1, classes)
    input, labels = input.reshape(rows, classes), labels.reshape(rows, classes)
    counts = (labels < 0).cumsum(1) == 0
    labels = labels.clip(min=0)
    is_own = torch.arange(classes, device=labels.device) == labels.unsqueeze(2)
    is_label = (is_own & counts.unsqueeze(2)).any(1)
    picked = input.gather(1, labels)
    # [n, j, i]: label j of row n against class i.
    slack = (1 - picked).unsqueeze(2) + input.unsqueeze(1)
    apart = counts.unsqueeze(2) & ~is_label.unsqueeze(1)
    # Not `where(slack > 0, slack, 0.0)`, which makes a NaN 0.
    hinge = torch.where(~apart | (slack <= 0), 0.0, slack)
    loss = hinge.sum((1, 2)) / classes
    if outside is not None:
        loss = ops.nan_where(loss, outside.reshape(rows, classes).any(1), input[:, 0])
    return ops.reduce(loss.reshape(batch), reduction, dtype)


def jax_multilabel_margin_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops.sharding_jax import gathered

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    target = ops.as_indices(target)
    ops.check_devices(input=input, target=target)
    batch = input.shape[:-1]
    rows, classes = check_shapes(input.shape, target.shape)
    labels, outside = ops.validate_range(target, -1, classes)
    input, labels = gathered(input.reshape(rows, classes), 1), gathered(labels.reshape(rows, classes), 1)
    counts = (labels < 0).cumsum(1) == 0
    labels = labels.clip(min=0)
    is_own = jnp.arange(classes, dtype=labels.dtype)[None, None] == jnp.expand_dims(labels, 2)
    is_label = (is_own & jnp.expand_dims(counts, 2)).any(1)
    picked = ops.gather(input, labels, 1)
    # [n, j, i]: label j of row n against class i.
    slack = jnp.expand_dims(1 - picked, 2) + jnp.expand_dims(input, 1)
    apart = jnp.expand_dims(counts, 2) & ~jnp.expand_dims(is_label, 1)
    # Not `where(slack > 0, slack, 0.0)`, which makes a NaN 0.
    hinge = jnp.where(~apart | (slack <= 0), 0.0, slack)
    loss = hinge.sum((1, 2)) / classes
    if outside is not None:
        loss = ops.nan_where(loss, outside.reshape(rows, classes).any(1), input[:, 0])
    return ops.reduce(loss.reshape(batch), reduction, dtype)


def pairs(target):
    """Return the mask [n, j, i] of "entry j of row n is a label, class i is not", and labels safe to index with."""
    target = np.atleast_2d(target)
    counts = (target < 0).cumsum(1) == 0
    labels = np.where(counts, target, 0)
    is_label = ((np.arange(target.shape[1]) == labels[:, :, None]) & counts[:, :, None]).any(1)
    return counts[:, :, None] & ~is_label[:, None, :], labels


def truth(t, input, target):
    x = np.atleast_2d(input)
    apart, labels = pairs(target)
    slack = 1 - np.take_along_axis(x, labels, 1)[:, :, None] + x[:, None, :]
    hinge = t.where(apart & ~t.lt(slack, 0) & (slack != 0), slack, 0)
    return (t.sum(t.sum(hinge, 2), 1) / x.shape[1]).reshape(input.shape[:-1])


def differentiable_mask(input, target):
    """Return the mask of rows in which rounding (16 eps) does not decide on which side of its kink a term is."""
    eps = 16 * np.finfo(np.float64 if input.dtype == np.float64 else np.float32).eps
    x = np.atleast_2d(input).astype(np.longdouble)
    apart, labels = pairs(target)
    picked = np.take_along_axis(x, labels, 1)[:, :, None]
    with np.errstate(invalid="ignore"):
        slack = 1 - picked + x[:, None, :]
        near = apart & (slack != 0) & (np.abs(slack) <= eps * (1 + np.abs(picked) + np.abs(x[:, None, :])))
    return ~near.any((1, 2)).reshape(input.shape[:-1])


def inputs(draw):
    batch, classes = draw.shape[:-1], draw.shape[-1]
    target = draw.labels(draw.shape, classes)
    ends = draw.rng.integers(0, classes + 1, (*batch, 1))
    target = np.where(np.arange(classes) == ends, -1, target)
    input = draw.real(draw.shape).astype(np.float64)
    if draw.regime in ("confident", "badly_wrong"):
        labels = (np.arange(classes) == np.where(np.arange(classes) < ends, target, -1)[..., None]).any(-2)
        gap = draw.rng.uniform(1, 20 if draw.regime == "confident" else draw.big, (*batch, 1))
        input = input + np.where(labels, gap if draw.regime == "confident" else -gap, 0)
    elif draw.regime in ("near_kink", "on_kink"):
        input = draw.rng.integers(-8, 9, (*batch, 1)) / 4 + draw.rng.integers(0, 2, draw.shape)
    elif draw.regime in ("typical", "noncontiguous"):
        input = 2 * input
    input = draw.round(input)
    return draw.arrays(input=draw.nudge(input) if draw.regime == "near_kink" else input, target=target)


def patched_torch(functional):
    """Return torch's function, but with NaN where it ignores a NaN score, and for the mean over an empty batch."""

    def call(input, target, reduction="mean"):
        import torch

        if not input.isnan().any() and input.numel():
            return functional(input=input, target=target, reduction=reduction)
        apart, labels = map(torch.from_numpy, pairs(target.numpy()))
        rows = torch.atleast_2d(input)
        met = (rows.gather(1, labels).unsqueeze(2) + rows.unsqueeze(1)).masked_fill(~apart, 0.0).isnan().any((1, 2))
        loss = functional(input=input, target=target, reduction="none")
        loss = loss + torch.where(met, torch.nan, 0.0).reshape(loss.shape)
        return loss if reduction == "none" else getattr(loss, reduction)()

    return call


def swallowed(function):
    """Return the loss of scores (0, NaN, 0) and label 0."""
    import torch

    return str(float(function(input=torch.tensor([[0.0, torch.nan, 0.0]]), target=torch.tensor([[0, -1, -1]]))))


FUNCTIONAL = third_party.functional("multilabel_margin_loss")

LOSS = Loss(
    name="multilabel_margin_loss",
    summary="multi-label hinge: how much closer than 1 the classes that are not labels come to those that are",
    torch=torch_multilabel_margin_loss,
    jax=jax_multilabel_margin_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 4), (5, 1))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: rank - 1),
    domain=Domain(regimes=("near_kink", "on_kink"), differentiable_mask=differentiable_mask),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("multilabel_margin_loss/nan", "scores (0, NaN, 0), label 0: torch ignores the NaN",
                           "torch.nn.functional", swallowed, torch_multilabel_margin_loss, FUNCTIONAL.call,
                           ("nan", "0.3333333432674408"), "torch 2.13.0"),
    ),
    patched_torch=patched_torch,
    class_form=ClassForm("MultiLabelMarginLoss"),
    workloads={"medium": (1024, 64), "large": (4096, 128)},
    latex=(
        r"\ell_n = \frac{1}{C} \sum_{j \in L_n} \sum_{i \notin L_n} \max(0, 1 - x_{n,j} + x_{n,i}), \qquad L_n = "
        r"\text{the entries of } y_n \text{ before its first } -1",
    ),
    source="torch.nn.functional.multilabel_margin_loss",
)  # fmt: skip
