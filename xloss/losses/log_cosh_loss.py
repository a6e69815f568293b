r"""Logarithm of the hyperbolic cosine of the error: half its square where it is small, its absolute value where it is great.

Formula: l = log(cosh(x - y)).

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Domain: all reals; a small error keeps its digits (the loss is e^2 / 2, where |e| + log(1 + exp(-2 |e|)) - log 2 is 0),
and a great one does not overflow. Gradient: tanh(x - y) to `input`, its negative to `target`.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: with e = x - y, it is e^2 / 2 and |e| at most, and |e| - log 2 at least, to which it tends for great |e|.

Source: optax.losses.log_cosh and keras.losses.LogCosh; Chen et al. 2019, "Log Hyperbolic Cosine Loss Improves
Variational Auto-Encoder".
"""

import math

import numpy as np

from xloss import third_party
from xloss.catalog import Difference, Loss, Variant
from xloss.ops import arguments


def torch_log_cosh_loss(input, target, reduction="mean"):
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    size = ops.absolute(error)
    threshold = torch.nn.functional.threshold
    # log1p(cosh(e) - 1) up to 1/2, beyond it (|e| - log 2) + log1p(exp(-2 |e|)). Each formula is given what it is good
    # for, as elsewhere its value or its gradient may overflow.
    within = torch.nn.functional.hardtanh(error, -0.625, 0.625)
    near = cosh_less_1(within, torch.finfo(error.dtype).bits)
    far = torch.exp(-2 * threshold(size, 0.5, 0.5))
    straight = threshold(size, 0.5, math.log(2)) - math.log(2)
    loss = straight + ops.log1p(torch.lerp(far, near, (size <= 0.5).to(size.dtype)))
    return ops.reduce(loss, reduction, dtype)


def jax_log_cosh_loss(input, target, reduction="mean"):
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    error = input - target
    size = ops.absolute(error)
    small = size <= 0.5
    # log1p(cosh(e) - 1) up to 1/2, beyond it (|e| - log 2) + log1p(exp(-2 |e|)). Each formula is given what it is good
    # for, as elsewhere its value or its gradient may overflow.
    near = cosh_less_1(jnp.where(small, error, 0.0), jnp.finfo(error.dtype).bits)
    far = jnp.exp(-2 * jnp.where(small, 0.5, size))
    straight = jnp.where(small, 0.0, size - math.log(2))
    loss = straight + ops.log1p(jnp.where(small, near, far))
    return ops.reduce(loss, reduction, dtype)


def cosh_less_1(x, bits):
    """cosh(x) - 1 for |x| up to 1/2, by its series, to the last of a format's `bits`: all terms of it and its derivatives add up.

    As 2 sinh(x / 2)^2 it would take over XLA's error in sinh, six ulps, twice.
    """
    last = 16 if bits == 64 else 10
    square, series = x * x, 1 / math.factorial(last)
    for power in range(last - 2, 0, -2):
        series = square * series + 1 / math.factorial(power)
    return square * series


def truth(t, input, target):
    error = input - target
    return np.log((np.exp(error) + np.exp(-error)) / 2)


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


KERAS = third_party.keras(lambda losses: losses.LogCosh())


def small(function):
    """The loss at an error of 1e-4, in float32; exactly 5e-9 - 8.3e-18."""
    import jax.numpy as jnp

    return float(function(jnp.asarray([1e-4], "float32"), jnp.zeros(1, "float32")))


def small_here():
    return small(lambda x, y: jax_log_cosh_loss(x, y))


def small_optax():
    import optax

    return small(lambda x, y: optax.losses.log_cosh(x, y)[0])


def small_keras():
    return small(lambda x, y: KERAS.call(input=x, target=y, reduction="mean"))


LOSS = Loss(
    name="log_cosh_loss",
    summary="logarithm of the hyperbolic cosine of the error",
    torch=torch_log_cosh_loss,
    jax=jax_log_cosh_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    peers=(
        third_party.optax(lambda optax, input, target: optax.losses.log_cosh(input, target)),
        KERAS,
    ),
    differences=(
        Difference("log_cosh_loss/small", "error 1e-4, float32; exactly 5e-9", "optax", small_here, small_optax,
                   (5e-9, 0.0), "optax 0.2.8"),
        Difference("log_cosh_loss/small-keras", "error 1e-4, float32; exactly 5e-9", "keras", small_here, small_keras,
                   (5e-9, 0.0), "keras 3.15.1"),
    ),
    source="optax.losses.log_cosh",
)  # fmt: skip
