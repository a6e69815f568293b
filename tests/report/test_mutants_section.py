"""The section of planted faults: its counts, and what is no such file."""

import json
from pathlib import Path

import pytest

from xloss.report import mutants
from xloss.report.source import ReportError

FOUND = {
    "losses": 2,
    "kinds": [{"kind": "value", "seen": 3, "all": 4}, {"kind": "gradient", "seen": 0, "all": 1}],
    "unseen": [{"id": "torch/mse_loss/<b>x</b>", "reason": "r"}, {"id": "y", "reason": "s"}],
}


def read(folder, found):
    (folder / mutants.FILE).write_text(json.dumps(found), "utf-8")
    return mutants.read(folder)


def test_the_share_is_of_all_kinds_and_text_is_escaped(tmp_path):
    html = mutants.html(read(tmp_path, FOUND))
    assert "5 faults" in html
    assert "sees 3 of them, 60.0 %" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_without_the_file_there_is_no_section(tmp_path):
    assert mutants.html(mutants.read(tmp_path)) == ""


@pytest.mark.parametrize("wrong", [[], {}, {**FOUND, "kinds": []}, {**FOUND, "losses": None}])
def test_what_is_no_such_file_is_named(tmp_path, wrong):
    with pytest.raises(ReportError, match=r"mutants.json cannot be read .*run again: python -m tests.mutants --write"):
        read(tmp_path, wrong)


def test_the_committed_counts_are_shown():
    found = mutants.read(Path(__file__).parents[2] / "reports")
    assert found["all"] - found["seen"] == len(found["unseen"])
