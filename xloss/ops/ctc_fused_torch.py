"""Connectionist temporal classification in eager PyTorch on a CPU, for float32: the recursion in NumPy's float64.

Each step of the recursion is a dozen operations on few numbers, whose calls cost PyTorch more than their arithmetic. In
float64 the variables need no second word. What is not finite, derivatives of the gradient and all transformations are
those of `ctc_torch.py`, to which the names of states and halves refer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xloss.ops import ctc_torch
from xloss.ops import torch as ops
from xloss.ops.linear_torch import vjp

# Below every logarithm, and finite, so that a difference from it is not NaN.
_LOWEST = -1e300
Plain = Callable[[torch.Tensor], torch.Tensor]


def negative_log_likelihood(
    log_probs: torch.Tensor, labels: torch.Tensor, times: torch.Tensor, lengths: torch.Tensor, blank: int,
    zero_infinity: bool
) -> torch.Tensor:  # fmt: skip
    """Compute `ctc_torch.negative_log_likelihood`, by NumPy where that may be."""

    def plain(log_probs: torch.Tensor) -> torch.Tensor:
        return ctc_torch.negative_log_likelihood(log_probs, labels, times, lengths, blank, zero_infinity)

    tensors = log_probs, labels, times, lengths
    if log_probs.dtype is not torch.float32 or not ops.on_cpu(log_probs) or ops.is_transformed(*tensors):
        return plain(log_probs)
    if not (log_probs.numel() and labels.shape[1]):
        return plain(log_probs)
    with np.errstate(all="ignore"):
        x, *integers = (tensor.detach().numpy() for tensor in tensors)
        found = _Halves.of(x, *integers, blank=blank)
    if found is None:
        return plain(log_probs)
    loss: torch.Tensor = _Ctc.apply(log_probs, found, plain)
    return loss


@dataclass(frozen=True, eq=False)
class _Halves:
    """The forward algorithm of both halves of the frames, (time, state, 2N), and where they meet, (3, state, N)."""

    loss: np.ndarray
    index: np.ndarray  # of the emissions among the log_probs
    high: np.ndarray  # the forward variables, after two states more, before each frame and at the end
    rest: np.ndarray  # without the emission
    skip: np.ndarray  # 0, or -inf where two states on may not be gone
    frames_used: np.ndarray
    mirrored: np.ndarray
    meeting: np.ndarray  # the weight of each pair of states in the sum over all

    @classmethod
    def of(
        cls, log_probs: np.ndarray, labels: np.ndarray, times: np.ndarray, lengths: np.ndarray, *, blank: int
    ) -> _Halves | None:
        """Compute; None if an emission, or a loss, is not finite."""
        frames, batch, classes = log_probs.shape
        longest = int(lengths.max())
        last, count, rows = 2 * lengths, 2 * longest + 1, np.arange(batch)
        states = np.full((count, 2 * batch), blank)
        states[1::2, :batch] = labels[:, :longest].T
        backwards = np.maximum(lengths - 1 - np.arange(longest)[:, None], 0)
        states[1::2, batch:] = labels[rows, backwards]
        changed = np.ones((count + 1, 2 * batch), bool)
        changed[0] = False
        changed[2:count] = states[2:] != states[:-2]
        half = (times + 1) // 2
        frames_used = np.concatenate([half, times - half])
        time, position = np.arange((frames + 1) // 2)[:, None, None], np.arange(count)[:, None]
        used = (time < frames_used) & (position <= np.concatenate([last, last]))
        used &= (time > 0) | (position < 2)
        frame = np.concatenate([np.broadcast_to(time, (len(time), 1, batch)), np.maximum(times - 1 - time, 0)], 2)
        index = (frame * batch + np.concatenate([rows, rows])) * classes + states
        emitted = np.where(
            used, log_probs.reshape(-1)[index], np.float64(0)
        )  # NaN that no alignment uses must not count
        if not np.isfinite(emitted.sum()):
            return None
        skip = np.where(changed[:count], 0.0, -np.inf)
        high, rest = _recursion(emitted, skip)
        ends = high[frames_used, :, np.arange(2 * batch)].T
        position = np.arange(count + 1)[:, None]
        mirrored = np.maximum(last + 2 - position, 0)
        backward = ends[mirrored, batch + rows]
        forward = np.full((3, count + 1, batch), -np.inf)
        forward[0, :count], forward[1], forward[2] = ends[2:, :batch], ends[1:, :batch], ends[:-1, :batch]
        forward[0][position > last] = -np.inf
        forward[2][~(changed[:, :batch] | (position > last))] = -np.inf
        total = (forward + backward).reshape(-1, batch)
        first = np.argmax(total, 0)
        greatest = total[first, rows]
        if not np.isfinite(greatest).all():
            return None
        meeting = np.exp(total - greatest)
        meeting[first, rows] = 0.0
        others = meeting.sum(0)
        meeting[first, rows] = 1.0
        meeting = (meeting / (1 + others)).reshape(forward.shape)
        return cls(-(greatest + np.log1p(others)), index, high, rest, skip, frames_used, mirrored, meeting)

    def occupancy(self) -> Any:
        """Return the probability, given the target, that an alignment is in a state: (time, state, 2N)."""
        steps, count, rows = self.rest.shape
        batch = rows // 2
        # What each final state has in the meeting of the halves.
        ends = np.zeros((count + 2, rows))
        ends[2:, :batch] = self.meeting[0, :count]
        ends[1:, :batch] += self.meeting[1]
        ends[:-1, :batch] += self.meeting[2]
        np.add.at(ends, (self.mirrored, batch + np.arange(batch)), self.meeting.sum(0))
        rest = np.maximum(self.rest, _LOWEST)
        stay, step = np.exp(self.high[:-1, 2:] - rest), np.exp(self.high[:-1, 1:-1] - rest)
        skip = np.exp(self.high[:-1, :-2] + self.skip - rest)
        found, led, part = np.empty_like(rest), np.zeros((count + 2, rows)), np.empty((count, rows))
        at_end = self.frames_used == np.arange(1, steps + 1)[:, None]
        somewhere = at_end.any(1)
        for t in range(steps - 1, -1, -1):
            now = np.add(led[2:], ends[2:] * at_end[t], out=found[t]) if somewhere[t] else found[t]
            if not somewhere[t]:
                now[...] = led[2:]
            np.multiply(stay[t], now, out=led[2:])
            led[:2] = 0.0
            led[1:-1] += np.multiply(step[t], now, out=part)
            led[:-2] += np.multiply(skip[t], now, out=part)
        return found


def _recursion(emitted: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the forward variables (1 + time, 2 + state, row), and those without the emission."""
    steps, count, rows = emitted.shape
    high, rest = np.full((steps + 1, count + 2, rows), -np.inf), np.empty_like(emitted)
    high[0, 1] = 0.0
    x, y, z = (np.empty((count, rows)) for _ in range(3))
    for before, after, found, emission in zip(high[:-1], high[1:, 2:], rest, emitted, strict=True):
        stay, step = before[2:], before[1:-1]
        np.add(before[:-2], skip, out=z)
        np.maximum(stay, step, out=x)
        np.minimum(stay, step, out=y)
        np.maximum(x, z, out=found)
        np.minimum(x, z, out=z)
        np.maximum(found, _LOWEST, out=x)
        np.exp(np.subtract(y, x, out=y), out=y)
        np.exp(np.subtract(z, x, out=z), out=z)
        y += z
        found += np.log1p(y, out=y)
        np.add(found, emission, out=after)
    return high, rest


class _Ctc(torch.autograd.Function):
    """Join the loss that was found with its gradient."""

    @staticmethod
    def forward(ctx: Any, log_probs: Any, found: _Halves, plain: Plain) -> Any:
        ctx.found, ctx.plain = found, plain
        ctx.save_for_backward(log_probs)
        return torch.from_numpy(found.loss).to(log_probs.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        (log_probs,) = ctx.saved_tensors
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            return vjp(ctx.plain, (True,), (log_probs,), cotangent)[0], None, None
        by_row = -cotangent.double().numpy()
        with np.errstate(all="ignore"):
            by_state = ctx.found.occupancy() * np.concatenate([by_row, by_row])
        by_state[:, 0] = by_state[:, ::2].sum(1)  # the blanks, all of one emission
        place = np.concatenate([ctx.found.index[:, :1], ctx.found.index[:, 1::2]], 1).reshape(-1)
        by_state = np.concatenate([by_state[:, :1], by_state[:, 1::2]], 1).reshape(-1)
        grad = np.bincount(place, by_state, log_probs.numel()).reshape(log_probs.shape)
        return torch.from_numpy(grad).to(log_probs.dtype), None, None
