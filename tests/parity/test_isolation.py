"""Faults planted in a loss, through the real sweep and its workers: they cost their own cell, and are named."""

import concurrent.futures
import os
import signal
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import faulty_loss
import pytest

from xloss import losses
from xloss.parity import Cell, sweep
from xloss.parity.failures import DeadlineExceeded
from xloss.parity.processes import Workers
from xloss.parity.worker import hand_over

REGIMES = ("typical", "large", "tiny")


def cells(name=faulty_loss.NAME):
    return [Cell(name, "default", (6, 3), regime, "float64") for regime in REGIMES]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Sweep three cells, the loss being faulty in one of them."""
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])

    def swept(fault, timeout=60.0, memory=None, **more):
        faulty_loss.write(tmp_path, fault)
        with Workers(1, timeout, memory, initializer=faulty_loss.plant, initargs=(str(tmp_path),)) as workers:
            return sweep(cells(), workers, peers=False, timeout=timeout, **more)

    return swept


def check_guilty(table, status, words):
    """Raise unless the faulty cell alone is blamed, in PyTorch alone, and all others are answered."""
    bad = table[~table["status"].isin(["ok", "unsupported"])]
    assert set(bad["regime"]) == {faulty_loss.REGIME}, bad[["regime", "status", "reason"]]
    assert set(bad["framework"]) == {"torch"}
    assert set(bad["status"]) == {status}
    assert bad["reason"].str.contains(words, regex=False).any(), bad["reason"].tolist()
    for regime in REGIMES:
        own = table[table["regime"] == regime]
        assert (own[own["framework"] == "jax"]["status"] == "ok").any()
        if regime != faulty_loss.REGIME:
            assert (own[own["framework"] == "torch"]["status"] == "ok").any()
    assert table.attrs == {"asked": 3, "ran": 3, "resumed": 0, "lost": 0}


@pytest.mark.parametrize("fault", faulty_loss.DEADLY)
def test_a_deadly_fault_costs_its_own_cell(run, fault):
    code, status, words = faulty_loss.DEADLY[fault]
    check_guilty(run(code), status, words)


@pytest.mark.slow
@pytest.mark.parametrize("fault", faulty_loss.SLOW)
def test_a_hang_costs_its_own_cell(run, fault):
    code, status, words = faulty_loss.SLOW[fault]
    check_guilty(run(code, timeout=8.0, memory=(3 << 29) if status == "oom" else None), status, words)


class Asked(Workers):
    """Workers that note what they were asked."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    def submit_in_parts(self, part, timeout, function, /, *args, **kwargs):
        self.calls.append(([cell.regime for cell in args[0]], args[1]))
        return super().submit_in_parts(part, timeout, function, *args, **kwargs)


class Plain(concurrent.futures.Executor):
    """An executor that answers whole groups only."""

    def __init__(self, workers):
        self.workers, self.calls = workers, []

    def submit(self, function, /, *args, **kwargs):
        self.calls.append(([cell.regime for cell in args[0]], args[1]))
        return self.workers.submit(function, *args, **kwargs)


class Kept:
    """A journal in memory: the regimes, as their cells were finished."""

    def __init__(self):
        self.regimes = []

    def load(self, cells):
        return {}

    def add(self, rows):
        self.regimes += [cell.regime for cell in rows]


BOTH = ("torch", "jax")


def test_after_a_death_only_the_cell_that_did_it_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    faulty_loss.write(tmp_path, "os._exit(1)")
    journal = Kept()
    with Asked(1, 60.0, initializer=faulty_loss.plant, initargs=(str(tmp_path),)) as workers:
        table = sweep(cells(), workers, peers=False, timeout=60.0, store=journal)
    check_guilty(table, "crash", "exited with code 1")
    apart = [(["large"], ("torch",)), (["large"], ("jax",))]
    assert workers.calls == [(list(REGIMES), BOTH), (["tiny"], BOTH), *apart, apart[0]]
    assert journal.regimes == ["typical", "tiny"]  # what died is not kept


def test_an_executor_that_answers_whole_groups_is_asked_cell_by_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    faulty_loss.write(tmp_path, "os._exit(1)")
    with Workers(1, 60.0, initializer=faulty_loss.plant, initargs=(str(tmp_path),)) as workers:
        plain = Plain(workers)
        check_guilty(sweep(cells(), plain, peers=False), "crash", "exited with code 1")
    assert plain.calls[:4] == [(list(REGIMES), BOTH), *[([regime], BOTH) for regime in REGIMES]]


def hand_over_slowly(parts, seconds):
    for number in range(parts):
        time.sleep(seconds)
        hand_over(number)
    return "end"


def test_the_time_begins_anew_with_each_part():
    seen = []
    with Workers(1) as workers:
        assert workers.submit_in_parts(seen.append, 4.0, hand_over_slowly, 4, 1.2).result() == "end"
        assert seen == [0, 1, 2, 3]
        late = workers.submit_in_parts(seen.append, 0.5, hand_over_slowly, 1, 1000)
        assert isinstance(late.exception(), DeadlineExceeded)
        assert workers.submit(nothing).result() is None


#: One of each kind; the others are slow.
TELLING = (
    "torch default dtype", "torch grad mode", "torch autocast", "jax_enable_x64", "numpy error", "standard output",
    "handler of SIGTERM", "environment variables", "working directory", "mutated its argument input",
)  # fmt: skip


@pytest.mark.parametrize(
    "leak", [pytest.param(name, marks=() if name in TELLING else pytest.mark.slow) for name in faulty_loss.LEAKS]
)
def test_a_leak_is_named_and_spoils_nothing(run, leak):
    table = run(faulty_loss.LEAKS[leak])
    named = table[table["reason"].str.contains(leak, regex=False)]
    assert len(named) == 1, table[table["status"] == "error"]["reason"].tolist()
    assert named["regime"].item() == faulty_loss.REGIME
    assert named["status"].item() == "error"
    assert named["framework"].item() == "torch"  # which ran when it changed, whosever it is
    others = table[table["regime"] != faulty_loss.REGIME]
    assert set(others["status"]) <= {"ok", "unsupported"}


def test_nothing_is_found_where_nothing_is_wrong(run):
    table = run("pass")
    assert set(table["status"]) <= {"ok", "unsupported"}


def pid():
    return os.getpid()


@pytest.mark.parametrize("victim", ["worker", "forkserver"])
def test_what_is_killed_from_outside_is_asked_again(run, tmp_path, victim):
    faulty_loss.write(tmp_path, "time.sleep(0.3)")
    with Workers(1, 60.0, initializer=faulty_loss.plant, initargs=(str(tmp_path),)) as workers:
        worker = workers.submit(pid).result()
        target = worker if victim == "worker" else os.getpgid(worker) and _parent(worker)
        threading.Timer(0.5, os.kill, (target, signal.SIGKILL)).start()
        table = sweep(cells(), workers, peers=False, timeout=60.0)
        assert workers.submit(pid).result() != worker
    assert set(table["status"]) <= {"ok", "unsupported"}, table[table["status"] == "crash"]["reason"].tolist()
    assert table.attrs["lost"] == 0


def test_a_dead_forkserver_that_is_not_yet_seen_to_be_dead_costs_nothing(run, tmp_path):
    """Refuse connections for half a second, as a forkserver does that was killed and is not yet reaped."""
    faulty_loss.write(tmp_path, "pass")
    with Workers(1, 60.0, initializer=faulty_loss.plant, initargs=(str(tmp_path),)) as workers:
        sweep(cells()[:1], workers, peers=False, timeout=60.0)  # imports what a sweep needs
        worker = workers.submit(pid).result()
        server = _parent(worker)
        Path(forkserver._forkserver._forkserver_address).unlink()
        os.kill(worker, signal.SIGKILL)
        threading.Timer(0.5, os.kill, (server, signal.SIGKILL)).start()
        table = sweep(cells(), workers, peers=False, timeout=60.0)
        assert _parent(workers.submit(pid).result()) != server
    assert set(table["status"]) <= {"ok", "unsupported"}, table[table["status"] == "crash"]["reason"].tolist()


def _parent(of):
    with Path(f"/proc/{of}/stat").open() as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def test_what_a_worker_started_ends_with_it(run):
    run("subprocess.Popen(['sleep', '4321'])\nos._exit(3)")
    time.sleep(0.1)
    assert not [
        1
        for name in (one.name for one in Path("/proc").iterdir())
        if name.isdigit() and _command(name) == "sleep\x004321\x00"
    ]


def _command(process):
    try:
        with Path(f"/proc/{process}/cmdline").open() as file:
            return file.read()
    except OSError:
        return ""


def nothing():
    return None


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": -1}, {"jobs": True}, {"timeout": 0}, {"timeout": float("nan")},
                                   {"timeout": -1.0}, {"memory": 0}])  # fmt: skip
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Workers(**wrong)


def test_shutdown_kills_what_runs():
    workers = Workers(1, None)
    workers.submit(nothing).result()
    running, waiting = workers.submit(time.sleep, 1000), workers.submit(nothing)
    while not running.running():
        time.sleep(0.01)
    workers.shutdown(cancel_futures=True)
    assert type(running.exception(5)).__name__ == "Stopped"
    assert waiting.cancelled()
