r"""Binary cross entropy of probabilities: -(t log p + (1 - t) log(1 - p)), times `weight`.

Formula: l = -w (t max(log p, -100) + (1 - t) max(log(1 - p), -100)).

Args:
    input: probabilities p in [0, 1], any shape.
    target: t in [0, 1], the shape and dtype of `input`.
    weight: w, a shape that broadcasts to that of `input`, the dtype of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, which divides by the count, weights or not.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the dtype of `input`.

Domain: p and t in [0, 1]. Gradient to `input`: w (p - t) / max(p (1 - p), 1e-12), torch's convention, which bounds it
next to 0 and 1, where the derivative of the formula does not exist or is greater; to `target`: w (log(1 - p) - log p).
Errors: `ValueError` for shapes, reductions, and for values outside [0, 1], NaN included, where they are known
(concrete, on the CPU); elsewhere value and gradient of such an element are NaN. `TypeError` for dtypes.
Identities: at p = sigmoid(x) it is `binary_cross_entropy_with_logits` of x, which avoids the rounding of p next to 1.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.binary_cross_entropy(np.float32([0.5, 0.0]), np.float32([1.0, 1.0])):.3f}")
50.347

Source: torch.nn.functional.binary_cross_entropy.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                               reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        same_dtype=True, input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    arguments.check_weight(weight, input, broadcast=True)
    p, t, bad = ops.validate_unit_interval(input=input, target=target)
    loss = ops.nan_where(ops.bce(p, t), bad, input, target)
    if weight is not None:
        loss = loss * weight
    return ops.reduce(loss, reduction, dtype)


def jax_binary_cross_entropy(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None,
                             reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        same_dtype=True, input=input, target=target, weight=weight, optional=("weight",)
    )
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    arguments.check_weight(weight, input, broadcast=True)
    p, t, bad = ops.validate_unit_interval(input=input, target=target)
    loss = ops.nan_where(ops.bce(p, t), bad, input, target)
    if weight is not None:
        loss = loss * jnp.broadcast_to(weight, loss.shape)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, weight=None):
    def log(p):
        inside = t.lt(np.exp(t.const(-100)), p)
        return t.where(inside, np.log(t.where(inside, p, 1)), -100)

    loss = -(target * log(input) + (1 - target) * log(1 - input))
    return loss if weight is None else weight * loss


def differentiable_mask(input, target, **_):
    p = input.astype(np.float64)
    return p * (1 - p) >= 1e-12


def inputs(draw):
    p, target = draw.unit(draw.shape), draw.unit(draw.shape)
    if draw.regime in ("confident", "badly_wrong", "large"):
        ones = draw.round(p.astype(np.float64) > 0.5)
        target = ones if draw.regime != "badly_wrong" else draw.round(1 - ones.astype(np.float64))
    elif draw.regime == "on_kink":
        p, target = (draw.round(draw.rng.integers(0, 2, draw.shape)) for _ in range(2))
    return draw.arrays(input=p, target=target, weight=draw.optional("weight", draw.shape[-1:]))


def at_zero(function):
    """Return the loss at p = 0, t = 1."""
    import jax.numpy as jnp

    return float(function(input=jnp.zeros(1), target=jnp.ones(1), reduction="mean"))


KERAS = third_party.keras(lambda losses: losses.BinaryCrossentropy())

LOSS = Loss(
    name="binary_cross_entropy",
    summary="binary cross entropy of probabilities",
    torch=torch_binary_cross_entropy,
    jax=jax_binary_cross_entropy,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
    ),
    arguments=Arguments(weights=("weight",)),
    domain=Domain(
        regimes=("on_kink", "zero_weight"),
        skip_regimes={"nonfinite": "probabilities that are not in [0, 1] are refused"},
        differentiable_mask=differentiable_mask,
    ),
    crossed=(crossed.tensor("weight"),),
    peers=(third_party.functional("binary_cross_entropy"), KERAS),
    differences=(
        Difference.between("binary_cross_entropy/zero", "p = 0, t = 1: log p is bounded by -100, or p clipped to 1e-7",
                           "keras", at_zero, jax_binary_cross_entropy, KERAS.call, (100.0, 16.118095), "keras 3.15.1"),
    ),
    class_form=ClassForm("BCELoss"),
    latex=(
        r"\ell = -w \left( t \max(\log p, -100) + (1 - t) \max(\log(1 - p), -100) \right)",
    ),
    source="torch.nn.functional.binary_cross_entropy",
)  # fmt: skip
