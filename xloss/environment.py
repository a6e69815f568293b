"""What a result depends on: the machine, the versions, the devices."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "jax", "jaxlib", "numpy", "ml_dtypes", "python-flint", "pandas", "optax", "keras")


#: What is asked of nvidia-smi; a field that it does not know is left out.
CARD = (
    "name", "uuid", "driver_version", "vbios_version", "memory.total", "memory.used", "clocks.sm", "clocks.mem",
    "clocks.max.sm", "clocks.max.mem", "power.limit", "power.draw", "temperature.gpu", "mig.mode.current",
    "ecc.mode.current", "compute_mode", "persistence_mode", "utilization.gpu",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Return the installed version of every package that a result may depend on; None for what is not there."""
    return {name: version(name) for name in PACKAGES}


def version(name: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor() or platform.machine()


def devices(framework: str) -> dict[str, Any]:
    """Return the GPUs that a framework sees, by name, or why it sees none."""
    if framework == "torch":
        import torch

        if torch.cuda.is_available():
            names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            return {"cuda": names, "runtime": torch.version.cuda}
        return {
            "cuda": [],
            "why": "this build has no CUDA" if torch.version.cuda is None else "no CUDA device is visible",
        }
    import jax

    found = [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    return {"cuda": found} if found else {"cuda": [], "why": f"its default backend is {jax.default_backend()!r}"}


def cards() -> list[dict[str, str]]:
    """Return what nvidia-smi says of each card; nothing where it is not there, or does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []

    def ask(*fields: str) -> list[dict[str, str]]:
        query = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=15, check=False)
        rows = csv.reader(answer.stdout.splitlines(), skipinitialspace=True) if not answer.returncode else ()
        return [dict(zip(fields, row, strict=False)) for row in rows if row]

    try:
        if found := ask(*CARD):
            return found
        for field in CARD:  # one that this version does not know spoils all
            some = ask(field)
            found = [one | other for one, other in zip(found or [{} for _ in some], some, strict=False)] or found
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found


def describe() -> dict[str, Any]:
    """Return machine, versions and date as data; imports no framework."""
    import xloss

    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "xloss": xloss.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": os.cpu_count(),
        "versions": versions(),
    }
