"""`--executor`: where the cells of a sweep are checked, other than in worker processes of the command."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from xloss.cli import validate

if TYPE_CHECKING:
    from xloss.parity.cluster import DaskExecutor

TO_CONNECT = 5.0  # seconds that a scheduler may take to answer
ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?):([0-9]{1,5})")
EXPECTED = "expected dask, or dask=tcp://HOST:PORT of a scheduler"


def check(ctx: typer.Context, executor: str | None, isolation: bool) -> None:
    """Refuse, as a `ValueError`, an executor that cannot be read, is not installed or contradicts other options."""
    if executor is None:
        return
    name, equals, address = executor.partition("=")
    if name != "dask":
        raise ValueError(f"executor: {EXPECTED}, got {executor[:80]!r}{validate.hint(name[:80], ['dask'])}")
    found = ADDRESS.fullmatch(address)
    if equals and not (found and 0 < int(found[3]) < 65536):
        near = "; did you mean dask=tcp://...?" if "://" not in address and ":" in address else ""
        raise ValueError(f"executor: {EXPECTED}, got {executor[:80]!r}{near}")
    if equals and validate.given(ctx, "jobs"):
        raise ValueError(f"jobs: contradicts --executor {executor}, whose workers are the cluster's to number; leave "
                         "one of them out")  # fmt: skip
    if not isolation:
        raise ValueError(f"isolation: --no-isolation contradicts --executor {executor}, which checks in other "
                         "processes; leave one of them out")  # fmt: skip
    if importlib.util.find_spec("distributed") is None:
        raise ValueError("executor: dask is not installed; install it (pip install 'xloss[dask]')")


def is_remote(executor: str | None) -> bool:
    """Tell whether the cells run on machines of their own."""
    return executor is not None and "=" in executor


def machines(executor: str | None, cluster: DaskExecutor | None) -> list[str]:
    """Return the processors that answer, where it is not this machine's that does."""
    return cluster.machines if cluster is not None and is_remote(executor) else []


@contextlib.contextmanager
def opened(executor: str | None, jobs: int, device: str, frameworks: Sequence[str]) -> Iterator[DaskExecutor | None]:
    """Yield the executor that an option asks for, None for none; stop its work when left by an exception."""
    if executor is None:
        yield None
        return
    from xloss.parity.cluster import ClusterError, DaskExecutor

    address = executor.partition("=")[2]
    with _client(address, jobs) as client:
        try:
            cluster = DaskExecutor(client, device)
            if address and device == "cuda":
                _check_device(cluster, device, frameworks)
        except ClusterError as error:
            validate.refuse(f"executor: {error}")
        if client.dashboard_link and not address:
            missing = "" if importlib.util.find_spec("bokeh") else " (its pages need bokeh: pip install bokeh)"
            typer.echo(f"dask dashboard: {client.dashboard_link}{missing}", err=True)
        elif client.dashboard_link:
            threads = sum(one["threads"] for one in cluster.workers.values())
            typer.echo(f"dask dashboard: {client.dashboard_link}; {len(cluster.workers)} workers, {threads} threads",
                       err=True)  # fmt: skip
        with cluster:
            yield cluster


@contextlib.contextmanager
def _client(address: str, jobs: int) -> Iterator[Any]:
    import logging
    import os

    from distributed import Client, LocalCluster

    if not address:
        from xloss.parity.processes import fair_memory

        count = jobs or len(os.sched_getaffinity(0))
        cluster = LocalCluster(n_workers=count, threads_per_worker=1, processes=True, memory_limit=fair_memory(count),
                               dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL)  # fmt: skip
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(address, timeout=TO_CONNECT)
    except Exception as error:  # whatever the other side says: it may be no scheduler at all
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        validate.refuse(f"executor: no dask scheduler answers at {address} within {TO_CONNECT:g} s ({reason})")
    try:
        yield client
    finally:
        client.close(timeout=1)


def _check_device(cluster: DaskExecutor, device: str, frameworks: Sequence[str]) -> None:
    from xloss.parity.cluster import ClusterError
    from xloss.parity.failures import WorkerFailure

    for name in frameworks:
        try:
            cluster.submit_within(120.0, _touch, name, device).result()
        except WorkerFailure as error:
            raise ClusterError(f"a worker cannot check on {device}: {error}") from None


def _touch(framework: str, device: str) -> None:
    from xloss.parity.mechanisms import load

    load(framework).device(device)
