r"""Triplet margin loss: asks that an anchor be nearer to a positive example than to a negative one, by a margin.

Formula: l = max(0, margin + d(anchor, positive) - d(anchor, negative)), with the distance along the last axis
d(x, y) = (sum_i |x_i - y_i + eps|^p)^(1/p), or max_i |x_i - y_i + eps| for p = inf; with `swap`, d(positive, negative)
replaces d(anchor, negative) where it is less. Vectors without elements (D = 0) have distance 0.

Args:
    anchor: shape (D), (N, D) or (N, ..., D), or () for numbers.
    positive: the rank of `anchor`, a shape that broadcasts with it.
    negative: the same rank, a shape that broadcasts with both.
    margin: a finite number > 0. Default: 1.0.
    p: the degree of the norm, a number > 0, or infinity. Default: 2.
    eps: added to each difference. Default: 1e-6.
    swap: whether the positive example replaces the anchor where it is nearer to the negative one. Default: False.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape without its last axis for `'none'`; the widest dtype of
the arguments.

Domain: all reals. Gradient: that of d(anchor, positive) - d(anchor, negative) where the loss is positive and on its
kink, else 0. Subgradients are torch's: 0 for a norm at the zero vector and for |x|^p at x = 0; for p = inf, equal
greatest elements share the gradient, and so do equal distances with `swap`.
Errors: `ValueError` for shapes, reductions, a margin or p that is not positive, `TypeError` for dtypes and for options
that are not numbers, or a `swap` that is not a bool.
Identities: `triplet_margin_with_distance_loss` with this distance.

>>> import numpy as np, xloss.jax
>>> anchor, positive, negative = np.float32([[[0.0, 0.0]], [[0.0, 3.0]], [[4.0, 0.0]]])
>>> print(xloss.jax.triplet_margin_loss(anchor, positive, negative, margin=2.0, eps=0.0))
1.0

Source: torch.nn.functional.triplet_margin_loss; Balntas et al. 2016, "Learning shallow convolutional feature
descriptors with triplet losses".
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
                              eps: float = 1e-6, swap: bool = False,
                              reduction: Reduction = "mean") -> Tensor:  # fmt: skip

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    p, swap = check_options(p, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    margin, eps = ops.option("margin", margin, anchor, above=0), ops.option("eps", eps, anchor)
    check_axes(anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    to_positive = d.distance(anchor, positive, p, eps)
    to_negative = d.distance(anchor, negative, p, eps)
    if swap:
        to_negative = ops.minimum(to_negative, d.distance(positive, negative, p, eps))
    loss = ops.positive_part(ops.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def jax_triplet_margin_loss(anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, margin: float = 1.0,
                            p: float = 2, eps: float = 1e-6, swap: bool = False,
                            reduction: Reduction = "mean") -> Array:  # fmt: skip

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    p, swap = check_options(p, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    margin, eps = ops.option("margin", margin, anchor, above=0), ops.option("eps", eps, anchor)
    check_axes(anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    to_positive = d.distance(anchor, positive, p, eps)
    to_negative = d.distance(anchor, negative, p, eps)
    if swap:
        to_negative = ops.minimum(to_negative, d.distance(positive, negative, p, eps))
    loss = ops.positive_part(ops.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def check_options(p: float, swap: bool) -> tuple[float, bool]:
    """Refuse a degree that is not a number > 0, and a swap that is not a bool; return them as Python's."""
    return arguments.check_number("p", p, above=0, limit=np.inf), arguments.check_flags(swap=swap)


def check_axes(**shapes):
    """Refuse shapes of unequal rank and shapes that do not broadcast."""
    check_ranks(**shapes)
    arguments.broadcast_shape(**shapes)


def check_ranks(**shapes):
    """Refuse shapes of unequal rank."""
    for name, shape in shapes.items():
        if len(shape) != len(shapes["anchor"]):
            arguments.raise_value_error(
                name, f"shape {tuple(shape)}", f"as many axes as anchor, of shape {tuple(shapes['anchor'])}"
            )


def norm(t, x, p):
    """Return the norm along the last axis, and an increasing function of it (no root taken) to compare norms by."""
    size = t.where(x == 0, 0, t.where(t.lt(x, 0), -x, x))
    if p == 1:
        total = t.sum(size, -1)
        return total, total
    if p == np.inf:
        total = size[..., 0]
        for k in range(1, size.shape[-1]):
            total = t.where(t.lt(total, size[..., k]), size[..., k], total)
        return total, total
    powers = x * x if p == 2 else t.where(x == 0, 0, t.where(x == 0, 1, size) ** t.const(p))
    total, nothing = t.sum(powers, -1), (x == 0).all(-1)
    some = t.where(nothing, 1, total)
    return t.where(nothing, 0, np.sqrt(some) if p == 2 else some ** (1 / t.const(p))), total


def truth(t, anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False):
    to_positive, _ = norm(t, anchor - positive + t.const(eps), p)
    to_negative, total = norm(t, anchor - negative + t.const(eps), p)
    if swap:
        other, other_total = norm(t, positive - negative + t.const(eps), p)
        to_negative = t.where(t.lt(other_total, total), other, to_negative)
    if 1 < p < np.inf:
        # Where one coordinate is the greatest by far, both derivatives by it are 1 to first order, whatever the inputs.
        to_negative = t.subtrahend(to_negative)
    gap = t.const(margin) + to_positive - to_negative
    return t.where(t.lt(gap, 0), 0, gap)


def differentiable_mask(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False):
    """Return where the loss is further than a few ulps from its kink and from those of the swap and the norms."""
    a, b, c = (array.astype(np.longdouble) for array in (anchor, positive, negative))
    unit = 16 * (2.0**-52 if anchor.dtype == np.float64 else 2.0**-23)
    sharp = np.zeros(anchor.shape[:-1], dtype=bool)
    exact = ~sharp
    lengths = []
    with np.errstate(all="ignore"):
        for x, y in ((a, b), (a, c), (b, c)):
            size, scale = np.abs(x - y + np.longdouble(eps)), np.abs(x) + np.abs(y) + abs(eps)
            exact &= (x - (x - y) == y).all(-1)
            if p == 1:
                sharp |= ((size > 0) & (size <= unit * scale)).any(-1)
            if p == np.inf and x.shape[-1] > 1:
                two = np.sort(size, -1)[..., -2:]
                sharp |= two[..., 1] - two[..., 0] <= unit * scale.max(-1)
            lengths.append(size.max(-1) if p == np.inf else (size**p).sum(-1) ** (1 / np.longdouble(p)))
        to_positive, to_negative, other = lengths
        if swap:
            sharp |= np.abs(to_negative - other) <= unit * other
            to_negative = np.minimum(to_negative, other)
        gap = margin + to_positive - to_negative
        near = np.abs(gap) <= unit * (margin + to_positive + to_negative)
    return ~sharp & (~near | ((gap == 0) & exact))


def inputs(draw):
    return draw_triplets(draw, exact=draw.variant.options.get("eps") == 0)


def draw_triplets(draw, exact):
    """Draw three tensors, near or on the kinks only where distances can be `exact`, that is without eps."""
    shape, margin = draw.shape, draw.variant.options.get("margin", 1.0)
    anchor, positive, negative = (draw.real(shape) for _ in range(3))
    wide = anchor.astype(np.float64)
    if draw.regime in ("confident", "badly_wrong"):
        near = draw.round(wide + draw.rng.normal(size=shape) * 10.0 ** -draw.rng.uniform(1, 5, shape))
        far = draw.round(wide + draw.rng.normal(size=shape) * draw.big)
        positive, negative = (near, far) if draw.regime == "confident" else (far, near)
    elif draw.regime in ("near_kink", "on_kink") and exact:
        # Along one axis, on either side of the anchor: distances are exact.
        anchor = draw.round(draw.rng.integers(-8, 9, shape) / 4)
        positive, negative = anchor.copy(), anchor.copy()
        there = draw.rng.integers(1, 8, shape[:-1]) / 4
        positive[..., 0] = draw.round(anchor[..., 0].astype(np.float64) + there)
        negative[..., 0] = draw.round(anchor[..., 0].astype(np.float64) - there - margin)
        if draw.regime == "near_kink":
            negative[..., 0] = draw.nudge(negative[..., 0])
    elif draw.regime == "tiny":
        # All tiny, but above eps: the difference of two nearly parallel unit vectors has lost its digits.
        scale = 10.0 ** -draw.rng.uniform(2, 8 if exact else 4, (*shape[:-1], 1))
        anchor, positive, negative = (draw.round(scale * draw.rng.normal(size=shape)) for _ in range(3))
    elif draw.regime == "typical" and exact:
        # Differences whose squares do not underflow: torch.nn.functional's norm is 0 there.
        anchor, positive, negative = (
            draw.round(np.round(x.astype(np.float64) * 2**30) / 2**30) for x in (anchor, positive, negative)
        )
    return draw.arrays(anchor=anchor, positive=positive, negative=negative)


def at_zero(function, **options):
    """Return the loss of anchor (0, 0), positive (0, 0) and negative (2, 1), or "nan"."""
    import jax.numpy as jnp

    zero = jnp.zeros((1, 2))
    loss = float(function(zero, zero, jnp.asarray([[2.0, 1.0]]), margin=3.0, **options).mean())
    return "nan" if np.isnan(loss) else loss


def optax_triplet(*triplet, p=2, **options):
    import optax

    return optax.losses.triplet_margin_loss(*triplet, norm_degree=p, **options)


FUNCTIONAL = third_party.functional("triplet_margin_loss")

LOSS = Loss(
    name="triplet_margin_loss",
    summary="asks that an anchor be nearer to a positive example than to a negative one, by a margin",
    torch=torch_triplet_margin_loss,
    jax=jax_triplet_margin_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (2, 3, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("swap", options={"swap": True, "eps": 0.0}, shapes=((6, 3),)),
        Variant("p=1.5", options={"p": 1.5, "margin": 0.5}, shapes=((5, 3),)),
        Variant("p=inf", options={"p": float("inf")}, shapes=((5, 3),)),
    ),
    arguments=Arguments(
        wrt=("anchor", "positive", "negative"),
        batched=("anchor", "positive", "negative"),
        class_axes=lambda _argument, rank: rank - 1,
    ),
    domain=Domain(kinks=(0.0,), differentiable_mask=differentiable_mask),
    crossed=(
        crossed.option("margin", 0.25, 4.0), crossed.option("p", 1, 1.5, 3.0, math.inf),
        crossed.option("eps", 0.0), crossed.option("swap", True),
    ),
    workloads={"published": (32768, 8192)},
    peers=(FUNCTIONAL,),
    differences=(
        third_party.kink("triplet_margin_loss", torch_triplet_margin_loss, FUNCTIONAL.call, "positive", 1.0,
                         anchor=[[0.0]], positive=[[1.0]], negative=[[2.0]], eps=0.0),
        Difference.between("triplet_margin_loss/eps", "eps is added to each difference, or to the sum of their squares",
                           "optax", lambda f: at_zero(f, eps=1e-2), jax_triplet_margin_loss, optax_triplet,
                           (0.7914860249, 0.8616969585), "optax 0.2.8"),
        Difference.between("triplet_margin_loss/odd-degree", "p = 3, a - n negative: optax takes no absolute value",
                           "optax", lambda f: at_zero(f, p=3), jax_triplet_margin_loss, optax_triplet,
                           (0.9199185371, "nan"), "optax 0.2.8"),
    ),
    latex=(
        r"\ell = \max\left( 0, \mathrm{margin} + d(a, p) - d(a, n) \right)",
        r"d(x, y) = \left( \sum_i |x_i - y_i + \varepsilon|^{p} \right)^{1/p}, \qquad d(x, y) = \max_i |x_i - y_i "
        r"+ \varepsilon| \;\text{ for } p = \infty",
        r"\text{with } \mathrm{swap}: \quad \min\left( d(a, n), d(p, n) \right) \text{ for } d(a, n)",
    ),
    source="torch.nn.functional.triplet_margin_loss",
)  # fmt: skip
