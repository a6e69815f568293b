r"""Cross entropy of logits plus epsilon times its first polynomial term, 1 - p: PolyLoss-1.

Formula, with p = softmax(x). For indices: l_n = -log p[n, y_n] + epsilon (1 - p[n, y_n]), 0 where y_n = ignore_index;
`'mean'` divides by the number of rows that are not ignored. For probabilities q: l_n = sum_c q[n, c]
(-log p[n, c] + epsilon (1 - p[n, c])); `'mean'` divides by the number of rows.

Args:
    input: logits x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices, shape (), (N) or (N, d1, ..., dK) (torch: int64 or uint8, JAX: any integer dtype), or
        class probabilities, floating, the shape of `input`.
    ignore_index: the label that counts neither in the sum nor in the denominator; for indices only. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    epsilon: added to the coefficient 1 that 1 - p has in -log p = sum over j of (1 - p)^j / j, >= -1. Default: 1.0.

Returns: shape () for `'mean'` and `'sum'`, that of `input` without its class axis for `'none'`; the dtype of `input`
(for probabilities the wider of `input` and `target`).

Domain: all reals; a class of logit -inf and probability 0 is left out, in value and gradient. With d = logsumexp(the
other logits) - x_y, -log p is softplus(d) and 1 - p is sigmoid(d), and for epsilon < 0 a series gives -log p - (1 - p):
so a confident prediction keeps its relative accuracy. Gradient for indices: (1 + epsilon p_y) (p - onehot(y)).
Errors: `ValueError` for shapes, reductions, epsilon, an `ignore_index` set along with probabilities, and for labels
outside [0, C) where their values are known (concrete, on the CPU); elsewhere value and gradient of such a row are NaN.
`TypeError` for dtypes. What an ignored row holds, NaN and infinities too, reaches neither value nor gradient. If all
labels are ignored, `'mean'` is 0/0 = NaN with gradient 0.
Identities: `cross_entropy` for epsilon = 0.

>>> import numpy as np, xloss.jax
>>> round(float(xloss.jax.poly_loss(np.float32([[0.0, 0.0]]), np.int32([1]))), 4)
1.1931

Source: Leng et al. 2022, "PolyLoss", arXiv:2204.12511.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_poly_loss(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: Reduction = "mean",
                    epsilon: float = 1.0) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    axis = ops.validate_target(input, target, None, ignore_index)
    if target.is_floating_point():
        input, target, dtype = ops.validate_and_upcast(input=input, target=target)
        epsilon = ops.option("epsilon", epsilon, input, least=-1)
        loss = ops.weighted(target, m.poly(m.neg_log_odds_of_all(input, axis), epsilon)).sum(axis)
        return ops.reduce(loss, reduction, dtype)
    input, dtype = ops.validate_and_upcast(input=input)
    epsilon = ops.option("epsilon", epsilon, input, least=-1)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    loss = m.poly(m.neg_log_odds(input, labels, axis), epsilon)
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).to(input.dtype))


def jax_poly_loss(input: ArrayLike, target: ArrayLike, ignore_index: int = -100, reduction: Reduction = "mean",
                  epsilon: float = 1.0) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, target = ops.as_array("input", input), ops.as_array("target", target)
    axis = ops.validate_target(input, target, None, ignore_index)
    if jnp.issubdtype(target.dtype, jnp.floating):
        input, target, dtype = ops.validate_and_upcast(input=input, target=target)
        epsilon = ops.option("epsilon", epsilon, input, least=-1)
        loss = ops.weighted(target, m.poly(m.neg_log_odds_of_all(input, axis), epsilon)).sum(axis)
        return ops.reduce(loss, reduction, dtype)
    input, dtype = ops.validate_and_upcast(input=input)
    epsilon = ops.option("epsilon", epsilon, input, least=-1)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    loss = m.poly(m.neg_log_odds(input, labels, axis), epsilon)
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).astype(input.dtype))


def truth(t, input, target, ignore_index=-100, epsilon=1.0):
    axis = arguments.class_axis(input.shape)
    p = np.exp(input) / t.sum(np.exp(input), axis, keepdims=True)
    terms = -np.log(p) + t.const(epsilon) * (1 - p)
    if target.dtype == object:
        return t.sum(target * terms, axis)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    picked = np.take_along_axis(terms, np.expand_dims(labels, axis), axis).squeeze(axis)
    return t.where(counted, picked, 0), t.where(counted, 1, 0)


def inputs(draw):
    axis = arguments.class_axis(draw.shape)
    ignore_index = draw.variant.options.get("ignore_index", -100)
    target = draw.labels(draw.shape[:axis] + draw.shape[axis + 1 :], draw.shape[axis], ignore_index)
    favoured = target
    if draw.variant.probabilities:
        target = draw.simplex(draw.shape, axis)
        favoured = target.argmax(axis) if target.size else favoured
    return draw.arrays(input=draw.logits(draw.shape, axis, favoured), target=target)


def optax_labels(optax, input, target, epsilon=1.0):
    import jax

    axis = arguments.class_axis(input.shape)
    if target.dtype != input.dtype:
        target = jax.nn.one_hot(target, input.shape[axis], dtype=input.dtype, axis=axis)
    return optax.losses.poly_loss_cross_entropy(input, target, epsilon=epsilon, axis=axis)


def confident(function):
    """Return the loss of class 0 of three, whose logit is greater by 20, in float32."""
    import jax.numpy as jnp

    input, target = jnp.asarray([[20.0, 0.0, 0.0]], "float32"), jnp.asarray([0], "int32")
    return float(function(input=input, target=target, reduction="mean"))


OPTAX = third_party.optax(optax_labels, same_shape=False)

LOSS = Loss(
    name="poly_loss",
    summary="cross entropy whose term 1 - p counts epsilon more",
    torch=torch_poly_loss,
    jax=jax_poly_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("epsilon=-1,ignored", options={"epsilon": -1.0, "ignore_index": 1}, ignored=True, shapes=((6, 5),)),
        Variant("probabilities", probabilities=True, shapes=((5, 3), (2, 3, 2))),
    ),
    arguments=Arguments(class_axes=lambda _argument, rank: 0 if rank == 1 else 1),
    domain=Domain(regimes=("all_ignored",)),
    crossed=(
        crossed.option("epsilon", -1.0, 0.0, 2.5), crossed.option("ignore_index", 0, 2, -1, -1000),
        crossed.either(crossed.flag("ignored", ignored=True), crossed.flag("probabilities", probabilities=True)),
    ),
    excluded=lambda variant: variant.probabilities and "ignore_index" in variant.options,
    peers=(OPTAX,),
    differences=(
        Difference.between("poly_loss/confident", "logits (20, 0, 0), class 0, float32; exactly 8.24461445e-09",
                           "optax", confident, jax_poly_loss, OPTAX.call, (8.24461445e-09, 0.0), "optax 0.2.8"),
        Difference.between("poly_loss/ruled-out",
                           "a class of logit -inf and probability 0: left out, or 0 * inf",
                           "optax",
                           third_party.sum_as_text("jax", input=[[-math.inf, 0.0, 0.0]], target=[[0.0, 0.5, 0.5]]),
                           jax_poly_loss, OPTAX.call, ("1.193", "nan"), "optax 0.2.8"),
    ),
    adds_nothing=ruled_out_class,
    latex=(
        r"\ell_n = \begin{cases} -\log p_{n, y_n} + \varepsilon (1 - p_{n, y_n}) & y_n \ne \mathrm{ignore\_index} "
        r"\\ 0 & y_n = \mathrm{ignore\_index} \end{cases} \qquad p = \operatorname{softmax}(x)",
        r"\ell_n = \sum_{c} q_{n,c} \left( -\log p_{n,c} + \varepsilon (1 - p_{n,c}) \right) \qquad \text{(class "
        r"probabilities } q \text{)}",
    ),
    source="Leng et al. 2022, arXiv:2204.12511",
)  # fmt: skip
