"""What `torch.autocast` changes, and how the losses keep out of it: they compute in float32, as torch's own do.

Of what they call, autocast runs matrix products in 16 bits, those of the backward pass too where that is under autocast
(`torch.func`, `torch.compile`). So all of them are `product`. 16-bit arguments count as float32 where
`xloss.ops.torch.validate_and_upcast` looks at dtypes. JAX has no counterpart.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch

# Asked beforehand: Dynamo of torch 2.6 traces no call of `is_autocast_available`.
_AVAILABLE = {
    kind: torch.amp.is_autocast_available(kind) for kind in ("cpu", "cuda", "hpu", "meta", "mps", "mtia", "xla", "xpu")
}


def in_autocast(tensor: torch.Tensor) -> bool:
    """Tell whether autocast is enabled for the tensor's device."""
    kind = tensor.device.type
    available = _AVAILABLE[kind] if kind in _AVAILABLE else torch.amp.is_autocast_available(kind)
    return bool(available and torch.is_autocast_enabled(kind))


def without_autocast(tensor: torch.Tensor) -> Any:
    """Return the context in which autocast is disabled for the tensor's device."""
    return torch.autocast(tensor.device.type, enabled=False) if in_autocast(tensor) else contextlib.nullcontext()


@torch.compiler.assume_constant_result
def in_functorch() -> bool:
    """Tell whether a transformation of `torch.func` is being traced."""
    return bool(torch._C._functorch.get_interpreter_stack())


def product(x: torch.Tensor, y: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Compute x @ y + bias for matrices, in their dtype, the derivatives too, whether or not autocast is enabled."""
    if not in_autocast(x):
        return x @ y if bias is None else torch.addmm(bias, x, y)
    mapped = torch.compiler.is_compiling() and in_functorch()
    if torch.autograd.forward_ad._current_level < 0 and not mapped:
        return _Product.apply(x, y, bias)
    # A Function would need a jvp, which `torch.compile` refuses; and under `torch.func` the compiler forgets the
    # backward of one whose argument is an argument of the function. Autocast leaves float64 alone.
    found = x.double() @ y.double()
    return (found if bias is None else found + bias).to(x.dtype)


class _Product(torch.autograd.Function):
    """Compute a matrix product without autocast, its gradients likewise."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any, y: Any, bias: Any) -> Any:
        with without_autocast(x):
            return x @ y if bias is None else torch.addmm(bias, x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 - torch's signature
        x, y, _ = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        x, y = ctx.saved_tensors
        by_x, by_y, by_bias = ctx.needs_input_grad
        return (
            product(cotangent, y.mT) if by_x else None,
            product(x.mT, cotangent) if by_y else None,
            cotangent.sum(0) if by_bias else None,
        )
