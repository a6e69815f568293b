"""The alignments of connectionist temporal classification in PyTorch: admission of labels and lengths, the recursion.

`ctc_jax.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops.compensated_torch import rounding
from xloss.ops.torch import concrete, nan_where

__all__ = ["negative_log_likelihood", "validate_and_upcast"]

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def validate_and_upcast(targets: Any, input_lengths: Any, target_lengths: Any, like: Any) -> tuple[Any, Any, Any, Any]:
    """Give labels (N, S) that are safe to gather with, both lengths (N), and the mask of the rows with a bad one.

    `like`: the log-probabilities (T, N, C). What is out of range raises `ValueError` where values can be looked at;
    elsewhere the caller makes such rows NaN. The mask is None where there are none for sure.
    """
    frames, batch, classes = like.shape
    times, late = _validate_lengths("input_lengths", input_lengths, batch, frames)
    lengths, long = _validate_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    times, late, lengths, long = (x.to(like.device) for x in (times, late, lengths, long))
    labels, astray = _validate_labels(targets, lengths, classes, known)
    return labels, times, lengths, None if known else late | long | astray


def _validate_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[Any, Any]:
    """Lengths as a tensor (N), 0 where they are out of range, and where that is."""
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            arguments.check_integer(name, length)
        lengths = torch.tensor(lengths, dtype=torch.int64)
    if not isinstance(lengths, torch.Tensor):
        arguments.raise_type_error(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    if lengths.dtype not in _INTEGERS:
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


def _validate_labels(targets: Any, lengths: Any, classes: int, known: bool) -> tuple[Any, Any]:
    """Labels as a tensor (N, S), 0 beyond the length and where they are no class, and the rows that have one of these.

    Concatenated targets are cut into rows by their lengths, the longest of which sets S, where it is `known`.
    """
    if targets.dtype not in _INTEGERS:
        arguments.raise_type_error("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    targets = targets.long().to(lengths.device)
    total = targets.shape[0]
    astray = torch.zeros_like(lengths, dtype=torch.bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            arguments.raise_value_error(
                "targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}"
            )
        place = torch.arange(int(lengths.max()) if known else total, device=lengths.device)
        index = (lengths.cumsum(0) - lengths).unsqueeze(1) + place
        # One more at the end, for there may be none.
        padded = torch.cat([targets, targets.new_zeros(1)])
        targets = padded.index_select(0, index.clamp(max=total).reshape(-1)).reshape(index.shape)
        # One row may have more, which is padding then: so that `vmap` can map over rows of a padded target.
        unfit = lengths.sum() != total if len(lengths) > 1 else lengths.sum() > total
        astray = unfit.expand(lengths.shape)
    place = torch.arange(targets.shape[1], device=lengths.device)
    within = place < lengths.unsqueeze(1)
    outside = within & ((targets < 0) | (targets >= classes))
    if known and outside.any():
        arguments.raise_value_error(
            "targets", f"label {targets[outside][0].item()}", f"class indices in [0, {classes})"
        )
    return torch.where(within & ~outside, targets, 0), astray | outside.any(1)


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
    frames, batch, classes = log_probs.shape
    ends = 2 * lengths
    place = torch.arange(labels.shape[1], device=labels.device)
    turned = labels.gather(1, (lengths.unsqueeze(1) - 1 - place).clamp(min=0))
    labels = torch.cat([labels, turned]).T
    column = torch.full_like(torch.cat([lengths, lengths]), blank).unsqueeze(0)
    states = _between(column, labels, 0)
    count = len(states)
    # The place before is always open; the one before that where no blank is needed between, and at the start.
    changed = states[2:] != states[:-2]
    skips = torch.cat([column != column, column == column, changed])[:count]
    time = torch.arange((frames + 1) // 2, device=states.device).reshape(-1, 1, 1)
    place = torch.arange(count + 1, device=states.device).unsqueeze(1)
    front = (times + 1) // 2
    steps = torch.cat([front, times - front])
    used = (time < steps) & (place[:-1] <= torch.cat([ends, ends])) & ((time > 0) | (place[:-1] < 2))
    frame = torch.cat([time.expand(-1, -1, batch), (times - 1 - time).clamp(min=0)], 2)
    row = torch.arange(batch, device=states.device).repeat(2)
    index = frame * batch + row
    blanks = log_probs[:, :, blank].flatten().index_select(0, index.flatten()).reshape(index.shape)
    index = index * classes + labels
    others = log_probs.flatten().index_select(0, index.flatten()).reshape(index.shape)
    # What no alignment looks at may be NaN, and that must reach neither value nor gradient.
    emitted = torch.where(used, _between(blanks, others, 1), 0.0)
    finite = emitted.nan_to_num(0.0, 0.0, 0.0)
    high, low, shares = _beginnings(emitted.detach(), skips)
    grown = _growth(torch.exp(finite - finite.detach()), shares)
    # From each place that the front has reached, to each that the back begins with.
    high, low, grown = (x.gather(0, steps.expand(1, *x.shape[1:])).squeeze(0) for x in (high, low, grown))
    grown = torch.cat([torch.ones_like(high[:2]), grown])
    back = (ends + 2 - place).clamp(min=0)
    after = [x[:, batch:].gather(0, back) for x in (high, low, grown)]
    stay, skip = place <= ends, torch.cat([skips, column == column])[:, :batch] | (place > ends)
    gate = torch.stack([stay, torch.ones_like(stay), skip])
    before = [_before(torch.nn.functional.pad(x[:, :batch], (0, 0, 0, 1))) for x in (high, low, grown)]
    before[0] = torch.where(gate, before[0], -torch.inf)
    total = before[0] + after[0]
    error = before[1] + after[1] + rounding(before[0], after[0], total)
    first, rest, shares = _log_sum(total.flatten(0, 1), error.flatten(0, 1))
    loss = -(first + rest)
    infinite = loss == torch.inf
    one = torch.where(infinite, 1.0, (shares * (before[2] * after[2]).flatten(0, 1)).sum(0))
    loss = loss - torch.log(one / one.detach())
    loss = nan_where(loss, loss == -torch.inf)
    if zero_infinity:
        return torch.where(infinite, 0.0, loss)
    # There the derivative does not exist: NaN (that of log z^2 at 0) for all that was looked at, as in torch.
    total = finite.sum((0, 1)).reshape(2, batch).sum(0)
    z = torch.where(infinite, total - total.detach(), 1.0)
    return loss - torch.log(z * z)


def _between(blank: Any, labels: Any, axis: int) -> Any:
    """A blank (1 on the axis), a label, a blank, ..., a label, a blank."""
    pairs = torch.stack([blank.expand(labels.shape), labels], axis + 1)
    return torch.cat([pairs.flatten(axis, axis + 1), blank], axis)


def _before(padded: Any) -> Any:
    """Of each place: what is there, one and two places before. Those follow two others."""
    return torch.stack([padded[2:], padded[1:-1], padded[:-2]])


def _beginnings(emitted: Any, skips: Any) -> tuple[Any, Any, Any]:
    """The log-probabilities of the alignments' beginnings (1 + time, 2 + place, row), and the predecessors' shares.

    The former are pairs, a number and its rounding error: over hundreds of frames those errors add up to many ulps of
    the loss, and to far more of the gradient, in which they are exponents.
    """
    lowest = torch.finfo(emitted.dtype).min / 8
    nothing = torch.zeros_like(emitted[0, :1]).repeat(2, 1)
    never = nothing - torch.inf
    closed = torch.full_like(emitted[0], -torch.inf)
    high = torch.cat([never[:1], nothing[:1], closed])
    low = torch.zeros_like(high)
    highs, lows, shares = [high], [low], []
    for emission in emitted.unbind(0):
        a, b, c = high[2:], high[1:-1], torch.where(skips, high[:-2], closed)
        first = torch.maximum(torch.maximum(a, b), c)
        pinned = first.clamp(min=lowest)
        a, b, c = (a - pinned) + low[2:], (b - pinned) + low[1:-1], (c - pinned) + low[:-2]
        x, y = torch.maximum(a, b), torch.minimum(a, b)
        x, z = torch.maximum(x, c).clamp(min=lowest), torch.minimum(x, c)
        rest = x + torch.log1p(_exp(y - x) + _exp(z - x))
        shares.append(_exp(torch.stack([a, b, c]) - rest))
        total, error = _pair(first, emission, rest)
        high, low = torch.cat([never, total]), torch.cat([nothing, error])
        highs.append(high)
        lows.append(low)
    return torch.stack(highs), torch.stack(lows), shares


def _exp(x: Any) -> Any:
    """exp(x), and 0 near where it underflows, which on a CPU takes thirty times as long (but not in XLA)."""
    tiny = torch.finfo(x.dtype).tiny
    return torch.nn.functional.threshold(torch.exp(x.clamp(min=math.log(tiny) + 1)), 3 * tiny, 0.0)


def _pair(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """a + b + c, and what it lacks of the exact sum, 0 where it is not finite; c is small, or its last digit is."""
    part = a + b
    c = c + rounding(a, b, part)
    total = part + c
    return total, (c - (total - part)).nan_to_num(0.0, 0.0, 0.0)


def _growth(factors: Any, shares: Any) -> Any:
    """The probabilities relative to the constants that `_beginnings` gives: all 1, with the derivatives of them."""
    one = torch.ones_like(factors[0])
    grown = [one]
    for factor, (a, b, c) in zip(factors.unbind(0), shares, strict=True):
        one = factor * (a * one).addcmul(b, one.roll(1, 0)).addcmul(c, one.roll(2, 0))
        grown.append(one)
    return torch.stack(grown)


def _log_sum(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The log of the sum of exp(x + y), as the greatest x and what is to be added to it, and the shares in it."""
    first, at = x.max(0, keepdim=True)
    pinned, error = first.clamp(min=torch.finfo(x.dtype).min), y.gather(0, at)
    others = torch.exp((x - pinned) + (y - error)).scatter(0, at, 0.0)
    total = others.sum(0, keepdim=True)
    shares = others.scatter(0, at, 1.0) / (1 + total)
    return first.squeeze(0), (error + torch.log1p(total)).squeeze(0), shares
