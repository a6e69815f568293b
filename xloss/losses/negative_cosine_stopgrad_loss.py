r"""Negative cosine similarity of a prediction and a target that is held constant (SimSiam).

Formula: l = -p.sg(z) / (|p| |z|), and 0 where p or z is the zero vector, or has no elements (D = 0); sg is
`detach()` in PyTorch and `jax.lax.stop_gradient` in JAX.

Args:
    input: predictions p, shape (D) or (..., D).
    target: z, the shape of `input`.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, that of `input` without its last axis for `'none'`; the wider dtype of
`input` and `target`.

Domain: all reals; the squares of tiny and huge vectors neither underflow nor overflow. Gradient to `input`:
-(z/|z| - cos p/|p|) / |p|, 0 at the zero vector; none to `target`, nor to what it was computed from.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: half the squared distance of p/|p| and sg(z)/|z|, minus 1. SimSiam's loss of two views is the mean of
that of (p1, z2) and that of (p2, z1).

>>> import numpy as np, xloss.jax
>>> round(float(xloss.jax.negative_cosine_stopgrad_loss(np.float32([1, 0]), np.float32([3, 4]))), 4)
-0.6

Source: Chen and He 2021, "Exploring Simple Siamese Representation Learning", equations 1 to 4.
"""

from __future__ import annotations

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_negative_cosine_stopgrad_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    check_vectors(input.shape, target.shape)
    loss = -d.cosine_minus(input, target.detach(), 0.0)[0]
    return ops.reduce(loss, reduction, dtype)


def jax_negative_cosine_stopgrad_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    import jax

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    check_vectors(input.shape, target.shape)
    loss = -d.cosine_minus(input, jax.lax.stop_gradient(target), 0.0)[0]
    return ops.reduce(loss, reduction, dtype)


def check_vectors(input, target):
    """Raise `ValueError` unless the shapes are the same and have an axis."""
    if not input:
        arguments.raise_value_error("input", "shape ()", "shape (D) or (..., D)")
    arguments.check_same_shape("target", target, "input", input)


def truth(t, input, target):
    target = t.stop_gradient(target)
    squares = t.sum(input * input, -1) * t.sum(target * target, -1)
    nothing = squares == 0
    return t.where(nothing, 0, -t.sum(input * target, -1) / np.sqrt(t.where(nothing, 1, squares)))


def inputs(draw):
    input, target = draw.real(draw.shape), draw.real(draw.shape)
    if draw.regime == "large":  # nearly parallel or antiparallel
        rows = (*draw.shape[:-1], 1)
        side = draw.rng.uniform(0.5, 2, rows) * draw.rng.choice([-1, 1], rows)
        away = draw.rng.normal(size=draw.shape) * 10.0 ** -draw.rng.uniform(1, 5, rows)
        target = draw.round(side * (input.astype(np.float64) / draw.big + away))
    return draw.arrays(input=input, target=target)


def optax_cosine(optax, input, target):
    import jax

    return -optax.losses.cosine_similarity(input, jax.lax.stop_gradient(target))


LOSS = Loss(
    name="negative_cosine_stopgrad_loss",
    summary="minus the cosine of a prediction and a target that is held constant",
    torch=torch_negative_cosine_stopgrad_loss,
    jax=jax_negative_cosine_stopgrad_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (2, 3, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: rank - 1),
    domain=Domain(
        skip_regimes={
            "confident": "its least value is -1",
            "badly_wrong": "its greatest value is 1",
            "subnormal": "its derivatives, of the order of 1 / |p|, are beyond the dtype",
        },
    ),
    peers=(third_party.optax(optax_cosine), third_party.keras(lambda losses: losses.CosineSimilarity())),
    latex=(r"\ell = -\frac{p \cdot \operatorname{sg}(z)}{|p| \, |z|}",),
    source="Chen and He 2021",
)
