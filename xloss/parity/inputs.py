"""Where inputs come from: regimes, as data, and their drawing; once, in NumPy, exactly representable in the dtype.

Random normal inputs find little. A regime says where in its domain a loss is asked: `REGIMES` names them all. A loss's
`inputs(draw)` builds its arguments out of a `Draw`'s methods, each of which knows what the regime means for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from xloss.catalog import Loss, Variant
from xloss.ops.arguments import class_axis

DTYPES: dict[str, Any] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
# Of each dtype the binary digits of its significand and the exponent of its least subnormal number: what truth must be
# far more precise than.
DIGITS: dict[str, tuple[int, int]] = {
    name: (info.nmant + 1, info.minexp - info.nmant)
    for name, info in zip(DTYPES, map(ml_dtypes.finfo, DTYPES.values()), strict=True)
}

REGIMES: dict[str, str] = {
    "typical": "of the order of 1",
    "large": "hundreds to thousands: saturated",
    "tiny": "1e-2 down to 1e-8",
    "confident": "the loss is near 0",
    "badly_wrong": "the loss is huge",
    "ties": "few distinct values: exact ties",
    "subnormal": "below the dtype's smallest normal number",
    "nonfinite": "infinities and NaN in some rows",
    "empty": "a batch of none",
    "one": "a batch of one",
    "noncontiguous": "typical values in strided memory",
    "expanded": "one row for all, in memory of stride 0",
    "overlapping": "rows that share their memory, each beginning one element after the last",
    "near_kink": "a few ulps beside a kink",
    "on_kink": "on a kink exactly",
    "all_ignored": "every label is ignore_index",
    "zero_weight": "all weights are 0",
}
COMMON = tuple(list(REGIMES)[:11])
SHARED = ("expanded", "overlapping")  # typical inputs whose elements share memory
# How arguments lie in memory (`xloss.parity.mechanisms.base.LAYOUTS`), where not contiguously.
LAYOUT_OF = {"noncontiguous": "strided", "expanded": "expanded", "overlapping": "overlapping"}
KINKS = ("near_kink", "on_kink")
# The random numbers of a regime are keyed by its name; one that was renamed keeps those it had.
DRAWN_AS = {"badly_wrong": "hopeless"}


def applicable(loss: Loss, variant: Variant) -> tuple[str, ...]:
    """Return the regimes that apply to a variant of a loss, in the order of `REGIMES`."""
    special = set(KINKS if loss.domain.kinks else ()) | set(loss.domain.regimes)
    if not set(loss.arguments.weights) & set(variant.tensors):
        special.discard("zero_weight")
    if variant.probabilities:
        special.discard("all_ignored")
    no_batch = variant.unbatched or not variant.per_sample
    if variant is loss.variants[0] and not no_batch and loss.arguments.class_axes is not None:
        special |= set(SHARED)
    return tuple(
        name
        for name in REGIMES
        if (name in COMMON or name in special)
        and name not in loss.domain.skip_regimes
        and not (no_batch and name in ("empty", "one"))
    )


class Draw:
    """Draws the inputs of one cell.

    Attributes: `regime`, `variant`, `kinks` (the loss's), `dtype` (its name), `shape` (of `input`, with the batch that
    the regime asks for), `extra` (further sizes that a workload names) and `rng`. The draws of one regime are alike
    over dtypes up to rounding.
    """

    extra: tuple[int, ...] = ()

    def __init__(self, loss: Loss, variant: Variant, shape: tuple[int, ...], regime: str, dtype: str, seed: int = 0):
        self.regime, self.variant, self.kinks, self.dtype = regime, variant, loss.domain.kinks, dtype
        batch = {"empty": 0, "one": 1}.get(regime)
        axis = next(iter(loss.arguments.batch_axes.values()), 0)
        self.shape = shape if batch is None or len(shape) <= axis else (*shape[:axis], batch, *shape[axis + 1 :])
        key = f"{loss.name}/{variant.name}/{self.shape}/{DRAWN_AS.get(regime, regime)}/{seed}"
        self.rng = np.random.default_rng(zlib.crc32(key.encode()))
        self.np_dtype = DTYPES[dtype]
        self.tiniest = float(ml_dtypes.finfo(self.np_dtype).smallest_subnormal)
        self.normal_least = float(ml_dtypes.finfo(self.np_dtype).smallest_normal)
        self.eps = float(ml_dtypes.finfo(self.np_dtype).eps)
        # The greatest scale whose squares, and sums of squares, a float16 still holds.
        self.big = 50.0 if dtype == "float16" else 1000.0

    def has(self, name: str) -> bool:
        """Tell whether the variant asks for this optional tensor, or names it in `draws`."""
        return name in self.variant.tensors or name in self.variant.draws

    def round(self, array: Any) -> np.ndarray:
        """Round to the dtype under test."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(array, dtype=np.float64).astype(self.np_dtype)

    def nudge(self, array: np.ndarray) -> np.ndarray:
        """Move each element by one to three ulps, up or down (0 by normal numbers: XLA takes subnormal ones for 0)."""
        ulps = self.rng.integers(1, 4, array.shape) * self.rng.choice([-1, 1], array.shape)
        wide = array.astype(np.float64)
        return self.round(wide + ulps * np.maximum(np.abs(wide) * self.eps, self.normal_least))

    def real(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draw real numbers of the regime."""
        x = self.rng.normal(size=shape)
        if self.regime == "large":
            x = x * self.big
        elif self.regime == "tiny":
            x = x * 10.0 ** -self.rng.uniform(2, 8, shape)
        elif self.regime == "ties":
            x = self.rng.choice([-0.5, 0.0, 0.5, 1.0], shape)
        elif self.regime == "subnormal":
            x = self.rng.uniform(-1, 1, shape) * self.normal_least
        elif self.regime == "nonfinite":
            x = self._spoil(x, [np.nan, np.inf, -np.inf])
        return self.round(x)

    def _spoil(self, x: np.ndarray, values: list[float]) -> np.ndarray:
        """Put non-finite values into every other row, in turn; the rows between show whether they stay clean."""
        flat = x.reshape(x.shape[0], -1) if x.ndim else x.reshape(1, 1)
        if flat.size:
            for row in range(0, flat.shape[0], 2):
                flat[row, self.rng.integers(flat.shape[1])] = values[row // 2 % len(values)]
        return flat.reshape(x.shape)

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw input and target of a loss of their difference; `on_kink` the difference is a kink exactly."""
        input = self.real(self.shape)
        target = self.real(self.shape)
        if self.regime == "confident":
            gap = self.rng.normal(size=self.shape) * 10.0 ** -self.rng.uniform(1, 7, self.shape)
            target = self.round(input.astype(np.float64) + gap)
        elif self.regime == "badly_wrong":
            target = self.round(-self.big * (1 + np.abs(input.astype(np.float64))))
        elif self.regime in KINKS and self.kinks:
            # Quarters are exact in every dtype, and so are their sums with the kinks.
            input = self.round(self.rng.integers(-8, 9, self.shape) / 4)
            target = self.round(input.astype(np.float64) - self.rng.choice(self.kinks, self.shape))
            target = self.nudge(target) if self.regime == "near_kink" else target
        if self.variant.broadcast:
            target = target[0] if target.size else self.real(self.shape[1:])
        return input, target

    def labels(self, shape: tuple[int, ...], classes: int, ignore_index: int | None = None) -> np.ndarray:
        """Draw class indices; about a third are `ignore_index` where one is given, and all in that regime."""
        labels = self.rng.integers(0, classes, shape).astype(np.int64)
        if self.regime == "all_ignored" and ignore_index is not None:
            return np.full(shape, ignore_index, dtype=np.int64)
        if ignore_index is not None and self.variant.ignored:
            flat = labels.reshape(-1)
            flat[1::3] = ignore_index
        return labels

    def logits(self, shape: tuple[int, ...], axis: int, favoured: np.ndarray | None = None) -> np.ndarray:
        """Draw logits; `favoured` are the classes that a confident prediction puts first and a badly wrong one last."""
        x = self.real(shape).astype(np.float64)
        if self.regime in ("typical", "noncontiguous"):
            x = 2 * x
        elif self.regime in ("confident", "badly_wrong") and favoured is not None and x.size:
            index = np.expand_dims(np.clip(favoured, 0, shape[axis] - 1), axis)
            gap = self.rng.uniform(4, 90 if self.regime == "confident" else self.big, index.shape)
            gap = gap if self.regime == "confident" else -gap
            np.put_along_axis(x, index, np.take_along_axis(x, index, axis) + gap, axis)
        return self.round(x)

    def labelled_logits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Draw logits of `shape`, a label for each of its rows, and class weights if the variant asks for them."""
        axis = class_axis(self.shape)
        rest, classes = self.shape[:axis] + self.shape[axis + 1 :], self.shape[axis]
        labels = self.labels(rest, classes, self.variant.options.get("ignore_index", -100))
        return self.logits(self.shape, axis, labels), labels, self.optional("weight", (classes,))

    def simplex(self, shape: tuple[int, ...], axis: int) -> np.ndarray:
        """Draw probabilities that sum to about 1 along `axis`; nearly or exactly one-hot in the confident regime."""
        sharpness = {"confident": 30.0, "badly_wrong": 30.0, "large": 8.0, "tiny": 0.1}.get(self.regime, 1.0)
        raw = sharpness * self.rng.normal(size=shape)
        p = np.exp(raw - raw.max(axis, keepdims=True)) if raw.size else raw
        p = p / p.sum(axis, keepdims=True) if p.size else p
        if self.regime == "ties":
            p = np.round(p * 4) / 4
        return self.round(p)

    def unit(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draw numbers in (0, 1); near 0 in the tiny regime, near 0 and 1 in the large one."""
        p = self.rng.uniform(0.02, 0.98, shape)
        edge = 10.0 ** -self.rng.uniform(2, 7, shape)
        if self.regime == "tiny":
            p = edge
        elif self.regime in ("large", "badly_wrong", "confident"):
            p = np.where(self.rng.random(shape) < 0.5, edge, 1 - np.maximum(edge, self.eps))
        elif self.regime == "ties":
            p = self.rng.choice([0.25, 0.5, 0.75], shape)
        elif self.regime == "subnormal":
            p = self.rng.uniform(0.1, 1, shape) * self.normal_least
        return self.round(p)

    def signs(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draw targets of +1 and -1."""
        return self.round(self.rng.choice([-1.0, 1.0], shape))

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draw positive weights; all 0 in the regime `zero_weight`."""
        if self.regime == "zero_weight":
            return self.round(np.zeros(shape))
        return self.round(self.rng.uniform(0.25, 2.0, shape))

    def optional(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Draw weights of that shape if the variant asks for the tensor of that name; among ties some are 0."""
        if name not in self.variant.tensors:
            return None
        weights = self.weights(shape)
        if self.regime == "ties" and weights.size > 1:
            weights.reshape(-1)[1::3] = 0
        return weights

    def sharing(self, arrays: dict[str, np.ndarray], batched: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Give arguments the values that their memory allows in the regimes in which elements share it."""
        out = dict(arrays)
        for name, axis in batched.items():
            array = arrays[name]
            if self.regime == "expanded" and array.ndim > axis:
                out[name] = np.repeat(array.take([0], axis), array.shape[axis], axis)
            elif self.regime == "overlapping" and array.ndim == 2 and axis == 0 and array.dtype.kind not in "iub":
                line = np.concatenate([array[0], array[1:, -1]])
                out[name] = np.lib.stride_tricks.sliding_window_view(line, array.shape[1]).copy()
        return out

    @staticmethod
    def arrays(**arrays: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return the arguments that are not None, by name."""
        return {name: array for name, array in arrays.items() if array is not None}
