"""The section of what is known of accelerators without one: counts, what failed, and what is no such file."""

import json

import pytest

from xloss.report import accelerator
from xloss.report.source import ReportError

FAKE = {"torch": "2", "mechanisms": ["value"], "losses": 9, "raised": {"<b>a</b>": {"value": "waits"}}}
PROGRAM = {"loss": "a", "derivative": "grad", "platform": "cuda", "reason": ""}
LOWERING = {"versions": {"jax": "1"}, "results": [PROGRAM, {**PROGRAM, "loss": "b", "reason": "calls back"}]}
NOISE = {"torch": "2", "functions": ["exp"], "seeds": 3,
         "results": [{"loss": "a", "quiet": 0.5, "noisy": 0.7, "lost": []},
                     {"loss": "b", "quiet": 0.6, "noisy": 1.4, "lost": []}]}  # fmt: skip


def read(folder, **found):
    (folder / accelerator.FOLDER).mkdir(exist_ok=True)
    for name, one in found.items():
        (folder / accelerator.FOLDER / f"{name}.json").write_text(json.dumps(one), "utf-8")
    return accelerator.read(folder)


def test_counts_and_what_failed_are_shown_and_text_is_escaped(tmp_path):
    html = accelerator.html(read(tmp_path, fake=FAKE, lowering=LOWERING, noise=NOISE))
    assert "8 of 9 losses run in PyTorch" in html
    assert "1 of 2 losses are lowered" in html
    assert "calls back" in html
    assert "1 of 2 losses; the worst is b, at 1.4" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_what_is_not_there_is_left_out(tmp_path):
    assert accelerator.html(accelerator.read(tmp_path)) == ""
    html = accelerator.html(read(tmp_path, noise=NOISE))
    assert "an ulp worse" in html
    assert "lowered" not in html


@pytest.mark.parametrize("wrong", [[], {}, {**NOISE, "results": []}, {**NOISE, "seeds": None}])
def test_what_is_no_such_file_is_named(tmp_path, wrong):
    with pytest.raises(ReportError, match=r"noise.json cannot be read .*run again: python -m xloss.gpu.noise"):
        read(tmp_path, noise=wrong)
