"""Sweeps over a dask cluster, its scheduler and workers being processes that speak TCP, and over other executors."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import faulty_loss
import pandas as pd
import pytest
from typer.testing import CliRunner

from xloss import losses
from xloss.cli.app import app
from xloss.parity import Cell, cells, sweep
from xloss.parity.processes import Workers
from xloss.parity.sweep import COLUMNS

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
REGIMES = ("typical", "large", "tiny")
SAME = [name for name in COLUMNS if name != "seconds"]
# dask's own threads and sockets are closed late.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Cluster:
    """A scheduler and workers, each in a session of its own."""

    def __init__(self, folder, **environment):
        self.folder, self.environment, self.workers = folder, environment, []
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
                                     "--scheduler-file", str(self.file))  # fmt: skip
        until(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def _start(self, command, *arguments, **environment):
        paths = os.pathsep.join([environment.pop("first", ""), str(ROOT), str(ROOT / "tests")]).strip(os.pathsep)
        with (self.folder / f"{command}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
                env={**os.environ, **self.environment, **environment, "PYTHONPATH": paths},
                cwd=self.folder, start_new_session=True, stdout=log, stderr=log,
            )  # fmt: skip

    def worker(self, *arguments, **environment):
        self.workers.append(self._start("dask_worker", self.address, "--nthreads", "1", "--no-dashboard",
                                        "--local-directory", str(self.folder), *arguments, **environment))  # fmt: skip
        return self.workers[-1]

    def close(self):
        for process in (*self.workers, self.scheduler):
            kill(process)


def kill(process):
    """Kill a process with its session: of a worker, its nanny too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(true, seconds=90.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path):
    started = Cluster(tmp_path)
    yield started
    started.close()


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster.address, timeout=60) as connected:
        yield connected


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Let this process know the faulty loss; return the arguments that let isolated processes know it."""
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    return {"initializer": faulty_loss.plant, "initargs": (str(tmp_path),)}


def ours(regimes=REGIMES):
    return [Cell(faulty_loss.NAME, "default", (6, 3), regime, "float64") for regime in regimes]


def same(left, right):
    pd.testing.assert_frame_equal(left[SAME], right[SAME])


def isolated_processes(folder):
    """The isolated processes that are alive, of dask workers started with a test's folder in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (place / "environ").read_bytes()
            if (
                b"multiprocessing.forkserver" in (place / "cmdline").read_bytes()
                and f"XLOSS_TEST_DASK={folder}\0".encode() in text
            ):
                found.append(place.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "timeout"), [("segfault", 60.0), ("_exit(0)", 60.0), ("SystemExit", 60.0),
                                                ("hang that ignores SIGTERM", 10.0)])  # fmt: skip
def test_a_fault_costs_its_own_cell_and_no_dask_worker(cluster, client, planted, tmp_path, fault, timeout):
    from xloss.parity.cluster import DaskExecutor

    code, status, words = {**faulty_loss.DEADLY, **faulty_loss.SLOW}[fault]
    faulty_loss.write(tmp_path, code)
    cluster.worker()
    with DaskExecutor(client, **planted) as executor:
        before = set(client.nthreads())
        table = sweep(ours(), executor, peers=False, timeout=timeout)
        assert set(client.nthreads()) == before
    bad = table[~table["status"].isin(["ok", "unsupported"])]
    assert set(bad["regime"]) == {faulty_loss.REGIME}
    assert set(bad["framework"]) == {"torch"}
    assert set(bad["status"]) == {status}
    assert bad["reason"].str.contains(words, regex=False).any()
    assert table.attrs["lost"] == 0


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_no_row(cluster, client, planted, tmp_path):
    from xloss.parity.cluster import DaskExecutor

    faulty_loss.write(tmp_path, "time.sleep(0.2)")
    asked = [*ours(), *cells(["mse_loss", "l1_loss"], ["float64"], ["typical", "large"])]
    with Workers(1, 60.0, **planted) as workers:
        local = sweep(asked, workers, peers=False)
    cluster.environment["XLOSS_TEST_DASK"] = str(tmp_path)
    victim = cluster.worker()
    cluster.worker()
    client.wait_for_workers(2, timeout=90)
    killed = []

    def progress(done, total):
        if not killed:
            killed.append(done)
            kill(victim)

    with DaskExecutor(client, **planted) as executor:
        assert len(executor.workers) == 2
        same(sweep(asked, executor, peers=False, progress=progress), local)
        assert len(client.nthreads()) == 1
        assert killed
        assert killed[0] < len(asked)
    # None of the worker that was killed; of the other the server that they are forked from.
    until(lambda: len(isolated_processes(tmp_path)) == 1, 20.0)


@pytest.mark.slow
def test_a_cell_that_kills_dask_workers_is_named(cluster, client, planted, tmp_path):
    from xloss.parity.cluster import DaskExecutor

    # The grandparent of an isolated process is the dask worker; its nanny starts another.
    faulty_loss.write(tmp_path, "server = os.getppid()\n"
                           "of = int(open(f'/proc/{server}/stat').read().rsplit(')', 1)[1].split()[1])\n"
                           "os.kill(of, signal.SIGKILL); time.sleep(60)")  # fmt: skip
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    cluster.worker()
    with DaskExecutor(client, **planted) as executor:
        table = sweep(ours(), executor, peers=False)
    bad = table[~table["status"].isin(["ok", "unsupported"])]
    assert set(zip(bad["regime"], bad["framework"], bad["status"], strict=True)) == {
        (faulty_loss.REGIME, "torch", "crash")
    }
    assert bad["reason"].str.startswith("KilledWorker").all()
    assert table.attrs["lost"] == 0


def mark():
    return os.environ.get("XLOSS_TEST_MARK")


@pytest.mark.slow
def test_cells_of_a_gpu_go_to_workers_that_declare_one(cluster, client):
    from xloss.parity.cluster import DaskExecutor

    cluster.worker(XLOSS_TEST_MARK="plain")
    cluster.worker("--resources", "GPU=1", XLOSS_TEST_MARK="gpu")
    client.wait_for_workers(2, timeout=90)
    with DaskExecutor(client, "cuda") as executor:
        assert executor.resources == {"GPU": 1}
        assert {call.result() for call in [executor.submit(mark) for _ in range(8)]} == {"gpu"}
    with DaskExecutor(client) as executor:
        assert {call.result() for call in [executor.submit_within(60.0, mark) for _ in range(8)]} == {"plain", "gpu"}


def fake(folder, package, version):
    """Make a folder that, first on the path, gives a package another version."""
    where = folder / "other" / f"{package}-{version}.dist-info"
    where.mkdir(parents=True)
    (where / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return str(where.parent)


@pytest.mark.slow
def test_a_worker_with_other_versions_is_named(cluster, client, tmp_path):
    from xloss.parity.cluster import ClusterError, DaskExecutor

    cluster.worker()
    cluster.worker("--name", "old", first=fake(tmp_path, "jax", "0.1.2"))
    client.wait_for_workers(2, timeout=90)
    with pytest.raises(ClusterError, match=r"worker tcp://127.0.0.1:\d+ has other versions: jax 0\.1\.2 \(here "):
        DaskExecutor(client)
    result = CliRunner().invoke(app, ["parity", "--loss", "mse_loss", "--executor", f"dask={cluster.address}"])
    assert result.exit_code == 2
    assert "jax 0.1.2 (here" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_worker_that_joins_late_with_other_versions_leaves(cluster, client, tmp_path):
    from xloss.parity.cluster import DaskExecutor

    first = cluster.worker(XLOSS_TEST_MARK="first")
    with DaskExecutor(client) as executor:
        late = cluster.worker(first=fake(tmp_path, "jax", "0.1.2"), XLOSS_TEST_MARK="late")
        client.wait_for_workers(2, timeout=90)
        assert {call.result() for call in [executor.submit(mark) for _ in range(8)]} == {"first"}
        until(lambda: len(client.nthreads()) == 1)
    late.wait(30)
    assert first.poll() is None


@pytest.mark.slow
def test_without_scheduler_the_sweep_ends_and_can_be_resumed(cluster, planted, tmp_path):
    from xloss.parity.cluster import DaskExecutor
    from xloss.parity.store import Store

    faulty_loss.write(tmp_path, "time.sleep(0.2)")
    asked = [*ours(), *cells(["mse_loss", "l1_loss"], ["float64"], ["typical", "large"])]
    cluster.worker()
    store = Store(tmp_path / "parity.sqlite", ("torch", "jax"), False)
    with distributed.Client(cluster.address, timeout=60) as client, DaskExecutor(client, **planted) as executor:
        table = sweep(asked, executor, peers=False, store=store, progress=lambda done, total: kill(cluster.scheduler))
    assert table.attrs["lost"] == 0
    gone = table[table["status"] == "crash"]
    assert 0 < gone["case_id"].nunique() < len(asked)
    assert gone["reason"].str.contains("ClusterLost").all()
    with Workers(1, 60.0, **planted) as workers:
        again = sweep(asked, workers, peers=False, store=store, resume=True)
    store.close()
    assert again.attrs["resumed"] == len(asked) - gone["case_id"].nunique()
    assert set(again["status"]) <= {"ok", "unsupported"}


@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True])
def test_the_command_writes_a_journal_and_resumes(cluster, tmp_path, remote):
    arguments = ["parity", "--loss", "mse_loss", "--loss", "l1_loss", "--dtype", "float32", "--regime", "large",
                 "--no-peers", "--json", "--out", str(tmp_path / "out")]  # fmt: skip
    if remote:
        cluster.worker()
        where = ["--executor", f"dask={cluster.address}"]
    else:
        where = ["--executor", "dask", "--jobs", "1"]
    command = [sys.executable, "-m", "xloss", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for options, ran in ([*where], True), ([*where, "--resume"], False):
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert (facts["ran"] > 0) == ran
        assert (facts["resumed"] > 0) != ran
        assert facts["lost"] == 0
        assert "dask dashboard: http://" in done.stderr or remote


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_local_cluster_ends_with_the_command(tmp_path, number):
    command = [sys.executable, "-m", "xloss", "parity", "--loss", "mse_loss", "--loss", "huber_loss", "--no-peers",
               "--executor", "dask", "--jobs", "2", "--out", str(tmp_path)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLOSS_TEST_DASK": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stderr:
            if re.match(r"cases: [1-9]", line):
                break
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        rest = process.stderr.read()
        assert process.wait(30) == 128 + number, rest
    assert f"stopped by {number.name}; go on with" in rest
    assert "Traceback" not in rest
    until(lambda: not isolated_processes(tmp_path), 20.0)


def invoke(*arguments):
    result = CliRunner().invoke(app, ["parity", "--loss", "mse_loss", "--dtype", "float64", *arguments])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("wrong", ["", "dsk", "Dask", "dask=", "dask=tcp://", "dask=tcp://host", "dask=tcp://host:0",
                                   "dask=tcp://host:65536", "dask=127.0.0.1:8786", "dask=http://host:80", "ray",
                                   "dask=tcp://ho st:1", "dask=tcp://host:1\n", "dask=tcp://host:1/x",
                                   "x" * 999])  # fmt: skip
def test_an_executor_that_cannot_be_read_is_refused(wrong):
    said = invoke("--executor", wrong)
    assert said.startswith("executor: expected dask, or dask=tcp://HOST:PORT of a scheduler, got ")
    assert ("did you mean dask" in said) == (wrong in ("dsk", "Dask", "dask=127.0.0.1:8786"))


def test_options_that_contradict_a_cluster_are_refused():
    assert invoke("--executor", "dask=tcp://127.0.0.1:1", "--jobs", "2").startswith("jobs: contradicts --executor")
    assert invoke("--executor", "dask", "--no-isolation").startswith("isolation: --no-isolation contradicts")


def test_a_scheduler_that_does_not_answer_is_named():
    said = invoke("--executor", "dask=tcp://127.0.0.1:1")
    assert said.startswith("executor: no dask scheduler answers at tcp://127.0.0.1:1 within 5 s")


@pytest.mark.slow
def test_a_cluster_without_workers_is_refused(cluster):
    assert f"executor: no worker joined {cluster.address} in 10 s" in invoke("--executor", f"dask={cluster.address}")


CELLS = [Cell("mse_loss", "default", (6, 3), regime, "float64") for regime in REGIMES]


@pytest.fixture(scope="module")
def alone():
    return sweep(CELLS, peers=False, frameworks=("torch",))


def test_a_thread_pool_gives_the_same_rows(alone):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        same(sweep(CELLS, executor, peers=False, frameworks=("torch",)), alone)


@pytest.mark.slow
def test_a_process_pool_gives_the_same_rows(alone):
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        same(sweep(CELLS, executor, peers=False, frameworks=("torch",)), alone)


@pytest.mark.slow
def test_a_process_pool_that_broke_loses_no_cell(planted, tmp_path):
    import multiprocessing

    faulty_loss.write(tmp_path, "os._exit(1)")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, **planted) as executor:
        table = sweep([*CELLS, *ours()], executor, peers=False, frameworks=("torch",))
    assert table.attrs["lost"] == 0
    broken = table[table["status"] == "crash"]
    assert broken["reason"].str.contains("BrokenProcessPool").all()
    assert faulty_loss.REGIME in set(broken[broken["loss"] == faulty_loss.NAME]["regime"])
