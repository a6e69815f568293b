"""The losses in JAX: `from xloss.jax import cross_entropy`. Names and arguments are torch.nn.functional's."""

from xloss.modules import faces
from xloss.ops.reductions import sum_and_denominator

__all__ = [*faces.names(), "sum_and_denominator"]


def __getattr__(name: str) -> object:
    return faces.find("jax", name)


def __dir__() -> list[str]:
    return sorted(__all__)
