"""Count errors in ulps, and keep the worst, by the rules of `xloss.parity.verdict`.

The error is in ulps of the loss's dtype at the exact result, never smaller than that of the smallest normal number. It
is 0 where the exact result is below four times that number and no more than that is missing (XLA takes subnormal
numbers for 0), and where an infinity stands for a result that overflows. In JAX a subnormal input may
have been taken for 0. A NaN or an infinity where a finite number is right is *lost*: an infinite error.
"""

from __future__ import annotations

import heapq
from dataclasses import asdict, dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from xloss.exhaustive.problems import BITS, Problem
from xloss.parity.inputs import DTYPES

QUANTITIES = ("value", "gradient")
#: Errors above these are counted.
LIMITS = (0.5, 1.0, 2.0)
#: A result is well conditioned where an ulp in the inputs moves it by no more ulps than this, and where no more than
#: half an ulp is lost with an input or an intermediate result below the smallest normal number.
CONDITION = 2.0
#: Errors up to so many ulps are taken as they are: no rule makes them less.
PLAIN = 4.0
#: How many of the worst are kept (and settled in balls), and how many that float64 cannot decide.
WORST, HARD = 8, 256

_EXPONENT = np.int64(0x7FF0000000000000)


@dataclass(order=True)
class Found:
    """One result: its error in ulps, the bit patterns of its inputs, what was computed, and what is right."""

    ulps: float
    bits: tuple[int, ...]
    got: float
    right: float
    #: Whether balls decided, not float64.
    settled: bool = False


@dataclass
class Tally:
    """The errors of one implementation in one quantity.

    `asked` counts the inputs with an exact result, `over` those with an error above each of `LIMITS`, `lost` those
    whose error is infinite; `hard` are those within the bound of the float64 formula of a limit, counted as not above
    it, and `undecided` those of them that were too many to be kept. What is the float64 result, rounded, counts as
    right: it is at most the bound more than half an ulp off.
    """

    asked: int = 0
    over: list[int] = field(default_factory=lambda: [0] * len(LIMITS))
    lost: int = 0
    undecided: int = 0
    first_lost: Found | None = None
    worst: list[Found] = field(default_factory=list)
    conditioned: list[Found] = field(default_factory=list)
    hard: list[Found] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Tally:
        """Return what `as_data` wrote."""

        def found(one: dict[str, Any]) -> Found:
            return Found(**{**one, "bits": tuple(one["bits"])})

        lists = {name: [found(one) for one in data[name]] for name in ("worst", "conditioned", "hard")}
        lost = data["first_lost"]
        return cls(**{**data, **lists, "first_lost": None if lost is None else found(lost)})


def single(array: np.ndarray) -> np.ndarray:
    """Return the array in float32; bfloat16 by its bits, which is faster than by its numbers."""
    if array.dtype == ml_dtypes.bfloat16:
        return (array.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(np.float32, copy=False)


def widen(array: np.ndarray) -> np.ndarray:
    """Return the array in float64."""
    return single(array).astype(np.float64)


def rounded(right: np.ndarray, dtype: str) -> np.ndarray:
    """Return float64 numbers rounded to the dtype, as float32: to the nearest, of two the even one.

    By bits where the dtype is 16 bits wide: a cast would round twice. Subnormal and infinite results of those may be
    wrong: what differs from them is looked at closely.
    """
    with np.errstate(over="ignore", under="ignore"):
        if dtype != "float32":
            drop = np.int64(52 - ml_dtypes.finfo(DTYPES[dtype]).nmant)
            bits = right.view(np.int64)
            odd = (bits >> drop) & 1
            odd += bits
            odd += (np.int64(1) << (drop - 1)) - 1
            odd &= ~((np.int64(1) << drop) - 1)
            right = odd.view(np.float64)
        return right.astype(np.float32)


def numbers(bits: np.ndarray, dtype: str) -> np.ndarray:
    """Return the numbers of these bit patterns, in the dtype."""
    return bits.astype(np.uint32 if BITS[dtype] == 32 else np.uint16).view(DTYPES[dtype])


class Block:
    """The inputs of one block, and what is right there, to hold each implementation against."""

    def __init__(self, problem: Problem, index: np.ndarray):
        self.problem = problem
        self.bits = problem.bits(index)
        self.inputs = [numbers(bits, problem.dtype) for bits in self.bits]
        self.wide = [widen(array) for array in self.inputs]
        self.info = ml_dtypes.finfo(DTYPES[problem.dtype])
        self.tiny = 4 * float(self.info.smallest_normal)
        self.least = np.float64(self.info.smallest_normal).view(np.int64) & _EXPONENT
        # 2046 is twice the bias of the exponent, eps a power of two; the subtraction takes back what is beyond 63 bits.
        self.turned = np.int64((2046 - round(np.log2(float(self.info.eps))) << 52) - (1 << 64))
        # Where an input is subnormal; None where none is.
        least = float(self.info.smallest_normal)
        some = np.logical_or.reduce([(np.abs(x) < least) & (x != 0) for x in self.wide])
        self.subnormal = some if some.any() else None
        right = problem.right(*self.wide)
        self.right = {"value": right.value, "gradient": right.gradient}
        self.sizes = {"value": right.value_size, "gradient": right.gradient_size}
        self.rounded = {name: rounded(array, problem.dtype) for name, array in self.right.items()}
        self.known = {name: ~np.isnan(array) for name, array in self.right.items()}
        self.asked = {name: int(np.count_nonzero(known)) for name, known in self.known.items()}

    def add(self, tally: Tally, quantity: str, got: np.ndarray, flushes: bool) -> None:
        """Count the errors of an implementation's results."""
        tally.asked += self.asked[quantity]
        got = single(got)
        wrong = got != self.rounded[quantity]
        if self.asked[quantity] < wrong.size:
            wrong &= self.known[quantity]
        chosen = np.flatnonzero(wrong)
        if chosen.size:
            with np.errstate(all="ignore"):
                self._judge(tally, quantity, chosen, got[chosen].astype(np.float64), flushes)

    def _judge(self, tally: Tally, quantity: str, chosen: np.ndarray, wide: np.ndarray, flushes: bool) -> None:
        """Judge the results that are not the float64 ones, rounded."""
        right = self.right[quantity][chosen]
        per_ulp = self.per_ulp(right)
        ulps = np.abs(wide - right) * per_ulp
        # An error of some ulps is what it is; a larger one, or none, may have its reason.
        special = ~(ulps <= PLAIN) | (np.abs(right) < self.tiny)
        if flushes and self.subnormal is not None:
            special |= self.subnormal[chosen]
        odd = np.flatnonzero(special)
        if odd.size:
            ulps[odd] = self._errors(wide[odd], right[odd], per_ulp[odd])
            if flushes:
                ulps[odd] = np.minimum(ulps[odd], self._flushed(quantity, chosen[odd], wide[odd]))
        size = self.sizes[quantity]
        margin: Any = 2 * self.problem.bound / float(self.info.eps)
        if size is not None:
            margin = self.problem.bound * size[chosen] * per_ulp
            margin[~np.isfinite(margin)] = 0
        for place, limit in enumerate(LIMITS):
            tally.over[place] += int(np.count_nonzero(ulps > limit + margin))
            doubt = np.flatnonzero(np.abs(ulps - limit) <= margin)
            room = HARD - len(tally.hard)
            tally.hard += [self._found(ulps, chosen, wide, right, at) for at in doubt[:room]]
            tally.undecided += max(len(doubt) - room, 0)
        lost = np.flatnonzero(np.isinf(ulps))
        if lost.size:
            tally.lost += lost.size
            if tally.first_lost is None:
                tally.first_lost = self._found(ulps, chosen, wide, right, lost[0])
        least = tally.worst[0].ulps if len(tally.worst) >= WORST else LIMITS[0]
        self._keep(tally.worst, ulps, chosen, wide, right, np.flatnonzero((ulps > least) & (ulps < np.inf)))
        least = tally.conditioned[0].ulps if len(tally.conditioned) >= WORST else LIMITS[0]
        candidates = np.flatnonzero(ulps > least)
        if candidates.size:
            well = self._well_conditioned(quantity, chosen[candidates], right[candidates], per_ulp[candidates])
            self._keep(tally.conditioned, ulps, chosen, wide, right, candidates[well])

    def per_ulp(self, right: np.ndarray) -> np.ndarray:
        """Return one over the ulp at each exact result, by the bits of its exponent; NaN and infinity give some number.

        It is what `xloss.parity.verdict.ulp` says, and several times faster.
        """
        exponent = right.view(np.int64) & _EXPONENT
        np.maximum(exponent, self.least, out=exponent)
        np.subtract(self.turned, exponent, out=exponent)
        return exponent.view(np.float64)

    def _errors(self, got: np.ndarray, right: np.ndarray, per_ulp: np.ndarray) -> np.ndarray:
        error = np.abs(got - right)
        overflow = np.isinf(got) & (np.sign(got) == np.sign(right)) & (np.abs(right) > float(self.info.max))
        error[(got == right) | overflow | ((np.abs(right) < self.tiny) & (error <= self.tiny))] = 0
        error[np.isnan(error)] = np.inf
        return np.asarray(error * per_ulp)

    def _flushed(self, quantity: str, chosen: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """Return the errors against what is right where subnormal inputs are 0; infinite where there is none."""
        least = float(self.info.smallest_normal)
        inputs = [array[chosen] for array in self.wide]
        some = np.zeros(wide.shape, dtype=bool) if self.subnormal is None else self.subnormal[chosen]
        ulps = np.full(wide.shape, np.inf)
        if some.any():
            inputs = [x[some] for x in inputs]
            moved = self.problem.right(*(np.where(np.abs(x) < least, np.copysign(0.0, x), x) for x in inputs))
            right = moved.value if quantity == "value" else moved.gradient
            error = self._errors(wide[some], right, self.per_ulp(np.ascontiguousarray(right)))
            # Where there is no result at 0, any is right.
            ulps[some] = np.where(np.isnan(right), 0.0, error)
        return ulps

    def _well_conditioned(
        self, quantity: str, chosen: np.ndarray, right: np.ndarray, per_ulp: np.ndarray
    ) -> np.ndarray:
        """Tell where a step to the next number, in every argument, moves the result by at most `CONDITION` ulps.

        What is taken for 0 moves it by up to twice the smallest normal number, times 1 and its slopes: the verdict's.
        """
        moved, slopes = np.zeros(chosen.shape), np.ones(chosen.shape)
        for number, axis in enumerate(self.problem.axes):
            bits = self.bits[number][chosen]
            greatest, steepest = np.zeros(chosen.shape), np.zeros(chosen.shape)
            for step in (-1, 1):
                inside = np.zeros(chosen.shape, dtype=bool)
                for first, last in axis.ranges:
                    inside |= (bits + step >= first) & (bits + step <= last)
                inputs = [array[chosen] for array in self.wide]
                inputs[number] = widen(numbers(np.where(inside, bits + step, bits), self.problem.dtype))
                there = self.problem.right(*inputs)
                change = np.abs((there.value if quantity == "value" else there.gradient) - right)
                greatest = np.maximum(greatest, change * per_ulp)
                width = np.abs(inputs[number] - self.wide[number][chosen])
                steepest = np.maximum(steepest, np.where(width > 0, change / width, 0))
            moved, slopes = moved + greatest, slopes + steepest
        lost = 2 * float(self.info.smallest_normal) * slopes * per_ulp
        return np.asarray((moved <= CONDITION) & (lost <= LIMITS[0]))

    def _found(self, ulps: np.ndarray, chosen: np.ndarray, wide: np.ndarray, right: np.ndarray, at: int) -> Found:
        bits = tuple(int(array[chosen[at]]) for array in self.bits)
        return Found(float(ulps[at]), bits, float(wide[at]), float(right[at]))

    def _keep(self, kept: list[Found], ulps: np.ndarray, chosen: np.ndarray, wide: np.ndarray, right: np.ndarray,
              some: np.ndarray) -> None:  # fmt: skip
        """Put the worst of `some` among those that are `kept`: a heap, of equal errors those that were first."""
        if len(kept) >= WORST:
            some = some[ulps[some] > kept[0].ulps]
        best = some[np.argsort(-ulps[some], kind="stable")[:WORST]] if some.size else some
        for at in best:
            found = self._found(ulps, chosen, wide, right, int(at))
            if len(kept) < WORST:
                heapq.heappush(kept, found)
            elif found.ulps > kept[0].ulps:
                heapq.heapreplace(kept, found)
