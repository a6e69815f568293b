r"""Tversky loss of a mask: one minus its Tversky index, which weighs false positives and false negatives apart.

Formula, with TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t over all axes of a sample n but the batch:
l_n = 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), computed as (alpha FP + beta FN) / (the same denominator).

Args:
    input: probabilities p in [0, 1] (logits x with `from_logits`, p = sigmoid(x)), shape (N, d1, ..., dK), or (D) for one
        sample. For one loss for each class of (N, C, ...), fold the classes into the batch: `reshape(N * C, ...)`.
    target: the mask t in [0, 1], usually 0 or 1, the shape of `input`.
    reduction: `'none'`, shape (N), or () for one sample | `'mean'` over the samples | `'sum'`. Default: `'mean'`.
    alpha: what a false positive costs, >= 0. Default: 0.5.
    beta: what a false negative costs, >= 0. Default: 0.5.
    smooth: is added to numerator and denominator, >= 0. Default: 1.0.
    from_logits: whether `input` holds logits. Default: False.

Domain: p and t in [0, 1]. An empty mask is 0 only where nothing is predicted: alpha FP / (alpha FP + smooth); with smooth = 0
that is 1, and 0 with gradient 0 where nothing is predicted. Gradient to an input where t = 0: alpha (TP + smooth) / d^2,
where t = 1: -(beta (TP + smooth) + alpha FP + beta FN) / d^2, d being the denominator: never a difference.
Errors: `ValueError` for shapes, reductions, negative options, and for values outside of [0, 1], NaN included, where they
are at hand (concrete, on the CPU); elsewhere the value and the gradient of such a sample are NaN. `TypeError` for dtypes.
Identities: `dice_loss` with twice the smooth at alpha = beta = 1/2; the Jaccard (IoU) loss at alpha = beta = 1.

Source: Salehi et al. 2017, arXiv:1706.05721.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments


def torch_tversky_loss(input, target, reduction="mean", alpha=0.5, beta=0.5, smooth=1.0, from_logits=False):
    from xloss.ops import overlap_torch as overlap
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_number("alpha", alpha, least=0)
    arguments.check_number("beta", beta, least=0)
    arguments.check_number("smooth", smooth, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, alpha, beta, smooth)
    return ops.reduce(loss, reduction, dtype)


def jax_tversky_loss(input, target, reduction="mean", alpha=0.5, beta=0.5, smooth=1.0, from_logits=False):
    from xloss.ops import jax as ops
    from xloss.ops import overlap_jax as overlap

    arguments.check_reduction(reduction)
    arguments.check_number("alpha", alpha, least=0)
    arguments.check_number("beta", beta, least=0)
    arguments.check_number("smooth", smooth, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, alpha, beta, smooth)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, alpha=0.5, beta=0.5, smooth=1.0, from_logits=False):
    p = 1 / (1 + np.exp(-input)) if from_logits else input
    axes = tuple(range(min(1, p.ndim - 1), p.ndim))
    total = lambda x: t.sum(x, axes)  # noqa: E731
    alpha, beta, smooth = map(t.const, (alpha, beta, smooth))
    true_positive = total(p * target)
    index = true_positive + smooth
    below = true_positive + alpha * total(p * (1 - target)) + beta * total((1 - p) * target) + smooth
    there = t.lt(0, below)
    return t.where(there, 1 - index / t.where(there, below, 1), 0)


def inputs(draw):
    """Masks are 0 or 1 where a prediction is to be confident or badly wrong, and shades of grey elsewhere."""
    p, target = draw.unit(draw.shape), draw.unit(draw.shape)
    if draw.regime in ("subnormal", "tiny"):
        target = draw.round(draw.rng.uniform(0.1, 0.9, draw.shape))
    elif draw.regime in ("confident", "badly_wrong", "large"):
        target = draw.round(p.astype(np.float64) > 0.5)
        if draw.regime == "badly_wrong":
            p = draw.round(1 - p.astype(np.float64))
    if draw.has("logits"):
        p = draw.real(draw.shape).astype(np.float64)
        if draw.regime in ("confident", "badly_wrong"):
            sign = (2 * target.astype(np.float64) - 1) * (-1 if draw.regime == "badly_wrong" else 1)
            p = sign * draw.rng.uniform(4, 80 if draw.regime == "confident" else draw.big, draw.shape)
    return draw.arrays(input=draw.round(p), target=target)


def class_axes(_argument, rank):
    """All axes of a sample: each output depends on the whole of its sample."""
    return 0 if rank == 1 else 1 if rank == 2 else tuple(range(1, rank))


def three_misses(function):
    """Of one hit, two false positives and one false negative, with alpha = 1 and beta = 0."""
    return float(function([[1.0, 1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0, 1.0]]))


def swapped_here():
    import torch

    return three_misses(
        lambda p, t: torch_tversky_loss(torch.tensor(p), torch.tensor(t), alpha=1.0, beta=0.0, smooth=0)
    )


def swapped_there():
    import jax.numpy as jnp
    import keras

    return three_misses(lambda p, t: keras.losses.Tversky(alpha=1.0, beta=0.0)(jnp.asarray(t), jnp.asarray(p)))


def keras_tversky(losses, alpha=0.5, beta=0.5, smooth=1.0):
    if smooth:
        raise third_party.Unsupported("Keras has no smoothing, but 1e-7 added to the denominator")

    def call(target, input):
        axes = class_axes("input", input.ndim)
        # With the meanings of alpha and beta that it has, not those that it documents.
        return losses.Tversky(alpha=beta, beta=alpha, axis=axes)(target, input)

    return call


def optax_tversky(optax, input, target, alpha=0.5, beta=0.5, smooth=1.0, from_logits=False):
    if not from_logits or input.ndim < 2:
        raise third_party.Unsupported("optax takes logits here, in batches")
    return optax.losses.dice_loss(input[..., None], target[..., None], smooth=smooth, alpha=alpha, beta=beta)


LOSS = Loss(
    name="tversky_loss",
    summary="one minus the Tversky index of a mask: Dice with a weight for each kind of error",
    torch=torch_tversky_loss,
    jax=jax_tversky_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(options={"alpha": 0.25, "beta": 0.75}, shapes=((6, 3), (2, 3, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("smooth=0", options={"smooth": 0.0}, shapes=((6, 3),)),
        Variant("from_logits", options={"alpha": 2.0, "beta": 0.5, "from_logits": True}, draws=("logits",),
                shapes=((6, 3),)),
    ),
    arguments=Arguments(class_axes=class_axes),
    domain=Domain(skip_regimes={"nonfinite": "probabilities and masks that are not in [0, 1] are refused"}),
    peers=(third_party.optax(optax_tversky), third_party.keras(keras_tversky)),
    differences=(
        Difference("tversky_loss/keras", "alpha weighs false positives, as Keras documents; in Keras it weighs false negatives",
                   "keras", swapped_here, swapped_there, (2 / 3, 0.5), "keras 3.15.1"),
    ),
    source="Salehi et al. 2017, arXiv:1706.05721",
)  # fmt: skip
