"""What must not matter: what lies where a loss does not look, and an element or a class that adds nothing to the sum.

The exact results of a cell hold for arguments changed in these ways, too: gradients are 0 where nothing is looked at,
and by what adds nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from xloss.catalog import Loss, Variant

SPOILED = (np.nan, np.inf, -np.inf)


def spoiled(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arguments with NaN and infinities where the loss does not look; none where it looks at everything."""
    out = {}
    for name, mask in _unseen(loss, variant, arrays).items():
        if mask.any():
            out[name] = arrays[name].copy()
            out[name][mask] = np.resize(SPOILED, int(mask.sum())).astype(arrays[name].dtype)
    return out


def _unseen(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    if loss.unseen is not None:
        return loss.unseen(**arrays, **variant.options)
    option = inspect.signature(loss.torch).parameters.get("ignore_index")
    if option is None or arrays["target"].dtype.kind != "i" or loss.arguments.class_axes is None:
        return {}
    index = variant.options.get("ignore_index", option.default)
    x, ignored = arrays["input"], arrays["target"] == (-100 if index is None else index)
    while ignored.ndim >= x.ndim:  # labels of several axes for one row
        ignored = ignored.all(-1)
    axis: Any = loss.arguments.class_axes("input", x.ndim)
    return {"input": np.broadcast_to(np.expand_dims(ignored, axis), x.shape)}


def widened(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arguments with one more element along an axis, at its end, that adds nothing to the sum of the losses."""
    if loss.adds_nothing is None or not next(iter(arrays.values())).ndim:
        return {}
    more = loss.adds_nothing(**arrays, **variant.options)
    return {
        name: np.insert(arrays[name], arrays[name].shape[axis], np.asarray(value, dtype=arrays[name].dtype), axis)
        for name, (value, axis) in more.items()
        if name in arrays and arrays[name].dtype.kind not in "iub"
    }
