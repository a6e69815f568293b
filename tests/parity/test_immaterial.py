"""Arguments changed where that must not matter, over the catalogue."""

import dataclasses
import functools
import inspect

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity import Cell, immaterial
from xloss.parity.evaluate import evaluate
from xloss.parity.inputs import Draw

VARIANTS = [
    pytest.param(loss, variant, id=f"{loss.name}-{variant.name}")
    for loss in LOSSES.values()
    for variant in loss.variants
]
CELL = Cell.parse("nll_loss:weight+ignored:6x5:typical:float32:cpu:0")


def drawn(loss, variant):
    return loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_changes_fit_the_arguments(loss, variant):
    arrays = drawn(loss, variant)
    for name, changed in immaterial.spoiled(loss, variant, arrays).items():
        bad = ~np.isfinite(changed.astype(np.float64))
        assert bad.any()
        assert changed.dtype == arrays[name].dtype
        np.testing.assert_array_equal(changed[~bad], arrays[name][~bad])
    for name, changed in immaterial.widened(loss, variant, arrays).items():
        old = arrays[name]
        assert changed.dtype == old.dtype
        assert sorted(np.subtract(changed.shape, old.shape))[-1] == 1
        np.testing.assert_array_equal(changed[tuple(map(slice, old.shape))], old)


def test_each_loss_that_ignores_rows_is_asked_with_nan_in_these():
    ignoring = {name for name, loss in LOSSES.items() if "ignore_index" in inspect.signature(loss.torch).parameters}
    asked = {
        loss.name
        for loss in LOSSES.values()
        for variant in loss.variants
        if immaterial.spoiled(loss, variant, drawn(loss, variant))
    }
    assert len(ignoring) >= 7
    assert ignoring <= asked


def rows_of(loss, framework, mechanism):
    return [row for row in evaluate(loss, CELL, (framework,), peers=False) if row["mechanism"] == mechanism]


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize(
    ("mechanism", "touch", "found"),
    [
        ("spoiled", lambda x: (x * x).sum(), {("", "inaccurate"), ("input", "inaccurate")}),
        ("widened", lambda x: (x[:, -1] ** 2).sum(), {("", "inaccurate")}),
    ],
)
def test_a_loss_that_multiplies_what_must_not_matter_by_zero_is_found(framework, mechanism, touch, found):
    pytest.importorskip(framework)
    right = LOSSES[CELL.loss]
    function = getattr(right, framework)

    @functools.wraps(function)
    def touches(input, target, **options):
        return function(input, target, **options) + 0 * touch(input)

    assert {row["status"] for row in rows_of(right, framework, mechanism)} == {"ok"}
    wrong = rows_of(dataclasses.replace(right, **{framework: touches}), framework, mechanism)
    assert {(row["argument"], row["status"]) for row in wrong} >= found
