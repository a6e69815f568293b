"""Kernels of cross entropy in Pallas, for its Triton lowering: one program a row, online softmax over blocks.

The formulas, the class that is set apart and the five numbers of the smoothing are those of `triton_kernels.py`. A
label of `IGNORED` gives 0, one of `OUTSIDE` NaN, and neither row is read. On a CPU the kernels are interpreted.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt

IGNORED, OUTSIDE = -1, -2

# Classes that a program loads at once; more of them are more registers a thread.
MOST_CLASSES = 4096
# What is loaded past the last class: its exponential is 0.
PADDING = -math.inf


class Row(NamedTuple):
    """What a program sees: its row of logits, the label, the class weights and what label smoothing has; or None."""

    x: Any
    label: Any
    weight: Any
    smoothing: Any
    most: Any
    classes: int
    block: int
    dtype: Any

    def load(self, ref: Any, start: Any, wanted: Any, other: float) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return a block of an array of the classes, `other` where there is none, with their numbers and the mask."""
        at = start * self.block + jnp.arange(self.block, dtype=jnp.int32)
        inside = at < self.classes
        block = plt.load(ref.at[pl.ds(start * self.block, self.block)], mask=inside & wanted, other=other)
        return block.astype(self.dtype), at, inside

    def at(self, ref: Any, index: Any) -> jax.Array:
        """Return one element."""
        return plt.load(ref.at[jnp.asarray(index, jnp.int32)]).astype(self.dtype)

    def share(self, start: Any) -> jax.Array:
        """Return what label smoothing gives a block of classes; 0 beyond the last."""
        if self.weight is None:
            at = start * self.block + jnp.arange(self.block, dtype=jnp.int32)
            return jnp.where(at < self.classes, self.at(self.smoothing, 1), jnp.zeros((), self.dtype))
        return self.load(self.weight, start, True, 0.0)[0] * self.at(self.smoothing, 1)


def _finite_or_zero(m: Any) -> Any:
    """Return m, 0 for minus infinity: the greatest of classes that are all suppressed is not to be subtracted."""
    return jnp.where(m == -math.inf, jnp.zeros_like(m), m)


def _without_ruled_out(coefficient: Any, gap: Any) -> Any:
    """Compute coefficient * gap, 0 where a coefficient of 0 meets an infinite gap: the class is left out."""
    return jnp.where((coefficient == 0) & (gap == math.inf), jnp.zeros_like(gap), coefficient * gap)


def _rescale(total: Any, old: Any, new: Any) -> Any:
    """Bring a sum of exponentials from one maximum to another."""
    return total * jnp.exp(old - new)


def _coefficients(row: Row, label: Any) -> tuple[Any, ...]:
    """Return of a row: the class apart, its coefficient, that of the label alone, and sums with and without it."""
    hard = jnp.ones((), row.dtype) if row.weight is None else row.at(row.weight, label)
    if row.smoothing is None:
        return label, hard, hard, hard, jnp.zeros((), row.dtype)
    factor, own, total, without, greatest = (row.at(row.smoothing, i) for i in range(5))
    own = own if row.weight is None else hard * own
    hard = hard * factor
    first = row.most[...]
    is_label = hard + own >= greatest
    apart = jnp.where(is_label, label, first)
    at_apart = jnp.where(is_label, own, greatest) + jnp.where(apart == label, hard, jnp.zeros_like(hard))
    rest = jnp.where(apart == first, without, total - own) + jnp.where(apart == label, jnp.zeros_like(hard), hard)
    return apart, at_apart, hard, hard + total, rest


def _sums(row: Row, apart: Any, counted: Any, blocks: Any) -> tuple[Any, Any, Any]:
    """Return the greatest logit, the sum of exponentials of the classes but one, and that of share * (greatest - x)."""

    def add(start: Any, carry: Any) -> Any:
        greatest, others, spread, seen = carry
        v, at, inside = row.load(row.x, start, counted, PADDING)
        now = jnp.maximum(greatest, jnp.max(v))
        m = _finite_or_zero(now)
        if row.smoothing is not None:
            share = row.share(start)
            rise = jnp.where(seen == 0, jnp.zeros_like(m), m - _finite_or_zero(greatest))
            gaps = jnp.where(inside, _without_ruled_out(share, m - v), jnp.zeros_like(v))
            spread = spread + _without_ruled_out(seen, rise) + jnp.sum(gaps)
            seen = seen + jnp.sum(share)
        others = _rescale(others, greatest, m) + jnp.sum(jnp.where(at == apart, jnp.zeros_like(v), jnp.exp(v - m)))
        return now, others, spread, seen

    zero = jnp.zeros((), row.dtype)
    greatest, others, spread, _ = jax.lax.fori_loop(0, blocks, add, (zero - math.inf, zero, zero, zero))
    return _finite_or_zero(greatest), others, spread


def _write_slope(row: Row, out: Any, label: Any, counted: Any, nothing: Any, m: Any, others: Any) -> None:
    """Write the gradient of a row by its logits, `nothing` where the row is not counted."""
    apart, at_apart, hard, mass, rest = _coefficients(row, label)
    e_apart = jnp.exp(row.at(row.x, apart) - m)
    total = others + e_apart
    slope_apart = rest - mass * (others / total)
    if row.smoothing is not None:
        slope_apart = jnp.where(others < e_apart, slope_apart, mass * (e_apart / total) - at_apart)

    def write(start: Any, carry: Any) -> Any:
        v, at, inside = row.load(row.x, start, counted, PADDING)
        slope = mass * (jnp.exp(v - m) / total)
        if row.smoothing is not None:
            slope = slope - row.share(start) - jnp.where(at == label, hard, jnp.zeros_like(slope))
        slope = jnp.where(counted, jnp.where(at == apart, slope_apart, slope), nothing)
        plt.store(out.at[pl.ds(start * row.block, row.block)], slope.astype(out.dtype), mask=inside)
        return carry

    jax.lax.fori_loop(0, pl.cdiv(row.classes, row.block), write, 0)


def _kernel(classes: int, block: int, weighted: bool, smooth: bool, with_slope: bool, *refs: Any) -> None:
    x, labels, *rest = refs
    weight = rest.pop(0) if weighted else None
    smoothing, most = (rest.pop(0), rest.pop(0)) if smooth else (None, None)
    loss, dtype = rest[0], rest[0].dtype
    given = labels[...]
    row = Row(x, given, weight, smoothing, most, classes, block, dtype)
    counted = given >= 0
    label = jnp.where(counted, given, jnp.zeros_like(given))
    nothing = jnp.where(given == IGNORED, jnp.zeros((), dtype), jnp.full((), math.nan, dtype))
    apart, _, hard, mass, _ = _coefficients(row, label)
    blocks = jnp.where(counted, jnp.int32(pl.cdiv(classes, block)), jnp.int32(0))
    m, others, spread = _sums(row, apart, counted, blocks)
    e_apart = jnp.exp(row.at(x, apart) - m)
    # Where the class apart has more than all others, m is its logit, and its exponential is 1.
    log_total = jnp.where(others < e_apart, jnp.log1p(others), jnp.log(others + e_apart))
    found = _without_ruled_out(hard, (m - row.at(x, label)) + log_total)
    if smooth:
        found = found + spread + (mass - hard) * log_total
    loss[...] = jnp.where(counted, found, nothing)
    if with_slope:
        _write_slope(row, rest[1], label, counted, nothing, m, others)


def rows(x: jax.Array, labels: jax.Array, weight: jax.Array | None, smoothing: jax.Array | None,
         most: jax.Array | None, dtype: Any, slope: Any = None) -> Any:  # fmt: skip
    """Return the loss of each row of logits (N, C), in `dtype`; with `slope`, a dtype, the gradient by the logits too.

    Interpreted where the program runs on a CPU.
    """
    run = functools.partial(_call, dtype=dtype, slope=slope)
    given = tuple(a for a in (weight, smoothing, most) if a is not None)
    flags = weight is not None, smoothing is not None
    interpreted, compiled = (functools.partial(run, *flags, interpret) for interpret in (True, False))
    return jax.lax.platform_dependent(x, labels, *given, cpu=interpreted, default=compiled)


def _call(weighted: bool, smooth: bool, interpret: bool, x: jax.Array, labels: jax.Array, *given: jax.Array,
          dtype: Any, slope: Any) -> Any:  # fmt: skip
    count, classes = x.shape
    block = min(MOST_CLASSES, 2 ** max(4, math.ceil(math.log2(classes))))
    one_row, one = pl.BlockSpec((None, classes), lambda i: (i, 0)), pl.BlockSpec((None,), lambda i: (i,))
    whole = lambda a: pl.BlockSpec(a.shape, lambda _: (0,) * a.ndim)  # noqa: E731
    shapes = [jax.ShapeDtypeStruct((count,), dtype), *([] if slope is None else [jax.ShapeDtypeStruct(x.shape, slope)])]
    found = pl.pallas_call(
        functools.partial(_kernel, classes, block, weighted, smooth, slope is not None),
        out_shape=shapes,
        grid=(count,),
        in_specs=[one_row, one, *map(whole, given)],
        out_specs=[one, *([] if slope is None else [one_row])],
        compiler_params=plt.CompilerParams(num_warps=max(1, min(8, block // 512))),
        interpret=interpret,
        name="cross_entropy",
    )(x, labels, *given)
    return found[0] if slope is None else tuple(found)
