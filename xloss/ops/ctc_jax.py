"""Connectionist temporal classification in JAX: validation of labels and lengths, the forward algorithm.

`ctc_torch.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.ops import arguments
from xloss.ops.compensated_jax import two_sum_error
from xloss.ops.jax import as_indices, check_devices, concrete, is_integer, log1p, nan_where
from xloss.ops.sharding_jax import any_sharding

__all__ = ["negative_log_likelihood", "validate_labels_and_lengths"]


def validate_labels_and_lengths(
    targets: jax.Array, input_lengths: Any, target_lengths: Any, log_probs: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Return labels (N, S) that are safe to gather with, both lengths (N), and the mask (N) of rows with a bad one.

    For log-probabilities (T, N, C). What is out of range raises `ValueError` where values are concrete, and the mask is
    None; elsewhere the caller makes such rows NaN.
    """
    check_devices(log_probs=log_probs, targets=targets, input_lengths=input_lengths, target_lengths=target_lengths)
    frames, batch, classes = log_probs.shape
    times, bad_times = _validate_lengths("input_lengths", input_lengths, batch, frames)
    lengths, bad_lengths = _validate_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    labels, bad_rows = _validate_labels(targets, lengths, frames, classes, known)
    times, lengths = (jnp.asarray(x, jnp.int32) for x in (times, lengths))
    return labels, times, lengths, None if known else bad_times | bad_lengths | bad_rows


def _validate_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[Any, Any]:
    """Return lengths as an array (N), 0 where out of [0, most], and the mask of those; in NumPy what came from there.

    Compared as they came: without x64 JAX would take 2^32 + 1 for 1.
    """
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            arguments.check_integer(name, length)
        lengths = np.asarray(lengths, np.int64)
    if not isinstance(lengths, (jax.Array, np.ndarray, np.generic)):
        arguments.raise_type_error(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    if not is_integer(lengths):
        arguments.raise_type_error(name, f"dtype {lengths.dtype}", "an integer dtype")
    if lengths.ndim > 1 or lengths.size != batch:
        arguments.raise_value_error(
            name, f"shape {tuple(lengths.shape)}", f"one for each of the {batch} sequences, ({batch},)"
        )
    lengths = as_indices(lengths).reshape(batch)
    outside = (lengths < 0) | (lengths > most)
    if concrete(outside) and outside.any():
        arguments.raise_value_error(name, f"{lengths[outside][0]}", f"lengths in [0, {most}]")
    lengths = lengths if isinstance(lengths, np.ndarray) else jnp.where(outside, 0, lengths)
    return lengths.astype(np.int32), outside


def _validate_labels(
    targets: Any, lengths: Any, frames: int, classes: int, known: bool
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """Return labels (N, S), 0 beyond the length and where out of range, and the mask of rows with one out of range.

    Concatenated targets are split by their lengths: S is the longest where lengths are `known`. Else it is at most
    one more than the frames: longer targets have no alignment, and neither has what is left of them. What is `known` is
    looked at in NumPy, where no label of 64 bits wraps.
    """
    if not is_integer(targets):
        arguments.raise_type_error("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    xp: Any = np if known else jnp
    if isinstance(targets, np.ndarray) and not known:  # out of range of int32, out of range of the classes
        targets = np.where((targets >= 0) & (targets < 2**31), targets.astype(np.int32), np.int32(-1))
    targets, lengths = as_indices(xp.asarray(targets)), xp.asarray(lengths)
    total = targets.shape[0]
    bad_rows = xp.zeros_like(lengths, dtype=bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            arguments.raise_value_error(
                "targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}"
            )
        longest = int(lengths.max()) if known else min(total, frames + 1)
        position = xp.arange(longest, dtype=np.int32)
        end = lengths.cumsum().clip(max=total)
        start = (lengths.cumsum() - lengths).clip(max=total)
        index = start[:, None] + position[None]
        # One more at the end, for there may be no label at all.
        padded = xp.concatenate([targets, xp.zeros(1, targets.dtype)])
        bad = xp.cumsum((targets < 0) | (targets >= classes), dtype=np.int32)
        bad = xp.concatenate([xp.zeros(1, np.int32), bad])
        targets = padded[index.clip(max=total)]
        # A single row may have more labels than its length, padding: so that `vmap` can map over padded rows.
        mismatch = lengths.sum() != total if lengths.shape[0] > 1 else lengths.sum() > total
        bad_rows = xp.broadcast_to(mismatch, lengths.shape) | (bad[end] != bad[start])
    position = xp.arange(targets.shape[1], dtype=np.int32)
    in_length = position[None] < lengths[:, None]
    outside = in_length & ((targets < 0) | (targets >= classes))
    if known and outside.any():
        arguments.raise_value_error("targets", f"label {targets[outside][0]}", f"class indices in [0, {classes})")
    return jnp.asarray(xp.where(in_length & ~outside, targets, 0), jnp.int32), bad_rows | outside.any(1)


@any_sharding(lambda log_probs, labels, *_: [(log_probs, (1,)), (labels, (0,))])
def negative_log_likelihood(
    log_probs: jax.Array, labels: jax.Array, times: jax.Array, lengths: jax.Array, blank: int,
    zero_infinity: bool
) -> jax.Array:  # fmt: skip
    """Compute -log of the sum over all alignments of the products of their probabilities, shape (N).

    log_probs (T, N, C), labels (N, S), times (N) <= T, lengths (N) <= S. The states of an alignment are blank, label,
    blank, ..., label, blank; the initial state, before the first frame, is two positions before the first label.
    The forward algorithm on frames and labels in reversed order is the backward one: the first half of the frames runs
    forward and the second half backward, as one batch of 2N problems of half the length, which meet in the middle.

    The recursion of log-probabilities runs on constants. It gives the value, and the weight that each predecessor has
    in the sum that reaches a state. Relative to these constants all probabilities are 1; their recursion, which carries
    the derivatives of any order, multiplies by these weights.
    """
    frames, batch, _ = log_probs.shape
    lengths = lengths.clip(max=labels.shape[1])  # of concatenated targets that are too long
    rows, last = 2 * batch, 2 * lengths[None]
    position = jnp.arange(labels.shape[1], dtype=jnp.int32)
    reverse = jnp.take_along_axis(labels, (lengths[:, None] - 1 - position[None]).clip(min=0), 1)
    labels = jnp.concatenate([labels, reverse]).T
    blank_row = jnp.full_like(jnp.concatenate([lengths, lengths]), blank)[None]
    states = _interleave(blank_row, labels, 0)
    count = len(states)
    # A step by one state is always allowed; by two only where no blank is needed between, and at the start.
    changed = states[2:] != states[:-2]
    skips = jnp.concatenate([blank_row != blank_row, blank_row == blank_row, changed])[:count]
    time = jnp.arange((frames + 1) // 2, dtype=jnp.int32).reshape(-1, 1, 1)
    position = jnp.arange(count + 1, dtype=jnp.int32)[:, None]
    half = (times + 1) // 2
    frames_used = jnp.concatenate([half, times - half])
    in_label, at_start = position[:-1] <= jnp.concatenate([last, last], 1), position[:-1] < 2
    used = (time < frames_used[None, None]) & in_label[None] & ((time > 0) | at_start[None])
    backwards = (times[None, None] - 1 - time).clip(min=0)
    frame = jnp.concatenate([jnp.broadcast_to(time, backwards.shape), backwards], 2)
    row = jnp.arange(rows, dtype=jnp.int32) % batch
    # A NaN that no alignment uses must reach neither value nor gradient.
    emitted = jnp.where(used, _interleave(log_probs[frame, row, blank], log_probs[frame, row, labels], 1), 0.0)
    finite = jnp.where(jnp.isfinite(emitted), emitted, 0.0)
    high, low, weights = _forward_log_probs(jax.lax.stop_gradient(emitted), skips)
    relative = _forward_relative(jnp.exp(finite - jax.lax.stop_gradient(finite)), weights)
    # From each state that the forward half ends in, to each that the backward half ends in.
    high, low, relative = (x[frames_used, :, jnp.arange(rows, dtype=jnp.int32)].T for x in (high, low, relative))
    relative = jnp.concatenate([jnp.ones_like(high[:2]), relative])
    mirrored = (last + 2 - position).clip(min=0)
    backward = [jnp.take_along_axis(x[:, batch:], mirrored, 0)[None] for x in (high, low, relative)]
    stay, skip = position <= last, jnp.concatenate([skips, blank_row == blank_row])[:, :batch] | (position > last)
    allowed = jnp.stack([stay, jnp.ones_like(stay), skip])
    forward = [_predecessors(jnp.pad(x[:, :batch], ((0, 1), (0, 0)))) for x in (high, low, relative)]
    forward[0] = jnp.where(allowed, forward[0], -jnp.inf)
    total = forward[0] + backward[0]
    error = forward[1] + backward[1] + two_sum_error(forward[0], backward[0], total)
    first, rest, weights = _log_sum_exp(total.reshape(-1, batch), error.reshape(-1, batch))
    loss = -(first + rest)
    infinite = loss == jnp.inf
    ratio = jnp.where(infinite, 1.0, (weights * (forward[2] * backward[2]).reshape(-1, batch)).sum(0))
    loss = loss - jnp.log(ratio / jax.lax.stop_gradient(ratio))
    loss = nan_where(loss, loss == -jnp.inf)
    if zero_infinity:
        return jnp.where(infinite, 0.0, loss)
    # An infinite loss has no derivative: NaN (that of log z^2 at 0) for all elements that alignments use, as in torch.
    total = finite.sum((0, 1)).reshape(2, batch).sum(0)
    z = jnp.where(infinite, total - jax.lax.stop_gradient(total), 1.0)
    return loss - jnp.log(z * z)


def _interleave(blank: jax.Array, labels: jax.Array, axis: int) -> jax.Array:
    """Return blank, label, blank, ..., label, blank along the axis, where `blank` has size 1."""
    pairs = jnp.stack([jnp.broadcast_to(blank, labels.shape), labels], axis + 1)
    pairs = pairs.reshape(*blank.shape[:axis], 2 * labels.shape[axis], *blank.shape[axis + 1 :])
    return jnp.concatenate([pairs, blank], axis)


def _predecessors(padded: jax.Array) -> jax.Array:
    """Stack, for each state, the values 0, 1 and 2 positions before it; two more positions precede the first."""
    return jnp.stack([padded[2:], padded[1:-1], padded[:-2]])


def _forward_log_probs(emitted: jax.Array, skips: jax.Array) -> tuple[jax.Array, jax.Array, Any]:
    """Compute the forward variables' logarithms (1 + time, 2 + state, row), and the predecessors' weights.

    The former are double words, a number and its rounding error: over hundreds of frames those errors add up to many
    ulps of the loss, and to far more of the gradient, in which they are exponents.
    """
    lowest = float(jnp.finfo(emitted.dtype).min) / 8
    zeros = jnp.zeros_like(emitted[0, :1]).repeat(2, 0)
    impossible = zeros - jnp.inf
    high = jnp.concatenate([impossible[:1], zeros[:1], jnp.full_like(emitted[0], -jnp.inf)])
    low = jnp.zeros_like(high)

    def advance(carry: tuple[Any, Any], emission: Any) -> tuple[Any, Any]:
        high, low = carry
        a, b, c = high[2:], high[1:-1], jnp.where(skips, high[:-2], -jnp.inf)
        first = jnp.maximum(jnp.maximum(a, b), c)
        pinned = first.clip(min=lowest)
        a, b, c = (a - pinned) + low[2:], (b - pinned) + low[1:-1], (c - pinned) + low[:-2]
        x, y = jnp.maximum(a, b), jnp.minimum(a, b)
        x, z = jnp.maximum(x, c).clip(min=lowest), jnp.minimum(x, c)
        rest = x + log1p(jnp.exp(y - x) + jnp.exp(z - x))
        weights = jnp.exp(jnp.stack([a, b, c]) - rest[None])
        total, error = _add_double_word(first, emission, rest)
        high, low = jnp.concatenate([impossible, total]), jnp.concatenate([zeros, error])
        return (high, low), (high, low, weights)

    _, (highs, lows, weights) = jax.lax.scan(advance, (high, low), emitted)
    return jnp.concatenate([high[None], highs]), jnp.concatenate([low[None], lows]), weights


def _add_double_word(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a + b + c and its rounding error, exact for |c| <= |a + b|, and 0 where it is not finite."""
    part = a + b
    c = c + two_sum_error(a, b, part)
    total = part + c
    error = c - (total - part)
    return total, jnp.where(jnp.isfinite(error), error, 0.0)


def _forward_relative(factors: jax.Array, weights: Any) -> jax.Array:
    """Compute the forward variables relative to `_forward_log_probs`, which are constants: all 1, with derivatives."""
    current = jnp.ones_like(factors[0])

    def advance(current: Any, frame: Any) -> tuple[Any, Any]:
        factor, (a, b, c) = frame
        current = factor * (a * current + b * jnp.roll(current, 1, 0) + c * jnp.roll(current, 2, 0))
        return current, current

    _, relative = jax.lax.scan(advance, current, (factors, weights))
    return jnp.concatenate([current[None], relative])


def _log_sum_exp(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return log(sum(exp(x + y))) along the first axis as max(x) and the rest, and the softmax of x + y."""
    first, at = x.max(0, keepdims=True), x.argmax(0, keepdims=True)
    pinned, error = first.clip(min=float(jnp.finfo(x.dtype).min)), jnp.take_along_axis(y, at, 0)
    greatest = jnp.arange(len(x), dtype=at.dtype)[:, None] == at
    others = jnp.where(greatest, 0.0, jnp.exp((x - pinned) + (y - error)))
    total = others.sum(0, keepdims=True)
    weights = jnp.where(greatest, 1.0, others) / (1 + total)
    return first.squeeze(0), (error + log1p(total)).squeeze(0), weights
