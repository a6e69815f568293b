"""The least that an operation can cost: bytes that must cross the memory's bus, floating-point operations.

Bytes: each input is read once and each result written once, with everything in between kept in registers. FLOPs are
counted where they can matter, in products of matrices: 2 N H V for the logits of N rows, H features and V classes,
three times that with both gradients.
"""

from __future__ import annotations

import math

from xloss.bench.workload import Inputs

# Bytes of the value, a scalar.
VALUE_BYTES = 4


def least_bytes(inputs: Inputs, quantity: str) -> int:
    """Return the least bytes to read and to write."""
    if quantity == "value":
        return inputs.nbytes() + VALUE_BYTES
    written = [name for name in inputs.wrt if quantity != "per_sample" or name in inputs.batch_axes]
    return inputs.nbytes() + inputs.nbytes(written) + (VALUE_BYTES if quantity == "value_and_grad" else 0)


def flops(inputs: Inputs, quantity: str) -> int:
    """Return the floating-point operations in products of matrices; 0 for a loss that has none."""
    if "linear_weight" not in inputs.arrays or "input" not in inputs.arrays:
        return 0
    forward = 2 * math.prod(inputs.shape("input")) * math.prod(inputs.shape("linear_weight")[:-1])
    return forward if quantity == "value" else 3 * forward
