"""The alignments of connectionist temporal classification in PyTorch: admission of labels and lengths, the recursion.

`ctc_jax.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import torch

from xloss import checks
from xloss.kernels.pairs_torch import rounding
from xloss.kernels.torch_ import concrete, poison

__all__ = ["admit", "negative_log_likelihood"]

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def admit(targets: Any, input_lengths: Any, target_lengths: Any, like: Any) -> tuple[Any, Any, Any, Any]:
    """Give labels (N, S) that are safe to gather with, both lengths (N), and the mask of the rows with a bad one.

    `like`: the log-probabilities (T, N, C). What is out of range raises `ValueError` where values can be looked at;
    elsewhere the caller makes such rows NaN. The mask is None where there are none for sure.
    """
    frames, batch, classes = like.shape
    times, late = _admit_lengths("input_lengths", input_lengths, batch, frames)
    lengths, long = _admit_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    times, late, lengths, long = (x.to(like.device) for x in (times, late, lengths, long))
    labels, astray = _admit_labels(targets, lengths, classes, known)
    return labels, times, lengths, None if known else late | long | astray


def _admit_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[Any, Any]:
    """Lengths as a tensor (N), 0 where they are out of range, and where that is."""
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            checks.check_integer(name, length)
        lengths = torch.tensor(lengths, dtype=torch.int64)
    if not isinstance(lengths, torch.Tensor):
        checks.refuse_type(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    if lengths.dtype not in _INTEGERS:
        checks.refuse_type(name, f"dtype {lengths.dtype}", "an integer dtype")
    if lengths.ndim > 1 or lengths.numel() != batch:
        checks.refuse(name, f"shape {tuple(lengths.shape)}", f"one for each of the {batch} sequences, ({batch},)")
    lengths = lengths.long().reshape(batch)
    outside = (lengths < 0) | (lengths > most)
    if concrete(outside) and outside.any():
        checks.refuse(name, f"{lengths[outside][0].item()}", f"lengths in [0, {most}]")
    return torch.where(outside, 0, lengths), outside


def _admit_labels(targets: Any, lengths: Any, classes: int, known: bool) -> tuple[Any, Any]:
    """Labels as a tensor (N, S), 0 beyond the length and where they are no class, and the rows that have one of these.

    Concatenated targets are cut into rows by their lengths, the longest of which sets S, where it is `known`.
    """
    if targets.dtype not in _INTEGERS:
        checks.refuse_type("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    targets = targets.long().to(lengths.device)
    total = targets.shape[0]
    astray = torch.zeros_like(lengths, dtype=torch.bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            checks.refuse("targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}")
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
        checks.refuse("targets", f"label {targets[outside][0].item()}", f"class indices in [0, {classes})")
    return torch.where(within & ~outside, targets, 0), astray | outside.any(1)


def negative_log_likelihood(log_probs: Any, labels: Any, times: Any, lengths: Any, blank: int,
                            zero_infinity: bool) -> Any:  # fmt: skip
    """-log of the sum, over all alignments, of the products of their probabilities.

    log_probs (T, N, C), labels (N, S), times (N) <= T, lengths (N) <= S. The states of an alignment are blank, label,
    blank, ..., label, blank; before the first frame it is in a state of its own, two places before the first label.
    The log-probability of the alignments' beginnings is a pair, a number and its rounding error: over hundreds of frames
    those errors add up to many ulps of the loss, and to far more of the gradient, in which they are exponents.
    """
    frames, batch, _ = log_probs.shape
    column = torch.full_like(lengths, blank).unsqueeze(1)
    states = torch.cat([torch.stack([torch.full_like(labels, blank), labels], 2).flatten(1), column], 1)
    # The place before is always open; the one before that where no blank is needed between, and at the start.
    changed = states[:, 2:] != states[:, :-2]
    skips = torch.cat([column != column, column == column, changed], 1)[:, : states.shape[1]]
    place = torch.arange(states.shape[1], device=states.device)
    time = torch.arange(frames, device=states.device).reshape(frames, 1, 1)
    used = (time < times.unsqueeze(1)) & (place <= 2 * lengths.unsqueeze(1)) & ((time > 0) | (place < 2))
    # What no alignment looks at may be NaN, and that must reach neither value nor gradient.
    emitted = torch.where(used, log_probs.gather(2, states.expand(frames, -1, -1)), 0.0)
    zero = torch.zeros_like(emitted[0, :, :1])
    never = torch.stack([torch.full_like(zero, -torch.inf), zero])
    edge = never.expand(2, batch, 2)
    alpha = torch.cat([never, torch.stack([zero, zero]), never.expand(2, batch, states.shape[1])], 2)
    for now, emission in enumerate(emitted.unbind(0)):
        first, rest = _log_add(alpha[:, :, 2:], alpha[:, :, 1:-1], torch.where(skips, alpha[:, :, :-2], never))
        moved = torch.cat([edge, _pair(first, emission, rest)], 2)
        alpha = torch.where((now < times).unsqueeze(1), moved, alpha)
    ends = torch.stack([2 * lengths + 2, 2 * lengths + 1], 1).expand(2, batch, 2)
    blank_last, label_last = alpha.gather(2, ends).split(1, 2)
    first, rest = _log_add(blank_last, label_last, never)
    loss = -(first + rest).squeeze(1)
    loss = poison(loss, loss == -torch.inf)
    infinite = loss == torch.inf
    if zero_infinity:
        return torch.where(infinite, 0.0, loss)
    # There the derivative does not exist: NaN (that of log z^2 at 0) for all that was looked at, as in torch.
    total = torch.where(torch.isfinite(emitted), emitted, 0.0).sum((0, 2))
    z = torch.where(infinite, total - total.detach(), 1.0)
    return loss - torch.log(z * z)


def _log_add(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """log(exp(a) + exp(b) + exp(c)) of pairs, as the greatest and what is to be added to it.

    Neither the value nor the derivatives lose a digit where one is by far the greatest.
    """
    later = b[0] > a[0]
    first, second = torch.where(later, b, a), torch.where(later, a, b)
    later = c[0] > first[0]
    first, third = torch.where(later, c, first), torch.where(later, first, c)
    pinned = torch.where(first[0] == -torch.inf, 0.0, first[0])
    others = [torch.exp((x[0] - pinned) + (x[1] - first[1])) for x in (second, third)]
    return first[0], first[1] + torch.log1p(others[0] + others[1])


def _pair(a: Any, b: Any, c: Any) -> Any:
    """a + b + c, and what it lacks of the exact sum; the latter a constant."""
    part = a + b
    total = part + c
    return torch.stack([total, rounding(a, b, part) + rounding(part, c, total)])
