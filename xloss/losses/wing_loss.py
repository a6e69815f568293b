r"""Wing loss: logarithmic in the error up to `omega`, so that small errors weigh more, and linear beyond.

Formula, with e = x - y: l = omega log(1 + |e| / epsilon) where |e| < omega,
else |e| - omega + omega log(1 + omega / epsilon).

Args:
    input: predicted coordinates x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    omega: the error at which the linear part begins, > 0. Default: 10.0.
    epsilon: the scale of the logarithm, > 0. Default: 2.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient to `input`: sign(e) omega / (epsilon + |e|) where |e| < omega, else sign(e); its negative to
`target`. It is 0 on the kink e = 0, as in `l1_loss`, and jumps at |e| = omega, where it is that of the linear side.
Errors: `ValueError` for shapes, reductions and options that are not positive, `TypeError` for anything but floating
tensors.
Identities: beyond omega it is `l1_loss` plus a constant.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.wing_loss(np.float32([2.0]), np.float32([0.0])):.3f}")  # 10 log 2
6.931

Source: Feng et al. 2018, "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks",
arXiv:1711.06753, with w for omega; names and defaults are those of mmpose.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_wing_loss(input: Tensor, target: Tensor, omega: float = 10.0, epsilon: float = 2.0,
                    reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    omega = ops.option("omega", omega, input, above=0)
    epsilon = ops.option("epsilon", epsilon, input, above=0)
    input, target = ops.broadcast_with_warning(input, target)
    size = ops.absolute(input - target)
    beyond = size >= omega
    curved = omega * ops.log1p(torch.where(beyond, 0.0, size) / epsilon)
    # The subtraction first: it is exact where |e| is near omega.
    straight = (size - omega) + omega * ops.log1p_of(omega / epsilon)
    loss = torch.where(beyond, straight, curved)
    return ops.reduce(loss, reduction, dtype)


def jax_wing_loss(input: ArrayLike, target: ArrayLike, omega: float = 10.0, epsilon: float = 2.0,
                  reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    omega = ops.option("omega", omega, input, above=0)
    epsilon = ops.option("epsilon", epsilon, input, above=0)
    input, target = ops.broadcast_with_warning(input, target)
    size = ops.absolute(input - target)
    beyond = size >= omega
    curved = omega * ops.log1p(jnp.where(beyond, 0.0, size) / epsilon)
    # The subtraction first: it is exact where |e| is near omega.
    straight = (size - omega) + omega * ops.log1p_of(omega / epsilon)
    loss = jnp.where(beyond, straight, curved)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, omega=10.0, epsilon=2.0):
    error, omega, epsilon = input - target, t.const(omega), t.const(epsilon)
    size = t.where(t.lt(0, error), error, t.where(t.lt(error, 0), -error, 0 * error))
    constant = omega - omega * (1 + omega / epsilon).log()
    return t.where(t.lt(size, omega), omega * np.log(1 + size / epsilon), size - constant)


def differentiable_mask(input, target, omega=10.0, **_):
    x, y = input.astype(np.float64), target.astype(np.float64)
    u = 2.0**-53 if input.dtype == np.float64 else 2.0**-24
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return np.abs(np.abs(x - y) - omega) > 4 * u * (np.abs(x) + np.abs(y))


def inputs(draw):
    input, target = draw.pair()
    if draw.regime in ("typical", "noncontiguous", "one", "empty"):
        input = draw.round(6 * input.astype(np.float64))  # on both sides of omega
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="wing_loss",
    summary="logarithmic in the error up to omega, linear beyond",
    torch=torch_wing_loss,
    jax=jax_wing_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("omega=1", options={"omega": 1.0, "epsilon": 0.5}, shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    domain=Domain(kinks=(0.0, 1.0, -1.0, 10.0, -10.0), differentiable_mask=differentiable_mask),
    crossed=(crossed.option("omega", 1.0, 5.0), crossed.option("epsilon", 0.5, 8.0)),
    latex=(
        r"\ell = \begin{cases} \omega \log\left( 1 + \frac{|e|}{\varepsilon} \right) & |e| < \omega \\ |e| - "
        r"\omega + \omega \log\left( 1 + \frac{\omega}{\varepsilon} \right) & |e| \ge \omega \end{cases} \qquad e "
        r"= x - y",
    ),
    source="Feng et al. 2018, arXiv:1711.06753",
)
