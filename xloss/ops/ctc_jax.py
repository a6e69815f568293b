"""The alignments of connectionist temporal classification in JAX: admission of labels and lengths, the recursion.

`ctc_torch.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.ops import arguments
from xloss.ops.compensated_jax import rounding
from xloss.ops.jax import concrete, log1p, nan_where

__all__ = ["negative_log_likelihood", "validate_and_upcast"]


def validate_and_upcast(targets: Any, input_lengths: Any, target_lengths: Any, like: Any) -> tuple[Any, Any, Any, Any]:
    """Give labels (N, S) that are safe to gather with, both lengths (N), and the mask of the rows with a bad one.

    `like`: the log-probabilities (T, N, C). What is out of range raises `ValueError` where values can be looked at;
    elsewhere the caller makes such rows NaN. The mask is None where there are none for sure.
    """
    frames, batch, classes = like.shape
    times, late = _validate_lengths("input_lengths", input_lengths, batch, frames)
    lengths, long = _validate_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    labels, astray = _validate_labels(targets, lengths, classes, known)
    return labels, times, lengths, None if known else late | long | astray


def _validate_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[Any, Any]:
    """Lengths as an array (N), 0 where they are out of range, and where that is."""
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            arguments.check_integer(name, length)
        lengths = np.asarray(lengths, np.int32)
    if not isinstance(lengths, (jax.Array, np.ndarray, np.generic)):
        arguments.raise_type_error(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        arguments.raise_type_error(name, f"dtype {lengths.dtype}", "an integer dtype")
    if lengths.ndim > 1 or lengths.size != batch:
        arguments.raise_value_error(
            name, f"shape {tuple(lengths.shape)}", f"one for each of the {batch} sequences, ({batch},)"
        )
    lengths = jnp.asarray(lengths).astype(jnp.int32).reshape(batch)
    outside = (lengths < 0) | (lengths > most)
    if concrete(outside) and outside.any():
        arguments.raise_value_error(name, f"{lengths[outside][0]}", f"lengths in [0, {most}]")
    return jnp.where(outside, 0, lengths), outside


def _validate_labels(targets: Any, lengths: Any, classes: int, known: bool) -> tuple[Any, Any]:
    """Labels as an array (N, S), 0 beyond the length and where they are no class, and the rows that have one of these.

    Concatenated targets are cut into rows by their lengths, the longest of which sets S, where it is `known`.
    """
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        arguments.raise_type_error("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    targets = targets.astype(jnp.int32)
    total = targets.shape[0]
    astray = jnp.zeros_like(lengths, dtype=bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            arguments.raise_value_error(
                "targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}"
            )
        place = jnp.arange(int(lengths.max()) if known else total, dtype=jnp.int32)
        index = (lengths.cumsum() - lengths)[:, None] + place
        # One more at the end, for there may be none.
        padded = jnp.concatenate([targets, jnp.zeros(1, jnp.int32)])
        targets = padded[index.clip(max=total)]
        # One row may have more, which is padding then: so that `vmap` can map over rows of a padded target.
        unfit = lengths.sum() != total if len(lengths) > 1 else lengths.sum() > total
        astray = jnp.broadcast_to(unfit, lengths.shape)
    place = jnp.arange(targets.shape[1], dtype=jnp.int32)
    within = place < lengths[:, None]
    outside = within & ((targets < 0) | (targets >= classes))
    if known and outside.any():
        arguments.raise_value_error("targets", f"label {targets[outside][0]}", f"class indices in [0, {classes})")
    return jnp.where(within & ~outside, targets, 0), astray | outside.any(1)


def negative_log_likelihood(log_probs: Any, labels: Any, times: Any, lengths: Any, blank: int,
                            zero_infinity: bool) -> Any:  # fmt: skip
    """-log of the sum, over all alignments, of the products of their probabilities.

    log_probs (T, N, C), labels (N, S), times (N) <= T, lengths (N) <= S. The states of an alignment are blank, label,
    blank, ..., label, blank; before the first frame it is in a state of its own, two places before the first label.
    Frames and labels in turned order are a problem of the same kind: the first half of the frames runs from the front,
    the second half from the back, as 2N problems of half the length, which meet in the middle.

    The recursion of log-probabilities is on constants. It gives the value, and the share that each predecessor has in
    what leads to a state. Relative to these constants all probabilities are 1, and their recursion, which carries the
    derivatives of any order, is one of multiplications by these shares.
    """
    frames, batch, _ = log_probs.shape
    rows, ends = 2 * batch, 2 * lengths
    place = jnp.arange(labels.shape[1], dtype=jnp.int32)
    turned = jnp.take_along_axis(labels, (lengths[:, None] - 1 - place).clip(min=0), 1)
    labels = jnp.concatenate([labels, turned]).T
    column = jnp.full_like(jnp.concatenate([lengths, lengths]), blank)[None]
    states = _between(column, labels, 0)
    count = len(states)
    # The place before is always open; the one before that where no blank is needed between, and at the start.
    changed = states[2:] != states[:-2]
    skips = jnp.concatenate([column != column, column == column, changed])[:count]
    time = jnp.arange((frames + 1) // 2, dtype=jnp.int32).reshape(-1, 1, 1)
    place = jnp.arange(count + 1, dtype=jnp.int32)[:, None]
    front = (times + 1) // 2
    steps = jnp.concatenate([front, times - front])
    used = (time < steps) & (place[:-1] <= jnp.concatenate([ends, ends])) & ((time > 0) | (place[:-1] < 2))
    frame = jnp.concatenate([jnp.broadcast_to(time, (len(time), 1, batch)), (times - 1 - time).clip(min=0)], 2)
    row = jnp.arange(rows, dtype=jnp.int32) % batch
    # What no alignment looks at may be NaN, and that must reach neither value nor gradient.
    emitted = jnp.where(used, _between(log_probs[frame, row, blank], log_probs[frame, row, labels], 1), 0.0)
    finite = jnp.where(jnp.isfinite(emitted), emitted, 0.0)
    high, low, shares = _beginnings(jax.lax.stop_gradient(emitted), skips)
    grown = _growth(jnp.exp(finite - jax.lax.stop_gradient(finite)), shares)
    # From each place that the front has reached, to each that the back begins with.
    high, low, grown = (x[steps, :, jnp.arange(rows, dtype=jnp.int32)].T for x in (high, low, grown))
    grown = jnp.concatenate([jnp.ones_like(high[:2]), grown])
    back = (ends + 2 - place).clip(min=0)
    after = [jnp.take_along_axis(x[:, batch:], back, 0) for x in (high, low, grown)]
    stay, skip = place <= ends, jnp.concatenate([skips, column == column])[:, :batch] | (place > ends)
    gate = jnp.stack([stay, jnp.ones_like(stay), skip])
    before = [_before(jnp.pad(x[:, :batch], ((0, 1), (0, 0)))) for x in (high, low, grown)]
    before[0] = jnp.where(gate, before[0], -jnp.inf)
    total = before[0] + after[0]
    error = before[1] + after[1] + rounding(before[0], after[0], total)
    first, rest, shares = _log_sum(total.reshape(-1, batch), error.reshape(-1, batch))
    loss = -(first + rest)
    infinite = loss == jnp.inf
    one = jnp.where(infinite, 1.0, (shares * (before[2] * after[2]).reshape(-1, batch)).sum(0))
    loss = loss - jnp.log(one / jax.lax.stop_gradient(one))
    loss = nan_where(loss, loss == -jnp.inf)
    if zero_infinity:
        return jnp.where(infinite, 0.0, loss)
    # There the derivative does not exist: NaN (that of log z^2 at 0) for all that was looked at, as in torch.
    total = finite.sum((0, 1)).reshape(2, batch).sum(0)
    z = jnp.where(infinite, total - jax.lax.stop_gradient(total), 1.0)
    return loss - jnp.log(z * z)


def _between(blank: Any, labels: Any, axis: int) -> Any:
    """A blank (1 on the axis), a label, a blank, ..., a label, a blank."""
    pairs = jnp.stack([jnp.broadcast_to(blank, labels.shape), labels], axis + 1)
    pairs = pairs.reshape(*blank.shape[:axis], 2 * labels.shape[axis], *blank.shape[axis + 1 :])
    return jnp.concatenate([pairs, blank], axis)


def _before(padded: Any) -> Any:
    """Of each place: what is there, one and two places before. Those follow two others."""
    return jnp.stack([padded[2:], padded[1:-1], padded[:-2]])


def _beginnings(emitted: Any, skips: Any) -> tuple[Any, Any, Any]:
    """The log-probabilities of the alignments' beginnings (1 + time, 2 + place, row), and the predecessors' shares.

    The former are pairs, a number and its rounding error: over hundreds of frames those errors add up to many ulps of
    the loss, and to far more of the gradient, in which they are exponents.
    """
    lowest = jnp.finfo(emitted.dtype).min / 8
    nothing = jnp.zeros_like(emitted[0, :1]).repeat(2, 0)
    never = nothing - jnp.inf
    high = jnp.concatenate([never[:1], nothing[:1], jnp.full_like(emitted[0], -jnp.inf)])
    low = jnp.zeros_like(high)

    def advance(beginnings: Any, emission: Any) -> tuple[Any, Any]:
        high, low = beginnings
        a, b, c = high[2:], high[1:-1], jnp.where(skips, high[:-2], -jnp.inf)
        first = jnp.maximum(jnp.maximum(a, b), c)
        pinned = first.clip(min=lowest)
        a, b, c = (a - pinned) + low[2:], (b - pinned) + low[1:-1], (c - pinned) + low[:-2]
        x, y = jnp.maximum(a, b), jnp.minimum(a, b)
        x, z = jnp.maximum(x, c).clip(min=lowest), jnp.minimum(x, c)
        rest = x + log1p(jnp.exp(y - x) + jnp.exp(z - x))
        shares = jnp.exp(jnp.stack([a, b, c]) - rest)
        total, error = _pair(first, emission, rest)
        high, low = jnp.concatenate([never, total]), jnp.concatenate([nothing, error])
        return (high, low), (high, low, shares)

    _, (highs, lows, shares) = jax.lax.scan(advance, (high, low), emitted)
    return jnp.concatenate([high[None], highs]), jnp.concatenate([low[None], lows]), shares


def _pair(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """a + b + c, and what it lacks of the exact sum, 0 where it is not finite; c is small, or its last digit is."""
    part = a + b
    c = c + rounding(a, b, part)
    total = part + c
    error = c - (total - part)
    return total, jnp.where(jnp.isfinite(error), error, 0.0)


def _growth(factors: Any, shares: Any) -> Any:
    """The probabilities relative to the constants that `_beginnings` gives: all 1, with the derivatives of them."""
    one = jnp.ones_like(factors[0])

    def advance(one: Any, frame: Any) -> tuple[Any, Any]:
        factor, (a, b, c) = frame
        one = factor * (a * one + b * jnp.roll(one, 1, 0) + c * jnp.roll(one, 2, 0))
        return one, one

    _, grown = jax.lax.scan(advance, one, (factors, shares))
    return jnp.concatenate([one[None], grown])


def _log_sum(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The log of the sum of exp(x + y), as the greatest x and what is to be added to it, and the shares in it."""
    first, at = x.max(0), x.argmax(0)[None]
    pinned, error = first.clip(min=jnp.finfo(x.dtype).min), jnp.take_along_axis(y, at, 0)
    greatest = jnp.arange(len(x), dtype=at.dtype)[:, None] == at
    others = jnp.where(greatest, 0.0, jnp.exp((x - pinned) + (y - error)))
    total = others.sum(0)
    shares = jnp.where(greatest, 1.0, others) / (1 + total)
    return first, error.squeeze(0) + log1p(total), shares
