r"""Dice loss of a mask: one minus the Dice coefficient (F1) of prediction and target.

Formula, with sums over all axes of a sample n but the batch:
l_n = 1 - (2 sum p t + smooth) / (sum p + sum t + smooth), computed as
sum (p (1 - t) + (1 - p) t) / (the same denominator).

Args:
    input: probabilities p in [0, 1] (logits x with `from_logits`, p = sigmoid(x)), shape (N, d1, ..., dK), or (D) for
        one sample. For one loss for each class of (N, C, ...), fold the classes into the batch: `reshape(N * C, ...)`.
    target: the mask t in [0, 1], usually 0 or 1, the shape of `input`.
    reduction: `'none'` | `'mean'` over the samples | `'sum'`. Default: `'mean'`.
    smooth: added to numerator and denominator, >= 0. Default: 1.0.
    from_logits: whether `input` holds logits. Default: False.

Returns: shape () for `'mean'`, `'sum'` and one sample, (N) for `'none'`; the wider dtype of `input` and `target`.

Domain: p and t in [0, 1]; the loss at p = t is 0 only if t is 0 or 1. For an empty mask it is
sum p / (sum p + smooth): with smooth = 0 this is 1, except where sum p = 0, too: there loss and gradient are 0.
Gradient, d being the denominator: (2 sum p t + smooth) / d^2 to an input where t = 0, that - 2 / d where t = 1,
computed without cancellation.
Errors: `ValueError` for shapes, reductions, a negative smooth, and for values outside [0, 1], NaN included, where they
are known (concrete, on the CPU); elsewhere value and gradient of such a sample are NaN. `TypeError` for dtypes,
and for a `from_logits` that is not a bool.
Identities: `tversky_loss` with half the smooth at alpha = beta = 1/2.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.dice_loss(np.float32([[1, 1, 0], [0, 0, 0]]), np.float32([[1, 0, 0], [1, 0, 0]]), "none"))
[0.25 0.5 ]

Source: Milletari et al. 2016, arXiv:1606.04797; with smooth and without squares as in MONAI's DiceLoss and optax.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.losses import tversky_loss
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_dice_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", smooth: float = 1.0,
                    from_logits: bool = False) -> Tensor:  # fmt: skip
    from xloss.ops import overlap_torch as overlap
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    smooth = ops.option("smooth", smooth, input, least=0)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, 0.5, 0.5, smooth / 2)
    return ops.reduce(loss, reduction, dtype)


def jax_dice_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", smooth: float = 1.0,
                  from_logits: bool = False) -> Array:  # fmt: skip
    from xloss.ops import jax as ops
    from xloss.ops import overlap_jax as overlap

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    smooth = ops.option("smooth", smooth, input, least=0)
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
    """Return the loss of an empty mask where nothing is predicted."""
    import jax.numpy as jnp

    return float(function(input=jnp.zeros((1, 2)), target=jnp.zeros((1, 2)), smooth=0.0, reduction="mean"))


def smoothed(function):
    """Return the loss of p = (1/2, 1/2), t = (1, 0), which depends on smooth."""
    import jax.numpy as jnp

    return float(function(jnp.zeros((1, 2)), jnp.asarray([[1.0, 0.0]])))


def optax_binary(logits, target):
    import optax

    return optax.losses.binary_dice_loss(logits, target)[0]


def optax_dice(optax, input, target, smooth=1.0, from_logits=False):
    if not from_logits or input.ndim < 2:
        raise third_party.Unsupported("optax takes logits here, in batches")
    return optax.losses.dice_loss(input[..., None], target[..., None], smooth=smooth / 2)


def keras_dice(losses, smooth=1.0):
    if smooth:
        raise third_party.Unsupported("Keras has no smoothing, but 1e-7 added to the denominator")
    return lambda target, input: losses.Dice(axis=tversky_loss.class_axes("input", input.ndim))(target, input)


KERAS = third_party.keras(keras_dice)

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
    crossed=(
        crossed.option("smooth", 0.0, 0.125, 4.0), crossed.option("from_logits", True, draws=("logits",)),
        crossed.either(crossed.flag("nothing", draws=("nothing",)), crossed.flag("everything", draws=("everything",))),
    ),
    peers=(third_party.optax(optax_dice), KERAS),
    differences=(
        Difference.between("dice_loss/empty", "an empty mask where nothing is predicted, smooth=0", "keras", empty,
                           jax_dice_loss, KERAS.call, (0.0, 1.0), "keras 3.15.1"),
        Difference.between("dice_loss/smooth", "smooth is added to 2 sum p t, as in MONAI, or to sum p t",
                           "optax", smoothed, lambda x, t: jax_dice_loss(x, t, from_logits=True), optax_binary,
                           (1 / 3, 0.25), "optax 0.2.8"),
    ),
    latex=(
        r"\ell_n = 1 - \frac{2 \sum p\, t + \mathrm{smooth}}{\sum p + \sum t + \mathrm{smooth}} = \frac{\sum "
        r"\left( p (1 - t) + (1 - p) t \right)}{\sum p + \sum t + \mathrm{smooth}}",
    ),
    source="Milletari et al. 2016, arXiv:1606.04797",
)  # fmt: skip
