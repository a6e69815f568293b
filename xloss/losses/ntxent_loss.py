r"""Normalized temperature-scaled cross entropy (NT-Xent, SimCLR, InfoNCE) of embeddings with group labels.

Formula, with s_ij the cosine of embeddings i and j, and y their labels: for each positive pair, i != j with y_i = y_j,
l_ij = -log(exp(s_ij / T) / (exp(s_ij / T) + sum_{k: y_k != y_i} exp(s_ik / T))), and 0 for all other pairs.

Args:
    input: embeddings, shape (N, D). They need not be normalized; the cosine of the zero vector,
        or of one without elements (D = 0), is 0.
    target: labels y, shape (N), of any integer dtype; only their equality counts. SimCLR's two views of one image
        have one label.
    temperature: T, a number > 0. Default: 0.07.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, over the positive pairs.

Returns: shape () for `'mean'` and `'sum'`, (N, N) for `'none'`; the dtype of `input`.

Domain: all reals. Gradient: that of the formula, 0 to a zero vector. Without a positive pair `'mean'` is 0/0 = NaN with
gradient 0; a pair whose row has no negative has loss 0.
Errors: `ValueError` for shapes, reductions and a temperature that is not positive, `TypeError` for dtypes.
Identities: with one positive for each row it is `cross_entropy` of s / T without its diagonal.

>>> import numpy as np, xloss.jax
>>> x = np.float32([[1, 0], [1, 0], [0, 1]])
>>> round(float(xloss.jax.ntxent_loss(x, np.int32([0, 0, 1]), temperature=1.0)), 4)
0.3133

Source: optax.losses.ntxent; Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Arguments, ClassForm, Domain, Loss, Peer, Unsupported, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_ntxent_loss(input: Tensor, target: Tensor, temperature: float = 0.07,
                      reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    temperature = ops.option("temperature", temperature, input, above=0)
    positive, negative = d.pair_masks(input, target)
    weights = positive.to(input.dtype)
    logits = d.cosine_similarities(input) / temperature
    if ops.is_empty(logits):
        return ops.reduce(logits, reduction, dtype, weights=weights)
    # logsumexp of the negatives, once a row; softplus adds each positive's own term without cancellation.
    greatest, log_total = ops.log_sum_exp(torch.where(negative, logits, -torch.inf), 1)
    excess = greatest.unsqueeze(1) - logits + log_total.unsqueeze(1)
    loss = torch.where(positive, ops.softplus(torch.where(positive, excess, 0.0)), 0.0)
    return ops.reduce(loss, reduction, dtype, weights=weights)


def jax_ntxent_loss(input: ArrayLike, target: ArrayLike, temperature: float = 0.07,
                    reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    temperature = ops.option("temperature", temperature, input, above=0)
    positive, negative = d.pair_masks(input, target)
    weights = positive.astype(input.dtype)
    logits = d.cosine_similarities(input) / temperature
    if ops.is_empty(logits):
        return ops.reduce(logits, reduction, dtype, weights=weights)
    # logsumexp of the negatives, once a row; softplus adds each positive's own term without cancellation.
    greatest, log_total = ops.log_sum_exp(jnp.where(negative, logits, -jnp.inf), 1)
    excess = jnp.expand_dims(greatest, 1) - logits + jnp.expand_dims(log_total, 1)
    loss = jnp.where(positive, ops.softplus(jnp.where(positive, excess, 0.0)), 0.0)
    return ops.reduce(loss, reduction, dtype, weights=weights)


def cosines(t, input):
    """Return the cosines of all pairs of rows, shape (N, N)."""
    squares = t.sum(input * input, -1)
    nothing = squares == 0
    # Of a cosine of 1 or -1 the derivatives cancel, not its rounding, which the temperature may multiply.
    length = t.divisor(np.sqrt(t.where(nothing, 1, squares)))
    unit = t.where(nothing[:, None], 0, input / length[:, None])
    return t.sum(unit[:, None] * unit[None], -1)


def truth(t, input, target, temperature=0.07):
    powers = np.exp(cosines(t, input) / t.const(temperature))
    alike = target[:, None] == target[None]
    positive = alike & ~np.eye(len(target), dtype=bool)
    others = t.sum(t.where(alike, 0, powers), 1, keepdims=True)
    loss = t.where(positive, -np.log(powers / (powers + others)), 0)
    return loss, t.where(positive, 1, 0)


def inputs(draw):
    rows = draw.shape[0]
    input, target = draw.real(draw.shape), np.asarray(draw.labels((rows,), max(2, rows // 2)))
    wide = input.astype(np.float64)
    if draw.regime in ("confident", "badly_wrong"):
        # Each group in a direction of its own; or each row against its group. Not along the axes: there a cosine hardly
        # depends on the embeddings, so that the budget would not cover the rounding of the exponent s / T.
        angle = 0.6 + np.pi / 2 * target
        centre = np.zeros(draw.shape)
        centre[:, 0], centre[:, 1] = np.cos(angle), np.sin(angle)
        against = np.where(np.arange(rows) % 2, -1, 1)[:, None] if draw.regime == "badly_wrong" else 1
        away = 10.0 ** -draw.rng.uniform(1, 2, (rows, 1))
        input = draw.round((centre * against + wide * away) * draw.rng.uniform(0.5, 2, (rows, 1)))
    elif draw.regime == "tiny":  # whole rows tiny, for the same reason
        input = draw.round(draw.rng.normal(size=draw.shape) * 10.0 ** -draw.rng.uniform(2, 8, (rows, 1)))
    return draw.arrays(input=input, target=target)


def of_optax(input, target, reduction, temperature=0.07):
    import jax
    import optax

    if reduction != "mean":
        raise Unsupported("optax has the mean over the positive pairs only")
    with jax.numpy_dtype_promotion("standard"):  # it subtracts booleans from numbers
        return optax.losses.ntxent(input, target, temperature)


LOSS = Loss(
    name="ntxent_loss",
    summary="cross entropy of the cosines of an embedding's positive pair among those of its negatives",
    torch=torch_ntxent_loss,
    jax=jax_ntxent_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 2),)),
        Variant("temperature=0.5", options={"temperature": 0.5}, shapes=((4, 3),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=None),
    domain=Domain(skip_regimes={"subnormal": "its derivatives, of the order of 1 / |x|, are beyond the dtype"}),
    large=((10, 4),),
    crossed=(crossed.option("temperature", 0.03125, 0.125, 0.5, 4.0),),
    peers=(Peer("optax", "jax", of_optax),),
    class_form=ClassForm("NTXentLoss"),
    latex=(
        r"\ell_{ij} = -\log \frac{\exp(s_{ij} / T)}{\exp(s_{ij} / T) + \sum_{k:\; y_k \ne y_i} \exp(s_{ik} / T)} "
        r"\qquad i \ne j,\; y_i = y_j",
    ),
    source="optax.losses.ntxent",
)
