"""The section on changes says what was found and how much is found; wrong input is refused by name."""

import dataclasses
import json

import pandas as pd
import pytest

from xloss.bench.changes import Change, Found
from xloss.report import ReportError, pages
from xloss.report.speed import Speed, changes

ROWS = [
    {"noise": noise, "recorded": noise == 0.2, "runs": 30, "replicates": 1, "step": 1.2, "method": method, "steps": 50,
     "found": found, "reported": reported, "alarms": 1}
    for noise, method, found, reported in ((0.2, "xloss", 0, 1), (0.2, "asv", 10, 40), (0.01, "xloss", 49, 50))
]  # fmt: skip
FACTS = {"runs": 1137, "deviation": 0.2, "near": 2, "series": 100, "rows": ROWS}
CHANGE = Change(
    "release", "0.9.2", "0.10.2", "box", "cpu", "jax", "<mse>", "xloss · jax jit", "time, value_and_grad", "time",
    1e-3, 2e-3, 2.0, 1.8, 2.2, 1e-6, (9, 3), "none", "slower", 1,
)  # fmt: skip


def shown(found, measured):
    speed = Speed(["lead"], (), [changes.section(found, measured)])
    return pages.render("speed.html", speed=speed), pages.render("speed.md", speed=speed)


def test_it_says_what_changed_and_what_would_be_seen():
    html, markdown = shown(Found((CHANGE,), 12, 3, (1.1, 1.3, 2.0)), changes._recall(FACTS))
    for text in (html, markdown):
        assert "1 change, 1 for the worse" in text
        assert "a step of 30 %" in text
        assert "jax 0.9.2 → 0.10.2" in text.replace("<wbr>", "")
        assert "1.80–2.20" in text
    assert "&lt;mse&gt;" in html
    assert "<mse>" not in html
    assert "| 20 % (as recorded) | 30 | 20 % | 0.00 | 0.00 | 1 | 0.20 | 0.25 | 1 |" in markdown
    assert "| 1 % | 30 | 20 % | 0.98 | 0.98 | 1 | – | – | – |" in markdown


def test_without_changes_or_runs_it_is_short():
    assert changes.section(Found((), 0, 5, ()), None) is None
    made = changes.section(Found((), 5, 0, (float("inf"),) * 3), None)
    assert made is not None
    assert "0 changes, 0 for the worse" in made.text[0]
    assert not made.grids
    exact = changes.section(Found((dataclasses.replace(CHANGE, low=2.0, high=2.0, topic="digits"),), 5, 0, ()), None)
    assert exact is not None
    assert exact.grids[0].rows[0][7] == "exact"


@pytest.mark.parametrize(
    "wrong", [{"found": 51}, {"alarms": 60}, {"reported": -1}, {"steps": "many"}, {"noise": None}, {"steps": 0}]
)
def test_a_table_that_does_not_fit_together_is_refused(tmp_path, wrong):
    (tmp_path / changes.FILE).write_text(json.dumps({**FACTS, "rows": [{**ROWS[0], **wrong}]}))
    with pytest.raises(ReportError, match=r"changes\.json cannot be read.*run again: python -m xloss\.bench\.changes"):
        changes.build(pd.DataFrame(), tmp_path)
