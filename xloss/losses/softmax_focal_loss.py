r"""Focal loss of class indices: cross entropy times (1 - p)^gamma, so that easy examples count less.

Formula, with p = softmax(x) at the target's class: l_n = -w[y_n] (1 - p)^gamma log p, 0 where y_n = ignore_index;
`'mean'` divides by the sum of w[y_n] over the rows not ignored, as in `cross_entropy`.

Args:
    input: logits x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices y, shape (), (N) or (N, d1, ..., dK); torch: int64 or uint8, JAX: any integer dtype.
    weight: w, one for each class (the alpha of the source), shape (C), the dtype of `input`, or None.
    ignore_index: the label of rows left out of the sum and of the denominator. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    gamma: the exponent, >= 0. Default: 2.0.

Returns: shape () for `'mean'` and `'sum'`, the shape of `target` for `'none'`; the dtype of `input`.

Domain: all reals. With d = logsumexp(the other logits) - x_y, -log p is softplus(d) and log(1 - p) is -softplus(-d):
accurate also where p rounds to 1. Gradient: that of cross entropy, p - onehot(y), times
(1 - p)^gamma (1 - gamma p log(p) / (1 - p)).
Errors: `ValueError` for shapes, reductions and gamma, and for labels outside [0, C) where their values can be read
(concrete, on the CPU); elsewhere the value and the gradient of such a row are NaN. `TypeError` for dtypes. What an
ignored row holds, NaN and infinities too, reaches neither value nor gradient. If all rows are ignored, `'mean'` is 0/0,
NaN, with gradient 0.
Identities: `cross_entropy` for gamma = 0; for two classes `sigmoid_focal_loss` of their difference, without alpha.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.softmax_focal_loss(np.float32([[0.0, 0.0]]), np.int32([1])):.4f}")  # (1 - p)^gamma log 2
0.1733

Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_softmax_focal_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100,
                             reduction: Reduction = "mean", gamma: float = 2.0) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    gamma = ops.option("gamma", gamma, input, least=0)
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    odds = m.neg_log_odds(input, labels, axis)
    loss = ops.softplus(odds)
    if not arguments.is_zero(gamma):  # else 0 * inf where there is no other class
        odds = torch.where(odds == torch.inf, 1e4, odds)  # no derivative, which would be multiplied by an infinite loss
        loss = loss * torch.exp(m.scale(ops.softplus(-odds), -gamma))
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    loss = torch.where(ignored, 0.0, ops.nan_where(loss if weight is None else ops.weighted(weights, loss), outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def jax_softmax_focal_loss(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None,
                           ignore_index: int = -100, reduction: Reduction = "mean",
                           gamma: float = 2.0) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    gamma = ops.option("gamma", gamma, input, least=0)
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    odds = m.neg_log_odds(input, labels, axis)
    loss = ops.softplus(odds)
    if not arguments.is_zero(gamma):  # else 0 * inf where there is no other class
        odds = jnp.where(odds == jnp.inf, 1e4, odds)  # no derivative, which would be multiplied by an infinite loss
        loss = loss * jnp.exp(m.scale(ops.softplus(-odds), -gamma))
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss if weight is None else ops.weighted(weights, loss), outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def truth(t, input, target, weight=None, ignore_index=-100, gamma=2.0):
    axis = arguments.class_axis(input.shape)
    p = np.exp(input) / t.sum(np.exp(input), axis, keepdims=True)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    picked = np.take_along_axis(p, np.expand_dims(labels, axis), axis).squeeze(axis)
    weights = t.where(counted, 1 if weight is None else weight[labels], 0)
    factor = (1 - picked) ** t.const(gamma) if gamma else 1
    return t.where(counted, -weights * factor * np.log(picked), 0), weights


def inputs(draw):
    input, target, weight = draw.labelled_logits()
    return draw.arrays(input=input, target=target, weight=weight)


def keras_labels(losses, gamma=2.0):
    def call(target, input):
        import jax

        if input.ndim != 2:
            raise third_party.Unsupported("Keras takes the classes along the last axis")
        onehot = jax.nn.one_hot(target, input.shape[1], dtype=input.dtype)
        return losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True)(onehot, input)

    return call


def clipped(function):
    """Return the loss of class 0 where class 1 leads by 50, in float32."""
    import jax.numpy as jnp

    input, target = jnp.asarray([[0.0, 50.0, 0.0]], "float32"), jnp.asarray([0], "int32")
    return float(function(input=input, target=target, reduction="mean"))


KERAS = third_party.keras(keras_labels)

LOSS = Loss(
    name="softmax_focal_loss",
    summary="cross entropy times (1 - p)^gamma: easy examples count less",
    torch=torch_softmax_focal_loss,
    jax=jax_softmax_focal_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("weight+ignored", tensors=("weight",), ignored=True, shapes=((6, 5),)),
        Variant("gamma=0.5", options={"gamma": 0.5}, shapes=((6, 4),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: 0 if rank == 1 else 1, weights=("weight",)),
    domain=Domain(regimes=("all_ignored", "zero_weight")),
    # Not of one class, whose probability of 1 is beside a power's singularity.
    large=((1100, 5), (2, 1030), (3, 2), (2, 3, 1, 2), (2, 3, 1, 2, 2)),
    crossed=(
        crossed.tensor("weight"), crossed.option("ignore_index", 0, 2, -1, -1000),
        crossed.option("gamma", 0.0, 0.5, 1.0, 3.0), crossed.flag("ignored", ignored=True),
    ),
    peers=(KERAS,),
    differences=(
        Difference.between("softmax_focal_loss/badly-wrong", "logits (0, 50, 0), class 0: probability clipped to 1e-7",
                           "keras", clipped, jax_softmax_focal_loss, KERAS.call, (50.0, 16.1180916), "keras 3.15.1"),
    ),
    adds_nothing=ruled_out_class,
    latex=(
        r"\ell_n = \begin{cases} -w_{y_n} (1 - p)^{\gamma} \log p & y_n \ne \mathrm{ignore\_index} \\ 0 & y_n = "
        r"\mathrm{ignore\_index} \end{cases} \qquad p = \operatorname{softmax}(x_n)_{y_n}",
        r"\operatorname{mean} = \frac{\sum_n \ell_n}{\sum_{n:\; y_n \ne \mathrm{ignore\_index}} w_{y_n}}",
    ),
    source="Lin et al. 2017, arXiv:1708.02002",
)  # fmt: skip
