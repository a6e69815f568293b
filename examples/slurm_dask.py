"""Sweep every loss on GPUs that Slurm gives: one job a GPU, one dask worker a job.

It asks for dask-jobqueue (`pip install 'xloss[torch,jax,dask]' dask-jobqueue`) on the machine that submits, and for the
same versions of Python, xloss, torch and jax on the nodes; the sweep compares them before it starts. Partition, memory,
time and the environment are examples: put your own. Run it where `sbatch` is and where the nodes reach this machine:

    python examples/slurm_dask.py reports

This file has not been run on a Slurm cluster; what it hands to `sweep` was, on workers over TCP on one machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Client

from xloss.parity import cells, sweep
from xloss.parity.cluster import DaskExecutor
from xloss.parity.store import Store

GPUS = 64
FRAMEWORKS = ("torch", "jax")


def main(out: Path) -> None:
    """Ask all cells on a GPU, keep each as it finishes, and write the table."""
    jobs = SLURMCluster(
        queue="gpu",
        walltime="04:00:00",
        cores=4,  # of a job; the dask worker itself has one thread, as one cell has the GPU at a time
        memory="32GB",
        processes=1,
        job_extra_directives=["--gres=gpu:1"],
        worker_extra_args=["--nthreads", "1", "--resources", "GPU=1"],  # the tag that the sweep asks for
        job_script_prologue=["source ~/xloss/bin/activate"],
    )
    with jobs, Client(jobs) as client:
        jobs.scale(jobs=GPUS)
        # The sweep begins with the first worker; those that join later are checked when they get their first cells.
        client.wait_for_workers(1)
        print("dashboard:", client.dashboard_link)  # noqa: T201
        with DaskExecutor(client, "cuda") as executor:
            # The machines that answer are part of what an answer depends on.
            store = Store(out / "data" / "parity.sqlite", FRAMEWORKS, True, executor.machines)
            asked = cells(device="cuda", full=True)
            table = sweep(asked, executor, frameworks=FRAMEWORKS, store=store, resume=True)
            store.close()
    print(table["status"].value_counts().to_string(), table.attrs, sep="\n")  # noqa: T201
    table.attrs = {}
    table.to_parquet(out / "data" / "parity.parquet", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "reports"))
