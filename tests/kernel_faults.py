"""Faults to be planted in the Triton kernels; imported under TRITON_INTERPRET=1."""

import triton
import triton.language as tl


@triton.jit
def dropped_rescale(total, old, new):
    return total


@triton.jit
def probability_minus_one(others, e_apart, at_apart, mass, rest, SMOOTH: tl.constexpr):
    return mass * (e_apart / (others + e_apart)) - at_apart
