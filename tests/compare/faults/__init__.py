"""Faults, each planted in a loss: the healthy one, the faulty one, the inputs, and the cause to be named."""

from __future__ import annotations

from tests.compare.faults import arguments, gradients, numerics, reductions, targets
from tests.compare.faults.common import Fault

__all__ = ["Fault", "faults"]


def faults() -> list[Fault]:
    """Every planted fault."""
    families = (reductions, arguments, targets, gradients, numerics)
    return [fault for family in families for fault in family.faults()]
