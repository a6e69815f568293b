r"""Pinball loss: the absolute error, times one weight where the prediction is too small and another where it is too great.

Formula, with e = y - x: l = q e where e >= 0, else (q - 1) e.

Args:
    input: predicted quantiles x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    quantile: q, in (0, 1). Default: 0.5.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Domain: all reals. Gradient to `input`: -q below the target, 1 - q above, its negative to `target`; on the kink x = y it is
0, as in `l1_loss`.
Errors: `ValueError` for shapes, reductions and a quantile outside of (0, 1), `TypeError` for anything but floating tensors.
Identities: the constant that minimizes the mean is the quantile of the targets; twice it, with q = 1/2, is `l1_loss`.

Source: Koenker and Bassett 1978, "Regression Quantiles".
"""

from xloss.catalog import Domain, Loss, Variant
from xloss.ops import arguments


def torch_quantile_loss(input, target, quantile=0.5, reduction="mean"):
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    check_quantile(quantile)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = target - input
    loss = quantile * torch.relu(error) + (1 - quantile) * torch.relu(-error)
    return ops.reduce(loss, reduction, dtype)


def jax_quantile_loss(input, target, quantile=0.5, reduction="mean"):
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    check_quantile(quantile)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = target - input
    over = jnp.where(error < 0, (quantile - 1) * error, 0 * error)
    loss = jnp.where(error > 0, quantile * error, over)
    return ops.reduce(loss, reduction, dtype)


def check_quantile(quantile):
    """Refuse what is not inside of (0, 1): at the ends one side would cost nothing."""
    arguments.check_number("quantile", quantile, above=0, most=1)
    if quantile == 1:
        arguments.raise_value_error("quantile", repr(quantile), "a number > 0 and < 1")


def truth(t, input, target, quantile=0.5):
    error, q = target - input, t.const(quantile)
    return t.where(t.lt(0, error), q * error, t.where(t.lt(error, 0), (q - 1) * error, 0 * error))


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="quantile_loss",
    summary="absolute error with a weight for either side",
    torch=torch_quantile_loss,
    jax=jax_quantile_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(options={"quantile": 0.9}, shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("broadcast", options={"quantile": 0.25}, broadcast=True, shapes=((4, 3),)),
    ),
    domain=Domain(kinks=(0.0,)),
    source="Koenker and Bassett 1978",
)
