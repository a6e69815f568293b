"""The least that an operation can cost: bytes that must cross the memory's bus, floating-point operations.

Bytes: each input is read once and each result written once, with everything in between kept in registers. FLOPs are
counted where they can matter, in products of matrices: 2 N H V for the logits of N rows, H features and V classes, three
times that with both gradients.
"""

from __future__ import annotations

import math

from xloss.bench.workload import Drawn, Work, draw

SCALAR = 4


def least_bytes(work: Work, drawn: Drawn | None = None) -> int:
    """The least bytes to read and to write."""
    drawn = drawn or draw(work)
    read = sum(drawn.nbytes(name) for name in drawn.arrays)
    if work.quantity == "value":
        return read + SCALAR
    written = sum(drawn.nbytes(name) for name in drawn.wrt if work.quantity != "per_sample" or name in drawn.axes)
    return read + written + (SCALAR if work.quantity == "value_and_grad" else 0)


def flops(work: Work, drawn: Drawn | None = None) -> int:
    """Floating-point operations in products of matrices; 0 for a loss that has none."""
    drawn = drawn or draw(work)
    if "linear_weight" not in drawn.arrays or "input" not in drawn.arrays:
        return 0
    forward = 2 * math.prod(drawn.shape("input")) * math.prod(drawn.shape("linear_weight")[:-1])
    return forward if work.quantity == "value" else 3 * forward
