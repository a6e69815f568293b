r"""Logarithm of the hyperbolic cosine of the error: about half its square if small, its absolute value if large.

Formula: l = log(cosh(x - y)).

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input` and `target`.

Domain: all reals. A small error keeps its relative accuracy (the loss is about e^2 / 2 for e = x - y, where the form
|e| + log(1 + exp(-2 |e|)) - log 2 gives 0), and a large one does not overflow. Gradient: tanh(x - y) to `input`, its
negative to `target`.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors.
Identities: at most e^2 / 2 and at most |e|; at least |e| - log 2, which it approaches for large |e|.

>>> import numpy as np, xloss.jax
>>> round(float(xloss.jax.log_cosh_loss(np.float32([0.0, 100.0]), np.float32([0.0, 0.0]), reduction="sum")), 3)
99.307

Source: optax.losses.log_cosh and keras.losses.LogCosh; Chen et al. 2019, "Log Hyperbolic Cosine Loss Improves
Variational Auto-Encoder".
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Difference, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_log_cosh_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    return ops.reduce(torch_log_cosh(input - target), reduction, dtype)


def torch_log_cosh(error):
    """Return log(cosh(error)), its derivative tanh without cancellation."""
    import torch

    from xloss.ops import torch as ops

    size = ops.absolute(error)
    small = size <= 0.5
    # log1p(cosh(e) - 1) up to 1/2, beyond it (|e| - log 2) + log1p(exp(-2 |e|)). Outside its own range each form gets a
    # constant, for its value or its gradient may overflow there; where the kernels' derivatives jump, no form is used.
    near = cosh_less_1(torch.nn.functional.hardtanh(error, -0.625, 0.625), torch.finfo(error.dtype).bits)
    small = small.to(size.dtype)
    far = torch.exp(-2 * torch.nn.functional.threshold(size, 0.25, 0.25))
    straight = (1 - small) * (size - math.log(2))
    return straight + ops.log1p(torch.lerp(far, near, small))


def jax_log_cosh_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    input, target = ops.broadcast_with_warning(input, target)
    return ops.reduce(jax_log_cosh(input - target), reduction, dtype)


def jax_log_cosh(error):
    """Return log(cosh(error)), its derivative tanh without cancellation."""
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    size = ops.absolute(error)
    small = size <= 0.5
    # log1p(cosh(e) - 1) up to 1/2, beyond it (|e| - log 2) + log1p(exp(-2 |e|)). Outside its own range each form gets a
    # constant, for its value or its gradient may overflow there.
    near = cosh_less_1(jnp.where(small, error, 0.0), jnp.finfo(error.dtype).bits)
    far = jnp.exp(-2 * jnp.where(small, 0.5, size))
    straight = jnp.where(small, 0.0, size - math.log(2))
    return straight + ops.log1p(jnp.where(small, near, far))


def cosh_less_1(x, bits):
    """Return cosh(x) - 1 for |x| up to 1/2, by its Taylor series: no terms cancel, nor do those of its derivatives.

    2 sinh(x / 2)^2 would have XLA's error of sinh, 6 ulps, twice.
    """
    last = 16 if bits == 64 else 10  # the power after which terms are below rounding, also in the second derivative
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


def small(function):
    """Return the loss at an error of 1e-4, in float32; exactly 5e-9 - 8.3e-18."""
    import jax.numpy as jnp

    return float(function(input=jnp.asarray([1e-4], "float32"), target=jnp.zeros(1, "float32"), reduction="mean"))


KERAS = third_party.keras(lambda losses: losses.LogCosh())
OPTAX = third_party.optax(lambda optax, input, target: optax.losses.log_cosh(input, target))

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
    crossed=(crossed.flag("broadcast", broadcast=True),),
    peers=(OPTAX, KERAS),
    differences=(
        Difference.between("log_cosh_loss/small", "error 1e-4, float32; exactly 5e-9", "optax",
                           small, jax_log_cosh_loss, OPTAX.call, (5e-9, 0.0), "optax 0.2.8"),
        Difference.between("log_cosh_loss/small-keras", "error 1e-4, float32; exactly 5e-9", "keras",
                           small, jax_log_cosh_loss, KERAS.call, (5e-9, 0.0), "keras 3.15.1"),
    ),
    latex=(
        r"\ell = \log \cosh(x - y)",
    ),
    source="optax.losses.log_cosh",
)  # fmt: skip
