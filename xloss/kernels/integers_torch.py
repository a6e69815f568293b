"""Targets that may come in an integer dtype (counts, signs), in PyTorch; `integers_jax.py` has the same names."""

from __future__ import annotations

from typing import Any

import torch

from xloss import checks
from xloss.kernels import torch_ as k

__all__ = ["admit"]

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def admit(input: Any, target: Any) -> tuple[Any, ...]:
    """Admit a floating input and a target of a floating or an integer dtype; an integer one does not widen the loss."""
    if isinstance(target, torch.Tensor) and not target.is_floating_point():
        if target.dtype not in _INTEGERS:
            checks.refuse_type("target", f"dtype {target.dtype}", "a floating or an integer dtype")
        input, dtype = k.admit(input=input)
        # Not by way of the loss's own dtype: bfloat16 has no 257.
        return input, target.to(input.dtype), dtype
    return k.admit(input=input, target=target)
