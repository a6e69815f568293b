r"""By how much an anchor's distance to a positive example fails to be less, by a margin, than to a negative one.

Formula: l = max(0, margin + d(a, p) - d(a, n)), with d(x, y) = (sum_i |x_i - y_i + eps|^p)^(1/p), the greatest element
for p = inf; with `swap`, d(p, n) stands for d(a, n) where it is less.

Args:
    anchor: a, shape (D) or (N, D), with more axes of vectors, or a single number.
    positive: as many axes, a shape that broadcasts with that of `anchor`.
    negative: as many axes, a shape that broadcasts with those of the others.
    margin: a number > 0. Default: 1.0.
    p: the degree of the norm, a number > 0, or infinity. Default: 2.
    eps: added to each difference. Default: 1e-6.
    swap: whether the positive example takes the anchor's place where it is nearer to the negative one. Default: False.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Domain: all reals. Gradient: that of d(a, p) - d(a, n) where the loss is positive and on the kink (torch's conventions,
these, too): of a norm at the zero vector 0; of |x|^p at 0, 0; equal greatest elements share that of p = inf, and equal
distances that of `swap`.
Errors: `ValueError` for shapes, reductions, a margin or p that is not positive, `TypeError` for dtypes and for options
that are not numbers, or a `swap` that is not a bool.
Identities: `triplet_margin_with_distance_loss` with the p-norm for its distance.

Source: torch.nn.functional.triplet_margin_loss; Balntas et al. 2016, "Learning shallow convolutional feature descriptors
with triplet losses".
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments


def torch_triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, reduction="mean"):
    import torch

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    check_options(margin, p, eps, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    check_axes(anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    to_positive = d.distance(anchor, positive, p, eps)
    to_negative = d.distance(anchor, negative, p, eps)
    if swap:
        to_negative = torch.minimum(to_negative, d.distance(positive, negative, p, eps))
    loss = ops.positive_part(torch.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def jax_triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, reduction="mean"):
    import jax.numpy as jnp

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    check_options(margin, p, eps, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    check_axes(anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    to_positive = d.distance(anchor, positive, p, eps)
    to_negative = d.distance(anchor, negative, p, eps)
    if swap:
        to_negative = jnp.minimum(to_negative, d.distance(positive, negative, p, eps))
    loss = ops.positive_part(jnp.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def check_options(margin, p, eps, swap):
    """A margin and a degree > 0, a number, a bool."""
    arguments.check_number("margin", margin, above=0)
    arguments.check_number("p", p, above=0)
    arguments.check_number("eps", eps)
    if not isinstance(swap, bool):
        arguments.raise_type_error("swap", f"{type(swap).__name__} {swap!r}", "a bool")


def check_axes(**shapes):
    """As many axes in all, and shapes that broadcast."""
    check_ranks(**shapes)
    arguments.broadcast_shape(**shapes)


def check_ranks(**shapes):
    """As many axes in all."""
    for name, shape in shapes.items():
        if len(shape) != len(shapes["anchor"]):
            arguments.raise_value_error(
                name, f"shape {tuple(shape)}", f"as many axes as anchor, of shape {tuple(shapes['anchor'])}"
            )


def norm(t, x, p):
    """The norm along the last axis, and what it is a growing function of."""
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
    gap = t.const(margin) + to_positive - to_negative
    return t.where(t.lt(gap, 0), 0, gap)


def differentiable_mask(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False):
    """Away from the kink of the loss, of the swap, and of the norms, by more than a few roundings."""
    a, b, c = (array.astype(np.longdouble) for array in (anchor, positive, negative))
    unit = 16 * (2.0**-52 if anchor.dtype == np.float64 else 2.0**-23)
    sharp = np.zeros(anchor.shape[:-1], dtype=bool)
    lengths = []
    with np.errstate(all="ignore"):
        for x, y in ((a, b), (a, c), (b, c)):
            size, scale = np.abs(x - y + np.longdouble(eps)), np.abs(x) + np.abs(y) + abs(eps)
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
    return ~sharp & (~near | (gap == 0))


def inputs(draw):
    return draw_triplets(draw, exact=draw.variant.options.get("eps") == 0)


def draw_triplets(draw, exact):
    """Three tensors; on the kinks where a distance can be `exact`, without eps."""
    shape, margin = draw.shape, draw.variant.options.get("margin", 1.0)
    anchor, positive, negative = (draw.real(shape) for _ in range(3))
    wide = anchor.astype(np.float64)
    if draw.regime in ("confident", "badly_wrong"):
        near = draw.round(wide + draw.rng.normal(size=shape) * 10.0 ** -draw.rng.uniform(1, 5, shape))
        far = draw.round(wide + draw.rng.normal(size=shape) * draw.big)
        positive, negative = (near, far) if draw.regime == "confident" else (far, near)
    elif draw.regime in ("near_kink", "on_kink") and exact:
        # Along one axis, to both sides of the anchor: all is exact.
        anchor = draw.round(draw.rng.integers(-8, 9, shape) / 4)
        positive, negative = anchor.copy(), anchor.copy()
        there = draw.rng.integers(1, 8, shape[:-1]) / 4
        positive[..., 0] = draw.round(anchor[..., 0].astype(np.float64) + there)
        negative[..., 0] = draw.round(anchor[..., 0].astype(np.float64) - there - margin)
        if draw.regime == "near_kink":
            negative[..., 0] = draw.nudge(negative[..., 0])
    elif draw.regime == "tiny":
        # Tiny together, and above eps: of two unit vectors in nearly one direction the difference has lost its digits.
        scale = 10.0 ** -draw.rng.uniform(2, 8 if exact else 4, (*shape[:-1], 1))
        anchor, positive, negative = (draw.round(scale * draw.rng.normal(size=shape)) for _ in range(3))
    elif draw.regime == "typical" and exact:
        # Differences whose squares are not below the least number: there torch.nn.functional takes the norm for 0.
        anchor, positive, negative = (
            draw.round(np.round(x.astype(np.float64) * 2**30) / 2**30) for x in (anchor, positive, negative)
        )
    return draw.arrays(anchor=anchor, positive=positive, negative=negative)


def of_optax(**options):
    """optax's loss of anchor (0, 0), positive (0, 0) and negative (2, 1)."""
    import jax.numpy as jnp
    import optax

    zero = jnp.zeros((1, 2))
    return float(optax.losses.triplet_margin_loss(zero, zero, jnp.asarray([[2.0, 1.0]]), margin=3.0, **options)[0])


def here(**options):
    import torch

    zero = torch.zeros(1, 2)
    return float(torch_triplet_margin_loss(zero, zero, torch.tensor([[2.0, 1.0]]), margin=3.0, **options))


LOSS = Loss(
    name="triplet_margin_loss",
    summary="by how much a positive example fails to be nearer than a negative one",
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
    workloads={"published": (32768, 8192)},
    peers=(third_party.functional("triplet_margin_loss"),),
    differences=(
        Difference("triplet_margin_loss/eps", "eps is added to each difference, or to the sum of their squares",
                   "optax", lambda: here(eps=1e-2), lambda: of_optax(eps=1e-2), (0.7914860249, 0.8616969585), "optax 0.2.8"),
        Difference("triplet_margin_loss/odd-degree", "p = 3, a - n negative: its third power is",
                   "optax", lambda: here(p=3), lambda: str(of_optax(norm_degree=3)), (0.9199185371, "nan"), "optax 0.2.8"),
    ),
    source="torch.nn.functional.triplet_margin_loss",
)  # fmt: skip
