"""Exact results from a file: the same verdicts, and none of what was made otherwise."""

import functools
import sqlite3
from dataclasses import replace

import pytest

from xloss.catalog import Unsupported, get
from xloss.gpu import truth as made
from xloss.parity import Cell, truth_file
from xloss.parity.evaluate import draw_directions, evaluate, inputs_of


def find(loss, cell):
    arrays = inputs_of(loss, cell)
    directed = functools.partial(draw_directions, cell, arrays, loss.arguments.floating(arrays))
    return truth_file.find(loss, cell, arrays, directed)


CELLS = [Cell("cross_entropy", "default", (6, 3), regime, "float32") for regime in ("typical", "confident")]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "truth.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE cells (cell TEXT PRIMARY KEY, digest TEXT, facts TEXT, result BLOB) WITHOUT ROWID")
        base.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", [made.compute(cell) for cell in CELLS])
    base.close()
    yield path
    truth_file.use(None)


def judged(cell, loss=None):
    rows = evaluate(loss or get(cell.loss), cell, ("torch",), peers=False)
    return [{k: v for k, v in row.items() if k not in ("seconds",)} for row in rows]


def test_the_verdicts_are_those_of_ball_arithmetic(file, monkeypatch):
    right = [str(judged(cell)) for cell in CELLS]
    truth_file.use(file)
    monkeypatch.setattr("xloss.parity.evaluate.exact", None)  # would be called where the file is not used
    assert [str(judged(cell)) for cell in CELLS] == right
    on_a_card = replace(CELLS[0], device="cuda")
    assert find(get("cross_entropy"), on_a_card) is not None


def test_a_wrong_loss_is_told_by_the_file(file):
    truth_file.use(file)
    loss = get("cross_entropy")
    wrong = replace(loss, torch=lambda *args, **options: 1.001 * loss.torch(*args, **options))
    assert any(row["status"] == "inaccurate" for row in judged(CELLS[0], wrong))


def test_another_code_another_cell_and_no_ball_arithmetic_are_told_apart(file, monkeypatch):
    truth_file.use(file)
    loss, absent = get("cross_entropy"), replace(CELLS[0], seed=5)
    assert find(loss, absent) is None  # computed here
    monkeypatch.setattr(truth_file, "has_ball_arithmetic", lambda: False)
    with pytest.raises(Unsupported, match="has no such cell"):
        find(loss, absent)
    monkeypatch.setattr(truth_file, "_code_of", lambda module: "other")
    with pytest.raises(Unsupported, match="other code or of other inputs"):
        find(loss, CELLS[0])
    with pytest.raises(FileNotFoundError, match="make truth"):
        truth_file.use(file.parent / "absent")


def test_making_it_adds_what_is_missing_or_stale(tmp_path):
    path = tmp_path / "truth.sqlite"
    assert list(made.make(path, CELLS[:1], 1)) == [(0, 1), (1, 1)]
    assert list(made.make(path, CELLS, 1)) == [(1, 2), (2, 2)]
    assert truth_file.names(path) == {cell.case_id for cell in CELLS}
    with sqlite3.connect(path) as base:
        base.execute("UPDATE cells SET digest = 'stale' WHERE cell = ?", (CELLS[0].case_id,))
    base.close()
    assert list(made.make(path, CELLS, 1)) == [(1, 2), (2, 2)]
