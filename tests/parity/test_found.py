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
    # 1 / C - p of logits that are alike, where nothing but smoothing is left.
    "cross_entropy:crossed,ignore_index=2,label_smoothing=1.0:2x3x2x2:tiny:float32:cpu:1",
    # Cosines of -1, over a temperature.
    "ntxent_loss:crossed:6x2:confident:float32:cpu:1",
    # Derivatives of 1 and -1 by one coordinate, and of nearly that.
    "triplet_margin_loss:default:3x1:typical:float32:cpu:1",
    # A subnormal number beside a kink, which longdouble does not see.
    "triplet_margin_loss:swap:6x3:near_kink:float32:cpu:1",
)


@pytest.mark.parametrize("case", FOUND)
def test_within_the_budget(case):
    cell = parity.Cell.parse(case)
    rows = evaluate(get(cell.loss), cell, peers=False)
    assert len(rows) > 10
    assert not [row["reason"] for row in rows if row["status"] not in ("ok", "unsupported")]
