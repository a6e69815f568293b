"""The command, in a process of its own: a rehearsal, a run without a card, what is missing, what is resumed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xloss.gpu import needs
from xloss.gpu.journal import read
from xloss.gpu.steps import every_loss, steps

ROOT = Path(__file__).resolve().parents[2]
# What a machine without ball arithmetic, asv, keras, pebble and the command line's libraries has.
BLOCKED = ("flint", "asv", "asv_runner", "keras", "pebble", "typer", "rich", "pyarrow")
BLOCK = """
import importlib.machinery, sys
class Absent(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else super().find_spec(name, path, target)
sys.meta_path[:] = [Absent if one is importlib.machinery.PathFinder else one for one in sys.meta_path]
"""


def run(out, *options, blocked=(), folder=None):
    """Run the command; its children find the same packages missing, by a sitecustomize of their own."""
    path = [str(ROOT)]
    if blocked:
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(f"BLOCKED = {tuple(blocked)!r}\n{BLOCK}")
        path.insert(0, str(folder))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "xloss.gpu", "--out", str(out), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False, cwd=ROOT)


def rows_of(out):
    return [row for row in read(out / "journal.jsonl") if "cell" in row and row["step"] != "facts"]


def test_a_rehearsal_keeps_all_that_is_not_planted_and_resumes(tmp_path):
    options = ("--rehearse", "--budget", 480, "--loss", "mse_loss")
    some = ("--step", "planted", "torch-values", "jax-values")
    done = run(tmp_path, *options, *some)
    assert done.returncode == 0, done.stderr
    assert "each planted fault cost its own cell" in done.stderr
    found = {row["step"]: row["status"] for row in rows_of(tmp_path) if row["step"] != "planted"}
    assert found == {"torch-values": "ok", "jax-values": "ok"}
    page = (tmp_path / "summary.md").read_text()
    assert "A rehearsal on a CPU" in page
    assert "killed by SIGSEGV" in page
    assert page.count("| KernelBench |") == 12
    again = run(tmp_path, *options, "--resume", "--step", "torch-values", "jax-values")
    assert again.returncode == 0, again.stderr
    assert len(rows_of(tmp_path)) == len(found) + 11  # nothing was asked twice
    other = json.dumps({"run": {"device": "cpu", "rehearse": True, "versions": {"torch": "0.1"}}})
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(other + "\n")
    refused = run(tmp_path, *options, "--resume")
    assert refused.returncode == 2
    assert "was begun with torch 0.1" in refused.stderr


@pytest.mark.slow
def test_a_rehearsal_of_all_steps_and_losses(tmp_path):
    done = run(tmp_path, "--rehearse", "--budget", 1500)
    assert done.returncode == 0, done.stderr
    assert {row["step"] for row in rows_of(tmp_path)} == {step.name for step in steps(rehearse=True)}


def test_without_ball_arithmetic_and_others_the_truth_comes_from_a_file(tmp_path):
    truth = tmp_path / "truth.sqlite"
    made = [sys.executable, "-m", "xloss.gpu.truth", "--out", str(truth), "--loss", "mse_loss", "--dtype", "float32",
            "--regime", "typical", "--jobs", "1"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, cwd=ROOT, timeout=300)
    options = ("--rehearse", "--budget", 480, "--loss", "mse_loss", "--step", "torch-values", "bandwidth")
    lacking = {"blocked": (*BLOCKED, "jax"), "folder": tmp_path / "blocked"}
    done = run(tmp_path / "a", *options, "--truth", truth, **lacking)
    assert done.returncode == 0, done.stderr
    assert "python-flint: missing: it costs exact results computed here" in done.stderr
    assert "left out: jax: jax is not installed" in done.stderr
    assert {row["step"]: row["status"] for row in rows_of(tmp_path / "a")} == {"torch-values": "ok", "bandwidth": "ok"}
    without = run(tmp_path / "b", *options, **lacking)
    assert "left out: torch-values: there are no exact results" in without.stderr
    assert [row["step"] for row in rows_of(tmp_path / "b")] == ["bandwidth"]


def test_where_there_is_no_card_it_says_so_and_runs_nothing(tmp_path):
    done = run(tmp_path, "--budget", 200, "--loss", "mse_loss", "--step", "torch-values", blocked=("jax",),
               folder=tmp_path / "blocked")  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "sees no CUDA device" in done.stderr
    assert rows_of(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--device", "cpu"), "--device: expected cuda"),
        (("--budget", "0"), "--budget: expected seconds"),
        (("--loss", "no_such"), "--loss: expected names"),
        (("--step", "no-such"), "--step: expected some of planted"),
        (("--truth", "no-such"), "--truth: expected the file"),
    ],
)
def test_bad_options_are_named(tmp_path, options, named, monkeypatch, capsys):
    import xloss.gpu.__main__ as command

    monkeypatch.setattr(command, "choose_device", lambda *_: None)  # it sets this process's variables
    with pytest.raises(SystemExit) as refused:
        command.main(["--out", str(tmp_path / "out"), "--rehearse", *options])
    assert refused.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out" / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("visible", "number", "expected"), [(None, 0, "0"), (None, 1, "1"), ("4,7", 1, "7"), ("MIG-a,MIG-b", 0, "MIG-a")]
)
def test_the_device_asked_for_is_the_only_one_seen(visible, number, expected, monkeypatch):
    from xloss.gpu.__main__ import choose_device

    monkeypatch.setattr(os, "environ", {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    choose_device(number, rehearse=False)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_a_folder_of_wheels_is_looked_through_for_what_is_missing(tmp_path, monkeypatch):
    assert "expected a folder" in needs.install(tmp_path / "absent")
    assert "nothing that is missing" in needs.install(tmp_path)
    absent = needs.Need("no-such-package", "no_such_module", "nothing")
    monkeypatch.setattr(needs, "NEEDS", (absent,))
    monkeypatch.setattr(needs, "missing", lambda *_: [absent])
    (tmp_path / "no_such_package-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    assert needs.install(tmp_path).startswith("wheels: failed (")
    assert "no-such-package: missing: it costs nothing" in needs.page(None)


def test_a_run_asks_for_about_two_hundred_timed_cells_most_telling_first():
    asked = {step.name: step.cells(every_loss(), "cuda") for step in steps(rehearse=False) if step.work == "timed"}
    assert 150 <= len(asked["device-time"]) <= 260
    for cells in asked.values():
        assert len({cell["id"] for cell in cells}) == len(cells)
    assert "published" in asked["device-time"][0]["id"]
    names = [step.name for step in steps(rehearse=False)]
    assert names[:4] == ["torch-values", "torch-float32", "torch-bfloat16", "jax-values"]
