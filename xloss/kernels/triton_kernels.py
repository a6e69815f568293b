"""Kernels of cross entropy in Triton: one program a row, online softmax over blocks of its classes.

One class of each row is set apart: the label or, under label smoothing with class weights, the class of the greatest
coefficient. With m the greatest logit, `others` is the sum of exp(x - m) over all other classes, so that neither the
loss of a confident prediction, log(1 + others), nor its gradient there, minus the sum of the other probabilities, is a
difference of numbers near 1. Accumulated in float32, or in float64 for such logits, whatever the dtype of the logits.

`forward` finds the loss of a row and, with SLOPE, its gradient by the logits; `backward` finds the gradient from what
`forward` kept of the softmax. A row whose label is ignored is never read: 0; one whose label is out of range is NaN.

`smoothing` points to five numbers: 1 - s and s / C for a smoothing s of C classes, and of the shares of the classes,
weight * s / C, the sum, the sum without the greatest, and the greatest; `most` to the class that has it.
"""

from __future__ import annotations

import triton
import triton.language as tl

# What is loaded past the last class: its exponential is 0.
PADDING = tl.constexpr(float("-inf"))
INFINITY = tl.constexpr(float("inf"))
NAN = tl.constexpr(float("nan"))


@triton.jit
def log1p(y):
    """Compute log(1 + y) for y in [0, 1], to a few ulps: log of the rounded sum, corrected for its rounding."""
    total = 1.0 + y
    rounded = tl.where(total == 1.0, 1.0, total - 1.0)
    return tl.where(total == 1.0, y, tl.log(total) * (y / rounded))


@triton.jit
def finite_or_zero(m):
    """Return m, 0 for minus infinity: the greatest of classes that are all suppressed is not to be subtracted."""
    return tl.where(m == -INFINITY, 0.0, m)


@triton.jit
def without_ruled_out(coefficient, gap):
    """Compute coefficient * gap, 0 where a coefficient of 0 meets an infinite gap: the class is left out."""
    return tl.where((coefficient == 0.0) & (gap == INFINITY), 0.0, coefficient * gap)


@triton.jit
def share_of(weight, per_class, at, inside, WEIGHTED: tl.constexpr, ACC: tl.constexpr):
    """Return what label smoothing gives the classes `at`; 0 beyond the last."""
    if WEIGHTED:
        given = tl.load(weight + at, mask=inside, other=0.0).to(ACC) * per_class
    else:
        given = tl.where(inside, per_class, 0.0)
    return given


@triton.jit
def rescale(total, old, new):
    """Bring a sum of exponentials from one maximum to another."""
    return total * tl.exp(old - new)


@triton.jit
def coefficients(weight, smoothing, most, label, WEIGHTED: tl.constexpr, SMOOTH: tl.constexpr,
                 ACC: tl.constexpr):  # fmt: skip
    """Return of a row: the class apart, its coefficient, that of the label alone, and sums with and without it."""
    hard = tl.full((), 1.0, ACC)
    if WEIGHTED:
        hard = tl.load(weight + label).to(ACC)
    apart, at_apart, mass, rest = label, hard, hard, tl.full((), 0.0, ACC)
    if SMOOTH:
        own = tl.load(smoothing + 1)
        if WEIGHTED:
            own = hard * own
        hard = hard * tl.load(smoothing)
        total, without, greatest = tl.load(smoothing + 2), tl.load(smoothing + 3), tl.load(smoothing + 4)
        first = tl.load(most)
        apart = tl.where(hard + own >= greatest, label, first)
        at_apart = tl.where(hard + own >= greatest, own, greatest) + tl.where(apart == label, hard, 0.0)
        mass = hard + total
        rest = tl.where(apart == first, without, total - own) + tl.where(apart == label, 0.0, hard)
    return apart, at_apart, hard, mass, rest


@triton.jit
def fill(out, CLASSES: tl.constexpr, value, BLOCK: tl.constexpr):
    """Set a row to a number."""
    for start in range(0, CLASSES, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tl.store(out + at, tl.zeros((BLOCK,), tl.float32).to(out.dtype.element_ty) + value.to(out.dtype.element_ty),
                 mask=at < CLASSES)  # fmt: skip


@triton.jit
def at_the_class_apart(others, e_apart, at_apart, mass, rest, SMOOTH: tl.constexpr):
    """Return the gradient there: minus the sum of the gradients at the others, where its probability is above 1/2."""
    share = others / (others + e_apart)
    slope = rest - mass * share
    if SMOOTH:
        slope = tl.where(others < e_apart, slope, mass * (e_apart / (others + e_apart)) - at_apart)
    return slope


@triton.jit
def write_slope(x, out, weight, smoothing, most, label, CLASSES: tl.constexpr, m,
                others, scale, WEIGHTED: tl.constexpr, SMOOTH: tl.constexpr, BLOCK: tl.constexpr,
                ACC: tl.constexpr):  # fmt: skip
    """Write the gradient of a row by its logits, times `scale`; `out` may be x itself."""
    apart, at_apart, hard, mass, rest = coefficients(weight, smoothing, most, label, WEIGHTED, SMOOTH, ACC)
    e_apart = tl.exp(tl.load(x + apart).to(ACC) - m)
    slope_apart = at_the_class_apart(others, e_apart, at_apart, mass, rest, SMOOTH)
    per_class = tl.full((), 0.0, ACC)
    if SMOOTH:
        per_class = tl.load(smoothing + 1)
    # Where `out` is x: all warps have read the logit of the class apart before one of them overwrites it.
    tl.debug_barrier()
    for start in range(0, CLASSES, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < CLASSES
        v = tl.load(x + at, mask=inside, other=PADDING).to(ACC)
        slope = mass * (tl.exp(v - m) / (others + e_apart))
        if SMOOTH:
            slope = slope - share_of(weight, per_class, at, inside, WEIGHTED, ACC) - tl.where(at == label, hard, 0.0)
        slope = tl.where(at == apart, slope_apart, slope) * scale
        tl.store(out + at, slope.to(out.dtype.element_ty), mask=inside)


@triton.jit
def forward(x, labels, weight, smoothing, most, loss, kept, slope, scale,
            row_stride, slope_stride, ignore_index, CLASSES: tl.constexpr, WEIGHTED: tl.constexpr,
            SMOOTH: tl.constexpr, SLOPE: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Store the loss of each row, m and `others` in `kept`, and with SLOPE the gradient times the number at `scale`."""
    row = tl.program_id(0).to(tl.int64)
    label = tl.load(labels + row)
    x += row * row_stride
    if (label == ignore_index) | (label < 0) | (label >= CLASSES):
        nothing = tl.where(label == ignore_index, tl.full((), 0.0, ACC), NAN)
        tl.store(loss + row, nothing)
        if SLOPE:
            fill(slope + row * slope_stride, CLASSES, nothing, BLOCK)
    else:
        apart, _, hard, mass, _ = coefficients(weight, smoothing, most, label, WEIGHTED, SMOOTH, ACC)
        greatest = tl.full((), -INFINITY, ACC)
        others = tl.full((), 0.0, ACC)
        spread = tl.full((), 0.0, ACC)
        seen = tl.full((), 0.0, ACC)
        for start in range(0, CLASSES, BLOCK):
            at = start + tl.arange(0, BLOCK)
            inside = at < CLASSES
            v = tl.load(x + at, mask=inside, other=PADDING).to(ACC)
            now = tl.maximum(greatest, tl.max(v, 0))
            m = finite_or_zero(now)
            if SMOOTH:
                share = share_of(weight, tl.load(smoothing + 1), at, inside, WEIGHTED, ACC)
                rise = tl.where(seen == 0.0, 0.0, m - finite_or_zero(greatest))
                gaps = tl.where(inside, without_ruled_out(share, m - v), 0.0)
                spread = spread + without_ruled_out(seen, rise) + tl.sum(gaps, 0)
                seen = seen + tl.sum(share, 0)
            others = rescale(others, greatest, m) + tl.sum(tl.where(at == apart, 0.0, tl.exp(v - m)), 0)
            greatest = now
        m = finite_or_zero(greatest)
        e_apart = tl.exp(tl.load(x + apart).to(ACC) - m)
        # Where the class apart has more than all others, m is its logit, and its exponential is 1.
        confident = others < e_apart
        log_total = tl.where(confident, log1p(tl.where(confident, others, 0.0)), tl.log(others + e_apart))
        gap = (m - tl.load(x + label).to(ACC)) + log_total
        found = without_ruled_out(hard, gap)
        if SMOOTH:
            found = found + spread + (mass - hard) * log_total
        tl.store(loss + row, found)
        tl.store(kept + 2 * row, m)
        tl.store(kept + 2 * row + 1, others)
        if SLOPE:
            write_slope(x, slope + row * slope_stride, weight, smoothing, most, label, CLASSES, m, others,
                        tl.load(scale), WEIGHTED, SMOOTH, BLOCK, ACC)  # fmt: skip


@triton.jit
def backward(x, labels, weight, smoothing, most, kept, slope, scale, held,
             row_stride, slope_stride, scale_stride, ignore_index, CLASSES: tl.constexpr,
             WEIGHTED: tl.constexpr, SMOOTH: tl.constexpr, HELD: tl.constexpr, BLOCK: tl.constexpr,
             ACC: tl.constexpr):  # fmt: skip
    """Store the gradient by the logits, times the number at `scale`, one a row or one for all.

    With HELD, `slope` holds that gradient times the number at `held`: nothing is done where it is the same number.
    """
    row = tl.program_id(0).to(tl.int64)
    by = tl.load(scale + row * scale_stride)
    label = tl.load(labels + row)
    out = slope + row * slope_stride
    done = row < 0
    if HELD:
        done = by == tl.load(held)
    if done:
        pass
    elif (label == ignore_index) | (label < 0) | (label >= CLASSES):
        nothing = tl.where(label == ignore_index, tl.full((), 0.0, ACC), NAN)
        fill(out, CLASSES, nothing, BLOCK)
    else:
        m, others = tl.load(kept + 2 * row), tl.load(kept + 2 * row + 1)
        write_slope(x + row * row_stride, out, weight, smoothing, most, label, CLASSES, m, others, by, WEIGHTED,
                    SMOOTH, BLOCK, ACC)  # fmt: skip
