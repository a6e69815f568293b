"""Types in the signatures of the losses. A type checker sees the frameworks' own; at run time nothing is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jax import Array
    from jax.typing import ArrayLike
    from torch import Tensor
else:
    Array = ArrayLike = Tensor = Any

Reduction = Literal["none", "mean", "sum"]
BatchReduction = Literal["none", "mean", "sum", "batchmean"]

__all__ = ["Array", "ArrayLike", "BatchReduction", "Reduction", "Tensor"]
