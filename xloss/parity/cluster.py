"""A dask cluster as the executor of a sweep.

Each cell runs in an isolated process of `xloss.parity.processes` beside the dask worker, not inside it. A nanny alone
would restart what dies, but with every cell that was there, after seconds of importing, four times before it blames
one; it ends no hang, and a loss that holds the GIL would stop the worker's heartbeat. So a fault of a loss is a
`WorkerFailure` as on one machine, and a dask worker ends only with its machine; dask then asks its cells elsewhere.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import hashlib
import multiprocessing
import multiprocessing.util
import platform
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xloss
from xloss import environment
from xloss.parity.failures import Raised
from xloss.parity.processes import Workers, fair_memory

if TYPE_CHECKING:
    from distributed import Client, Worker

TO_JOIN = 10.0  # seconds that a cluster without workers is waited for
ALONE = 120.0  # seconds after which a cluster that has lost all its workers counts as lost
LOOK = 2.0  # seconds between two looks at whether there are workers
IDLE = 600.0  # seconds after which a worker ends the processes of a sweep of which nothing was heard
TO_STOP = 1.5  # seconds that the workers have to stop what runs


class ClusterError(ValueError):
    """The cluster cannot answer a sweep; the message says which worker, and why."""


class ClusterLost(concurrent.futures.BrokenExecutor):
    """The scheduler, or all its workers, went away."""


@dataclass(frozen=True)
class Session:
    """What each task says of its sweep: its name, what the versions must be, how to prepare a process."""

    key: str
    facts: Mapping[str, str | None]
    initializer: Callable[..., Any] | None = None
    initargs: tuple[Any, ...] = ()


class DaskExecutor(concurrent.futures.Executor):
    """Run calls isolated on the workers of a dask client; each future gives the result or raises a `WorkerFailure`.

    Args:
        client: a `distributed.Client`; it stays open when this is shut down.
        device: where "cuda", and where workers declare the resource GPU, these alone are asked, one call a GPU.
        initializer: called with `initargs` in each isolated process before its first call.

    Raises `ClusterError` where there is no worker, or where one has other versions than this process.
    """

    def __init__(
        self,
        client: Client,
        device: str = "cpu",
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
    ):
        self.client = client
        self.session = Session(uuid.uuid4().hex, facts(), initializer, initargs)
        self.workers = check_workers(client)
        declared = device == "cuda" and any("GPU" in one["resources"] for one in self.workers.values())
        self.resources = {"GPU": 1} if declared else {}
        self._executor = client.get_executor(pure=False, resources=self.resources)
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._lost = ""
        threading.Thread(target=self._watch, daemon=True, name="xloss cluster").start()

    @property
    def machines(self) -> list[str]:
        """The processors of the workers, each once."""
        return sorted({one["processor"] for one in self.workers.values()})

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Schedule a call without a time-out."""
        return self.submit_within(None, function, *args, **kwargs)

    def submit_within(
        self, timeout: float | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Schedule a call that may take so many seconds once it runs."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            if self._lost or self._closed.is_set():
                raise ClusterLost(self._lost or "the executor was shut down")
            self._waiting.add(future)
        try:
            inner = self._executor.submit(isolated, self.session, timeout, function, args, kwargs)
        except Exception as error:  # dask's own, of a client that has closed itself
            with self._lock:
                self._waiting.discard(future)
            if self.client.status == "running":
                raise
            raise ClusterLost(f"the scheduler went away ({error})") from None
        inner.add_done_callback(functools.partial(self._hand_over, future))
        return future

    def _hand_over(self, future: concurrent.futures.Future[Any], inner: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            if future not in self._waiting:  # the cluster was given up meanwhile
                return
            self._waiting.discard(future)
        if inner.cancelled():
            future.set_exception(ClusterLost("the scheduler went away" if not self._closed.is_set() else "stopped"))
        elif (error := inner.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(inner.result())

    def _watch(self) -> None:
        """Give up where the scheduler, or each worker that may be asked, is gone: nothing else would end the wait."""
        seen = time.monotonic()
        while not self._closed.wait(LOOK):
            if self.client.status in ("closed", "closing"):
                self._give_up("the scheduler went away")
                return
            with contextlib.suppress(Exception):  # the scheduler is busy or gone, which the client finds out
                if self.client.nthreads():
                    seen = time.monotonic()
            if time.monotonic() > seen + ALONE:
                self._give_up(f"the cluster has had no worker for {ALONE:g} s")
                return

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._lost = reason
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            future.set_exception(ClusterLost(reason))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was scheduled, or cancel it; then end the isolated processes on the workers."""
        if self._closed.is_set():
            return
        if not cancel_futures and wait:
            concurrent.futures.wait(list(self._waiting))
        self._closed.set()
        self._give_up("the executor was shut down")

        def release() -> None:
            with contextlib.suppress(Exception):  # a worker that is gone has nothing to release
                self._executor.shutdown(wait=False)
            with contextlib.suppress(Exception):
                self.client.run(_release, self.session.key, on_error="ignore")

        thread = threading.Thread(target=release, daemon=True)
        thread.start()
        thread.join(TO_STOP)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        """Stop at once when left by an exception (Ctrl-C, too)."""
        self.shutdown(cancel_futures=kind is not None)


@functools.cache
def facts() -> dict[str, str | None]:
    """Return what must be the same in all processes of a sweep: versions, and the digest of xloss's source.

    Builds of one version (`+cpu`, `+cu126`) count as the same: a row's own version has the build.
    """
    root = Path(xloss.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    public = {name: version and version.partition("+")[0] for name, version in environment.versions().items()}
    source = {"xloss": xloss.__version__, "source of xloss": digest.hexdigest()[:12]}
    return {"python": platform.python_version(), **source, **public}


def differences(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str:
    """Say in which versions another process differs; nothing where it does not."""
    wrong = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {there.get(name) or 'missing'} (here {here.get(name) or 'missing'})" for name in wrong)


def check_workers(client: Client) -> dict[str, dict[str, Any]]:
    """Return what each worker is, by address; raise `ClusterError` where one must not answer."""
    try:
        client.wait_for_workers(1, timeout=TO_JOIN)
    except TimeoutError:
        raise ClusterError(
            f"the scheduler has had no worker for {TO_JOIN:g} s; start some: dask worker ADDRESS"
        ) from None
    found: dict[str, Any] = client.run(_describe, on_error="return")
    for address, answer in sorted(found.items()):
        if isinstance(answer, BaseException):
            raise ClusterError(f"worker {address}: cannot run this xloss ({type(answer).__name__}: {answer})")
        if wrong := differences(facts(), answer["facts"]):
            raise ClusterError(f"worker {address} has other versions: {wrong}")
    if not found:
        raise ClusterError("all workers went away while they were asked for their versions")
    return found


def _describe(dask_worker: Worker) -> dict[str, Any]:
    resources, threads = dict(dask_worker.state.total_resources), dask_worker.state.nthreads
    return {"facts": facts(), "resources": resources, "threads": threads, "processor": environment.processor()}


@dataclass
class _Pool:
    """The isolated processes of one sweep beside one dask worker."""

    workers: Workers
    active: int = 0
    used: float = field(default_factory=time.monotonic)


_pools: dict[str, _Pool] = {}
_pools_lock = threading.Lock()


def isolated(
    session: Session, timeout: float | None, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Run a call in an isolated process beside this dask worker; where that has other versions, it leaves the cluster.

    One that joined after the start is found out so.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    if wrong := differences(session.facts, facts()):
        worker.loop.add_callback(worker.close_gracefully, reason=f"other versions than the sweep: {wrong}")
        time.sleep(0.5)  # the task goes to another worker once this one has said that it leaves
        raise Reschedule
    pool = _pool(session, worker)
    try:
        return pool.workers.submit_within(timeout, function, *args, **kwargs).result()
    except Raised as error:
        raise error from None
    finally:
        with _pools_lock:
            pool.active -= 1
            pool.used = time.monotonic()


def _pool(session: Session, worker: Worker) -> _Pool:
    with _pools_lock:
        for key in [key for key, one in _pools.items() if not one.active and time.monotonic() > one.used + IDLE]:
            _pools.pop(key).workers.shutdown(wait=False, cancel_futures=True)
        if session.key not in _pools:
            # A nanny starts its worker as a daemon, which multiprocessing lets have no children; these end with it
            # nevertheless: by the finalizer, and where it is killed, by the signal of their forkserver's end.
            multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
            threads, limit = worker.state.nthreads, worker.memory_manager.memory_limit
            memory = int(limit / threads) if limit else fair_memory(threads)
            workers = Workers(threads, None, memory, initializer=session.initializer, initargs=session.initargs)
            multiprocessing.util.Finalize(None, workers._kill, exitpriority=10)
            _pools[session.key] = _Pool(workers)
        pool = _pools[session.key]
        pool.active += 1
        return pool


def _release(key: str) -> None:
    with _pools_lock:
        pool = _pools.pop(key, None)
    if pool is not None:
        pool.workers.shutdown(wait=False, cancel_futures=True)
