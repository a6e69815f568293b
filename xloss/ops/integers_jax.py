"""Targets that may come in an integer dtype (counts, signs), in JAX; `integers_torch.py` has the same names."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["validate_and_upcast"]


def validate_and_upcast(input: Any, target: Any) -> tuple[Any, ...]:
    """Admit a floating input and a target of a floating or an integer dtype; an integer one does not widen the loss."""
    input, target = ops.as_array("input", input), ops.as_array("target", target)
    if not jnp.issubdtype(target.dtype, jnp.floating):
        if not jnp.issubdtype(target.dtype, jnp.integer):
            arguments.raise_type_error("target", f"dtype {target.dtype}", "a floating or an integer dtype")
        input, dtype = ops.validate_and_upcast(input=input)
        # Not by way of the loss's own dtype: bfloat16 has no 257.
        return input, target.astype(input.dtype), dtype
    return ops.validate_and_upcast(input=input, target=target)
