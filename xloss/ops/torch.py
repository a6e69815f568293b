"""What the losses share in PyTorch: validation and upcasting of arguments, stable elementary functions, the reduction.

`jax.py` has the same names in the same order. All is made of PyTorch's own differentiable operations, so that all of
autograd, `torch.func` and `torch.compile(fullgraph=True)` pass through it.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops.accelerator import values_are_hidden
from xloss.ops.autocast_torch import in_autocast, in_functorch
from xloss.ops.reductions import torch_reduce as reduce

__all__ = [
    "above_zero", "absolute", "as_array", "as_arrays", "as_indices", "bce", "bce_of_logits", "broadcast",
    "broadcast_class_weight", "broadcast_with_warning", "check_devices", "clear_ignored", "concrete", "full_like",
    "gather_class_weight", "greatest", "is_empty", "is_infinite", "is_integer", "label_weights", "leave_out", "log1p",
    "log1p_of", "log_sum_exp", "minimum", "nan_where", "neg_sign", "nll_of_logits", "nll_of_logits_soft", "option",
    "positive_part", "reduce", "reduced_smooth_l1", "reduced_squared_error", "smooth_l1", "softplus", "squared_error",
    "validate_and_upcast", "validate_classes", "validate_labels", "validate_range", "validate_target",
    "validate_unit_interval", "weighted",
]  # fmt: skip

_FLOATS = {getattr(torch, name): name for name in arguments.FLOATS}


def _is_exporting_in_2_6() -> bool:
    """Tell whether a program is being exported: what sets the flag of the compiler, but not by Dynamo."""
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


_is_exporting = getattr(torch.compiler, "is_exporting", _is_exporting_in_2_6)
_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
_INTEGERS = tuple(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))


def as_array(name: str, value: Any) -> torch.Tensor:
    """Return `value`, which must be a dense tensor; `TypeError` for anything else."""
    if not isinstance(value, torch.Tensor):
        arguments.raise_type_error(name, type(value).__name__, "a torch.Tensor")
    if value.layout is not torch.strided and value.layout in _SPARSE:
        arguments.raise_type_error(name, f"layout {value.layout}", "a dense tensor")
    return value


def is_integer(tensor: torch.Tensor) -> bool:
    """Tell whether the dtype is an integer one; bool is not."""
    return tensor.dtype in _INTEGERS


def as_arrays(optional: Sequence[str] = (), **tensors: Any) -> dict[str, Any]:
    """Apply `as_array` to each tensor; None passes where the name is in `optional`. Refuse tensors on two devices.

    As in torch, an optional tensor of shape () may be on the CPU where the others are not; it is moved to them.
    """
    arrays: dict[str, Any] = {}
    for name, x in tensors.items():
        arrays[name] = None if x is None and name in optional else as_array(name, x)
    for name in optional:
        array, like = arrays[name], next(iter(arrays.values()))
        if array is not None and not array.ndim and array.device.type == "cpu" and like.device != array.device:
            arrays[name] = array.to(like.device, non_blocking=True)
    check_devices(**arrays)
    return arrays


def check_devices(**tensors: torch.Tensor | None) -> None:
    """Refuse tensors that are not all on the device of the first; None passes."""
    device = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if device is None:
            first, device = name, tensor.device
        elif tensor.device != device:
            arguments.raise_value_error(name, f"device {tensor.device}", f"the device of {first}, {device}")


def validate_and_upcast(*, same_dtype: bool = False, optional: Sequence[str] = (), integer: Sequence[str] = (),
                        **tensors: Any) -> tuple[Any, ...]:  # fmt: skip
    """Check dtypes and convert to the dtype of the computation: float64 if any tensor has it, else float32.

    Return the tensors in order, and last the dtype to round the loss to, the widest that was given. Tensors named in
    `optional` may be None. Those named in `integer` may have an integer dtype, which does not widen the loss. With
    `same_dtype`, refuse mixed floating dtypes. Under `torch.autocast` a 16-bit tensor counts as float32.
    """
    common = _common_dtype(optional, tensors)
    if common is not None:
        return *tensors.values(), common
    arrays = as_arrays(optional, **tensors)
    dtypes: dict[str, str] = {}
    first = ""
    for name, array in arrays.items():
        # An integer is converted to the dtype of the computation, not to that of the loss: bfloat16 has no 257.
        if array is None or (name in integer and is_integer(array)):
            continue
        dtype = _FLOATS.get(array.dtype)
        if dtype is None:
            floats = "one of the floating dtypes " + ", ".join(arguments.FLOATS)
            expected = "a floating or an integer dtype" if name in integer and not array.is_floating_point() else floats
            arguments.raise_type_error(name, f"dtype {array.dtype}", expected)
        if dtype.endswith("float16") and in_autocast(array):
            dtype = "float32"
        first = first or name
        dtypes[name] = dtype
        if same_dtype and dtype != dtypes[first]:
            arguments.raise_type_error(name, f"dtype {dtype}", f"that of {first}, {dtypes[first]}")
    out = arguments.promote(list(dtypes.values()))
    compute = torch.float64 if out == "float64" else torch.float32
    return *(x if x is None or x.dtype == compute else x.to(compute) for x in arrays.values()), getattr(torch, out)


def _common_dtype(optional: Sequence[str], tensors: Mapping[str, Any]) -> torch.dtype | None:
    """Return the dtype of the tensors where `validate_and_upcast` has nothing to convert, move or refuse; else None.

    That is: dense ones on one device, all float32 or all float64. Most calls are such, and pay for one pass.
    """
    dtype = device = None
    for name, x in tensors.items():
        if x is None and dtype is not None and name in optional:
            continue
        if not isinstance(x, torch.Tensor) or x.layout is not torch.strided:
            return None
        if dtype is None:
            dtype, device = x.dtype, x.device
        elif x.dtype is not dtype or x.device != device:
            return None
    return dtype if dtype is torch.float32 or dtype is torch.float64 else None


def as_indices(target: Any) -> torch.Tensor:
    """Return class indices, of any shape and range, as int64; `TypeError` for another dtype than int64 or uint8."""
    target = as_array("target", target)
    if target.dtype not in (torch.int64, torch.uint8):
        arguments.raise_type_error(
            "target", f"dtype {target.dtype}", "class indices of dtype torch.int64 or torch.uint8"
        )
    return target.long()


def validate_range(target: torch.Tensor, least: int, classes: int,
                   ignored: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Return indices that are safe to gather with, and the mask of those outside of [least, classes), None if none is.

    An index out of range raises `ValueError` where values are concrete; elsewhere it becomes 0, and the caller makes
    its row NaN (`nan_where`). Those under the mask `ignored` are in range whatever they are.
    """
    if concrete(target) and _is_within(_bounds(target), least, classes):
        return target, None
    outside = (target < least) | (target >= classes)
    if ignored is not None:
        outside = outside & ~ignored
    if not concrete(outside):
        return torch.where(outside, 0, target), outside
    if outside.any():
        got = f"label {target[outside][0].item()}"
        arguments.raise_value_error("target", got, f"class indices in [{least}, {classes})")
    return target, None


def _bounds(tensor: torch.Tensor) -> tuple[Any, Any] | None:
    """Return the least and the greatest element as numbers, NaN if one is NaN; None if there is no element."""
    if not tensor.numel():
        return None
    least, greatest = tensor.detach().aminmax()
    return least.item(), greatest.item()


def _is_within(bounds: tuple[int, int] | None, least: int, classes: int) -> bool:
    return bounds is None or (least <= bounds[0] and bounds[1] < classes)


def _known_labels(
    target: torch.Tensor, classes: int, ignored: torch.Tensor, ignore_index: int | None
) -> torch.Tensor | None:
    """Return labels, 0 where ignored, if all others are known to be in range; None leaves it to `validate_range`.

    In most calls the least and the greatest label tell that none is ignored, and none out of range.
    """
    if not concrete(target):
        return None
    found = _bounds(target)
    if found is not None and ignore_index is not None and found[0] <= ignore_index <= found[1]:
        target = torch.where(ignored, 0, target)
        found = _bounds(target)
    return target if _is_within(found, 0, classes) else None


def validate_labels(target: Any, classes: int,
                    ignore_index: int | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Return labels that are safe to gather with, the mask of ignored ones, and that of `validate_range`."""
    target = as_indices(target)
    ignored = target == ignore_index if ignore_index is not None else torch.zeros_like(target, dtype=torch.bool)
    safe = _known_labels(target, classes, ignored, ignore_index)
    if safe is not None:
        return safe, ignored, None
    target, outside = validate_range(target, 0, classes, ignored)
    return torch.where(ignored, 0, target), ignored, outside


def validate_target(input: Any, target: Any, weight: Any, ignore_index: int) -> int:
    """Check shapes for class indices or, of a floating target, class probabilities; return the axis of the classes."""
    input, target, weight = as_arrays(("weight",), input=input, target=target, weight=weight).values()
    floating = target.is_floating_point()
    return arguments.check_class_target(input.shape, target.shape, floating, weight, ignore_index)


def validate_classes(
    input: torch.Tensor, target: Any, weight: torch.Tensor | None, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int]:
    """Check class indices and class weights against the input; return `validate_labels` and the axis of the classes."""
    target = as_array("target", target)
    check_devices(input=input, target=target)
    axis = arguments.check_class_target(input.shape, target.shape, False, weight, None)
    return *validate_labels(target, input.shape[axis], ignore_index), axis


def clear_ignored(input: torch.Tensor, ignored: torch.Tensor, axis: int) -> torch.Tensor:
    """Set ignored rows, whose classes are along `axis`, to 0: an infinity or a NaN there reaches no gradient."""
    # A copy of all logits is seldom needed.
    if concrete(input, ignored) and (not ignored.any() or input.detach().sum(axis)[ignored].isfinite().all()):
        return input
    return torch.where(ignored.unsqueeze(axis), 0.0, input)


def broadcast_class_weight(weight: torch.Tensor, axis: int, like: torch.Tensor) -> torch.Tensor:
    """Broadcast class weights (C) to the shape of `like`, whose axis of the classes is `axis`."""
    return weight.reshape((-1,) + (1,) * (like.ndim - axis - 1)).expand(like.shape)


def gather_class_weight(weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the class weight of each label. `weight[labels]` reads the value of a single label: an error in `vmap`."""
    return weight.index_select(0, labels.reshape(-1)).reshape(labels.shape)


def label_weights(weight: torch.Tensor | None, labels: torch.Tensor, ignored: torch.Tensor,
                  dtype: torch.dtype) -> torch.Tensor:  # fmt: skip
    """Return the weight of each label, of the shape of `labels`: its class's, or 1; 0 if ignored."""
    if weight is None:
        return (~ignored).to(dtype)
    return torch.where(ignored, 0.0, gather_class_weight(weight, labels))


def validate_unit_interval(**tensors: torch.Tensor) -> tuple[Any, ...]:
    """Refuse tensors with values outside of [0, 1], NaN included, where values are concrete.

    Elsewhere replace such elements by 0.5, where every formula is finite. Return the tensors, and last the mask of
    elements that any of them has outside, None where values were checked; the caller makes those NaN (`nan_where`).
    """
    if concrete(*tensors.values()):
        for name, tensor in tensors.items():
            least, greatest = _bounds(tensor) or (0, 1)
            if not (least >= 0 and greatest <= 1):
                first = tensor[~((tensor >= 0) & (tensor <= 1))][0].item()
                arguments.raise_value_error(name, f"{first}", "values in [0, 1]")
        return *tensors.values(), None
    inside = [(tensor >= 0) & (tensor <= 1) for tensor in tensors.values()]
    safe = [torch.where((tensor >= 0) & (tensor <= 1), tensor, 0.5) for tensor in tensors.values()]
    return *safe, ~torch.stack(torch.broadcast_tensors(*inside)).all(0)


def option(name: str, value: Any, like: torch.Tensor, *, infinite: bool = False, **bounds: float) -> Any:
    """Check an option, a number or a 0-d tensor; return a Python number, or the tensor in the dtype of `like`.

    It must be finite in that dtype, unless it may be `infinite`. By a tensor one may differentiate. Its value is
    checked where it can be read.
    """
    limit = math.inf if infinite else arguments.LARGEST[like.dtype.itemsize]
    if not isinstance(value, torch.Tensor):
        return arguments.check_number(name, value, limit=limit, **bounds)
    scalar = value.ndim == 0 and value.is_floating_point()
    known = value.item() if scalar and concrete(value) else None
    arguments.check_option(name, value, scalar, known, limit=limit, **bounds)
    # A number on the CPU goes with tensors of any device.
    if value.device != like.device and value.device.type != "cpu":
        arguments.raise_value_error(name, f"device {value.device}", f"the device of the tensors, {like.device}")
    return value.to(like.dtype)


def full_like(x: torch.Tensor, value: Any) -> torch.Tensor:
    """Return a tensor of the shape of x that holds `value`, an option, throughout."""
    return value.expand(x.shape) if isinstance(value, torch.Tensor) else torch.full_like(x, value)


def nan_where(loss: torch.Tensor, bad: torch.Tensor | None, *sources: torch.Tensor) -> torch.Tensor:
    """Make the elements of `loss` under the mask NaN, and their gradients (which `where` would make 0); None: no mask.

    `sources`: tensors of that shape whose gradients become NaN there too, where the loss does not depend on them.
    """
    if bad is None or (concrete(bad) and not bad.any()):
        return loss
    nan_factor = torch.where(bad, torch.nan, 1.0)
    loss = loss * nan_factor
    for source in sources:
        loss = loss + torch.where(bad, source * nan_factor, 0.0)
    return loss


def is_infinite(x: torch.Tensor) -> torch.Tensor:
    """Tell where x is infinite."""
    return torch.isinf(x.detach())


def leave_out(weight: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both, of one shape, as constants 0 where the weight is 0 and x infinite: their product would be NaN.

    So a class that has probability 0 is left out, also where its logit is minus infinity: the limit of their product.
    """
    if concrete(x) and math.isfinite(x.detach().sum().item()):  # the masks would cost some passes more
        return weight, x
    absent = (weight == 0) & is_infinite(x)
    return torch.where(absent, 0.0, weight), torch.where(absent, 0.0, x)


def weighted(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute weight * x, of one shape; where the weight is 0 and x infinite, value and derivatives are 0."""
    weight, x = leave_out(weight, x)
    return weight * x


def concrete(*tensors: torch.Tensor) -> bool:
    """Tell whether values can be read without waiting for a device: on the CPU, and not while tracing or mapping."""
    return not is_traced() and all(map(_has_values, tensors))


def _has_values(tensor: torch.Tensor) -> bool:
    plain = type(tensor) is torch.Tensor or type(tensor) is torch.nn.Parameter
    return plain and on_cpu(tensor) and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def on_cpu(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor lies where its values can be read without waiting, and this process is to read them."""
    return bool(tensor.is_cpu) and not values_are_hidden()


def is_transformed(*tensors: torch.Tensor) -> bool:
    """Tell whether more than plain autograd is at work: tracing, `torch.func`, forward mode, tensor subclasses."""
    # Within `torch.func` also of tensors that it does not transform: an `autograd.Function` is refused there.
    if is_traced() or in_functorch() or torch.autograd.forward_ad._current_level >= 0:
        return True
    return any(map(is_wrapped, tensors))


def is_wrapped(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is of a subclass, or of a transformation of `torch.func`."""
    plain = type(tensor) is torch.Tensor or type(tensor) is torch.nn.Parameter
    functorch = torch._C._functorch
    return not plain or functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def is_traced() -> bool:
    """Tell whether operations are being recorded: by `torch.compile`, `torch.export`, `make_fx`, `torch.jit.trace`."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    tracer = sys.modules.get("torch.fx.experimental.proxy_tensor")  # not imported: nothing is being traced
    return tracer is not None and tracer.get_proxy_mode() is not None


def rows_per_block(columns: int) -> int:
    """Return so many rows that what is computed of them stays in a cache.

    Not as few where threads share the work: each operation waits for all of them.
    """
    return max(1, (2**16 if torch.get_num_threads() == 1 else 2**20) // max(1, columns))


def blocks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the tensors, the first a matrix, by `rows_per_block`."""
    rows, columns = tensors[0].shape
    size = rows_per_block(columns)
    if rows <= size:
        yield tensors
    else:
        yield from zip(*(tensor.split(size) for tensor in tensors), strict=True)


def is_empty(tensor: torch.Tensor) -> bool:
    """Tell whether there are no rows; while exporting, where their number may depend on values, there are some."""
    return not (_is_exporting() or tensor.shape[0])


def broadcast(**tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Broadcast the tensors against each other; `ValueError` names the one that does not fit."""
    shape = arguments.broadcast_shape(**{name: tensor.shape for name, tensor in tensors.items()})
    return tuple(tensor.expand(shape) for tensor in tensors.values())


def broadcast_with_warning(input: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Broadcast input and target; warn if shapes differ, as torch does: (N, 1) with (N) gives (N, N)."""
    if target.shape == input.shape:
        return input, target
    both = broadcast(input=input, target=target)
    if not torch.compiler.is_compiling():  # where a call to warn would break the graph
        warnings.warn(
            f"target's shape {tuple(target.shape)} differs from input's {tuple(input.shape)}: "
            "they are broadcast, which is seldom what is meant",
            UserWarning,
            stacklevel=4,  # beyond `xloss.ops.dtensor.any_placement`
        )
    return both


def absolute(x: torch.Tensor) -> torch.Tensor:
    """Compute |x|, with derivative 0 at 0.

    A derivative at a kink is ours by construction, here and below: that of a framework's kernel may change.
    """
    return x * torch.sgn(x.detach())


def positive_part(x: torch.Tensor) -> torch.Tensor:
    """Compute max(x, 0), with derivative 1 at 0.

    The bound is the greatest number below 0, so that 0 is not on it. `torch.where(x < 0, 0.0, x)` is ten times slower.
    """
    number = torch.finfo(x.dtype)
    return torch.nn.functional.threshold(x, -number.tiny * number.eps, 0.0)


def above_zero(x: torch.Tensor) -> torch.Tensor:
    """Compute max(x, 0), with derivative 0 at 0; NaN where x is NaN, which `where(x > 0, x, 0.0)` makes 0."""
    return torch.where(x <= 0, 0.0, x)


def minimum(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the lesser of x and y; where they are equal, each has derivative 1/2."""
    return torch.where(x < y, x, torch.where(y < x, y, 0.5 * x + 0.5 * y))


def greatest(x: torch.Tensor) -> torch.Tensor:
    """Compute the maximum along the last axis, of numbers >= 0; those that are equal share the derivative equally."""
    is_greatest = (x == x.detach().amax(-1, keepdim=True)).to(x.dtype)
    return (x * (is_greatest / is_greatest.sum(-1, keepdim=True))).sum(-1)


# The numbers by which torch's kernels know the reductions.
_KERNEL_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def _kernel_reduction(reduction: Any, *tensors: torch.Tensor) -> int | None:
    """Return the number of a reduction that a kernel may do itself; None where it is to be left to `reduce`.

    That is plain eager mode: a transformation sees the operations, whose rules are those of the unreduced loss.
    """
    return None if is_transformed(*tensors) or not tensors[0].ndim else _KERNEL_REDUCTIONS.get(reduction)


def squared_error(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Compute (input - target)^2, of one shape."""
    return torch.nn.functional.mse_loss(input, target, reduction="none")


def reduced_squared_error(input: torch.Tensor, target: torch.Tensor, reduction: Any, dtype: torch.dtype) -> Any:
    """Reduce `squared_error`; in eager mode one kernel does both."""
    kernel = _kernel_reduction(reduction, input, target)
    if kernel is not None:  # not by the public function, which broadcasts again what is of one shape
        return torch._C._nn.mse_loss(input, target, kernel).to(dtype)
    return reduce(squared_error(input, target), reduction, dtype)


def _is_usual(beta: Any) -> bool:
    """Tell whether torch's kernel, which squares e before it divides, will do; `huber_loss`'s has no forward mode."""
    return isinstance(beta, (int, float)) and 1e-6 <= beta <= 1e6


def smooth_l1(input: torch.Tensor, target: torch.Tensor, beta: Any, scale: Any = 1.0) -> torch.Tensor:
    """Compute `scale` times e^2 / (2 beta) where |e| < beta, else |e| - beta / 2; e = input - target, of one shape."""
    if _is_usual(beta):
        loss = torch.nn.functional.smooth_l1_loss(input, target, reduction="none", beta=beta)
        return loss if scale == 1 else scale * loss
    error = input - target
    if isinstance(beta, (int, float)) and beta < torch.finfo(error.dtype).tiny:
        return scale * absolute(error)
    size = absolute(error)
    beyond = size >= beta
    # An error beyond beta is not squared: it may overflow, and its gradient would be 0 * inf.
    inside = torch.where(beyond, 0.0, error)
    return torch.where(beyond, scale * (size - 0.5 * beta), 0.5 * inside * (inside * (scale / beta)))


def reduced_smooth_l1(input: torch.Tensor, target: torch.Tensor, beta: Any, scale: Any, reduction: Any,
                      dtype: torch.dtype) -> Any:  # fmt: skip
    """Reduce `smooth_l1`; in eager mode one kernel does both."""
    kernel = _kernel_reduction(reduction, input, target) if _is_usual(beta) else None
    if kernel is not None:
        loss = torch._C._nn.smooth_l1_loss(input, target, kernel, beta)
        return (loss if scale == 1 else scale * loss).to(dtype)
    return reduce(smooth_l1(input, target, beta, scale), reduction, dtype)


def log1p(x: torch.Tensor) -> torch.Tensor:
    """Compute log(1 + x)."""
    return torch.log1p(x)


def log1p_of(option: Any) -> Any:
    """Compute log(1 + option), in double precision where that is a number."""
    return log1p(option) if isinstance(option, torch.Tensor) else math.log1p(option)


def neg_sign(x: torch.Tensor) -> torch.Tensor:
    """Return a constant, -1 where x >= 0, else 1: x * neg_sign(x) is -|x|; at 0 `positive_part` has slope 1.

    By arithmetic: the CPU kernel of `torch.where` branches at each element, ten times slower where signs are mixed.
    """
    return torch.sgn(-0.5 - torch.sgn(x.detach()))


def softplus(x: torch.Tensor) -> torch.Tensor:
    """Compute log(1 + exp(x)) to a few ulps for x of both signs, its derivatives likewise.

    `F.softplus` returns x from 20 on, 1e-10 off in float64, and the second derivative of `F.logsigmoid` is s*(s - 1),
    where every digit is lost for s near 1.
    """
    return positive_part(x) + log1p(torch.exp(x * neg_sign(x)))


def bce_of_logits(x: torch.Tensor, target: torch.Tensor, pos_weight: torch.Tensor | None = None) -> torch.Tensor:
    """Compute P t softplus(-x) + (1 - t) softplus(x), unreduced, with P = `pos_weight`.

    With tail = log1p(exp(-|x|)), softplus of -|x| is tail, and of |x| it is |x| + tail: one exponential serves both.
    Without P the factor of tail, t + (1 - t), is exactly 1.
    """
    positive = target if pos_weight is None else pos_weight * target
    sign = neg_sign(x)
    size = x * -sign
    tail = log1p(torch.exp(-size))
    total = tail if pos_weight is None else (positive + (1 - target)) * tail
    return total + weighted(torch.lerp(1 - target, positive, 0.5 + 0.5 * sign), size)


def log_sum_exp(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return max(x) along `dim`, a constant, and log(sum(exp(x - max))), without that axis: they add up to logsumexp.

    Two terms, so that a caller can subtract from the maximum first; and the derivative is exp(x - max) / sum,
    where `torch.logsumexp` takes exp(x - logsumexp), which at |x| = 1000 has lost three digits.
    """
    greatest = x.detach().amax(dim, keepdim=True)
    greatest = torch.where(greatest == -torch.inf, 0.0, greatest)
    total = (x - greatest).exp_().sum(dim)  # in place: logits may fill the memory
    empty = total == 0
    log_total = torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, total)))
    return greatest.squeeze(dim), log_total


def nll_of_logits(x: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    """Compute -log softmax(x) at `index` along `dim`, as softplus(logsumexp of the other logits - the logit at index).

    All terms of value and derivatives have one sign, so that nothing cancels. logsumexp(x) - x[index] loses the value
    of a confident prediction (1e-7 becomes 0), and its gradient loses 1 - p.
    """
    index = index.unsqueeze(dim)
    picked = x.gather(dim, index).squeeze(dim)
    greatest, log_total = log_sum_exp(x.scatter(dim, index, -torch.inf), dim)
    loss = softplus((greatest - picked) + log_total)
    # An infinite logit has no probability: NaN, as in torch, where the form above would say 0.
    return nan_where(loss, picked == torch.inf)


def nll_of_logits_soft(x: torch.Tensor, coefficients: torch.Tensor, dim: int) -> torch.Tensor:
    """Compute the sum along `dim` of coefficients * -log softmax(x), for coefficients >= 0 of the shape of x.

    In a confident row (greatest p > 1/2) log p = (x - max) - log1p(sum of the others), with a maximum that is
    differentiated; in another row it is a constant, its own term part of the sum. So neither p nor 1 - p is computed as
    a difference.
    """
    greatest, top = x.detach().max(dim, keepdim=True)
    is_top = torch.zeros_like(x, dtype=torch.bool).scatter(dim, top, 1)
    pinned = torch.where(torch.isfinite(greatest), greatest, 0.0)
    confident = (torch.exp(x.detach() - pinned).sum(dim, keepdim=True) < 2) & torch.isfinite(greatest)
    apart = is_top & confident
    reference = torch.where(confident, x.gather(dim, top), greatest)
    others = torch.where(apart, -torch.inf, x - reference).exp().sum(dim)
    confident = confident.squeeze(dim)
    log_total = torch.where(confident, log1p(torch.where(confident, others, 0.0)),
                            torch.log(torch.where(confident, 1.0, others)))  # fmt: skip
    coefficients, below = leave_out(coefficients, reference - x)
    below = torch.where(apart, 0.0, coefficients * below)
    return below.sum(dim) + coefficients.sum(dim) * log_total


def bce(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Compute -(t log p + (1 - t) log(1 - p)), unreduced, with torch's conventions at p = 0 and 1.

    There, and nowhere else, `_bce_at_edge` is used: it costs several times the plain formula. (CUDA's autocast bans
    torch's kernel, whose second derivative at p near 1 is the difference of two numbers near 1 / (1 - p).)
    """
    # The product is concave: where it is large enough at the least and the greatest, it is everywhere.
    bounds = (_bounds(input) or ()) if concrete(input) else (0.0,)
    inside = None if all(p * (1 - p) >= 1e-12 for p in bounds) else input * (1 - input) >= 1e-12
    p = input if inside is None else torch.where(inside, input, 0.5)
    formula = -(target * torch.log(p) + (1 - target) * log1p(-p))
    if inside is None:
        return formula
    return torch.where(inside, formula, _bce_at_edge(torch.where(inside, 0.5, input), target))


# The bound of torch's kernel, a float32 also in float64.
_EPS = 9.999999960041972e-13


def _bce_at_edge(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Compute `bce` as a polynomial around p, a constant: logarithms are >= -100, denominators of derivatives >= 1e-12.

    The derivative by the target is log(1 - p) - log(p), infinite at p = 0 and 1, as that of a square root at 0.
    """
    at, label = p.detach(), target.detach()
    log_p, log_q = torch.log(at), log1p(-at)
    value = -(label * log_p.clamp(min=-100) + (1 - label) * log_q.clamp(min=-100))
    change, slope = p - at, log_q - log_p
    by_p = change * (at - target) / ((1 - at) * at).clamp(min=_EPS)
    curvature = target / at.clamp(min=_EPS) ** 2 + (1 - target) / (1 - at).clamp(min=_EPS) ** 2
    infinite = torch.isinf(slope)
    root = torch.sqrt(torch.where(infinite, target - label, 1.0)) * torch.sgn(slope)
    by_target = torch.where(infinite, root, (target - label) * torch.where(infinite, 0.0, slope))
    return value + by_p + 0.5 * curvature * change * change + by_target
