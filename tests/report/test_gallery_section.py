import json
from pathlib import Path

import pytest

from xloss.report import ReportError, gallery

pytest.importorskip("jinja2")

ROW = {"oracle": "xloss", "cases": 3, "caught": 3, "side named": 2, "cause named": 1, "healthy": 5, "false alarms": 0}


def written(folder: Path, rows) -> Path:
    (folder / "gallery.json").write_text(json.dumps({"rows": rows, "versions": {"torch": "2.13.0"}}))
    return folder


def test_the_section_shows_the_counts(tmp_path):
    html = gallery.html(gallery.read(written(tmp_path, [ROW, {**ROW, "oracle": "<b>other</b>", "caught": 1}])))
    assert "3 bugs of losses" in html
    assert "2 of 3" in html
    assert "0 of 5" in html
    assert "&lt;b&gt;other" in html
    assert "<b>other" not in html
    assert "torch 2.13.0" in html


def test_there_is_no_section_without_a_table(tmp_path):
    assert gallery.read(tmp_path) is None
    assert gallery.html(None) == ""


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"rows": []}', '{"rows": [], "versions": {}}', json.dumps({"rows": [{}], "versions": {}}),
             json.dumps({"rows": [{**ROW, "caught": "all"}], "versions": {}}),
             json.dumps({"rows": [{**ROW, "caught": True}], "versions": {}})],
)  # fmt: skip
def test_a_table_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "gallery.json").write_text(text)
    with pytest.raises(ReportError, match=r"gallery.json .*run again: python -m tests.gallery.oracles --write"):
        gallery.read(tmp_path)


def test_what_is_committed_makes_a_small_section():
    found = gallery.read(Path(__file__).parents[2] / "reports")
    assert found is not None
    assert found["rows"][0]["cases"] >= 57
    assert 1000 < len(gallery.html(found).encode()) < 4500
