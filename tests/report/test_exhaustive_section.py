import json
from pathlib import Path

import pytest

from xloss.report import ReportError, exhaustive

pytest.importorskip("jinja2")

FOUND = {"ulps": 2.6818, "at": ["0x1.86946a0000000p-1"], "got": "0x1.0p-2", "right": "0x1.1p-2", "by balls": True}
QUANTITY = {"asked": 1000, "over": {"0.5": 40, "1.0": 3, "2.0": 1}, "lost": 0, "undecided": 0, "lost_at": None,
            "worst": FOUND, "conditioned": None}  # fmt: skip
LOST = {**QUANTITY, "lost": 7, "lost_at": {"at": ["-0x1.62eb200000000p+6"], "got": "inf", "right": "0x1.6p+6"}}
ROW = {
    "problem": "soft_margin_loss, y=1", "loss": "soft_margin_loss", "dtype": "float32", "axes": ["input"],
    "fixed": {"target": 1.0}, "wrt": "input", "inputs": 4278190080, "seconds": 9.0, "date": "2026-01-02", "code": "0",
    "cpu": "<b>", "kernels": "AVX2", "python": "3.11.7", "versions": {"torch": "2.13.0", "jax": "0.10.2"},
    "results": {
        "torch/eager/xloss": {"stride": 1, "value": QUANTITY, "gradient": QUANTITY},
        "torch/eager/torch.nn.functional": {"stride": 1, "value": LOST, "gradient": LOST},
        "jax/jit/keras": {"stride": 4096, "value": QUANTITY, "gradient": {**QUANTITY, "worst": None}},
    },
    "refused": {},
}  # fmt: skip


def written(folder: Path, rows) -> Path:
    (folder / "accuracy").mkdir()
    (folder / "accuracy" / "exhaustive.json").write_text(json.dumps(rows))
    return folder


def test_the_section_shows_the_largest_errors(tmp_path):
    html = exhaustive.html(exhaustive.read(written(tmp_path, [ROW])))
    for text in ("2.68", "0x1.86946ap-1", "∞", "-0x1.62eb2p+6", "≤ 0.5", "4,278,190,080", "one of 4,096 inputs",
                 "&lt;b&gt;, AVX2", "torch 2.13.0, jax 0.10.2"):  # fmt: skip
        assert text in html, text
    assert "<b>" not in html
    assert "optax" not in html
    assert html.count("2.68*") == 1
    assert html.count("0.5*") == 1
    assert "1 problem of 1" in html


def test_a_sampled_problem_is_said_to_be(tmp_path):
    results = {who: {**one, "stride": 4096} for who, one in ROW["results"].items()}
    html = exhaustive.html(exhaustive.read(written(tmp_path, [{**ROW, "results": results}])))
    assert "sampled" in html
    assert "0 problems of 1 complete: 0 inputs" in html


def test_there_is_no_section_without_a_table(tmp_path):
    assert exhaustive.html(exhaustive.read(tmp_path)) == ""


@pytest.mark.parametrize("text", ["{", "[1]", "[{}]", json.dumps([{**ROW, "results": {"torch/eager/xloss": {}}}])])
def test_a_table_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "accuracy").mkdir()
    (tmp_path / "accuracy" / "exhaustive.json").write_text(text)
    with pytest.raises(ReportError, match=r"exhaustive.json cannot be read .*run again: python -m xloss.exhaustive"):
        exhaustive.read(tmp_path)


def test_what_is_committed_makes_a_small_section():
    rows = exhaustive.read(Path(__file__).parents[2] / "reports")
    assert len(rows) >= 20
    assert sum(row["complete"] for row in rows) >= 3
    assert len(exhaustive.html(rows).encode()) < 20_000
