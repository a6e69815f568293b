"""The journal: what is finished is kept, what is stale is asked again, what is foreign is left alone."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3

import faulty_loss
import pytest

from xloss import losses
from xloss.parity import Cell, store, sweep
from xloss.parity.store import Store, StoreError

CELLS = [Cell("mse_loss", "default", (6, 3), regime, "float64") for regime in ("large", "tiny", "typical")]
HOW = {"frameworks": ("torch",), "peers": False}


@pytest.fixture
def open_store(tmp_path):
    made = []

    def opened(path=tmp_path / "journal.sqlite", frameworks=("torch",), peers=False):
        made.append(Store(path, frameworks, peers))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def test_what_is_kept_is_not_asked_again(open_store):
    first = sweep(CELLS[:2], store=open_store(), **HOW)
    table = sweep(CELLS, store=open_store(), resume=True, **HOW)
    assert table.attrs == {"asked": 3, "ran": 1, "resumed": 2, "lost": 0}
    again = sweep(CELLS, store=open_store(), resume=True, **HOW)
    assert again.attrs["ran"] == 0
    assert again.equals(table)
    assert first.equals(table[table["regime"] != "typical"].reset_index(drop=True))


def test_another_question_is_another_answer(open_store):
    sweep(CELLS, store=open_store(), **HOW)
    assert not open_store(peers=True).load(CELLS)
    assert not open_store(frameworks=("torch", "jax")).load(CELLS)
    assert len(open_store().load(CELLS)) == 3


def test_a_changed_loss_makes_only_its_own_cells_stale(open_store, tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    store.loss_digest.cache_clear()
    cell = Cell(faulty_loss.NAME, "default", (6, 3), "typical", "float64")
    file = faulty_loss.write(tmp_path, "pass")
    open_store().add({cell: [], CELLS[0]: []})
    assert set(open_store().load([cell, CELLS[0]])) == {cell, CELLS[0]}
    file.write_text(file.read_text() + "# changed\n")
    store.loss_digest.cache_clear()
    assert set(open_store().load([cell, CELLS[0]])) == {CELLS[0]}


def test_a_changed_version_makes_all_stale(open_store, monkeypatch):
    open_store().add({cell: [] for cell in CELLS})
    monkeypatch.setattr(store.environment, "versions", lambda: {"torch": "0"})
    store.shared_digest.cache_clear()
    try:
        assert not open_store().load(CELLS)
    finally:
        store.shared_digest.cache_clear()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one" * 9, b"x"])
def test_a_foreign_file_is_left_alone(open_store, tmp_path, content):
    file = tmp_path / "journal.sqlite"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"journal.sqlite.*left as it is"):
        open_store()
    assert file.read_bytes() == content


def test_a_database_of_another_program_is_left_alone(open_store, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as base, base:
        base.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "journal.sqlite").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store()
    assert (tmp_path / "journal.sqlite").read_bytes() == before


def test_a_torn_last_record_is_dropped(open_store, tmp_path):
    """The files as a crash leaves them, the write-ahead log cut within its last record."""
    writing = open_store()
    for cell in CELLS:
        writing.add({cell: [{"reason": "x" * 3000}]})
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"journal.sqlite{suffix}", crashed)
    log = crashed / "journal.sqlite-wal"
    os.truncate(log, log.stat().st_size - 100)
    found = open_store(crashed / "journal.sqlite").load(CELLS)
    assert set(found) == set(CELLS[:2])


def _write(path, first, barrier):
    one = Store(path, ("torch",), False)
    barrier.wait(60)
    for seed in range(first, first + 40):
        one.add({Cell("mse_loss", "default", (6, 3), "typical", "float64", seed=seed): [{"reason": str(seed)}]})
    one.close()


def test_two_writers_lose_and_mix_nothing(open_store, tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    path = tmp_path / "journal.sqlite"
    writers = [context.Process(target=_write, args=(path, first, barrier)) for first in (0, 40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    asked = [Cell("mse_loss", "default", (6, 3), "typical", "float64", seed=seed) for seed in range(80)]
    found = open_store().load(asked)
    assert {cell.seed: rows[0]["reason"] for cell, rows in found.items()} == {seed: str(seed) for seed in range(80)}


def test_a_full_disk_is_a_sentence_and_keeps_what_was_there(open_store, tmp_path):
    one = open_store()
    one.add({CELLS[0]: [{"reason": "kept"}]})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(StoreError, match=r"journal.sqlite: "):
            one.add({CELLS[1]: [{"reason": "x" * (1 << 20)}]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert set(open_store().load(CELLS)) == {CELLS[0]}


def test_a_place_that_cannot_be_written_is_said_at_once(open_store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/journal.sqlite: .*(Not a directory|File exists)"):
        open_store(tmp_path / "file" / "journal.sqlite")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
