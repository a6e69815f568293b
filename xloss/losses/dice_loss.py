r"""Dice loss of a mask: one minus the Dice coefficient (F1) of prediction and target.

Formula, with sums over all axes of a sample n but the batch:
l_n = 1 - (2 sum p t + smooth) / (sum p + sum t + smooth), computed as sum (p (1 - t) + (1 - p) t) / (the same denominator).

Args:
    input: probabilities p in [0, 1] (logits x with `from_logits`, p = sigmoid(x)), shape (N, d1, ..., dK), or (D) for one
        sample. For one loss for each class of (N, C, ...), fold the classes into the batch: `reshape(N * C, ...)`.
    target: the mask t in [0, 1], usually 0 or 1, the shape of `input`.
    reduction: `'none'`, shape (N), or () for one sample | `'mean'` over the samples | `'sum'`. Default: `'mean'`.
    smooth: is added to numerator and denominator, >= 0. Default: 1.0.
    from_logits: whether `input` holds logits. Default: False.

Domain: p and t in [0, 1]; where t is neither 0 nor 1, p = t is not 0. An empty mask is 0 only where nothing is predicted:
sum p / (sum p + smooth); with smooth = 0 that is 1, and 0 with gradient 0 where nothing is predicted. Gradient, d being the
denominator: (2 sum p t + smooth) / d^2 to an input where t = 0, that - 2 / d where t = 1, computed from terms of one sign.
Errors: `ValueError` for shapes, reductions, a negative smooth, and for values outside of [0, 1], NaN included, where they
are at hand (concrete, on the CPU); elsewhere the value and the gradient of such a sample are NaN. `TypeError` for dtypes.
Identities: `tversky_loss` with half the smooth at alpha = beta = 1/2.

Source: Milletari et al. 2016, arXiv:1606.04797; with smooth and without squares as in MONAI's DiceLoss and optax.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.losses import tversky_loss
from xloss.ops import arguments


def torch_dice_loss(input, target, reduction="mean", smooth=1.0, from_logits=False):
    from xloss.ops import overlap_torch as overlap
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_number("smooth", smooth, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, 0.5, 0.5, smooth / 2)
    return ops.reduce(loss, reduction, dtype)


def jax_dice_loss(input, target, reduction="mean", smooth=1.0, from_logits=False):
    from xloss.ops import jax as ops
    from xloss.ops import overlap_jax as overlap

    arguments.check_reduction(reduction)
    arguments.check_number("smooth", smooth, least=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, 0.5, 0.5, smooth / 2)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, smooth=1.0, from_logits=False):
    p = 1 / (1 + np.exp(-input)) if from_logits else input
    axes = tuple(range(min(1, p.ndim - 1), p.ndim))
    total = lambda x: t.sum(x, axes)  # noqa: E731
    smooth = t.const(smooth)
    below = total(p) + total(target) + smooth
    there = t.lt(0, below)
    return t.where(there, 1 - (2 * total(p * target) + smooth) / t.where(there, below, 1), 0)


def empty(function):
    """Of an empty mask of which nothing is predicted."""
    return float(function([[0.0, 0.0]], [[0.0, 0.0]]))


def empty_here():
    import torch

    return empty(lambda p, t: torch_dice_loss(torch.tensor(p), torch.tensor(t), smooth=0.0))


def empty_there():
    import jax.numpy as jnp
    import keras

    return empty(lambda p, t: keras.losses.Dice()(jnp.asarray(t), jnp.asarray(p)))


def smoothed(function):
    """Of one miss and one hit, where the smooth tells."""
    return float(function([[0.0, 0.0]], [[1.0, 0.0]]))


def smoothed_here():
    import torch

    return smoothed(lambda x, t: torch_dice_loss(torch.tensor(x), torch.tensor(t), from_logits=True))


def smoothed_there():
    import jax.numpy as jnp
    import optax

    return smoothed(lambda x, t: optax.losses.binary_dice_loss(jnp.asarray(x), jnp.asarray(t))[0])


def optax_dice(optax, input, target, smooth=1.0, from_logits=False):
    if not from_logits or input.ndim < 2:
        raise third_party.Unsupported("optax takes logits here, in batches")
    return optax.losses.dice_loss(input[..., None], target[..., None], smooth=smooth / 2)


def keras_dice(losses, smooth=1.0):
    if smooth:
        raise third_party.Unsupported("Keras has no smoothing, but 1e-7 added to the denominator")
    return lambda target, input: losses.Dice(axis=tversky_loss.class_axes("input", input.ndim))(target, input)


LOSS = Loss(
    name="dice_loss",
    summary="one minus the Dice coefficient of a mask",
    torch=torch_dice_loss,
    jax=jax_dice_loss,
    truth=truth,
    inputs=tversky_loss.inputs,
    variants=(
        Variant(shapes=((6, 3), (2, 3, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("smooth=0", options={"smooth": 0.0}, shapes=((6, 3),)),
        Variant("from_logits", options={"from_logits": True}, draws=("logits",), shapes=((6, 3),)),
    ),
    arguments=Arguments(class_axes=tversky_loss.class_axes),
    domain=Domain(skip_regimes={"nonfinite": "probabilities and masks that are not in [0, 1] are refused"}),
    peers=(third_party.optax(optax_dice), third_party.keras(keras_dice)),
    differences=(
        Difference("dice_loss/empty", "an empty mask of which nothing is predicted, smooth=0: no loss, or the whole",
                   "keras", empty_here, empty_there, (0.0, 1.0), "keras 3.15.1"),
        Difference("dice_loss/smooth", "smooth is added to 2 sum p t, as in MONAI, or to sum p t, twice as much",
                   "optax", smoothed_here, smoothed_there, (1 / 3, 0.25), "optax 0.2.8"),
    ),
    source="Milletari et al. 2016, arXiv:1606.04797",
)  # fmt: skip
