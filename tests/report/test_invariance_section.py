"""The section of batch invariance: who depends on the batch, and what is no such file."""

import json

import pytest

from xloss.report import invariance
from xloss.report.source import ReportError

SAME = {"loss": "<b>a</b>", "implementation": "xloss", "framework": "torch", "asked": 9, "value": 0, "gradient": 0,
        "threads": 0, "reason": ""}  # fmt: skip
FOUND = {
    "versions": {"torch": "2"},
    "batches": [48, 1],
    "results": [SAME, {**SAME, "gradient": 4}, {**SAME, "framework": "jax", "reason": "coupled"}],
}


def read(folder, found):
    (folder / invariance.FILE).write_text(json.dumps(found), "utf-8")
    return invariance.read(folder)


def test_those_that_depend_on_the_batch_are_listed_and_text_is_escaped(tmp_path):
    html = invariance.html(read(tmp_path, FOUND))
    assert "xloss, torch 1 of 2 losses" in html
    assert html.count("<tr>") == 2
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_without_the_file_there_is_no_section(tmp_path):
    assert invariance.html(invariance.read(tmp_path)) == ""


@pytest.mark.parametrize("wrong", [[], {}, {**FOUND, "results": []}, {**FOUND, "batches": None}])
def test_what_is_no_such_file_is_named(tmp_path, wrong):
    with pytest.raises(ReportError, match=r"invariance.json cannot be read .*run again: python -m xloss.parity"):
        read(tmp_path, wrong)
