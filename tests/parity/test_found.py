"""Cases that a sweep over other dtypes, or another seed, once found outside of the budget."""

import pytest

from xloss import parity
from xloss.catalog import get
from xloss.parity.evaluate import evaluate

FOUND = (
    # The derivatives of both terms of the entropy cancel where the prediction is the label.
    "sigmoid_focal_loss:crossed,alpha=0.0:2x3x2:typical:float32:cpu:0",
    # A second derivative divided by the square of a sum of probabilities, which underflows.
    "poly_loss:crossed,epsilon=2.5,probabilities:2x3x4:large:float32:cpu:0",
)


@pytest.mark.parametrize("case", FOUND)
def test_within_the_budget(case):
    cell = parity.Cell.parse(case)
    rows = evaluate(get(cell.loss), cell, peers=False)
    assert len(rows) > 10
    assert not [row["reason"] for row in rows if row["status"] not in ("ok", "unsupported")]
