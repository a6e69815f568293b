r"""Tversky loss of a mask: one minus its Tversky index, which weights false positives and false negatives separately.

Formula, with TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t over all axes of a sample n but the batch:
l_n = 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), computed as (alpha FP + beta FN) / (the same denominator).

Args:
    input: probabilities p in [0, 1] (logits x with `from_logits`, p = sigmoid(x)), shape (N, d1, ..., dK), or (D) for
        one sample. For one loss for each class of (N, C, ...), fold the classes into the batch:
        `reshape(N * C, ...)`.
    target: the mask t in [0, 1], usually 0 or 1, the shape of `input`.
    reduction: `'none'` | `'mean'` over the samples | `'sum'`. Default: `'mean'`.
    alpha: the weight of false positives, >= 0. Default: 0.5.
    beta: the weight of false negatives, >= 0. Default: 0.5.
    smooth: added to numerator and denominator, >= 0. Default: 1.0.
    from_logits: whether `input` holds logits. Default: False.

Returns: shape () for `'mean'` and `'sum'`, (N) or () for `'none'`; the widest dtype of the arguments.

Domain: p and t in [0, 1]. For an empty mask it is alpha FP / (alpha FP + smooth), 0 only if nothing is predicted; with
smooth = 0 that is 1, but 0 with gradient 0 if nothing is predicted. Gradient to p, d being the denominator:
alpha (TP + smooth) / d^2 where t = 0, -(beta (TP + smooth) + alpha FP + beta FN) / d^2 where t = 1; no cancellation.
Errors: `ValueError` for shapes, reductions, negative options, and for values outside [0, 1], NaN included, where they
can be read (concrete, on the CPU); elsewhere the value and the gradient of such a sample are NaN. `TypeError` for
dtypes, and for a `from_logits` that is not a bool.
Identities: `dice_loss` with twice the smooth at alpha = beta = 1/2; the Jaccard (IoU) loss at alpha = beta = 1.

>>> import numpy as np, xloss.jax
>>> p, t = np.float32([[1.0, 1.0, 1.0, 0.0]]), np.float32([[1.0, 0.0, 0.0, 1.0]])  # TP = 1, FP = 2, FN = 1
>>> print(xloss.jax.tversky_loss(p, t, alpha=1.0, beta=0.0))
0.5

Source: Salehi et al. 2017, arXiv:1706.05721.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_tversky_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", alpha: float = 0.5,
                       beta: float = 0.5, smooth: float = 1.0, from_logits: bool = False) -> Tensor:  # fmt: skip
    from xloss.ops import overlap_torch as overlap
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    alpha = ops.option("alpha", alpha, input, least=0)
    beta = ops.option("beta", beta, input, least=0)
    smooth = ops.option("smooth", smooth, input, least=0)
    p, q, t = overlap.validate_masks(input, target, from_logits)
    loss = overlap.tversky(p, q, t, alpha, beta, smooth)
    return ops.reduce(loss, reduction, dtype)


def jax_tversky_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", alpha: float = 0.5,
                     beta: float = 0.5, smooth: float = 1.0, from_logits: bool = False) -> Array:  # fmt: skip
    from xloss.ops import jax as ops
    from xloss.ops import overlap_jax as overlap

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    alpha = ops.option("alpha", alpha, input, least=0)
    beta = ops.option("beta", beta, input, least=0)
    smooth = ops.option("smooth", smooth, input, least=0)
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
    """Draw masks of 0 and 1 where a prediction is to be confident or badly wrong, of any values in [0, 1] elsewhere."""
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
    for name, value in (("nothing", 0.0), ("everything", 1.0)):
        target = np.full_like(target, value) if draw.has(name) else target
    return draw.arrays(input=draw.round(p), target=target)


def class_axes(_argument, rank):
    """Return all axes of a sample: each output depends on the whole of its sample."""
    return 0 if rank == 1 else 1 if rank == 2 else tuple(range(1, rank))


def three_misses(function):
    """Return the loss of one hit, two false positives and one false negative, with alpha = 1 and beta = 0."""
    import jax.numpy as jnp

    input, target = jnp.asarray([[1.0, 1.0, 1.0, 0.0]]), jnp.asarray([[1.0, 0.0, 0.0, 1.0]])
    return float(function(input=input, target=target, reduction="mean", alpha=1.0, beta=0.0, smooth=0.0))


def keras_tversky(losses, alpha=0.5, beta=0.5, smooth=1.0):
    if smooth:
        raise third_party.Unsupported("Keras has no smoothing, but 1e-7 added to the denominator")

    def call(target, input):
        axes = class_axes("input", input.ndim)
        # Swapped: Keras's alpha weights false negatives, whatever its documentation says.
        return losses.Tversky(alpha=beta, beta=alpha, axis=axes)(target, input)

    return call


def optax_tversky(optax, input, target, alpha=0.5, beta=0.5, smooth=1.0, from_logits=False):
    if not from_logits or input.ndim < 2:
        raise third_party.Unsupported("optax takes logits here, in batches")
    return optax.losses.dice_loss(input[..., None], target[..., None], smooth=smooth, alpha=alpha, beta=beta)


DOCUMENTED = third_party.keras(lambda losses, alpha, beta, smooth: losses.Tversky(alpha=alpha, beta=beta))

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
    crossed=(
        crossed.option("alpha", 0.0, 0.25, 2.0), crossed.option("beta", 0.0, 0.75),
        crossed.option("smooth", 0.0, 0.125), crossed.option("from_logits", True, draws=("logits",)),
        crossed.either(crossed.flag("nothing", draws=("nothing",)), crossed.flag("everything", draws=("everything",))),
    ),
    peers=(third_party.optax(optax_tversky), third_party.keras(keras_tversky)),
    differences=(
        Difference.between("tversky_loss/keras", "alpha weights false positives, as Keras documents; Keras's own "
                           "alpha weights false negatives", "keras", three_misses, jax_tversky_loss, DOCUMENTED.call,
                           (2 / 3, 0.5), "keras 3.15.1"),
    ),
    latex=(
        r"\mathrm{TP} = \sum p\, t, \qquad \mathrm{FP} = \sum p (1 - t), \qquad \mathrm{FN} = \sum (1 - p) t",
        r"\ell_n = 1 - \frac{\mathrm{TP} + \mathrm{smooth}}{\mathrm{TP} + \alpha \mathrm{FP} + \beta \mathrm{FN} "
        r"+ \mathrm{smooth}}",
    ),
    source="Salehi et al. 2017, arXiv:1706.05721",
)  # fmt: skip
