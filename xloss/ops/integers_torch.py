"""Targets that may come in an integer dtype (counts, signs), in PyTorch; `integers_jax.py` has the same names."""

from __future__ import annotations

from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops

__all__ = ["validate_and_upcast"]

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def validate_and_upcast(input: Any, target: Any) -> tuple[Any, ...]:
    """Admit a floating input and a target of a floating or an integer dtype; an integer one does not widen the loss."""
    if isinstance(target, torch.Tensor) and not target.is_floating_point():
        if target.dtype not in _INTEGERS:
            arguments.raise_type_error("target", f"dtype {target.dtype}", "a floating or an integer dtype")
        input, dtype = ops.validate_and_upcast(input=input)
        # Not by way of the loss's own dtype: bfloat16 has no 257.
        return input, target.to(input.dtype), dtype
    return ops.validate_and_upcast(input=input, target=target)
