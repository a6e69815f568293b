"""The alignments of connectionist temporal classification in JAX: admission of labels and lengths, the recursion.

`ctc_torch.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss import checks
from xloss.kernels.jax_ import concrete, log1p, poison
from xloss.kernels.pairs_jax import rounding

__all__ = ["admit", "negative_log_likelihood"]


def admit(targets: Any, input_lengths: Any, target_lengths: Any, like: Any) -> tuple[Any, Any, Any, Any]:
    """Give labels (N, S) that are safe to gather with, both lengths (N), and the mask of the rows with a bad one.

    `like`: the log-probabilities (T, N, C). What is out of range raises `ValueError` where values can be looked at;
    elsewhere the caller makes such rows NaN. The mask is None where there are none for sure.
    """
    frames, batch, classes = like.shape
    times, late = _admit_lengths("input_lengths", input_lengths, batch, frames)
    lengths, long = _admit_lengths("target_lengths", target_lengths, batch, targets.shape[-1])
    known = concrete(times) and concrete(lengths) and concrete(targets)
    labels, astray = _admit_labels(targets, lengths, classes, known)
    return labels, times, lengths, None if known else late | long | astray


def _admit_lengths(name: str, lengths: Any, batch: int, most: int) -> tuple[Any, Any]:
    """Lengths as an array (N), 0 where they are out of range, and where that is."""
    if isinstance(lengths, (tuple, list)):
        for length in lengths:
            checks.check_integer(name, length)
        lengths = np.asarray(lengths, np.int32)
    if not isinstance(lengths, (jax.Array, np.ndarray, np.generic)):
        checks.refuse_type(name, type(lengths).__name__, "an array, or a tuple or list, of integers")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        checks.refuse_type(name, f"dtype {lengths.dtype}", "an integer dtype")
    if lengths.ndim > 1 or lengths.size != batch:
        checks.refuse(name, f"shape {tuple(lengths.shape)}", f"one for each of the {batch} sequences, ({batch},)")
    lengths = jnp.asarray(lengths).astype(jnp.int32).reshape(batch)
    outside = (lengths < 0) | (lengths > most)
    if concrete(outside) and outside.any():
        checks.refuse(name, f"{lengths[outside][0]}", f"lengths in [0, {most}]")
    return jnp.where(outside, 0, lengths), outside


def _admit_labels(targets: Any, lengths: Any, classes: int, known: bool) -> tuple[Any, Any]:
    """Labels as an array (N, S), 0 beyond the length and where they are no class, and the rows that have one of these.

    Concatenated targets are cut into rows by their lengths, the longest of which sets S, where it is `known`.
    """
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        checks.refuse_type("targets", f"dtype {targets.dtype}", "class indices of an integer dtype")
    targets = targets.astype(jnp.int32)
    total = targets.shape[0]
    astray = jnp.zeros_like(lengths, dtype=bool)
    if targets.ndim == 1:
        if known and int(lengths.sum()) != total:
            checks.refuse("targets", f"{total} labels", f"as many as target_lengths add up to, {int(lengths.sum())}")
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
        checks.refuse("targets", f"label {targets[outside][0]}", f"class indices in [0, {classes})")
    return jnp.where(within & ~outside, targets, 0), astray | outside.any(1)


def negative_log_likelihood(log_probs: Any, labels: Any, times: Any, lengths: Any, blank: int,
                            zero_infinity: bool) -> Any:  # fmt: skip
    """-log of the sum, over all alignments, of the products of their probabilities.

    log_probs (T, N, C), labels (N, S), times (N) <= T, lengths (N) <= S. The states of an alignment are blank, label,
    blank, ..., label, blank; before the first frame it is in a state of its own, two places before the first label.
    The log-probability of the alignments' beginnings is a pair, a number and its rounding error: over hundreds of frames
    those errors add up to many ulps of the loss, and to far more of the gradient, in which they are exponents.
    """
    frames, batch, _ = log_probs.shape
    column = jnp.full_like(lengths, blank)[:, None]
    states = jnp.concatenate([jnp.stack([jnp.full_like(labels, blank), labels], 2).reshape(batch, -1), column], 1)
    # The place before is always open; the one before that where no blank is needed between, and at the start.
    changed = states[:, 2:] != states[:, :-2]
    skips = jnp.concatenate([column != column, column == column, changed], 1)[:, : states.shape[1]]
    place = jnp.arange(states.shape[1], dtype=jnp.int32)
    time = jnp.arange(frames, dtype=jnp.int32).reshape(frames, 1, 1)
    used = (time < times[:, None]) & (place <= 2 * lengths[:, None]) & ((time > 0) | (place < 2))
    # What no alignment looks at may be NaN, and that must reach neither value nor gradient.
    emitted = jnp.where(used, jnp.take_along_axis(log_probs, states[None], 2), 0.0)
    zero = jnp.zeros_like(emitted[0, :, :1])
    never = jnp.stack([jnp.full_like(zero, -jnp.inf), zero])
    edge = jnp.broadcast_to(never, (2, batch, 2))
    alpha = jnp.concatenate(
        [never, jnp.stack([zero, zero]), jnp.broadcast_to(never, (2, batch, states.shape[1]))], 2
    )  # fmt: skip

    def advance(alpha: Any, frame: Any) -> tuple[Any, None]:
        now, emission = frame
        first, rest = _log_add(alpha[:, :, 2:], alpha[:, :, 1:-1], jnp.where(skips, alpha[:, :, :-2], never))
        moved = jnp.concatenate([edge, _pair(first, emission, rest)], 2)
        return jnp.where((now < times)[:, None], moved, alpha), None

    alpha, _ = jax.lax.scan(advance, alpha, (time.reshape(frames), emitted))
    ends = jnp.broadcast_to(jnp.stack([2 * lengths + 2, 2 * lengths + 1], 1), (2, batch, 2))
    blank_last, label_last = jnp.split(jnp.take_along_axis(alpha, ends, 2), 2, 2)
    first, rest = _log_add(blank_last, label_last, never)
    loss = -(first + rest).squeeze(1)
    loss = poison(loss, loss == -jnp.inf)
    infinite = loss == jnp.inf
    if zero_infinity:
        return jnp.where(infinite, 0.0, loss)
    # There the derivative does not exist: NaN (that of log z^2 at 0) for all that was looked at, as in torch.
    total = jnp.where(jnp.isfinite(emitted), emitted, 0.0).sum((0, 2))
    z = jnp.where(infinite, total - jax.lax.stop_gradient(total), 1.0)
    return loss - jnp.log(z * z)


def _log_add(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """log(exp(a) + exp(b) + exp(c)) of pairs, as the greatest and what is to be added to it.

    Neither the value nor the derivatives lose a digit where one is by far the greatest.
    """
    later = b[0] > a[0]
    first, second = jnp.where(later, b, a), jnp.where(later, a, b)
    later = c[0] > first[0]
    first, third = jnp.where(later, c, first), jnp.where(later, first, c)
    pinned = jnp.where(first[0] == -jnp.inf, 0.0, first[0])
    others = [jnp.exp((x[0] - pinned) + (x[1] - first[1])) for x in (second, third)]
    return first[0], first[1] + log1p(others[0] + others[1])


def _pair(a: Any, b: Any, c: Any) -> Any:
    """a + b + c, and what it lacks of the exact sum; the latter a constant."""
    part = a + b
    total = part + c
    return jnp.stack([total, rounding(a, b, part) + rounding(part, c, total)])
