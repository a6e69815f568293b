"""What the losses share in PyTorch: admission of arguments, stable elementary functions, the reduction.

`jax_.py` has the same names in the same order. Every function here is made of PyTorch's own differentiable operations,
so that all of autograd, `torch.func` and `torch.compile(fullgraph=True)` pass through it.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops.reductions import torch_reduce as reduce

__all__ = ["absolute", "bce", "bce_of_logits", "broadcast", "broadcast_class_weight", "broadcast_with_warning", "check_inside", "concrete", "gather_class_weight", "hinge", "log1p", "log_sum_exp", "nan_where", "neg_sign", "nll_of_logits", "nll_of_logits_soft", "reduce", "smooth_l1", "softplus", "validate_and_upcast", "validate_classes", "validate_labels", "validate_target"]  # fmt: skip

_FLOATS = {torch.float64: "float64", torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
_DTYPES = {name: dtype for dtype, name in _FLOATS.items()}
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def validate_and_upcast(same: bool = False, **tensors: Any) -> tuple[Any, ...]:
    """Check that the tensors given (weights may be None) are floating, and widen 16-bit ones to float32 for the computation.

    Gives them in order, and last the dtype to which the loss is to be rounded. With `same`, refuses mixed dtypes.
    """
    names = []
    first = None
    for name, tensor in tensors.items():
        if tensor is None and "weight" in name:
            continue
        if not isinstance(tensor, torch.Tensor):
            arguments.raise_type_error(name, type(tensor).__name__, "a torch.Tensor")
        if tensor.dtype not in _FLOATS:
            arguments.raise_type_error(
                name, f"dtype {tensor.dtype}", "one of the floating dtypes " + ", ".join(arguments.FLOATS)
            )
        first = first or (name, tensor.dtype)
        if same and tensor.dtype != first[1]:
            arguments.raise_type_error(
                name, f"dtype {_FLOATS[tensor.dtype]}", f"that of {first[0]}, {_FLOATS[first[1]]}"
            )
        names.append(_FLOATS[tensor.dtype])
    out = arguments.promote(names)
    compute = torch.float64 if out == "float64" else torch.float32
    return *(t if t is None or t.dtype == compute else t.to(compute) for t in tensors.values()), _DTYPES[out]


def validate_labels(target: Any, classes: int, ignore_index: int | None) -> tuple[Any, Any, Any]:
    """Give labels that are safe to gather with, the mask of those to leave out, and the mask of those out of range.

    Out-of-range labels raise `ValueError` where values can be looked at; elsewhere the caller makes their rows NaN.
    """
    if target.dtype not in (torch.int64, torch.uint8):
        arguments.raise_type_error(
            "target", f"dtype {target.dtype}", "class indices of dtype torch.int64 or torch.uint8"
        )
    target = target.long()
    ignored = target == ignore_index if ignore_index is not None else torch.zeros_like(target, dtype=torch.bool)
    outside = ((target < 0) | (target >= classes)) & ~ignored
    if concrete(outside) and outside.any():
        arguments.raise_value_error("target", f"label {target[outside][0].item()}", f"class indices in [0, {classes})")
    return torch.where(ignored | outside, 0, target), ignored, outside


def validate_target(input: Any, target: Any, weight: Any, ignore_index: int) -> int:
    """Tell class indices from class probabilities, check what they need of shapes, and give the axis of the classes."""
    for name, tensor in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(tensor, torch.Tensor) and not (tensor is None and name == "weight"):
            arguments.raise_type_error(name, type(tensor).__name__, "a torch.Tensor")
    return arguments.check_class_target(input.shape, target.shape, target.is_floating_point(), weight, ignore_index)


def validate_classes(input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any, int]:
    """Check input, class indices and class weights against each other; `admit_labels`, and the axis of the classes."""
    if not isinstance(target, torch.Tensor):
        arguments.raise_type_error("target", type(target).__name__, "a torch.Tensor")
    axis = arguments.check_class_target(input.shape, target.shape, False, weight, None)
    return *validate_labels(target, input.shape[axis], ignore_index), axis


def broadcast_class_weight(weight: Any, axis: int, like: Any) -> Any:
    """Lay class weights along the class axis of `like`, and broadcast them to its shape."""
    return weight.reshape((-1,) + (1,) * (like.ndim - axis - 1)).expand(like.shape)


def gather_class_weight(weight: Any, labels: Any) -> Any:
    """The class weight of each label. (`weight[labels]` asks for the value of a single label: not so under `vmap`.)"""
    return weight.index_select(0, labels.reshape(-1)).reshape(labels.shape)


def check_inside(**tensors: Any) -> tuple[Any, ...]:
    """Refuse tensors with values outside of [0, 1] (NaN too), where values can be looked at.

    Elsewhere such elements are replaced by 0.5, which is harmless. Gives the tensors, and last the mask of the
    offending elements, None where there are none for sure, for the caller to `poison`.
    """
    if all(concrete(tensor) for tensor in tensors.values()):
        for name, tensor in tensors.items():
            least, greatest = tensor.detach().aminmax() if tensor.numel() else (0, 1)
            if not (least >= 0 and greatest <= 1):
                first = tensor[~((tensor >= 0) & (tensor <= 1))][0].item()
                arguments.raise_value_error(name, f"{first}", "values in [0, 1]")
        return *tensors.values(), None
    inside = [(tensor >= 0) & (tensor <= 1) for tensor in tensors.values()]
    safe = [torch.where(good, tensor, 0.5) for good, tensor in zip(inside, tensors.values(), strict=True)]
    return *safe, ~torch.stack(torch.broadcast_tensors(*inside)).all(0)


def nan_where(loss: Any, bad: Any, *sources: Any) -> Any:
    """Make the elements of `loss` under the mask NaN, and with them their gradients (which `where` would make 0).

    `sources`: tensors of that shape whose gradients are to be NaN there, too, though the loss came without their elements.
    """
    if bad is None:
        return loss
    spoil = torch.where(bad, torch.nan, 1.0)
    loss = loss * spoil
    for source in sources:
        loss = loss + torch.where(bad, source * spoil, 0.0)
    return loss


def concrete(tensor: Any) -> bool:
    """Tell whether the tensor's values can be looked at without a wait: on the CPU, and not while tracing or mapping."""
    if torch.compiler.is_compiling() or tensor.device.type != "cpu":
        return False
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    return plain and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def broadcast(**tensors: Any) -> tuple[Any, ...]:
    """Broadcast the tensors together; the one that does not fit is named."""
    shape = arguments.broadcast_shape(**{name: tensor.shape for name, tensor in tensors.items()})
    return tuple(tensor.expand(shape) for tensor in tensors.values())


def broadcast_with_warning(input: Any, target: Any) -> tuple[Any, Any]:
    """Broadcast input and target together; with a warning, as in torch, for the trap is (N, 1) with (N)."""
    if target.shape == input.shape:
        return input, target
    met = broadcast(input=input, target=target)
    if not torch.compiler.is_compiling():  # where a call to warn would break the graph
        warnings.warn(
            f"target's shape {tuple(target.shape)} differs from input's {tuple(input.shape)}: "
            "they are broadcast, which is seldom what is meant",
            UserWarning,
            stacklevel=3,
        )
    return met


def absolute(x: Any) -> Any:
    """|x|, with derivative 0 at 0."""
    return torch.abs(x)


def hinge(x: Any) -> Any:
    """The greater of x and 0; at 0 the derivative is 1, as that of torch's `clamp_min`."""
    return torch.clamp_min(x, 0)


def smooth_l1(input: Any, target: Any, beta: float, scale: float = 1.0) -> Any:
    """`scale` times: e^2 / (2 beta) where |e| < beta, else |e| - beta / 2, for e = input - target of the same shape."""
    if 1e-6 <= beta <= 1e6:  # torch's kernel squares e before it divides; that of `huber_loss` has no forward mode
        loss = torch.nn.functional.smooth_l1_loss(input, target, reduction="none", beta=beta)
        return loss if scale == 1 else scale * loss
    error = input - target
    if beta < torch.finfo(error.dtype).tiny:
        return scale * absolute(error)
    within = torch.nn.functional.hardtanh(error, -beta, beta)
    return within * (scale / beta) * (error - 0.5 * within)


def log1p(x: Any) -> Any:
    """log(1 + x)."""
    return torch.log1p(x)


def neg_sign(x: Any) -> Any:
    """A constant: -1 where x > 0, else 1. So x * neg_sign(x) is -|x|, with derivative 1 at 0, where `relu(x)` has 0.

    A product, for the kernel of `torch.where` branches at each element: where signs are mixed a CPU takes ten times as long.
    """
    return torch.sgn(0.5 - torch.sgn(x.detach()))


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), to the last digits on both sides, and so its derivatives.

    `F.softplus` returns x from 20 on, 1e-10 off in float64, and the second derivative of `F.logsigmoid` is s*(s - 1),
    where every digit is lost for s near 1.
    """
    return torch.relu(x) + log1p(torch.exp(x * neg_sign(x)))


def bce_of_logits(x: Any, target: Any, pos_weight: Any = None) -> Any:
    """Unreduced P t softplus(-x) + (1 - t) softplus(x), P being `pos_weight`.

    softplus(x) and softplus(-x) are both tail, one of them and |x|; without P, t + (1 - t) is 1 and not added up.
    """
    share = target if pos_weight is None else pos_weight * target
    which = neg_sign(x)
    size = x * -which
    tail = log1p(torch.exp(-size))
    total = tail if pos_weight is None else (share + (1 - target)) * tail
    return total + torch.lerp(1 - target, share, 0.5 + 0.5 * which) * size


def log_sum_exp(x: Any, dim: int) -> Any:
    """The greatest element along `dim`, a constant, and the log of the sum of exp(x - greatest): their sum is logsumexp.

    Kept apart so that a caller can subtract from the greatest first; and the derivative is exp(x - greatest) / sum,
    where `torch.logsumexp` takes exp(x - logsumexp), which at |x| = 1000 has lost three digits.
    """
    greatest = x.detach().amax(dim, keepdim=True)
    greatest = torch.where(greatest == -torch.inf, 0.0, greatest)
    total = (x - greatest).exp_().sum(dim)  # in place: logits may fill the memory
    none = total == 0
    log_total = torch.where(none, -torch.inf, torch.log(torch.where(none, 1.0, total)))
    return greatest.squeeze(dim), log_total


def nll_of_logits(x: Any, index: Any, dim: int) -> Any:
    """-log softmax(x) at `index` along `dim`: softplus(logsumexp of the others - the one at index).

    Every term of value and derivatives is of one sign. In logsumexp(x) - x[index] the value of a confident prediction
    is lost (1e-7 becomes 0), and in its gradient 1 - p, -sum of the other p, is.
    """
    index = index.unsqueeze(dim)
    picked = x.gather(dim, index).squeeze(dim)
    greatest, log_total = log_sum_exp(x.scatter(dim, index, -torch.inf), dim)
    loss = softplus((greatest - picked) + log_total)
    # An infinite logit has no probability: NaN, as in torch, where the form above would say 0.
    return nan_where(loss, picked == torch.inf)


def nll_of_logits_soft(x: Any, coefficients: Any, dim: int) -> Any:
    """Sum over classes of coefficient * -log softmax(x), for coefficients >= 0.

    In a confident row (greatest p > 1/2) log p = (x - greatest) - log1p(sum of the others), the greatest a variable; in
    another row the greatest is a constant and its own term part of the sum. So neither 1 - p nor p is ever a difference.
    """
    greatest, top = x.detach().max(dim, keepdim=True)
    is_top = torch.zeros_like(x, dtype=torch.bool).scatter(dim, top, True)
    pinned = torch.where(torch.isfinite(greatest), greatest, 0.0)
    confident = (torch.exp(x.detach() - pinned).sum(dim, keepdim=True) < 2) & torch.isfinite(greatest)
    apart = is_top & confident
    reference = torch.where(confident, x.gather(dim, top), greatest)
    others = torch.where(apart, -torch.inf, x - reference).exp().sum(dim)
    confident = confident.squeeze(dim)
    log_total = torch.where(confident, log1p(torch.where(confident, others, 0.0)),
                            torch.log(torch.where(confident, 1.0, others)))  # fmt: skip
    below = torch.where(apart, 0.0, coefficients * (reference - x))
    return below.sum(dim) + coefficients.sum(dim) * log_total


def bce(input: Any, target: Any) -> Any:
    """Unreduced -(t log p + (1 - t) log(1 - p)) with torch's conventions at p = 0 and 1 (`binary_cross_entropy`).

    Those are in torch's own kernel, whose second derivative takes 1/(1-p) from 1/(1-p) at p near 1: inside, the formula.
    """
    inside = input * (1 - input) >= 1e-12
    everywhere = concrete(inside) and bool(inside.all())
    p = input if everywhere else torch.where(inside, input, 0.5)
    formula = -(target * torch.log(p) + (1 - target) * log1p(-p))
    if everywhere:
        return formula
    edge = torch.nn.functional.binary_cross_entropy(torch.where(inside, 0.5, input), target, reduction="none")
    return torch.where(inside, formula, edge)
