r"""Triplet margin loss with a distance function that the caller passes.

Formula: l = max(0, margin + d(anchor, positive) - d(anchor, negative)); with `swap`, d(positive, negative) replaces
d(anchor, negative) where it is less.

Args:
    anchor: shape (N, D), or whatever `distance_function` takes.
    positive: the rank of `anchor`.
    negative: the rank of `anchor`.
    distance_function: d, a function of two of the framework's tensors, to a tensor of any shape. It is given float32
        where the inputs are float16 or bfloat16. Default: the Euclidean norm of x - y + 1e-6 along the last axis, as
        `torch.pairwise_distance`; it is 0 for vectors without elements (D = 0).
    margin: a finite number > 0. Default: 1.0.
    swap: whether the positive example replaces the anchor where it is nearer to the negative one. Default: False.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the shape of the distances for `'none'`; the widest dtype of the arguments.

Gradient: that of d(anchor, positive) - d(anchor, negative) where the loss is positive and on its kink (torch's
convention), else 0; where `swap` compares equal distances, the mean of both.
Errors: `ValueError` for shapes, reductions and a margin that is not positive, `TypeError` for dtypes, for a distance
that cannot be called or does not give a floating tensor, and for a `swap` that is not a bool; `ValueError` also for
distances whose shapes do not broadcast with each other.
Identities: without `distance_function`, `triplet_margin_loss`.

>>> import numpy as np, xloss.jax
>>> anchor, positive, negative = np.float32([[[0.0, 0.0]], [[1.0, 2.0]], [[1.0, 1.0]]])
>>> l1 = lambda x, y: abs(x - y).sum(-1)
>>> print(xloss.jax.triplet_margin_with_distance_loss(anchor, positive, negative, distance_function=l1))
2.0

Source: torch.nn.functional.triplet_margin_with_distance_loss.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Domain, Loss, Peer, Variant
from xloss.losses import triplet_margin_loss
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                            distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
                                            margin: float = 1.0, swap: bool = False,
                                            reduction: Reduction = "mean") -> Tensor:  # fmt: skip

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    swap = check_options(distance_function, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    margin = ops.option("margin", margin, anchor, above=0)
    check_axes(distance_function, anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    distance = d.distance if distance_function is None else distance_function
    to_positive, to_negative = distance(anchor, positive), distance(anchor, negative)
    between = distance(positive, negative) if swap else None
    named = name_distances(to_positive, to_negative, between, swap)
    to_positive, to_negative, *between, _ = ops.validate_and_upcast(**named)
    if swap:
        to_negative = ops.minimum(to_negative, between[0])
    loss = ops.positive_part(ops.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def jax_triplet_margin_with_distance_loss(anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, *,
                                          distance_function: Callable[[Array, Array], Array] | None = None,
                                          margin: float = 1.0, swap: bool = False,
                                          reduction: Reduction = "mean") -> Array:  # fmt: skip

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    swap = check_options(distance_function, swap)
    anchor, positive, negative, dtype = ops.validate_and_upcast(anchor=anchor, positive=positive, negative=negative)
    margin = ops.option("margin", margin, anchor, above=0)
    check_axes(distance_function, anchor=anchor.shape, positive=positive.shape, negative=negative.shape)
    distance = d.distance if distance_function is None else distance_function
    to_positive, to_negative = distance(anchor, positive), distance(anchor, negative)
    between = distance(positive, negative) if swap else None
    named = name_distances(to_positive, to_negative, between, swap)
    to_positive, to_negative, *between, _ = ops.validate_and_upcast(**named)
    if swap:
        to_negative = ops.minimum(to_negative, between[0])
    loss = ops.positive_part(ops.full_like(to_positive, margin) + to_positive - to_negative)
    return ops.reduce(loss, reduction, dtype)


def check_options(distance_function: Callable[..., Any] | None, swap: bool) -> bool:
    """Refuse a distance that is not a function, and a swap that is not a bool; return the latter as Python's."""
    if distance_function is not None and not callable(distance_function):
        arguments.raise_type_error(
            "distance_function", type(distance_function).__name__, "a function of two tensors, or None"
        )
    return bool(arguments.check_flags(swap=swap))


def check_axes(distance_function, **shapes):
    """Refuse shapes of unequal rank and, with the default distance, shapes that do not broadcast."""
    triplet_margin_loss.check_ranks(**shapes)
    if distance_function is None:
        arguments.broadcast_shape(**shapes)


def name_distances(to_positive: Any, to_negative: Any, between: Any, swap: bool) -> dict[str, Any]:
    """Return the distances by name, with `swap` all three; refuse what is no tensor, and shapes that do not fit."""
    given = {"anchor to positive": to_positive, "anchor to negative": to_negative}
    if swap:
        given["positive to negative"] = between
    named = {f"distance_function ({pair})": distance for pair, distance in given.items()}
    for name, distance in named.items():
        if not hasattr(distance, "shape"):
            arguments.raise_type_error(name, type(distance).__name__, "a tensor")
    arguments.broadcast_shape(**{name: distance.shape for name, distance in named.items()})
    return named


def truth(t, anchor, positive, negative, distance=2, margin=1.0, swap=False):
    p, eps = (1, 0.0) if distance == "l1" else (2, 1e-6)
    return triplet_margin_loss.truth(t, anchor, positive, negative, margin, p, eps, swap)


def differentiable_mask(anchor, positive, negative, distance=2, margin=1.0, swap=False):
    p, eps = (1, 0.0) if distance == "l1" else (2, 1e-6)
    return triplet_margin_loss.differentiable_mask(anchor, positive, negative, margin, p, eps, swap)


def inputs(draw):
    return triplet_margin_loss.draw_triplets(draw, exact="distance" in draw.variant.options)


def wrap_call(function, framework):
    """Make the call take `distance="l1"`, the sum of the absolute differences, in place of a function."""

    def l1(x, y):
        ops = importlib.import_module(f"xloss.ops.{framework}")
        return ops.absolute(x - y).sum(-1)

    @functools.wraps(function)
    def call(*, distance=None, **rest):
        return function(**rest) if distance is None else function(**rest, distance_function=l1)

    return call


def functional(**arguments):
    import torch

    return wrap_call(torch.nn.functional.triplet_margin_with_distance_loss, "torch")(**arguments)


LOSS = Loss(
    name="triplet_margin_with_distance_loss",
    summary="the triplet margin loss with a distance function that the caller passes",
    torch=torch_triplet_margin_with_distance_loss,
    jax=jax_triplet_margin_with_distance_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (2, 3, 2))),
        Variant("distance=l1+swap", options={"distance": "l1", "swap": True}, shapes=((5, 3),)),
    ),
    arguments=Arguments(
        wrt=("anchor", "positive", "negative"),
        batched=("anchor", "positive", "negative"),
        class_axes=lambda _argument, rank: rank - 1,
    ),
    domain=Domain(kinks=(0.0,), differentiable_mask=differentiable_mask),
    # Not of one feature, where a cosine has no derivative.
    large=((1100, 3), (2, 1030), (3, 2), (2, 3, 1, 2), (2, 3, 1, 2, 2)),
    crossed=(crossed.option("margin", 0.25, 4.0), crossed.option("distance", "l1"), crossed.option("swap", True)),
    peers=(Peer("torch.nn.functional", "torch", functional),),
    differences=(
        third_party.kink(
            "triplet_margin_with_distance_loss",
            torch_triplet_margin_with_distance_loss,
            third_party.functional("triplet_margin_with_distance_loss").call,
            "positive",
            1.0,
            anchor=[[0.0]],
            positive=[[1.0]],
            negative=[[2.0]],
            distance_function=lambda x, y: (x - y).abs().sum(-1),
        ),
    ),
    wrap_call=wrap_call,
    class_form=ClassForm(keyword_only=True),
    latex=(
        r"\ell = \max\left( 0, \mathrm{margin} + d(a, p) - d(a, n) \right)",
        r"\text{with } \mathrm{swap}: \quad \min\left( d(a, n), d(p, n) \right) \text{ for } d(a, n)",
    ),
    source="torch.nn.functional.triplet_margin_with_distance_loss",
)
