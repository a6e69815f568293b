r"""Binary cross entropy of probabilities: -(t log p + (1 - t) log(1 - p)), times `weight`.

Formula: l = -w (t max(log p, -100) + (1 - t) max(log(1 - p), -100)).

Args:
    input: probabilities p in [0, 1], any shape.
    target: t in [0, 1], the shape and dtype of `input`.
    weight: w, a shape that broadcasts with that of `input`, the dtype of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, which divides by the count, weights or not.

Domain: p and t in [0, 1]. Gradient to `input`: w (p - t) / max(p (1 - p), 1e-12), torch's convention, which bounds it next
to 0 and 1, where the derivative of the formula does not exist or is greater; to `target`: w (log(1 - p) - log p).
Errors: `ValueError` for shapes, reductions, and for values outside of [0, 1], NaN included, where they are at hand
(concrete, on the CPU); elsewhere value and gradient of such an element are NaN. `TypeError` for dtypes.
Identities: of sigmoid(x) it is `binary_cross_entropy_with_logits` of x, which keeps digits that p has lost.

Source: torch.nn.functional.binary_cross_entropy.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments


def torch_binary_cross_entropy(input, target, weight=None, reduction="mean"):
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


def jax_binary_cross_entropy(input, target, weight=None, reduction="mean"):
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
        loss = loss * weight
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


def clipped_here():
    import jax.numpy as jnp

    return float(jax_binary_cross_entropy(jnp.zeros(1), jnp.ones(1)))


def clipped_there():
    import jax.numpy as jnp

    keras = next(peer for peer in LOSS.peers if peer.name == "keras")
    return float(keras.call(input=jnp.zeros(1), target=jnp.ones(1), reduction="mean"))


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
    peers=(
        third_party.functional("binary_cross_entropy"),
        third_party.keras(lambda losses: losses.BinaryCrossentropy()),
    ),
    differences=(
        Difference("binary_cross_entropy/zero", "p = 0, t = 1: the logarithm is bounded, or p is clipped to 1e-7",
                   "keras", clipped_here, clipped_there, (100.0, 16.118095), "keras 3.15.1"),
    ),
    class_form=ClassForm("BCELoss"),
    source="torch.nn.functional.binary_cross_entropy",
)  # fmt: skip
