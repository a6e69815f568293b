"""What the losses share in JAX: validation and upcasting of arguments, stable elementary functions, the reduction.

`torch.py` has the same names in the same order. Dtypes are always explicit, so that all of it runs under strict dtype
promotion; custom rules are `custom_jvp` made of differentiable operations, through which every transformation passes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.ops import arguments
from xloss.ops.accelerator import values_are_hidden
from xloss.ops.reductions import jax_reduce as reduce
from xloss.ops.sharding_jax import any_sharding

__all__ = [
    "above_zero", "absolute", "as_array", "as_arrays", "as_indices", "bce", "bce_of_logits", "broadcast",
    "broadcast_class_weight", "broadcast_with_warning", "check_devices", "clear_ignored", "concrete", "full_like",
    "gather_class_weight", "greatest", "is_empty", "is_infinite", "is_integer", "label_weights", "leave_out", "log1p",
    "log1p_of", "log_sum_exp", "minimum", "nan_where", "neg_sign", "nll_of_logits", "nll_of_logits_soft", "option",
    "positive_part", "reduce", "reduced_smooth_l1", "reduced_squared_error", "smooth_l1", "softplus", "squared_error",
    "validate_and_upcast", "validate_classes", "validate_labels", "validate_range", "validate_target",
    "validate_unit_interval", "weighted",
]  # fmt: skip


def as_array(name: str, value: Any) -> Any:
    """Return a JAX array of a JAX or NumPy array or a number; `TypeError` for lists and other libraries' tensors.

    NumPy integers, and Python's, stay in NumPy until their values were looked at: without x64 JAX would take 2^32 + 1
    for 1.
    """
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, bool) or not isinstance(value, (np.ndarray, np.generic, int, float)):
        arguments.raise_type_error(name, type(value).__name__, "a jax.Array, a NumPy array or a number")
    array = np.asarray(value)
    if isinstance(value, int) and array.dtype == object:
        arguments.raise_value_error(name, arguments.shown(value), "an integer of at most 64 bits")
    if array.dtype.kind in "OSUMm":
        arguments.raise_type_error(name, f"dtype {array.dtype}", "numbers")
    # Of the value itself: a Python number makes an array of a weak type.
    return array if array.dtype.kind in "iu" else jnp.asarray(value)


def is_weak(value: Any) -> bool:
    """Tell whether this is a Python number, or an array of a weak type, which takes the dtype of what it meets."""
    if isinstance(value, jax.Array):
        return value.weak_type and bool(jnp.issubdtype(value.dtype, jnp.number))
    return type(value) in (int, float)


def is_integer(array: Any) -> bool:
    """Tell whether the dtype is an integer one; bool is not."""
    return bool(jnp.issubdtype(array.dtype, jnp.integer))


def as_arrays(optional: Sequence[str] = (), **tensors: Any) -> dict[str, Any]:
    """Apply `as_array` to each tensor; None passes where the name is in `optional`. Refuse arrays on two devices."""
    arrays: dict[str, Any] = {}
    for name, x in tensors.items():
        arrays[name] = None if x is None and name in optional else as_array(name, x)
    check_devices(**arrays)
    return arrays


def check_devices(**arrays: Any) -> None:
    """Refuse arrays that were put on other devices than the first that was; None passes, and what is traced."""
    devices = None
    for name, array in arrays.items():
        # An array that nobody has put anywhere goes where it is needed.
        if isinstance(array, jax.core.Tracer) or not getattr(array, "committed", False):
            continue
        if devices is None:
            first, devices = name, array.sharding.device_set
        elif array.sharding.device_set != devices:
            ours, theirs = (", ".join(sorted(map(str, some))) for some in (array.sharding.device_set, devices))
            arguments.raise_value_error(name, f"device {ours}", f"the device of {first}, {theirs}")


def validate_and_upcast(*, same_dtype: bool = False, optional: Sequence[str] = (), integer: Sequence[str] = (),
                        **tensors: Any) -> tuple[Any, ...]:  # fmt: skip
    """Check dtypes and convert to the dtype of the computation: float64 if any tensor has it, else float32.

    Return the tensors in order, and last the dtype to round the loss to, the widest that was given. Tensors named in
    `optional` may be None. Those named in `integer` may have an integer dtype, which does not widen the loss; nor do
    Python numbers (`is_weak`). With `same_dtype`, refuse mixed floating dtypes.
    """
    arrays = as_arrays(optional, **tensors)
    dtypes: dict[str, str] = {}
    first = ""
    for name, array in arrays.items():
        # An integer is converted to the dtype of the computation, not to that of the loss: bfloat16 has no 257.
        if array is None or (name in integer and is_integer(array)) or is_weak(tensors[name]):
            continue
        dtype = array.dtype.name
        if dtype not in arguments.FLOATS:
            floats = "one of the floating dtypes " + ", ".join(arguments.FLOATS)
            expected = (
                "a floating or an integer dtype"
                if name in integer and not jnp.issubdtype(array.dtype, jnp.floating)
                else floats
            )
            arguments.raise_type_error(name, f"dtype {array.dtype}", expected)
        first = first or name
        dtypes[name] = dtype
        if same_dtype and dtype != dtypes[first]:
            arguments.raise_type_error(name, f"dtype {dtype}", f"that of {first}, {dtypes[first]}")
    out = arguments.promote(list(dtypes.values()) or [jnp.result_type(float).name])
    compute = jnp.float64 if out == "float64" else jnp.float32
    return *(x if x is None else _astype(x, compute) for x in arrays.values()), jnp.dtype(out)


def _astype(array: Any, dtype: Any) -> jax.Array:
    """Convert to a JAX array of that dtype; integers that are in NumPy still, there: they may be of 64 bits."""
    converted: jax.Array = array.astype(dtype)
    return converted if isinstance(array, jax.Array) else jnp.asarray(converted)


def as_indices(target: Any) -> Any:
    """Return class indices, of any shape and range and any integer dtype: without x64 JAX has no int64, torch's.

    Those from NumPy are there still, for `validate_range` to look at.
    """
    target = as_array("target", target)
    if not is_integer(target):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "class indices of an integer dtype")
    return target.astype(jnp.int32) if jnp.iinfo(target.dtype).bits < 32 else target


def equals(array: Any, number: int) -> Any:
    """Compare integers with a Python integer, which may be beyond their dtype: there JAX raises `OverflowError`."""
    limits = jnp.iinfo(array.dtype)
    inside = limits.min <= number <= limits.max
    return array == number if inside else (array != array)


def validate_range(target: Any, least: int, classes: int,
                   ignored: Any = None) -> tuple[jax.Array, jax.Array | None]:  # fmt: skip
    """Return indices that are safe to gather with, and the mask of those outside of [least, classes), None if none is.

    An index out of range raises `ValueError` where values are concrete; elsewhere it becomes 0, and the caller makes
    its row NaN (`nan_where`). Those under the mask `ignored` are in range whatever they are.
    """
    outside = (target < least) | (target >= classes)
    if ignored is not None:
        outside = outside & ~ignored
    if not concrete(outside):
        return jnp.where(outside, 0, target), outside
    if outside.any():
        got = f"label {target[outside][0].item()}"
        arguments.raise_value_error("target", got, f"class indices in [{least}, {classes})")
    return jnp.asarray(target), None


def validate_labels(target: Any, classes: int,
                    ignore_index: int | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:  # fmt: skip
    """Return labels that are safe to gather with, the mask of ignored ones, and that of `validate_range`."""
    target = as_indices(target)
    ignored = equals(target, ignore_index) if ignore_index is not None else target != target
    target, outside = validate_range(target, 0, classes, ignored)
    return jnp.where(ignored, 0, target), jnp.asarray(ignored), outside


def validate_target(input: Any, target: Any, weight: Any, ignore_index: int) -> int:
    """Check shapes for class indices or, of a floating target, class probabilities; return the axis of the classes."""
    input, target, weight = as_arrays(("weight",), input=input, target=target, weight=weight).values()
    floating = jnp.issubdtype(target.dtype, jnp.floating)
    return arguments.check_class_target(input.shape, target.shape, floating, weight, ignore_index)


def validate_classes(
    input: jax.Array, target: Any, weight: jax.Array | None, ignore_index: int
) -> tuple[jax.Array, jax.Array, jax.Array | None, int]:
    """Check class indices and class weights against the input; return `validate_labels` and the axis of the classes."""
    target = as_array("target", target)
    check_devices(input=input, target=target)
    axis = arguments.check_class_target(input.shape, target.shape, False, weight, None)
    return *validate_labels(target, input.shape[axis], ignore_index), axis


def clear_ignored(input: jax.Array, ignored: jax.Array, axis: int) -> jax.Array:
    """Set ignored rows, whose classes are along `axis`, to 0: an infinity or a NaN there reaches no gradient."""
    return jnp.where(jnp.expand_dims(ignored, axis), 0.0, input)


def broadcast_class_weight(weight: jax.Array, axis: int, like: jax.Array) -> jax.Array:
    """Broadcast class weights (C) to the shape of `like`, whose axis of the classes is `axis`."""
    return jnp.broadcast_to(weight.reshape((-1,) + (1,) * (like.ndim - axis - 1)), like.shape)


@any_sharding(lambda _weight, labels: [(labels, tuple(range(labels.ndim)))])
def gather_class_weight(weight: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the class weight of each label."""
    return weight[labels]


@any_sharding(lambda x, index, dim: [(x, (*range(dim), None, *range(dim + 1, x.ndim))), (index, tuple(range(x.ndim)))])
def gather(x: jax.Array, index: jax.Array, dim: int) -> jax.Array:
    """Return the elements of x at `index` along `dim`, however both are sharded."""
    return jnp.take_along_axis(x, index, dim)


def label_weights(weight: jax.Array | None, labels: jax.Array, ignored: jax.Array,
                  dtype: Any) -> jax.Array:  # fmt: skip
    """Return the weight of each label, of the shape of `labels`: its class's, or 1; 0 if ignored."""
    if weight is None:
        return (~ignored).astype(dtype)
    return jnp.where(ignored, 0.0, gather_class_weight(weight, labels))


def validate_unit_interval(**tensors: jax.Array) -> tuple[Any, ...]:
    """Refuse arrays with values outside of [0, 1], NaN included, where values are concrete.

    Elsewhere replace such elements by 0.5, where every formula is finite. Return the arrays, and last the mask of
    elements that any of them has outside, None where values were checked; the caller makes those NaN (`nan_where`).
    """
    # What is computed of an array that a traced function closes over is traced.
    if all(concrete(array >= 0) for array in tensors.values()):
        for name, array in tensors.items():
            good = (array >= 0) & (array <= 1)
            if not good.all():
                arguments.raise_value_error(name, f"{array[~good][0]}", "values in [0, 1]")
        return *tensors.values(), None
    inside = [(array >= 0) & (array <= 1) for array in tensors.values()]
    safe = [jnp.where((array >= 0) & (array <= 1), array, 0.5) for array in tensors.values()]
    return *safe, ~jnp.stack(jnp.broadcast_arrays(*inside)).all(0)


def option(name: str, value: Any, like: jax.Array, *, infinite: bool = False, **bounds: float) -> Any:
    """Check an option, a number or a 0-d array; return a Python number, or the array in the dtype of `like`.

    It must be finite in that dtype, unless it may be `infinite`. By an array one may differentiate. Its value is
    checked where it can be read.
    """
    limit = math.inf if infinite else arguments.LARGEST[like.dtype.itemsize]
    if not isinstance(value, jax.Array):
        return arguments.check_number(name, value, limit=limit, **bounds)
    scalar = value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.floating)
    known = value.item() if scalar and concrete(value) else None
    arguments.check_option(name, value, scalar, known, limit=limit, **bounds)
    check_devices(**{"the tensors": like, name: value})
    return value.astype(like.dtype)


def full_like(x: jax.Array, value: Any) -> jax.Array:
    """Return an array of the shape of x that holds `value`, an option, throughout."""
    return jnp.full_like(x, value)


def nan_where(loss: jax.Array, bad: jax.Array | None, *sources: jax.Array) -> jax.Array:
    """Make the elements of `loss` under the mask NaN, and their gradients (which `where` would make 0); None: no mask.

    `sources`: arrays of that shape whose gradients become NaN there too, where the loss does not depend on them.
    """
    if bad is None:
        return loss
    nan_factor = jnp.where(bad, jnp.nan, 1.0).astype(loss.dtype)
    loss = loss * nan_factor
    for source in sources:
        loss = loss + jnp.where(bad, source * nan_factor, 0.0)
    return loss


def is_infinite(x: jax.Array) -> jax.Array:
    """Tell where x is infinite; of a constant, for `isinf` takes the absolute value, which has a kink."""
    return jnp.isinf(jax.lax.stop_gradient(x))


def leave_out(weight: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return both, of one shape, as constants 0 where the weight is 0 and x infinite: their product would be NaN.

    So a class that has probability 0 is left out, also where its logit is minus infinity: the limit of their product.
    """
    absent = (weight == 0) & is_infinite(x)
    return jnp.where(absent, 0.0, weight), jnp.where(absent, 0.0, x)


def weighted(weight: jax.Array, x: jax.Array) -> jax.Array:
    """Compute weight * x, of one shape; where the weight is 0 and x infinite, value and derivatives are 0."""
    weight, x = leave_out(weight, x)
    return weight * x


def concrete(*tensors: Any) -> bool:
    """Tell whether values can be read without waiting for a device: in NumPy or on the CPU, and not while tracing."""
    return all(map(_is_known, tensors))


def _is_known(array: Any) -> bool:
    if isinstance(array, (np.ndarray, np.generic)):
        return True
    if isinstance(array, jax.core.Tracer) or values_are_hidden():
        return False
    return all(device.platform == "cpu" for device in array.devices())


def is_empty(array: jax.Array) -> bool:
    """Tell whether there are no rows."""
    return not array.shape[0]


def broadcast(**tensors: jax.Array) -> tuple[jax.Array, ...]:
    """Broadcast the arrays against each other; `ValueError` names the one that does not fit."""
    shape = arguments.broadcast_shape(**{name: array.shape for name, array in tensors.items()})
    return tuple(jnp.broadcast_to(array, shape) for array in tensors.values())


def broadcast_with_warning(input: jax.Array, target: jax.Array) -> tuple[jax.Array, ...]:
    """Broadcast input and target; warn if shapes differ, as torch does: (N, 1) with (N) gives (N, N)."""
    if target.shape == input.shape:
        return input, target
    both = broadcast(input=input, target=target)
    warnings.warn(
        f"target's shape {tuple(target.shape)} differs from input's {tuple(input.shape)}: "
        "they are broadcast, which is seldom what is meant",
        UserWarning,
        stacklevel=3,
    )
    return both


def absolute(x: jax.Array) -> jax.Array:
    """Compute |x|, with derivative 0 at 0, where that of `jnp.abs` is 1, and at NaN, as in torch."""
    return x * jax.lax.stop_gradient(jnp.where(jnp.isnan(x), 0.0, jnp.sign(x)))


def positive_part(x: jax.Array) -> jax.Array:
    """Compute max(x, 0), with derivative 1 at 0, where `jnp.maximum` has 1/2."""
    return jnp.where(x < 0, 0.0, x)


def above_zero(x: jax.Array) -> jax.Array:
    """Compute max(x, 0), with derivative 0 at 0; NaN where x is NaN, which `where(x > 0, x, 0.0)` makes 0."""
    return jnp.where(x <= 0, 0.0, x)


def minimum(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute the lesser of x and y; where they are equal, each has derivative 1/2."""
    return jnp.where(x < y, x, jnp.where(y < x, y, 0.5 * x + 0.5 * y))


def greatest(x: jax.Array) -> jax.Array:
    """Compute the maximum along the last axis, of numbers >= 0; those that are equal share the derivative equally."""
    is_greatest = (x == jax.lax.stop_gradient(x).max(-1, keepdims=True)).astype(x.dtype)
    return (x * (is_greatest / is_greatest.sum(-1, keepdims=True))).sum(-1)


def squared_error(input: jax.Array, target: jax.Array) -> jax.Array:
    """Compute (input - target)^2, of one shape."""
    error = input - target
    return error * error


def reduced_squared_error(input: jax.Array, target: jax.Array, reduction: Any, dtype: Any) -> Any:
    """Reduce `squared_error`."""
    return reduce(squared_error(input, target), reduction, dtype)


def smooth_l1(input: jax.Array, target: jax.Array, beta: Any, scale: Any = 1.0) -> jax.Array:
    """Compute `scale` times e^2 / (2 beta) where |e| < beta, else |e| - beta / 2; e = input - target, of one shape."""
    error = input - target
    if isinstance(beta, (int, float)) and beta < jnp.finfo(error.dtype).tiny:
        return scale * absolute(error)
    size = absolute(error)
    beyond = size >= beta
    # An error beyond beta is not squared: it may overflow, and its gradient would be 0 * inf.
    inside = jnp.where(beyond, 0.0, error)
    return jnp.where(beyond, scale * (size - 0.5 * beta), 0.5 * inside * (inside * (scale / beta)))


def reduced_smooth_l1(input: jax.Array, target: jax.Array, beta: Any, scale: Any, reduction: Any,
                      dtype: Any) -> Any:  # fmt: skip
    """Reduce `smooth_l1`."""
    return reduce(smooth_l1(input, target, beta, scale), reduction, dtype)


@jax.custom_jvp
def log1p(x: jax.Array) -> jax.Array:
    """Compute log(1 + x). In float64 XLA's is off by 129 ulps on a CPU, this by two (Kahan's correction of log)."""
    if x.dtype != jnp.float64:
        return jnp.log1p(x)
    # Without the barrier XLA simplifies (1 + x) - 1 to x, and the rounding error to correct by is gone.
    shifted = jax.lax.optimization_barrier(1 + x)
    exact = (shifted == 1) | jnp.isinf(shifted)
    corrected = jnp.log(shifted) * (x / jnp.where(exact, 1.0, shifted - 1))
    return jnp.where(shifted == 1, x, jnp.where(exact, jnp.log(shifted), corrected))


@log1p.defjvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (x,) = primals
    return log1p(x), tangents[0] / (1 + x)


def log1p_of(option: Any) -> Any:
    """Compute log(1 + option), in double precision where that is a number."""
    return log1p(option) if isinstance(option, jax.Array) else math.log1p(option)


def neg_sign(x: jax.Array) -> jax.Array:
    """Return a constant, -1 where x >= 0, else 1: x * neg_sign(x) is -|x|; at 0 `positive_part` has slope 1."""
    return jax.lax.stop_gradient(jnp.where(x >= 0, -1.0, 1.0).astype(x.dtype))


def softplus(x: jax.Array) -> jax.Array:
    """Compute log(1 + exp(x)) to a few ulps for x of both signs, its derivatives likewise.

    The first derivative of `jnp.logaddexp` is exp(x - softplus(x)), whose own derivative is lost for x above 17.
    """
    return positive_part(x) + log1p(jnp.exp(x * neg_sign(x)))


def bce_of_logits(x: jax.Array, target: jax.Array, pos_weight: jax.Array | None = None) -> jax.Array:
    """Compute P t softplus(-x) + (1 - t) softplus(x), unreduced, with P = `pos_weight`.

    With tail = log1p(exp(-|x|)), softplus of -|x| is tail, and of |x| it is |x| + tail: one exponential serves both.
    Without P the factor of tail, t + (1 - t), is exactly 1.
    """
    positive = target if pos_weight is None else jnp.broadcast_to(pos_weight, target.shape) * target
    sign = neg_sign(x)
    size = x * -sign
    tail = log1p(jnp.exp(-size))
    total = tail if pos_weight is None else (positive + (1 - target)) * tail
    return total + weighted(jnp.where(sign < 0, 1 - target, positive), size)


def log_sum_exp(x: jax.Array, dim: int) -> tuple[jax.Array, jax.Array]:
    """Return max(x) along `dim`, a constant, and log(sum(exp(x - max))), without that axis: they add up to logsumexp.

    Two terms, so that a caller can subtract from the maximum first; and the derivative is exp(x - max) / sum.
    """
    greatest = jax.lax.stop_gradient(x).max(dim, keepdims=True, initial=-jnp.inf)
    greatest = jnp.where(greatest == -jnp.inf, 0.0, greatest)
    total = jnp.exp(x - greatest).sum(dim)
    empty = total == 0
    log_total = jnp.where(empty, -jnp.inf, jnp.log(jnp.where(empty, 1.0, total)))
    return greatest.squeeze(dim), log_total


def nll_of_logits(x: jax.Array, index: jax.Array, dim: int) -> jax.Array:
    """Compute -log softmax(x) at `index` along `dim`, as softplus(logsumexp of the other logits - the logit at index).

    All terms of value and derivatives have one sign, so that nothing cancels. logsumexp(x) - x[index] loses the value
    of a confident prediction (1e-7 becomes 0), and its gradient loses 1 - p.
    """
    index = jnp.expand_dims(index, dim)
    picked = gather(x, index, dim).squeeze(dim)
    at_index = jax.lax.broadcasted_iota(index.dtype, x.shape, dim) == index
    greatest, log_total = log_sum_exp(jnp.where(at_index, -jnp.inf, x), dim)
    loss = softplus((greatest - picked) + log_total)
    # An infinite logit has no probability: NaN, as in torch, where the form above would say 0.
    return nan_where(loss, picked == jnp.inf)


def nll_of_logits_soft(x: jax.Array, coefficients: jax.Array, dim: int) -> jax.Array:
    """Compute the sum along `dim` of coefficients * -log softmax(x), for coefficients >= 0 of the shape of x.

    In a confident row (greatest p > 1/2) log p = (x - max) - log1p(sum of the others), with a maximum that is
    differentiated; in another row it is a constant, its own term part of the sum. So neither p nor 1 - p is computed as
    a difference.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.argmax(fixed, dim, keepdims=True)
    greatest = gather(fixed, top, dim)
    is_top = jax.lax.broadcasted_iota(top.dtype, x.shape, dim) == top
    pinned = jnp.where(jnp.isfinite(greatest), greatest, 0.0)
    confident = (jnp.exp(fixed - pinned).sum(dim, keepdims=True) < 2) & jnp.isfinite(greatest)
    apart = is_top & confident
    reference = jnp.where(confident, gather(x, top, dim), greatest)
    others = jnp.exp(jnp.where(apart, -jnp.inf, x - reference)).sum(dim)
    confident = confident.squeeze(dim)
    log_total = jnp.where(confident, log1p(jnp.where(confident, others, 0.0)),
                          jnp.log(jnp.where(confident, 1.0, others)))  # fmt: skip
    coefficients, below = leave_out(coefficients, reference - x)
    below = jnp.where(apart, 0.0, coefficients * below)
    return below.sum(dim) + coefficients.sum(dim) * log_total


# The bound of torch's kernel, a float32 also in float64.
_EPS = float(np.float32(1e-12))


@jax.custom_jvp
def bce(input: jax.Array, target: jax.Array) -> jax.Array:
    """Compute -(t log p + (1 - t) log(1 - p)), unreduced, with torch's conventions at p = 0 and 1."""
    return -(target * jnp.maximum(jnp.log(input), -100.0) + (1 - target) * jnp.maximum(log1p(-input), -100.0))


@bce.defjvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    input, target = primals
    to_target = log1p(-input) - jnp.log(input)
    return bce(input, target), _bce_slope(input, target) * tangents[0] + to_target * tangents[1]


@jax.custom_jvp
def _bce_slope(input: jax.Array, target: jax.Array) -> jax.Array:
    """Compute the derivative by `input`, with torch's lower bound of the denominator."""
    return (input - target) / jnp.maximum((1 - input) * input, _EPS)


@_bce_slope.defjvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # By hand: the quotient rule on the form above subtracts two numbers near 1 / (1 - p) at p near 1.
    input, target = primals
    below = jnp.maximum((1 - input) * input, _EPS)
    curvature = target / jnp.maximum(input, _EPS) ** 2 + (1 - target) / jnp.maximum(1 - input, _EPS) ** 2
    return _bce_slope(input, target), curvature * tangents[0] - tangents[1] / below


@jax.custom_jvp
def x_log_x(x: jax.Array) -> jax.Array:
    """Compute x log(x), x > 0, with the second derivative 1 / x: the product has 1 / x^2, which may overflow."""
    return x * jnp.log(x)


@x_log_x.defjvp
def _x_log_x_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (move,) = primals, tangents
    return x_log_x(x), (jnp.log(x) + 1) * move
