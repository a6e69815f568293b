"""What the losses share in JAX: admission of arguments, stable elementary functions, the reduction.

`torch_.py` has the same names in the same order. Dtypes are always explicit, so that all of it runs under strict dtype
promotion; custom rules are `custom_jvp` made of differentiable operations, through which every transformation passes.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.ops import arguments
from xloss.ops.reductions import jax_reduce as reduce

__all__ = ["absolute", "as_array", "bce", "bce_of_logits", "broadcast", "broadcast_class_weight", "broadcast_with_warning", "check_inside", "concrete", "gather_class_weight", "hinge", "log1p", "log_sum_exp", "nan_where", "neg_sign", "nll_of_logits", "nll_of_logits_soft", "reduce", "smooth_l1", "softplus", "validate_and_upcast", "validate_classes", "validate_labels", "validate_target"]  # fmt: skip


def as_array(name: str, value: Any) -> jax.Array:
    """Admit JAX and NumPy arrays and numbers; refuse what only looks like one (lists, tensors of others)."""
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, int, float)):
        arguments.raise_type_error(name, type(value).__name__, "a jax.Array, a NumPy array or a number")
    return jnp.asarray(value)


def validate_and_upcast(same: bool = False, **tensors: Any) -> tuple[Any, ...]:
    """Check that the arrays given (weights may be None) are floating, and widen 16-bit ones to float32 for the computation.

    Gives them in order, and last the dtype to which the loss is to be rounded. With `same`, refuses mixed dtypes.
    """
    names = []
    absent = {name for name, value in tensors.items() if value is None and "weight" in name}
    arrays = {name: None if name in absent else as_array(name, value) for name, value in tensors.items()}
    first = None
    for name, array in arrays.items():
        if array is None:
            continue
        if array.dtype.name not in arguments.FLOATS:
            arguments.raise_type_error(
                name, f"dtype {array.dtype}", "one of the floating dtypes " + ", ".join(arguments.FLOATS)
            )
        first = first or (name, array.dtype)
        if same and array.dtype != first[1]:
            arguments.raise_type_error(name, f"dtype {array.dtype}", f"that of {first[0]}, {first[1]}")
        names.append(array.dtype.name)
    out = arguments.promote(names)
    compute = jnp.float64 if out == "float64" else jnp.float32
    return *(a if a is None else a.astype(compute) for a in arrays.values()), jnp.dtype(out)


def validate_labels(target: Any, classes: int, ignore_index: int | None) -> tuple[Any, Any, Any]:
    """Give labels that are safe to gather with, the mask of those to leave out, and the mask of those out of range.

    Out-of-range labels raise `ValueError` where values can be looked at; elsewhere the caller makes their rows NaN.
    Any integer dtype is taken: without x64, JAX has no int64, torch's dtype for labels.
    """
    if not jnp.issubdtype(target.dtype, jnp.integer):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "class indices of an integer dtype")
    if jnp.iinfo(target.dtype).bits < 32:
        target = target.astype(jnp.int32)
    ignored = target == ignore_index if ignore_index is not None else jnp.zeros(target.shape, bool)
    outside = ((target < 0) | (target >= classes)) & ~ignored
    if concrete(outside) and outside.any():
        arguments.raise_value_error("target", f"label {target[outside][0]}", f"class indices in [0, {classes})")
    return jnp.where(ignored | outside, 0, target), ignored, outside


def validate_target(input: Any, target: Any, weight: Any, ignore_index: int) -> int:
    """Tell class indices from class probabilities, check what they need of shapes, and give the axis of the classes."""
    weight = None if weight is None else as_array("weight", weight)
    floating = jnp.issubdtype(target.dtype, jnp.floating)
    return arguments.check_class_target(input.shape, target.shape, floating, weight, ignore_index)


def validate_classes(input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any, int]:
    """Check input, class indices and class weights against each other; `admit_labels`, and the axis of the classes."""
    target = as_array("target", target)
    axis = arguments.check_class_target(input.shape, target.shape, False, weight, None)
    return *validate_labels(target, input.shape[axis], ignore_index), axis


def broadcast_class_weight(weight: Any, axis: int, like: Any) -> Any:
    """Lay class weights along the class axis of `like`, and broadcast them to its shape."""
    return jnp.broadcast_to(weight.reshape((-1,) + (1,) * (like.ndim - axis - 1)), like.shape)


def gather_class_weight(weight: Any, labels: Any) -> Any:
    """The class weight of each label."""
    return weight[labels]


def check_inside(**tensors: Any) -> tuple[Any, ...]:
    """Refuse arrays with values outside of [0, 1] (NaN too), where values can be looked at.

    Elsewhere such elements are replaced by 0.5, which is harmless. Gives the arrays, and last the mask of the
    offending elements, None where there are none for sure, for the caller to `poison`.
    """
    if all(concrete(array) for array in tensors.values()):
        for name, array in tensors.items():
            good = (array >= 0) & (array <= 1)
            if not good.all():
                arguments.raise_value_error(name, f"{array[~good][0]}", "values in [0, 1]")
        return *tensors.values(), None
    inside = [(array >= 0) & (array <= 1) for array in tensors.values()]
    safe = [jnp.where(good, array, 0.5) for good, array in zip(inside, tensors.values(), strict=True)]
    return *safe, ~jnp.stack(jnp.broadcast_arrays(*inside)).all(0)


def nan_where(loss: Any, bad: Any, *sources: Any) -> Any:
    """Make the elements of `loss` under the mask NaN, and with them their gradients (which `where` would make 0).

    `sources`: arrays of that shape whose gradients are to be NaN there, too, though the loss came without their elements.
    """
    if bad is None:
        return loss
    spoil = jnp.where(bad, jnp.nan, 1.0).astype(loss.dtype)
    loss = loss * spoil
    for source in sources:
        loss = loss + jnp.where(bad, source * spoil, 0.0)
    return loss


def concrete(array: Any) -> bool:
    """Tell whether the array's values can be looked at without a wait: on the CPU, and not while tracing."""
    return not isinstance(array, jax.core.Tracer) and all(device.platform == "cpu" for device in array.devices())


def broadcast(**tensors: Any) -> tuple[Any, ...]:
    """Broadcast the arrays together; the one that does not fit is named."""
    shape = arguments.broadcast_shape(**{name: array.shape for name, array in tensors.items()})
    return tuple(jnp.broadcast_to(array, shape) for array in tensors.values())


def broadcast_with_warning(input: Any, target: Any) -> tuple[Any, Any]:
    """Broadcast input and target together; with a warning, as in torch, for the trap is (N, 1) with (N)."""
    if target.shape == input.shape:
        return input, target
    met = broadcast(input=input, target=target)
    warnings.warn(
        f"target's shape {tuple(target.shape)} differs from input's {tuple(input.shape)}: "
        "they are broadcast, which is seldom what is meant",
        UserWarning,
        stacklevel=3,
    )
    return met


def absolute(x: Any) -> Any:
    """|x|, with derivative 0 at 0, where that of `jnp.abs` is 1, and at NaN, as in torch."""
    return x * jax.lax.stop_gradient(jnp.where(jnp.isnan(x), 0.0, jnp.sign(x)))


def hinge(x: Any) -> Any:
    """The greater of x and 0; at 0 the derivative is 1, as that of torch's `clamp_min`, where `jnp.maximum` has 1/2."""
    return jnp.where(x < 0, 0.0, x)


def smooth_l1(input: Any, target: Any, beta: float, scale: float = 1.0) -> Any:
    """`scale` times: e^2 / (2 beta) where |e| < beta, else |e| - beta / 2, for e = input - target of the same shape."""
    error = input - target
    if beta < jnp.finfo(error.dtype).tiny:
        return scale * absolute(error)
    size = absolute(error)
    beyond = size >= beta
    # The square is of what lies within beta only: beyond it may overflow, and its gradient would be 0 * inf.
    within = jnp.where(beyond, 0.0, error)
    return jnp.where(beyond, scale * (size - 0.5 * beta), 0.5 * within * (within * (scale / beta)))


@jax.custom_jvp
def log1p(x: Any) -> Any:
    """log(1 + x). In float64 XLA's own is off by up to 129 ulps on a CPU; this by two (Kahan's correction of log)."""
    if x.dtype != jnp.float64:
        return jnp.log1p(x)
    # The barrier, for XLA makes x of (1 + x) - 1, which is the very rounding error that is to be corrected.
    shifted = jax.lax.optimization_barrier(1 + x)
    exact = (shifted == 1) | jnp.isinf(shifted)
    corrected = jnp.log(shifted) * (x / jnp.where(exact, 1.0, shifted - 1))
    return jnp.where(shifted == 1, x, jnp.where(exact, jnp.log(shifted), corrected))


@log1p.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,) = primals
    return log1p(x), tangents[0] / (1 + x)


def neg_sign(x: Any) -> Any:
    """A constant: -1 where x > 0, else 1. So x * neg_sign(x) is -|x|, with derivative 1 at 0, where `relu(x)` has 0."""
    return jax.lax.stop_gradient(jnp.where(x > 0, -1.0, 1.0).astype(x.dtype))


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), to the last digits on both sides, and so its derivatives.

    The first derivative of `jnp.logaddexp` is exp(x - softplus(x)), whose own derivative is lost for x above 17.
    """
    return jax.nn.relu(x) + log1p(jnp.exp(x * neg_sign(x)))


def bce_of_logits(x: Any, target: Any, pos_weight: Any = None) -> Any:
    """Unreduced P t softplus(-x) + (1 - t) softplus(x), P being `pos_weight`.

    softplus(x) and softplus(-x) are both tail, one of them and |x|; without P, t + (1 - t) is 1 and not added up.
    """
    share = target if pos_weight is None else pos_weight * target
    which = neg_sign(x)
    size = x * -which
    tail = log1p(jnp.exp(-size))
    total = tail if pos_weight is None else (share + (1 - target)) * tail
    return total + jnp.where(which < 0, 1 - target, share) * size


def log_sum_exp(x: Any, dim: int) -> Any:
    """The greatest element along `dim`, a constant, and the log of the sum of exp(x - greatest): their sum is logsumexp.

    Kept apart so that a caller can subtract from the greatest first; and the derivative is exp(x - greatest) / sum.
    """
    greatest = jax.lax.stop_gradient(x).max(dim, keepdims=True, initial=-jnp.inf)
    greatest = jnp.where(greatest == -jnp.inf, 0.0, greatest)
    total = jnp.exp(x - greatest).sum(dim)
    none = total == 0
    log_total = jnp.where(none, -jnp.inf, jnp.log(jnp.where(none, 1.0, total)))
    return greatest.squeeze(dim), log_total


def nll_of_logits(x: Any, index: Any, dim: int) -> Any:
    """-log softmax(x) at `index` along `dim`: softplus(logsumexp of the others - the one at index).

    Every term of value and derivatives is of one sign. In logsumexp(x) - x[index] the value of a confident prediction
    is lost (1e-7 becomes 0), and in its gradient 1 - p, -sum of the other p, is.
    """
    index = jnp.expand_dims(index, dim)
    picked = jnp.take_along_axis(x, index, dim).squeeze(dim)
    at_index = jax.lax.broadcasted_iota(index.dtype, x.shape, dim) == index
    greatest, log_total = log_sum_exp(jnp.where(at_index, -jnp.inf, x), dim)
    loss = softplus((greatest - picked) + log_total)
    # An infinite logit has no probability: NaN, as in torch, where the form above would say 0.
    return nan_where(loss, picked == jnp.inf)


def nll_of_logits_soft(x: Any, coefficients: Any, dim: int) -> Any:
    """Sum over classes of coefficient * -log softmax(x), for coefficients >= 0.

    In a confident row (greatest p > 1/2) log p = (x - greatest) - log1p(sum of the others), the greatest a variable; in
    another row the greatest is a constant and its own term part of the sum. So neither 1 - p nor p is ever a difference.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.argmax(fixed, dim, keepdims=True)
    greatest = jnp.take_along_axis(fixed, top, dim)
    is_top = jax.lax.broadcasted_iota(top.dtype, x.shape, dim) == top
    pinned = jnp.where(jnp.isfinite(greatest), greatest, 0.0)
    confident = (jnp.exp(fixed - pinned).sum(dim, keepdims=True) < 2) & jnp.isfinite(greatest)
    apart = is_top & confident
    reference = jnp.where(confident, jnp.take_along_axis(x, top, dim), greatest)
    others = jnp.exp(jnp.where(apart, -jnp.inf, x - reference)).sum(dim)
    confident = confident.squeeze(dim)
    log_total = jnp.where(confident, log1p(jnp.where(confident, others, 0.0)),
                          jnp.log(jnp.where(confident, 1.0, others)))  # fmt: skip
    below = jnp.where(apart, 0.0, coefficients * (reference - x))
    return below.sum(dim) + coefficients.sum(dim) * log_total


# torch's bound is a float32, also in float64.
_LEAST = float(np.float32(1e-12))


@jax.custom_jvp
def bce(input: Any, target: Any) -> Any:
    """Unreduced -(t log p + (1 - t) log(1 - p)) with torch's conventions at p = 0 and 1 (`binary_cross_entropy`)."""
    return -(target * jnp.maximum(jnp.log(input), -100.0) + (1 - target) * jnp.maximum(log1p(-input), -100.0))


@bce.defjvp
def _(primals: Any, tangents: Any) -> Any:
    input, target = primals
    to_target = log1p(-input) - jnp.log(input)
    return bce(input, target), _bce_slope(input, target) * tangents[0] + to_target * tangents[1]


@jax.custom_jvp
def _bce_slope(input: Any, target: Any) -> Any:
    """The derivative with respect to `input`, whose denominator torch keeps from 0."""
    return (input - target) / jnp.maximum((1 - input) * input, _LEAST)


@_bce_slope.defjvp
def _(primals: Any, tangents: Any) -> Any:
    # Written out: the quotient rule on the form above takes 1/(1-p) from 1/(1-p) at p near 1.
    input, target = primals
    below = jnp.maximum((1 - input) * input, _LEAST)
    curvature = target / jnp.maximum(input, _LEAST) ** 2 + (1 - target) / jnp.maximum(1 - input, _LEAST) ** 2
    return _bce_slope(input, target), curvature * tangents[0] - tangents[1] / below
