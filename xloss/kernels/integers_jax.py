"""Targets that may come in an integer dtype (counts, signs), in JAX; `integers_torch.py` has the same names."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xloss import checks
from xloss.kernels import jax_ as k

__all__ = ["admit"]


def admit(input: Any, target: Any) -> tuple[Any, ...]:
    """Admit a floating input and a target of a floating or an integer dtype; an integer one does not widen the loss."""
    input, target = k.as_array("input", input), k.as_array("target", target)
    if not jnp.issubdtype(target.dtype, jnp.floating):
        if not jnp.issubdtype(target.dtype, jnp.integer):
            checks.refuse_type("target", f"dtype {target.dtype}", "a floating or an integer dtype")
        input, dtype = k.admit(input=input)
        # Not by way of the loss's own dtype: bfloat16 has no 257.
        return input, target.astype(input.dtype), dtype
    return k.admit(input=input, target=target)
