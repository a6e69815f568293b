r"""Temporal-difference loss: half the squared distance to a bootstrapped target that is held constant (semi-gradient).

Formula: l = (stop_gradient(r + discount v' (1 - d)) - v)^2 / 2 (`detach()` in PyTorch).

Args:
    input: v, the values of the states left, any shape.
    reward: r, the rewards of the steps, the shape of `input`.
    next_value: v', the values of the states reached, the shape of `input`.
    done: d, whether an episode ended with the step, booleans of that shape, or None (never). Where it did, `next_value`
        is masked, NaN included.
    discount: in [0, 1]. Default: 0.99.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest floating dtype given.

Domain: all reals. Gradient: minus the temporal-difference error to `input`, so that a step of gradient descent is TD(0)
with that learning rate; none to `reward` and `next_value`, though the value depends on them.
Errors: `ValueError` for shapes, reductions and discounts, `TypeError` for anything but floating tensors, and for a
`done` that is not boolean.
Identities: half of `mse_loss` with the target held constant; half the square of rlax.td_learning(input, reward,
discount (1 - d), next_value), the temporal-difference error.

>>> import numpy as np, xloss.jax
>>> v, r, v_next = np.float32([1.0, 1.0]), np.float32([0.5, 0.5]), np.float32([2.0, 2.0])
>>> done = np.array([False, True])
>>> print(xloss.jax.td_semi_gradient_loss(v, r, v_next, done, discount=0.75, reduction="none"))
[0.5   0.125]

Source: Sutton 1988, "Learning to predict by the methods of temporal differences"; rlax.td_learning.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Arguments, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_td_semi_gradient_loss(input: Tensor, reward: Tensor, next_value: Tensor, done: Tensor | None = None,
                                discount: float = 0.99, reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, reward, next_value, dtype = ops.validate_and_upcast(input=input, reward=reward, next_value=next_value)
    discount = ops.option("discount", discount, input, least=0, most=1)
    arguments.check_same_shape("reward", reward.shape, "input", input.shape)
    arguments.check_same_shape("next_value", next_value.shape, "input", input.shape)
    if done is not None:
        done = ops.as_array("done", done)
        if done.dtype != torch.bool:
            arguments.raise_type_error("done", f"dtype {done.dtype}", "dtype bool")
        ops.check_devices(input=input, done=done)
        arguments.check_same_shape("done", done.shape, "input", input.shape)
        next_value = torch.where(done, 0.0, next_value)
    target = reward + discount * next_value
    error = target.detach() - input
    loss = 0.5 * error * error
    return ops.reduce(loss, reduction, dtype)


def jax_td_semi_gradient_loss(input: ArrayLike, reward: ArrayLike, next_value: ArrayLike, done: ArrayLike | None = None,
                              discount: float = 0.99, reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, reward, next_value, dtype = ops.validate_and_upcast(input=input, reward=reward, next_value=next_value)
    discount = ops.option("discount", discount, input, least=0, most=1)
    arguments.check_same_shape("reward", reward.shape, "input", input.shape)
    arguments.check_same_shape("next_value", next_value.shape, "input", input.shape)
    if done is not None:
        done = ops.as_array("done", done)
        if done.dtype != bool:
            arguments.raise_type_error("done", f"dtype {done.dtype}", "dtype bool")
        ops.check_devices(input=input, done=done)
        arguments.check_same_shape("done", done.shape, "input", input.shape)
        next_value = jnp.where(done, 0.0, next_value)
    target = reward + discount * next_value
    error = jax.lax.stop_gradient(target) - input
    loss = 0.5 * error * error
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, reward, next_value, done=None, discount=0.99):
    done = np.zeros(input.shape, dtype=bool) if done is None else done
    target = reward + t.const(discount) * t.where(done, 0, next_value)
    return (t.stop_gradient(target) - input) ** 2 / 2


def inputs(draw):
    input, target = draw.pair()
    reward = draw.real(draw.shape)
    if draw.regime in ("confident", "badly_wrong"):
        # The next value that gives that target, up to rounding.
        discount = draw.variant.options.get("discount", 0.99)
        next_value = draw.round((target.astype(np.float64) - reward) / (discount or 1.0))
    else:
        next_value = target
    done = draw.labels(draw.shape, 2).astype(bool) if draw.has("done") else None
    if draw.regime in ("confident", "badly_wrong") and done is not None:
        reward = draw.round(np.where(done, target, reward))
    return draw.arrays(input=input, reward=reward, next_value=next_value, done=done)


LOSS = Loss(
    name="td_semi_gradient_loss",
    summary="half the squared temporal-difference error, its bootstrapped target held constant",
    torch=torch_td_semi_gradient_loss,
    jax=jax_td_semi_gradient_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), ())),
        Variant("done", tensors=("done",), options={"discount": 0.5}, shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input",), batched=("input", "reward", "next_value", "done")),
    crossed=(crossed.tensor("done"), crossed.option("discount", 0.0, 0.5, 1.0)),
    unseen=lambda next_value, done=None, **_: {} if done is None else {"next_value": done},
    latex=(
        r"\ell = \frac{1}{2} \left( \operatorname{sg}\left( r + \mathrm{discount} \cdot v' (1 - d) \right) - v "
        r"\right)^2",
    ),
    source="Sutton 1988; rlax.td_learning",
)
