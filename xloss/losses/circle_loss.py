r"""Circle loss of embeddings with group labels: pairs weighted by how far their cosine is from its optimum.

Formula, with s_ij the cosine of embeddings i and j, and [x]_+ = max(0, x): l_i = log(1 + P_i N_i) with
P_i = sum over the positives (j != i, y_j = y_i) of exp(-gamma sg([1 + m - s_ij]_+) (s_ij - (1 - m))) and
N_i = sum over the negatives (y_j != y_i) of exp(gamma sg([s_ij + m]_+) (s_ij - m)), where sg is
`detach()` in PyTorch and `jax.lax.stop_gradient` in JAX.

Args:
    input: embeddings, shape (N, D). They need not be normalized; the cosine of the zero vector,
        or of one without elements (D = 0), is 0.
    target: labels y, shape (N), of any integer dtype; only their equality counts.
    m: the margin, any finite number; 0.25 to 0.4 is usual. Default: 0.4.
    gamma: the scale, a number > 0. Default: 80.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, over all rows; a row without a positive or without a
        negative has loss 0, and counts.

Returns: shape () for `'mean'` and `'sum'`, (N) for `'none'`; the dtype of `input`.

Domain: all reals. Gradient: that of the formula with the weights sg(...) constant, as in the paper; 0 to a zero vector.
Errors: `ValueError` for shapes, reductions and a gamma that is not positive, `TypeError` for dtypes and options that
are not numbers.
Identities: with both weights 1 it is the paper's unified loss, whose special cases are softmax cross entropy and the
triplet loss. keras.losses.Circle has the same value for normalized embeddings, up to rounding, but differentiates the
weights, too.

>>> import numpy as np, xloss.jax
>>> x = np.float32([[1, 0], [0, 1], [1, 0]])
>>> print(f"{xloss.jax.circle_loss(x, np.int32([0, 0, 1]), m=0.0, gamma=1.0, reduction='sum'):.3f}")
3.440

Source: Sun et al. 2020, "Circle Loss: A Unified Perspective of Pair Similarity Optimization", equation 6; the defaults
are those of Keras and pytorch-metric-learning.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.losses import ntxent_loss
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_circle_loss(input: Tensor, target: Tensor, m: float = 0.4, gamma: float = 80.0,
                      reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    m = ops.option("m", m, input)
    gamma = ops.option("gamma", gamma, input, above=0)
    positive, negative = d.pair_masks(input, target)
    s = d.cosine_similarities(input)
    if ops.is_empty(s):
        return ops.reduce(s.sum(1), reduction, dtype)
    held = s.detach()
    toward = -gamma * (1 + m - held).clip(min=0) * (s - (1 - m))
    away = gamma * (held + m).clip(min=0) * (s - m)
    greatest, log_total = ops.log_sum_exp(torch.where(positive, toward, -torch.inf), 1)
    other_greatest, other_total = ops.log_sum_exp(torch.where(negative, away, -torch.inf), 1)
    loss = ops.softplus((greatest + other_greatest) + (log_total + other_total))
    return ops.reduce(loss, reduction, dtype)


def jax_circle_loss(input: ArrayLike, target: ArrayLike, m: float = 0.4, gamma: float = 80.0,
                    reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, dtype = ops.validate_and_upcast(input=input)
    m = ops.option("m", m, input)
    gamma = ops.option("gamma", gamma, input, above=0)
    positive, negative = d.pair_masks(input, target)
    s = d.cosine_similarities(input)
    if ops.is_empty(s):
        return ops.reduce(s.sum(1), reduction, dtype)
    held = jax.lax.stop_gradient(s)
    toward = -gamma * (1 + m - held).clip(min=0) * (s - (1 - m))
    away = gamma * (held + m).clip(min=0) * (s - m)
    greatest, log_total = ops.log_sum_exp(jnp.where(positive, toward, -jnp.inf), 1)
    other_greatest, other_total = ops.log_sum_exp(jnp.where(negative, away, -jnp.inf), 1)
    loss = ops.softplus((greatest + other_greatest) + (log_total + other_total))
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, m=0.4, gamma=80.0):
    m, gamma = t.const(m), t.const(gamma)
    s = ntxent_loss.cosines(t, input)
    toward, away = 1 + m - s, s + m
    toward, away = (t.stop_gradient(t.where(t.lt(x, 0), 0, x)) for x in (toward, away))
    alike = target[:, None] == target[None]
    positive = alike & ~np.eye(len(target), dtype=bool)
    p = t.sum(t.where(positive, np.exp(-gamma * toward * (s - (1 - m))), 0), 1)
    n = t.sum(t.where(alike, 0, np.exp(gamma * away * (s - m))), 1)
    return np.log(1 + p * n)


def slope(function):
    """Return the derivative by the angle of the first of three unit vectors, of labels 0, 0, 1, with gamma = 2."""
    import jax
    import jax.numpy as jnp

    def loss(angle):
        first = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        x = jnp.concatenate([first[None], jnp.asarray([[0.0, 1.0], [-0.6, 0.8]])])
        return function(input=x, target=jnp.asarray([0, 0, 1]), gamma=2.0, reduction="mean")

    return float(jax.grad(loss)(jnp.asarray(0.5)))


KERAS = third_party.keras(lambda losses, gamma: losses.Circle(gamma=gamma))

LOSS = Loss(
    name="circle_loss",
    summary="of pairs of embeddings, weighted by how far their cosine is from its optimum",
    torch=torch_circle_loss,
    jax=jax_circle_loss,
    truth=truth,
    inputs=ntxent_loss.inputs,
    variants=(
        Variant("gamma=16", options={"gamma": 16.0}, shapes=((6, 2),)),
        Variant("m=0.25", options={"m": 0.25, "gamma": 32.0}, shapes=((4, 3),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=None),
    domain=Domain(skip_regimes={"subnormal": "its derivatives, of the order of 1 / |x|, are beyond the dtype"}),
    large=((10, 4),),
    crossed=(crossed.option("m", 0.125, 0.25, 0.75), crossed.option("gamma", 1.0, 16.0, 128.0)),
    differences=(
        Difference.between("circle_loss/weights", "derivative by a row's angle, gamma = 2: weights constant, or not",
                           "keras", slope, jax_circle_loss, KERAS.call, (-0.5914276838, -1.28056252), "keras 3.15.1"),
    ),
    latex=(
        r"\ell_i = \log(1 + P_i N_i)",
        r"P_i = \sum_{j \ne i,\; y_j = y_i} \exp\left( -\gamma \operatorname{sg}\left( [1 + m - s_{ij}]_{+} "
        r"\right) \left( s_{ij} - (1 - m) \right) \right)",
        r"N_i = \sum_{y_j \ne y_i} \exp\left( \gamma \operatorname{sg}\left( [s_{ij} + m]_{+} \right) (s_{ij} - "
        r"m) \right)",
    ),
    source="Sun et al. 2020",
)  # fmt: skip
