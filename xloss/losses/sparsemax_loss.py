r"""Sparsemax loss: what cross entropy is to softmax, for sparsemax, the projection onto the probability simplex.

Formula, with p = sparsemax(x), p_j = max(0, x_j - tau), tau such that p sums to 1, and S the classes with p_j > 0:
l_n = -x[n, y_n] + 1/2 sum over j in S of (x[n, j]^2 - tau_n^2) + 1/2, 0 where y_n = ignore_index; `'mean'` divides by
the number of rows not ignored. It is 0 where the target's class leads all others by at least 1.

Args:
    input: scores x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices y, shape (), (N) or (N, d1, ..., dK); torch: int64 or uint8, JAX: any integer dtype.
    ignore_index: the label of rows left out of the sum and of the denominator. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the shape of `target` for `'none'`; the dtype of `input`.

Domain: all reals. Computed as (1 - p_y)^2 / 2 + (the sum of the other p_j^2) / 2, plus tau - x_y where p_y = 0: no
cancellation. Gradient: p - onehot(y). The second derivative jumps where a class enters S; at that point it is the one
without the class.
Errors: `ValueError` for shapes and reductions, and for labels outside [0, C) where their values can be read (concrete,
on the CPU); elsewhere the value and the gradient of such a row are NaN. `TypeError` for dtypes. What an ignored row
holds, NaN and infinities too, reaches neither value nor gradient. If all rows are ignored, `'mean'` is 0/0, NaN, with
gradient 0.
Identities: for two classes, with d the other's score minus the target's: (d + 1)^2 / 4, but 0 for d < -1, d for d > 1.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.sparsemax_loss(np.float32([[0.5, 0.0], [2.0, 0.0]]), np.int32([1, 0]), reduction="none"))
[0.5625 0.    ]

Source: Martins and Astudillo 2016, "From Softmax to Sparsemax", arXiv:1602.02068.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_sparsemax_loss(input: Tensor, target: Tensor, ignore_index: int = -100,
                         reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    index = labels.unsqueeze(axis)
    greatest = input.detach().amax(axis, keepdim=True)
    x = input - greatest
    inside = m.sparsemax_support(x, axis)
    count = inside.sum(axis, keepdim=True)
    threshold = (torch.where(inside, x, 0.0).sum(axis, keepdim=True) - 1) / count
    p = torch.where(inside, x - threshold, 0.0)
    # The sum of the others instead of 1 - p_y, which cancels for a confident prediction.
    others = torch.where(torch.zeros_like(inside).scatter(axis, index, 1), 0.0, p)
    missed = torch.where(inside, 0.0, threshold - x).gather(axis, index).squeeze(axis)
    loss = (others.sum(axis) ** 2 + (others * others).sum(axis)) / 2 + missed
    loss = ops.nan_where(loss, ~torch.isfinite(greatest).squeeze(axis))
    # Where a class leads by 1 the gradient is 0 and would hide a NaN: it is passed through the score instead.
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside, input.gather(axis, index).squeeze(axis)))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).to(input.dtype))


def jax_sparsemax_loss(input: ArrayLike, target: ArrayLike, ignore_index: int = -100,
                       reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    index = jnp.expand_dims(labels, axis)
    greatest = jax.lax.stop_gradient(input).max(axis, keepdims=True, initial=-jnp.inf)
    x = input - greatest
    inside = m.sparsemax_support(x, axis)
    count = inside.sum(axis, keepdims=True, dtype=x.dtype)
    threshold = (jnp.where(inside, x, 0.0).sum(axis, keepdims=True) - 1) / count
    p = jnp.where(inside, x - threshold, 0.0)
    # The sum of the others instead of 1 - p_y, which cancels for a confident prediction.
    others = jnp.where(jax.lax.broadcasted_iota(index.dtype, x.shape, axis) == index, 0.0, p)
    missed = ops.gather(jnp.where(inside, 0.0, threshold - x), index, axis).squeeze(axis)
    loss = (others.sum(axis) ** 2 + (others * others).sum(axis)) / 2 + missed
    loss = ops.nan_where(loss, ~jnp.isfinite(greatest).squeeze(axis))
    # Where a class leads by 1 the gradient is 0 and would hide a NaN: it is passed through the score instead.
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside, ops.gather(input, index, axis).squeeze(axis)))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).astype(input.dtype))


def truth(t, input, target, ignore_index=-100):
    axis = arguments.class_axis(input.shape)
    x = np.moveaxis(input, axis, -1)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    # A class is in the support where the scores above its own exceed it by less than 1 in total.
    lead = x[..., None, :] - x[..., :, None]
    inside = t.lt(t.sum(t.where(t.lt(0, lead), lead, 0), x.ndim), 1)
    count = t.sum(t.where(inside, 1, 0), x.ndim - 1, keepdims=True)
    threshold = (t.sum(t.where(inside, x, 0), x.ndim - 1, keepdims=True) - 1) / count
    squares = t.sum(t.where(inside, x**2 - threshold**2, 0), x.ndim - 1)
    picked = np.take_along_axis(x, labels[..., None], -1)[..., 0]
    return t.where(counted, -picked + squares / 2 + t.const(0.5), 0), t.where(counted, 1, 0)


def inputs(draw):
    input, target, _ = draw.labelled_logits()
    if draw.regime in ("near_kink", "on_kink"):
        # A class exactly 1 below another is on the edge of the support.
        input = draw.round(draw.rng.integers(-8, 9, (*draw.shape[:-1], 1)) / 4 + draw.rng.integers(0, 2, draw.shape))
        input = draw.nudge(input) if draw.regime == "near_kink" else input
    return draw.arrays(input=input, target=target)


def optax_labels(optax, input, target):
    import jax

    if input.ndim != 2:
        raise third_party.Unsupported("optax takes a batch of rows")
    with jax.numpy_dtype_promotion("standard"):  # which it relies on
        return optax.losses.multiclass_sparsemax_loss(input, target)


def two_classes(function):
    """Return the sum of the losses of the scores (0.5, 0) and the label 1."""
    import jax.numpy as jnp

    return float(function(jnp.asarray([0.5, 0.0], "float32"), jnp.asarray(1, "int32")).sum())


def optax_binary(input, target):
    import optax

    return optax.losses.sparsemax_loss(input, target)


LOSS = Loss(
    name="sparsemax_loss",
    summary="what cross entropy is to softmax, for the projection onto the probability simplex",
    torch=torch_sparsemax_loss,
    jax=jax_sparsemax_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("ignore_index=1", options={"ignore_index": 1}, ignored=True, shapes=((6, 5),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: 0 if rank == 1 else 1),
    domain=Domain(regimes=("near_kink", "on_kink", "all_ignored")),
    crossed=(crossed.option("ignore_index", 0, 2, -1, -1000), crossed.flag("ignored", ignored=True)),
    peers=(third_party.optax(optax_labels, same_shape=False),),
    differences=(
        Difference.between("sparsemax_loss/name", "scores (0.5, 0), label 1: optax's loss of this name is binary, one "
                           "for each score; its multiclass_sparsemax_loss is this loss", "optax",
                           two_classes, jax_sparsemax_loss, optax_binary, (0.5625, 0.3125), "optax 0.2.8"),
    ),
    adds_nothing=ruled_out_class,
    latex=(
        r"p_j = \max(0, x_j - \tau), \qquad \tau \text{ such that } \sum_j p_j = 1, \qquad S = \{ j : p_j > 0 \}",
        r"\ell_n = \begin{cases} -x_{n, y_n} + \frac{1}{2} \sum_{j \in S} \left( x_{n,j}^2 - \tau_n^2 \right) + "
        r"\frac{1}{2} & y_n \ne \mathrm{ignore\_index} \\ 0 & y_n = \mathrm{ignore\_index} \end{cases}",
    ),
    source="Martins and Astudillo 2016, arXiv:1602.02068",
)  # fmt: skip
