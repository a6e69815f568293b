r"""Absolute error: |input - target|, times `weight`.

Formula: l_i = w_i |x_i - y_i|; `'mean'` divides by the sum of the weights, without any by the count.

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    weight: w, the shape of `input`, or None.

Domain: all reals. Gradient: w sign(x - y) to `input`, its negative to `target`; on the kink x = y it is 0, as in torch,
where `jnp.abs` would give 1.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: `smooth_l1_loss` with beta = 0; the constant that minimizes the mean is the median of the targets.

Source: torch.nn.functional.l1_loss.
"""

from xloss import checks, peers
from xloss.catalog import Difference, Form, Loss, Variant


def torch_l1_loss(input, target, reduction="mean", weight=None):
    from xloss.kernels import torch_ as k

    checks.check_reduction(reduction)
    input, target, weight, dtype = k.admit(input=input, target=target, weight=weight)
    checks.check_weight(weight, input)
    input, target = k.meet(input, target)
    loss = k.absolute(input - target)
    if weight is not None:
        loss = loss * weight
    return k.reduce(loss, reduction, dtype, weights=weight)


def jax_l1_loss(input, target, reduction="mean", weight=None):
    from xloss.kernels import jax_ as k

    checks.check_reduction(reduction)
    input, target, weight, dtype = k.admit(input=input, target=target, weight=weight)
    checks.check_weight(weight, input)
    input, target = k.meet(input, target)
    loss = k.absolute(input - target)
    if weight is not None:
        loss = loss * weight
    return k.reduce(loss, reduction, dtype, weights=weight)


def truth(t, input, target, weight=None):
    error = input - target
    loss = t.where(t.less(0, error), error, t.where(t.less(error, 0), -error, 0 * error))
    return loss if weight is None else (weight * loss, weight)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", draw.shape))


def tie(function):
    """The derivative where input and target are equal."""
    import jax
    import jax.numpy as jnp

    return float(jax.grad(function)(jnp.zeros(()), jnp.zeros(())))


def tie_here():
    return tie(jax_l1_loss)


def tie_there():
    import jax.numpy as jnp

    return tie(lambda x, y: jnp.abs(x - y))


LOSS = Loss(
    name="l1_loss",
    summary="absolute error",
    torch=torch_l1_loss,
    jax=jax_l1_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
        Variant("broadcast", flags=("broadcast",), shapes=((4, 3),)),
    ),
    batched=("input", "target", "weight"),
    kinks=(0.0,),
    regimes=("zero_weight",),
    peers=(
        peers.functional("l1_loss"),
        peers.optax(lambda optax, input, target: abs(input - target)),
        peers.keras(lambda losses: losses.MeanAbsoluteError()),
    ),
    differences=(
        Difference("l1_loss/tie", "the derivative where input = target; torch has 0", "abs(input - target) in JAX",
                   tie_here, tie_there, (0.0, 1.0), "jax 0.10.2"),
    ),
    form=Form("L1Loss", call=("weight",)),
    source="torch.nn.functional.l1_loss",
)  # fmt: skip
