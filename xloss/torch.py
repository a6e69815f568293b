"""The losses in PyTorch: `from xloss.torch import cross_entropy`. Names and arguments are torch.nn.functional's.

Type checkers and editors read `torch.pyi`, which `python -m xloss.modules.stubs` writes from the catalogue.
"""

from xloss import modules
from xloss.ops.reductions import sum_and_denominator

__all__ = [*modules.names(), "sum_and_denominator"]


def __getattr__(name: str) -> object:
    return modules.attribute("torch", name)


def __dir__() -> list[str]:
    return sorted(__all__)
