r"""What cross entropy is to softmax, for sparsemax, the nearest point of the simplex: 0 where a class leads by 1.

Formula, with S the classes to which sparsemax(x) gives more than 0 and tau their threshold, sum over S of (x_j - tau) = 1:
l_n = -x[n, y_n] + 1/2 sum over j in S of (x[n, j]^2 - tau_n^2) + 1/2, 0 where y_n = ignore_index; `'mean'` divides by the
number of rows that count.

Args:
    input: scores x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices y, shape (), (N) or (N, d1, ..., dK); torch: int64 or uint8, JAX: any integer dtype.
    ignore_index: the label that counts neither in the sum nor in the denominator. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Domain: all reals. With p = sparsemax(x), p_j = max(0, x_j - tau), it is (1 - p_y)^2 / 2 + (the sum of the other p_j^2) / 2,
plus tau - x_y where p_y = 0: all positive. Gradient: p - onehot(y). The second derivative jumps where a class enters S;
at that very point it is that of the class left out.
Errors: `ValueError` for shapes and reductions, and for labels outside of [0, C) where their values are at hand
(concrete, on the CPU); elsewhere the value and the gradient of such a row are NaN. `TypeError` for dtypes.
Where all is ignored, `'mean'` is 0/0, NaN, with gradient 0.
Identities: for two classes (x + 1)^2 / 4 of their difference x (other minus own), 0 below -1, x above 1.

Source: Martins and Astudillo 2016, "From Softmax to Sparsemax", arXiv:1602.02068.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments


def torch_sparsemax_loss(input, target, ignore_index=-100, reduction="mean"):
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    index = labels.unsqueeze(axis)
    greatest = input.detach().amax(axis, keepdim=True)
    x = input - greatest
    inside = m.sparsemax_support(x, axis)
    threshold = (torch.where(inside, x, 0.0).sum(axis, keepdim=True) - 1) / inside.sum(axis, keepdim=True)
    p = torch.where(inside, x - threshold, 0.0)
    # 1 - p_y is the sum of the others, which keeps the digits of a confident prediction.
    others = torch.where(torch.zeros_like(inside).scatter(axis, index, True), 0.0, p)
    missed = torch.where(inside, 0.0, threshold - x).gather(axis, index).squeeze(axis)
    loss = (others.sum(axis) ** 2 + (others * others).sum(axis)) / 2 + missed
    loss = ops.nan_where(loss, ~torch.isfinite(greatest).squeeze(axis))
    # Where a class leads by 1 the loss has no gradient to poison: the score itself brings one.
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside, input.gather(axis, index).squeeze(axis)))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).to(input.dtype))


def jax_sparsemax_loss(input, target, ignore_index=-100, reduction="mean"):
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    index = jnp.expand_dims(labels, axis)
    greatest = jax.lax.stop_gradient(input).max(axis, keepdims=True, initial=-jnp.inf)
    x = input - greatest
    inside = m.sparsemax_support(x, axis)
    threshold = (jnp.where(inside, x, 0.0).sum(axis, keepdims=True) - 1) / inside.sum(
        axis, keepdims=True, dtype=x.dtype
    )
    p = jnp.where(inside, x - threshold, 0.0)
    # 1 - p_y is the sum of the others, which keeps the digits of a confident prediction.
    others = jnp.where(jax.lax.broadcasted_iota(index.dtype, x.shape, axis) == index, 0.0, p)
    missed = jnp.take_along_axis(jnp.where(inside, 0.0, threshold - x), index, axis).squeeze(axis)
    loss = (others.sum(axis) ** 2 + (others * others).sum(axis)) / 2 + missed
    loss = ops.nan_where(loss, ~jnp.isfinite(greatest).squeeze(axis))
    # Where a class leads by 1 the loss has no gradient to poison: the score itself brings one.
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside, jnp.take_along_axis(input, index, axis).squeeze(axis)))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).astype(input.dtype))


def truth(t, input, target, ignore_index=-100):
    axis = arguments.class_axis(input.shape)
    x = np.moveaxis(input, axis, -1)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    # A class is in the support where those above it lie above it by less than 1 in all.
    lead = x[..., None, :] - x[..., :, None]
    inside = t.lt(t.sum(t.where(t.lt(0, lead), lead, 0), x.ndim), 1)
    count = t.sum(t.where(inside, 1, 0), x.ndim - 1, keepdims=True)
    threshold = (t.sum(t.where(inside, x, 0), x.ndim - 1, keepdims=True) - 1) / count
    squares = t.sum(t.where(inside, x**2 - threshold**2, 0), x.ndim - 1)
    picked = np.take_along_axis(x, labels[..., None], -1)[..., 0]
    return t.where(counted, -picked + squares / 2 + t.const(0.5), 0), t.where(counted, 1, 0)


def inputs(draw):
    axis = arguments.class_axis(draw.shape)
    ignore_index = draw.variant.options.get("ignore_index", -100)
    target = draw.labels(draw.shape[:axis] + draw.shape[axis + 1 :], draw.shape[axis], ignore_index)
    input = draw.logits(draw.shape, axis, target)
    if draw.regime in ("near_kink", "on_kink"):
        # A class that lies below another by 1 is on the edge of the support.
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
    """Scores 0.5 and 0, label 1: the sum of what comes back."""
    import jax.numpy as jnp

    return float(function(jnp.asarray([0.5, 0.0], "float32"), jnp.asarray(1, "int32")).sum())


def binary_here():
    return two_classes(jax_sparsemax_loss)


def binary_there():
    import optax

    return two_classes(optax.losses.sparsemax_loss)


LOSS = Loss(
    name="sparsemax_loss",
    summary="what cross entropy is to softmax, for the projection onto the simplex",
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
    peers=(third_party.optax(optax_labels, same_shape=False),),
    differences=(
        Difference("sparsemax_loss/name", "scores (0.5, 0), label 1: optax's loss of this name asks one question of yes or no "
                   "of each score; its multiclass_sparsemax_loss is this loss",
                   "optax", binary_here, binary_there, (0.5625, 0.3125), "optax 0.2.8"),
    ),
    source="Martins and Astudillo 2016, arXiv:1602.02068",
)  # fmt: skip
