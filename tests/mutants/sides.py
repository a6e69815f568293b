"""What a fault needs of a framework, in the same words for both: `side("torch")` and `side("jax")`."""

from __future__ import annotations

import functools
from typing import Any


class Torch:
    """PyTorch."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        self.np: Any = torch

    def stop(self, x: Any) -> Any:
        return x.detach()

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return self.np.where(mask, a, b)

    def finite(self, x: Any) -> Any:
        return self.np.isfinite(x.detach())

    def is_floating(self, x: Any) -> bool:
        return isinstance(x, self.np.Tensor) and x.is_floating_point()

    def is_array(self, x: Any) -> bool:
        return isinstance(x, self.np.Tensor)

    def dtype_name(self, x: Any) -> str:
        return str(x.dtype).removeprefix("torch.")

    def cast(self, x: Any, dtype: str) -> Any:
        return x.to(getattr(self.np, dtype))

    def like(self, x: Any, other: Any) -> Any:
        return x.to(other.dtype)

    def size(self, x: Any) -> int:
        return int(x.numel())

    def range(self, n: int, like: Any) -> Any:
        return self.np.arange(n, device=like.device)

    def nan_to_zero(self, x: Any) -> Any:
        return self.np.where(self.np.isnan(x), 0.0, x)

    def minimum_gap(self, x: Any, axis: int) -> Any:
        """Return the least distance of neighbours along an axis, once sorted."""
        ordered = self.np.sort(x.detach(), dim=axis).values
        return self.np.diff(ordered, dim=axis)

    def number(self, value: float, like: Any) -> Any:
        """Return a number as a tensor: times Python's, a 0-d float32 tensor has a float64 tangent."""
        return like.new_full((), value)

    def gradient(self, function: Any, x: Any) -> Any:
        return self.np.func.grad(function)(x)

    def compiling(self) -> bool:
        return bool(self.np.compiler.is_compiling())

    def transformations(self) -> list[str]:
        """Return the names of the `torch.func` transformations around this call, outermost first."""
        if self.compiling():
            return []
        from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters as all_levels

        return [str(level.key()).rsplit(".", 1)[-1] for level in all_levels()]


class Jax:
    """JAX."""

    name = "jax"

    def __init__(self) -> None:
        import jax

        self.jax = jax
        self.np: Any = jax.numpy

    def stop(self, x: Any) -> Any:
        return self.jax.lax.stop_gradient(x)

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return self.np.where(mask, a, b)

    def finite(self, x: Any) -> Any:
        return self.np.isfinite(self.stop(x))

    def is_floating(self, x: Any) -> bool:
        return self.is_array(x) and bool(self.np.issubdtype(x.dtype, self.np.floating))

    def is_array(self, x: Any) -> bool:
        return hasattr(x, "dtype") and hasattr(x, "shape")

    def dtype_name(self, x: Any) -> str:
        return str(x.dtype)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype(dtype)

    def like(self, x: Any, other: Any) -> Any:
        return x.astype(other.dtype)

    def size(self, x: Any) -> int:
        return int(x.size)

    def range(self, n: int, like: Any) -> Any:
        return self.np.arange(n)

    def nan_to_zero(self, x: Any) -> Any:
        return self.np.where(self.np.isnan(x), 0.0, x)

    def minimum_gap(self, x: Any, axis: int) -> Any:
        """Return the least distance of neighbours along an axis, once sorted."""
        return self.np.diff(self.np.sort(self.stop(x), axis=axis), axis=axis)

    def number(self, value: float, like: Any) -> Any:
        return self.np.asarray(value, like.dtype)

    def gradient(self, function: Any, x: Any) -> Any:
        return self.jax.grad(function)(x)

    def compiling(self) -> bool:
        return False

    def unwrapped(self, x: Any) -> Any:
        """Return what is under the tracers of differentiation."""
        while hasattr(x, "primal"):
            x = x.primal
        return x

    def transformations(self) -> list[str]:
        return []


@functools.cache
def side(name: str) -> Torch | Jax:
    """Return the framework of that name."""
    return Torch() if name == "torch" else Jax()
