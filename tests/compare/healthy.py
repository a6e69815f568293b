"""Healthy pairs: the base losses under changes of scale, seed and dtype, and the catalogue against itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tests.compare import planted
from xloss.catalog import LOSSES, Loss, Variant
from xloss.compare.diagnosis import Evidence
from xloss.compare.run import Case
from xloss.compare.sides import Side
from xloss.parity.inputs import Draw, applicable

GROUPS = (("typical", "large", "tiny", "on_kink"), ("typical", "confident", "badly_wrong", "ties", "near_kink"))


def base_pairs(kinds: tuple[str, ...] = ("plain", "small", "wide", "halves")) -> Iterator[tuple[str, Evidence]]:
    """Each base loss, on plain inputs, small and wide ones, and inputs that are exact in bfloat16."""
    for pair in planted.HEALTHY:
        for kind in kinds:
            scale = {"small": 1e-3, "wide": 6.0}.get(kind, 1.0)
            cases = planted.cases(
                pair.kind, {"plain": 0, "small": 1, "wide": 2, "halves": 3}[kind], scale, **pair.options
            )
            if kind == "halves":
                cases = [replace(c.in_dtype("bfloat16").in_dtype("float64"), name="halves") for c in cases]
            yield f"{pair.name}, {kind}", planted.evidence(pair.loss, pair.loss, cases)


def catalogue_side(loss: Loss, framework: str) -> Side:
    """The catalogue's own implementation."""
    return Side(f"xloss.{framework}.{loss.name}", framework, loss.implementation(framework))


def catalogue_case(loss: Loss, variant: Variant, regime: str, seed: int) -> Case:
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], regime, "float64", seed))
    options: dict[str, Any] = {**variant.options, "reduction": loss.main_reduction}
    wrt = loss.arguments.differentiable(arrays)
    shared = {a: np.asarray(x) for a, x in arrays.items()}
    return Case(regime, shared, options, tuple(shared), wrt, False)


def catalogue_pairs(losses: list[str] | None = None, variants: int = 3) -> Iterator[tuple[str, Evidence]]:
    """Each loss of the catalogue in both frameworks, on the inputs of several regimes and seeds."""
    for name in LOSSES if losses is None else losses:
        loss = LOSSES[name]
        for variant in loss.variants[:variants]:
            regimes = applicable(loss, variant)
            for seed, group in enumerate(GROUPS):
                make = partial(catalogue_case, loss, variant)
                cases = [make(regime, seed) for regime in group if regime in regimes]
                cases.insert(1, make("typical", seed + 10))
                sides = (catalogue_side(loss, "torch"), catalogue_side(loss, "jax"))
                yield f"{name}, {variant.name}, {group[1]}", Evidence(sides, cases, ("torch", "jax"))
