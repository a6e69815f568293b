"""Children that crash, hang and are poisoned, by the real path: each costs its own cell, and time is kept."""

import time
from dataclasses import replace

import pytest

from xloss.gpu import engine, planted, work
from xloss.gpu.journal import Journal
from xloss.gpu.steps import steps

STEP = next(step for step in steps(rehearse=True) if step.name == "planted")
SETTINGS = {"device": "cpu", "rehearse": True, "truth": None}


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.jsonl")
    yield made
    made.close()


def test_each_planted_fault_costs_its_own_cell(journal):
    outcome = engine.run(STEP, STEP.cells([], "cpu"), journal, time.monotonic() + 300, SETTINGS)
    assert planted.missing(journal.rows()) == []
    assert (outcome.done, outcome.left, outcome.reason) == (len(planted.FAULTS), [], "")


def test_without_a_new_child_the_poison_would_spread(journal, monkeypatch):
    """The rehearsal sees an engine that goes on with a child whose device is lost."""
    row = work.answer("planted", {"id": "poisoned device"}, SETTINGS)
    try:
        assert row["restart"]
        assert work.answer("planted", {"id": "healthy 4"}, SETTINGS)["status"] == "error"
    finally:
        monkeypatch.setattr(planted, "_poisoned", False)
    found = [{"step": "planted", "cell": name, "status": status} for name, status in planted.FAULTS.items()]
    assert planted.missing(found) == []
    for index in range(len(found)):
        assert planted.missing(found[:index] + found[index + 1 :])
    assert planted.missing([{**row, "status": "ok"} for row in found])


def test_what_a_step_has_no_time_for_is_left_and_is_no_fault_of_a_cell(journal):
    cells = [{"id": "hang"}, {"id": "healthy 1"}]
    start = time.monotonic()
    outcome = engine.run(replace(STEP, patience=600), cells, journal, start + 8, SETTINGS)
    assert time.monotonic() - start < 60
    assert (outcome.left, journal.rows()) == (cells, [])
    assert "time" in outcome.reason


def test_several_lanes_answer_each_cell_once(journal):
    cells = [{"id": f"healthy {number}"} for number in range(9)]
    outcome = engine.run(replace(STEP, lanes=2), cells, journal, time.monotonic() + 300, SETTINGS)
    assert outcome.done == 9
    assert sorted(row["cell"] for row in journal.rows()) == sorted(cell["id"] for cell in cells)


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("CUDA error: device-side assert triggered", True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS", True),
        ("CUDA out of memory. Tried to allocate 2 GiB", False),
        ("CUDA error: out of memory", False),
        ("CUDA_ERROR_OUT_OF_MEMORY", False),
        ("shapes (3,) and (4,) do not match", False),
    ],
)
def test_what_says_that_the_device_is_lost(said, lost):
    assert work.is_lost(said) is lost
