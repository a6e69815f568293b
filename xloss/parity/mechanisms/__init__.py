"""PyTorch and JAX behind one protocol: arrays, devices, and the mechanisms, each written once per framework."""

from __future__ import annotations

from xloss.parity.mechanisms.base import Framework, Problem


def load(name: str) -> Framework:
    """Return the framework of that name; `ImportError` says how to install it."""
    try:
        if name == "torch":
            from xloss.parity.mechanisms.torch import Torch

            return Torch()
        if name == "jax":
            from xloss.parity.mechanisms.jax import Jax

            return Jax()
    except ImportError as error:
        raise ImportError(
            f"{name} cannot be imported ({error}); install it with: pip install 'xloss[{name}]'"
        ) from error
    raise ValueError(f"framework: expected 'torch' or 'jax', got {name!r}")


__all__ = ["Framework", "Problem", "load"]
