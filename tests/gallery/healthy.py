"""Healthy pairs: a loss of the catalogue in torch and in JAX, typical inputs in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gallery import Case


def names() -> list[tuple[str, str]]:
    """Return (loss, variant): the first variant of every loss, and the second of every other loss."""
    from xloss.catalog import LOSSES

    return [(name, v.name) for i, (name, loss) in enumerate(LOSSES.items()) for v in loss.variants[: 1 + i % 2]]


def pair(name: str, variant: str) -> Case:
    """Return the two implementations of a catalogue loss as a case without a wrong side."""
    from xloss.catalog import get
    from xloss.compare.cases import like
    from xloss.compare.reference import CatalogueTruth

    loss = get(name)
    first, second = ({n: _float32(a) for n, a in case.arrays.items()} for case in like(name, variant)[:2])
    options = dict(loss.variant(variant).options)

    def bound(framework: str) -> Callable[..., Any]:
        call = loss.implementation(framework)

        def run(*arrays: Any, **_: Any) -> Any:
            return call(**dict(zip(first, arrays, strict=True)), **options, reduction=loss.main_reduction)

        return run

    return Case(
        __doc__,
        bound("torch"),
        bound("jax"),
        truth=CatalogueTruth(name, variant, loss.main_reduction),
        healthy=bound("torch"),
        inputs=lambda: first,
        wrong="",
        cause="",
        wrt=loss.arguments.differentiable(first),
        options=options,
        second=second,
    )


def _float32(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind in "iub" else array.astype(np.float32)
