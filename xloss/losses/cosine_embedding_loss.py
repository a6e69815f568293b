r"""One minus the cosine of two vectors for similar pairs, the cosine above a margin for dissimilar ones.

Formula: l = 1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1, with cos(a, b) = a.b / (|a| |b|),
and 0 where a or b is the zero vector, or has no elements (D = 0). For any other y the loss is 0.

Args:
    input1: x1, shape (D) or (N, D).
    input2: x2, as many axes, a shape that broadcasts with that of `input1`.
    target: y, 1 or -1, shape () or (N) or (1), floating, or of an integer dtype.
    margin: a threshold for the cosine, useful in [-1, 1]; 0 to 0.5 is suggested. Default: 0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, () or (N) for `'none'`; the wider dtype of `input1` and `input2`.

Domain: all reals; vectors are scaled first, so that norms neither overflow nor underflow. Gradient of cos(a, b) to a:
(b/|b| - cos(a, b) a/|a|) / |a|, 0 at the zero vector; at the kink cos = margin the loss has the gradient of cos
(torch's convention). None to `target`.
Errors: `ValueError` for shapes and reductions, `TypeError` for dtypes and for a margin that is not a number.
Identities: with y = 1 it is half the squared distance of x1/|x1| and x2/|x2|.
torch.nn.functional adds 1e-12 to each squared norm: 1 - cos of a vector with itself is 0.9998 instead of 0 where |x| is
1e-8, and the gradient at the zero vector is 1e6; it also takes norms before it broadcasts the features.

>>> import numpy as np, xloss.jax
>>> x1, x2, y = np.float32([[3, 0], [3, 4]]), np.float32([[0, 2], [6, 8]]), np.float32([1, -1])
>>> print(xloss.jax.cosine_embedding_loss(x1, x2, y, margin=0.5, reduction="none"))
[1.  0.5]

Source: torch.nn.functional.cosine_embedding_loss.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                                reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import distances_torch as d
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input1, input2, dtype = ops.validate_and_upcast(input1=input1, input2=input2)
    margin = ops.option("margin", margin, input1)
    _, target, _ = ops.validate_and_upcast(input1=input1, target=target, integer=("target",))
    check_vectors(input1.shape, input2.shape, target.shape)
    input1, input2 = ops.broadcast(input1=input1, input2=input2)
    above_one, above_margin = d.cosine_minus(input1, input2, 1.0, margin)
    alike, other = -above_one, ops.positive_part(above_margin)
    loss = torch.where(target == 1, alike, torch.where(target == -1, other, 0.0))
    return ops.reduce(loss, reduction, dtype)


def jax_cosine_embedding_loss(input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0,
                              reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import distances_jax as d
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input1, input2, dtype = ops.validate_and_upcast(input1=input1, input2=input2)
    margin = ops.option("margin", margin, input1)
    _, target, _ = ops.validate_and_upcast(input1=input1, target=target, integer=("target",))
    check_vectors(input1.shape, input2.shape, target.shape)
    input1, input2 = ops.broadcast(input1=input1, input2=input2)
    above_one, above_margin = d.cosine_minus(input1, input2, 1.0, margin)
    alike, other = -above_one, ops.positive_part(above_margin)
    loss = jnp.where(target == 1, alike, jnp.where(target == -1, other, 0.0))
    return ops.reduce(loss, reduction, dtype)


def check_vectors(input1, input2, target):
    """Refuse shapes other than vectors or rows of vectors, and a sign for each."""
    if len(input1) not in (1, 2):
        arguments.raise_value_error("input1", f"shape {tuple(input1)}", "shape (D) or (N, D)")
    if len(input2) != len(input1):
        arguments.raise_value_error(
            "input2", f"shape {tuple(input2)}", f"as many axes as input1, of shape {tuple(input1)}"
        )
    rows = arguments.broadcast_shape(input1=input1, input2=input2)[:-1]
    if len(target) != len(rows):
        arguments.raise_value_error("target", f"shape {tuple(target)}", f"a sign for each vector, shape {rows}")
    arguments.broadcast_shape(**{"input1 and input2": rows, "target": target})


def truth(t, input1, input2, target, margin=0):
    def square(x):
        return t.sum(x * x, -1)

    nothing = (square(input1) == 0) | (square(input2) == 0)
    norms = np.sqrt(t.where(nothing, 1, square(input1) * square(input2)))
    cosine = t.where(nothing, 0, t.sum(input1 * input2, -1) / norms)
    other = t.where(t.lt(cosine, t.const(margin)), 0, cosine - t.const(margin))
    return t.where(target == 1, 1 - cosine, t.where(target == -1, other, 0))


def differentiable_mask(input1, input2, target, margin=0):
    x, y = (array.astype(np.longdouble) for array in (input1, input2))
    eps = 2.0**-52 if input1.dtype == np.float64 else 2.0**-23
    with np.errstate(all="ignore"):
        norms = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
        cosine, terms = (x * y).sum(-1) / norms, np.abs(x * y).sum(-1) / norms
        near = np.abs(cosine - margin) <= 8 * eps * (terms + abs(margin))
    return (target == 1) | ~near | ((cosine == 0) & (margin == 0))


def inputs(draw):
    shape, margin = draw.shape, draw.variant.options.get("margin", 0)
    input1, input2 = draw.real(shape), draw.real(shape)
    sign = np.asarray(2 * draw.labels(shape[:-1], 2) - 1)
    if draw.regime == "typical":  # short vectors become 0: the gradient grows with 1 / |x|, and so does its rounding
        input1, input2 = (x * (np.abs(x).max(-1, keepdims=True, initial=0) > 0.1) for x in (input1, input2))
    elif draw.regime in ("confident", "badly_wrong"):
        side = sign if draw.regime == "confident" else -sign
        wide = input1.astype(np.float64)
        aside = wide + draw.rng.normal(size=shape) * 10.0 ** -draw.rng.uniform(1, 5, (*shape[:-1], 1))
        input2 = draw.round(aside * side[..., None] * draw.rng.uniform(0.5, 2, (*shape[:-1], 1)))
    elif draw.regime in ("near_kink", "on_kink") and margin == 0:
        # Orthogonal, and 1 the greatest element: the inner product is exactly 0, or a few ulps off.
        a, b = draw.rng.choice([-1.0, 1.0], shape[:-1]), draw.rng.choice([-0.75, -0.25, 0.5, 1.0], shape[:-1])
        input1, input2 = np.zeros((2, *shape))
        input1[..., 0], input1[..., 1], input2[..., 0], input2[..., 1] = a, b, -b, a
        input1, input2 = draw.round(input1), draw.round(input2)
        if draw.regime == "near_kink":
            input2[..., 0] = draw.nudge(input2[..., 0])
    return draw.arrays(input1=input1, input2=input2, target=draw.round(sign) if draw.has("floating") else sign)


def grown(function):
    """Scale the vectors before torch's function, so that the 1e-12 it adds to the squared norms is negligible."""

    def grow(x):
        import torch

        top = x.detach().abs().amax(-1, keepdim=True)
        return torch.where(top == 0, 0.0, x / torch.where(top == 0, 1.0, top) * 1e6)

    return lambda input1, input2, target, **options: function(grow(input1), grow(input2), target, **options)


def of_itself(function):
    """Return 1 - cos of (1e-8, 1e-8) with itself, float32."""
    import torch

    x = torch.full((2,), 1e-8)
    return float(function(input1=x, input2=x, target=torch.tensor(1.0)))


def at_zero(function):
    """Return the first element of the gradient at the zero vector, with (1, 0)."""
    import torch

    x = torch.zeros(2, requires_grad=True)
    function(input1=x, input2=torch.tensor([1.0, 0.0]), target=torch.tensor(1.0)).backward()
    return float(x.grad[0])


def of_one_feature(function):
    """Return 1 - cos of (1, 1, 1) with (1), which broadcasts to (1, 1, 1)."""
    import torch

    return float(function(input1=torch.ones(3), input2=torch.ones(1), target=torch.tensor(1.0)))


FUNCTIONAL = third_party.functional("cosine_embedding_loss")

LOSS = Loss(
    name="cosine_embedding_loss",
    summary="1 - cosine of similar pairs, cosine above a margin of dissimilar ones",
    torch=torch_cosine_embedding_loss,
    jax=jax_cosine_embedding_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3),)),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("margin=0.5", options={"margin": 0.5}, draws=("floating",), shapes=((4, 3),)),
    ),
    arguments=Arguments(
        wrt=("input1", "input2"),
        batched=("input1", "input2", "target"),
        class_axes=lambda _argument, rank: rank - 1,
        untyped=("target",),
    ),
    domain=Domain(
        kinks=(0.0,),
        skip_regimes={"subnormal": "its derivatives, of the order of 1 / |x|, are beyond the dtype"},
        differentiable_mask=differentiable_mask,
    ),
    crossed=(crossed.option("margin", -0.5, 0.25, 1.0), crossed.flag("floating", draws=("floating",))),
    peers=(FUNCTIONAL,),
    differences=(
        third_party.kink("cosine_embedding_loss", torch_cosine_embedding_loss, FUNCTIONAL.call, "input1", 1.0,
                         input1=[[1.0, 0.0]], input2=[[0.0, 1.0]], target=[-1]),
        Difference.between("cosine_embedding_loss/tiny", "1 - cos of the vector (1e-8, 1e-8) with itself, float32",
                           "torch.nn.functional", of_itself, torch_cosine_embedding_loss, FUNCTIONAL.call,
                           (0.0, 0.9998000264), "torch 2.13.0"),
        Difference.between("cosine_embedding_loss/zero-vector", "gradient at the zero vector", "torch.nn.functional",
                           at_zero, torch_cosine_embedding_loss, FUNCTIONAL.call, (0.0, -1e6), "torch 2.13.0"),
        Difference.between("cosine_embedding_loss/one-feature", "1 - cos of (1, 1, 1) with (1), broadcast",
                           "torch.nn.functional", of_one_feature, torch_cosine_embedding_loss, FUNCTIONAL.call,
                           (0.0, -0.7320508), "torch 2.13.0"),
    ),
    patched_torch=grown,
    latex=(
        r"\ell = \begin{cases} 1 - \cos(x_1, x_2) & y = 1 \\ \max(0, \cos(x_1, x_2) - \mathrm{margin}) & y = -1 "
        r"\\ 0 & \text{otherwise} \end{cases}",
        r"\cos(a, b) = \frac{a \cdot b}{|a| \, |b|}",
    ),
    source="torch.nn.functional.cosine_embedding_loss",
)  # fmt: skip
