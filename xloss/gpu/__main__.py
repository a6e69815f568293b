"""`python -m xloss.gpu --budget 540 --out DIR`: run what a GPU is to be asked, the most telling first, and keep it all.

Say first what is missing and what it costs. Each step runs in child processes under deadlines; each answer is on the
disk before the next question; what a fault costs is its own cell. `--resume` goes on where a run was stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from xloss.gpu import needs

BROKEN, NOTHING = 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0 all well, 1 an inaccuracy, 2 usage, 3 a crash, time-out or error, 4 nothing was run."""
    reader = argparse.ArgumentParser(prog="python -m xloss.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    reader.add_argument("--budget", type=float, default=540.0, metavar="SECONDS", help="of all steps (default: 540)")
    reader.add_argument("--out", type=Path, required=True, help="folder of journal.jsonl and summary.md")
    reader.add_argument("--device", default="cuda:0", help="cuda:N (default: cuda:0); a rehearsal is on the CPU")
    reader.add_argument("--resume", action="store_true", help="ask only what --out has no answer to")
    reader.add_argument("--rehearse", action="store_true", help="the same program on a CPU, small, with planted faults")
    reader.add_argument(
        "--truth", type=Path, help="file of exact results (default: what `make truth` writes, if there)"
    )
    reader.add_argument("--wheels", type=Path, help="install what is missing from this folder of wheels; no network")
    reader.add_argument("--loss", nargs="+", help="only these losses")
    reader.add_argument("--step", nargs="+", help="only these steps")
    given = reader.parse_args(argv)
    kind, _, number = given.device.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        reader.error(f"argument --device: expected cuda or cuda:N, got {given.device!r}")
    if not 0 < given.budget < float("inf"):
        reader.error(f"argument --budget: expected seconds greater than 0, got {given.budget!r}")
    if given.truth is not None and not given.truth.is_file():
        reader.error(f"argument --truth: expected the file that `make truth` writes, there is no {given.truth}")
    start = time.monotonic()
    if given.wheels is not None:
        sys.stderr.write(needs.install(given.wheels) + "\n")
    lacking = [need.package for need in needs.missing() if need.all]
    if lacking:
        sys.stderr.write("\n".join([*needs.page(given.truth), ""]))
        sys.stderr.write(f"nothing can run without {', '.join(lacking)}: pip install {' '.join(lacking)}\n")
        return NOTHING
    choose_device(int(number or 0), given.rehearse)

    from xloss.gpu import driver

    try:
        run = driver.Run(given, start)
    except driver.Refused as reason:
        reader.error(str(reason))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run.run()
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; what is done is kept, go on with --resume --out {given.out}\n")
        return 130


def choose_device(number: int, rehearse: bool) -> None:
    """Let this process and its children see one device, the first of both frameworks; set before they are imported."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # No pool of compiler processes that would outlive a child.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    if rehearse:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts them
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if number < len(visible) else str(number)


if __name__ == "__main__":
    sys.exit(main())
