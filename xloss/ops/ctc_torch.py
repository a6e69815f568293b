"""Connectionist temporal classification in PyTorch: validation of labels and lengths, the forward algorithm.

`ctc_jax.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops.compensated_torch import two_sum_error
from xloss.ops.torch import as_array, check_devices, concrete, is_integer, nan_where

__all__ = ["negative_log_likelihood", "validate_labels_and_lengths"]


def validate_labels_and_lengths(
    targets: torch.Tensor, input_lengths: Any, target_lengths: Any, log_probs: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return labels (N, S) that are safe to gather with, both lengths (N), and the mask (N) of rows with a bad one.

    For log-probabilities (T, N, C). What is out of range raises `ValueError` where values are concrete, and the mask is
    None; elsewhere the caller makes such rows NaN.
    """
    for name, given in {"targets": targets, "input_lengths": input_lengths, "target_lengths": target_lengths}.items():
        # From the CPU they are moved, as torch does it.
        if isinstance(given, torch.Tensor) and (log_probs.device.type == "meta" or given.device.type != "cpu"):
            check_devices(**{"log_probs": log_probs, name: given})
    frames, batch, classes = log_probs.shape
    times, bad_times = _validate_lengths("input_lengths", input_lengths, batch, frames)
    lengths, bad_lengths = _validate_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    times, bad_times, lengths, bad_lengths = (x.to(log_probs.device) for x in (times, bad_times, lengths, bad_lengths))
    labels, bad_rows = _validate_labels(targets, lengths, frames, classes, known)
    return labels, times, lengths, None if known else bad_times | bad_lengths | bad_rows


def _validate_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lengths as a tensor (N), 0 where out of [0, most], and the mask of those."""
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            arguments.check_integer(name, length)
        lengths = torch.tensor(lengths, dtype=torch.int64)
    if not isinstance(lengths, torch.Tensor):
        arguments.raise_type_error(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    lengths = as_array(name, lengths)
    if not is_integer(lengths):
        arguments.raise_type_error(name, f"dtype {lengths.dtype}", "an integer dtype")
    if lengths.ndim > 1 or lengths.numel() != batch:
        arguments.raise_value_error(
            name, f"shape {tuple(lengths.shape)}", f"one for each of the {batch} sequences, ({batch},)"
        )
    lengths = lengths.long().reshape(batch)
    outside = (lengths < 0) | (lengths > most)
    if concrete(outside) and outside.any():
        arguments.raise_value_error(name, f"{lengths[outside][0].item()}", f"lengths in [0, {most}]")
    return torch.where(outside, 0, lengths), outside


def _validate_labels(
    targets: torch.Tensor, lengths: torch.Tensor, frames: int, classes: int, known: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels (N, S), 0 beyond the length and where out of range, and the mask of rows with one out of range.

    Concatenated targets are split by their lengths: S is the longest where lengths are `known`. Else it is at most
    one more than the frames: longer targets have no alignment, and neither has what is left of them.
    """
    if not is_integer(targets):
        arguments.raise_type_error("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    targets = targets.long().to(lengths.device)
    total = targets.shape[0]
    bad_rows = torch.zeros_like(lengths, dtype=torch.bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            arguments.raise_value_error(
                "targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}"
            )
        longest = int(lengths.max()) if known else min(total, frames + 1)
        position = torch.arange(longest, device=lengths.device)
        end = lengths.cumsum(0).clamp(max=total)
        start = (lengths.cumsum(0) - lengths).clamp(max=total)
        index = start.unsqueeze(1) + position
        # One more at the end, for there may be no label at all.
        padded = torch.cat([targets, targets.new_zeros(1)])
        bad = torch.cat([lengths.new_zeros(1), ((targets < 0) | (targets >= classes)).cumsum(0)])
        targets = padded.index_select(0, index.clamp(max=total).reshape(-1)).reshape(index.shape)
        # A single row may have more labels than its length, padding: so that `vmap` can map over padded rows.
        mismatch = lengths.sum() != total if lengths.shape[0] > 1 else lengths.sum() > total
        bad_rows = mismatch.expand(lengths.shape) | (bad.index_select(0, end) != bad.index_select(0, start))
    position = torch.arange(targets.shape[1], device=lengths.device)
    in_length = position < lengths.unsqueeze(1)
    outside = in_length & ((targets < 0) | (targets >= classes))
    if known and outside.any():
        arguments.raise_value_error(
            "targets", f"label {targets[outside][0].item()}", f"class indices in [0, {classes})"
        )
    return torch.where(in_length & ~outside, targets, 0), bad_rows | outside.any(1)


def negative_log_likelihood(
    log_probs: torch.Tensor, labels: torch.Tensor, times: torch.Tensor, lengths: torch.Tensor, blank: int,
    zero_infinity: bool
) -> torch.Tensor:  # fmt: skip
    """Compute -log of the sum over all alignments of the products of their probabilities, shape (N).

    log_probs (T, N, C), labels (N, S), times (N) <= T, lengths (N) <= S. The states of an alignment are blank, label,
    blank, ..., label, blank; the initial state, before the first frame, is two positions before the first label.
    The forward algorithm on frames and labels in reversed order is the backward one: the first half of the frames runs
    forward and the second half backward, as one batch of 2N problems of half the length, which meet in the middle.

    The recursion of log-probabilities runs on constants. It gives the value, and the weight that each predecessor has
    in the sum that reaches a state. Relative to these constants all probabilities are 1; their recursion, which carries
    the derivatives of any order, multiplies by these weights.
    """
    frames, batch, classes = log_probs.shape
    lengths = lengths.clamp(max=labels.shape[1])  # of concatenated targets that are too long
    last = 2 * lengths
    position = torch.arange(labels.shape[1], device=labels.device)
    reverse = labels.gather(1, (lengths.unsqueeze(1) - 1 - position).clamp(min=0))
    labels = torch.cat([labels, reverse]).T
    blank_row = torch.full_like(torch.cat([lengths, lengths]), blank).unsqueeze(0)
    states = _interleave(blank_row, labels, 0)
    count = len(states)
    # A step by one state is always allowed; by two only where no blank is needed between, and at the start.
    changed = states[2:] != states[:-2]
    skips = torch.cat([blank_row != blank_row, blank_row == blank_row, changed])[:count]
    time = torch.arange((frames + 1) // 2, device=states.device).reshape(-1, 1, 1)
    position = torch.arange(count + 1, device=states.device).unsqueeze(1)
    half = (times + 1) // 2
    frames_used = torch.cat([half, times - half])
    used = (time < frames_used) & (position[:-1] <= torch.cat([last, last])) & ((time > 0) | (position[:-1] < 2))
    frame = torch.cat([time.expand(-1, -1, batch), (times - 1 - time).clamp(min=0)], 2)
    row = torch.arange(batch, device=states.device).repeat(2)
    index = frame * batch + row
    blanks = log_probs[:, :, blank].flatten().index_select(0, index.flatten()).reshape(index.shape)
    index = index * classes + labels
    others = log_probs.flatten().index_select(0, index.flatten()).reshape(index.shape)
    # A NaN that no alignment uses must reach neither value nor gradient.
    emitted = torch.where(used, _interleave(blanks, others, 1), 0.0)
    finite = emitted.nan_to_num(0.0, 0.0, 0.0)
    high, low, weights = _forward_log_probs(emitted.detach(), skips)
    relative = _forward_relative(torch.exp(finite - finite.detach()), weights)
    # From each state that the forward half ends in, to each that the backward half ends in.
    high, low, relative = (x.gather(0, frames_used.expand(1, *x.shape[1:])).squeeze(0) for x in (high, low, relative))
    relative = torch.cat([torch.ones_like(high[:2]), relative])
    mirrored = (last + 2 - position).clamp(min=0)
    backward = [x[:, batch:].gather(0, mirrored) for x in (high, low, relative)]
    stay, skip = position <= last, torch.cat([skips, blank_row == blank_row])[:, :batch] | (position > last)
    allowed = torch.stack([stay, torch.ones_like(stay), skip])
    forward = [_predecessors(torch.nn.functional.pad(x[:, :batch], (0, 0, 0, 1))) for x in (high, low, relative)]
    forward[0] = torch.where(allowed, forward[0], -torch.inf)
    total = forward[0] + backward[0]
    error = forward[1] + backward[1] + two_sum_error(forward[0], backward[0], total)
    first, rest, weights = _log_sum_exp(total.flatten(0, 1), error.flatten(0, 1))
    loss = -(first + rest)
    infinite = loss == torch.inf
    ratio = torch.where(infinite, 1.0, (weights * (forward[2] * backward[2]).flatten(0, 1)).sum(0))
    loss = loss - torch.log(ratio / ratio.detach())
    loss = nan_where(loss, loss == -torch.inf)
    if zero_infinity:
        return torch.where(infinite, 0.0, loss)
    # An infinite loss has no derivative: NaN (that of log z^2 at 0) for all elements that alignments use, as in torch.
    total = finite.sum((0, 1)).reshape(2, batch).sum(0)
    z = torch.where(infinite, total - total.detach(), 1.0)
    return loss - torch.log(z * z)


def _interleave(blank: torch.Tensor, labels: torch.Tensor, axis: int) -> torch.Tensor:
    """Return blank, label, blank, ..., label, blank along the axis, where `blank` has size 1."""
    pairs = torch.stack([blank.expand(labels.shape), labels], axis + 1)
    return torch.cat([pairs.flatten(axis, axis + 1), blank], axis)


def _predecessors(padded: torch.Tensor) -> torch.Tensor:
    """Stack, for each state, the values 0, 1 and 2 positions before it; two more positions precede the first."""
    return torch.stack([padded[2:], padded[1:-1], padded[:-2]])


def _forward_log_probs(emitted: torch.Tensor, skips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Compute the forward variables' logarithms (1 + time, 2 + state, row), and the predecessors' weights.

    The former are double words, a number and its rounding error: over hundreds of frames those errors add up to many
    ulps of the loss, and to far more of the gradient, in which they are exponents.
    """
    lowest = float(torch.finfo(emitted.dtype).min) / 8
    zeros = torch.zeros_like(emitted[0, :1]).repeat(2, 1)
    impossible = zeros - torch.inf
    never = torch.full_like(emitted[0], -torch.inf)
    high = torch.cat([impossible[:1], zeros[:1], never])
    low = torch.zeros_like(high)
    highs, lows, weights = [high], [low], []
    for emission in emitted.unbind(0):
        a, b, c = high[2:], high[1:-1], torch.where(skips, high[:-2], never)
        first = torch.maximum(torch.maximum(a, b), c)
        pinned = first.clamp(min=lowest)
        a, b, c = (a - pinned) + low[2:], (b - pinned) + low[1:-1], (c - pinned) + low[:-2]
        x, y = torch.maximum(a, b), torch.minimum(a, b)
        x, z = torch.maximum(x, c).clamp(min=lowest), torch.minimum(x, c)
        rest = x + torch.log1p(_exp(y - x) + _exp(z - x))
        weights.append(_exp(torch.stack([a, b, c]) - rest))
        total, error = _add_double_word(first, emission, rest)
        high, low = torch.cat([impossible, total]), torch.cat([zeros, error])
        highs.append(high)
        lows.append(low)
    return torch.stack(highs), torch.stack(lows), weights


def _exp(x: torch.Tensor) -> torch.Tensor:
    """Compute exp(x), 0 where it is nearly subnormal: subnormals are thirty times slower on a CPU (but not in XLA)."""
    tiny = torch.finfo(x.dtype).tiny
    return torch.nn.functional.threshold(torch.exp(x.clamp(min=math.log(tiny) + 1)), 3 * tiny, 0.0)


def _add_double_word(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a + b + c and its rounding error, exact for |c| <= |a + b|, and 0 where it is not finite."""
    part = a + b
    c = c + two_sum_error(a, b, part)
    total = part + c
    error = c - (total - part)
    return total, error.nan_to_num(0.0, 0.0, 0.0)


def _forward_relative(factors: torch.Tensor, weights: Any) -> torch.Tensor:
    """Compute the forward variables relative to `_forward_log_probs`, which are constants: all 1, with derivatives."""
    current = torch.ones_like(factors[0])
    relative = [current]
    for factor, (a, b, c) in zip(factors.unbind(0), weights, strict=True):
        current = factor * (a * current).addcmul(b, current.roll(1, 0)).addcmul(c, current.roll(2, 0))
        relative.append(current)
    return torch.stack(relative)


def _log_sum_exp(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log(sum(exp(x + y))) along the first axis as max(x) and the rest, and the softmax of x + y."""
    first, at = x.max(0, keepdim=True)
    pinned, error = first.clamp(min=torch.finfo(x.dtype).min), y.gather(0, at)
    others = torch.exp((x - pinned) + (y - error)).scatter(0, at, 0.0)
    total = others.sum(0, keepdim=True)
    weights = others.scatter(0, at, 1.0) / (1 + total)
    return first.squeeze(0), (error + torch.log1p(total)).squeeze(0), weights
