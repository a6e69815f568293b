"""Facts of the machine and of each framework, each asked in a process of its own: one that hangs costs its own facts.

`python -m xloss.gpu.facts torch` prints those of a framework as JSON.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from xloss import environment
from xloss.gpu.journal import Row

#: What is asked of nvidia-smi; a field that it does not know is left out.
FIELDS = (
    "name", "uuid", "driver_version", "vbios_version", "memory.total", "memory.used", "clocks.sm", "clocks.mem",
    "clocks.max.sm", "clocks.max.mem", "power.limit", "power.draw", "temperature.gpu", "mig.mode.current",
    "ecc.mode.current", "compute_mode", "persistence_mode", "pcie.link.gen.current", "utilization.gpu",
)  # fmt: skip


def cards() -> list[dict[str, str]]:
    """Return what nvidia-smi says of each card; nothing where it is not there, or does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    found: list[dict[str, str]] = []
    for field in FIELDS:
        try:
            asked = [program, f"--query-gpu={field}", "--format=csv,noheader"]
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return found
        if answer.returncode:
            continue
        values = [row[0].strip() for row in csv.reader(answer.stdout.splitlines()) if row]
        found += [{} for _ in range(len(values) - len(found))]
        for card, value in zip(found, values, strict=False):
            card[field] = value
    return found


def machine() -> Row:
    """Return the machine's facts."""
    found = cards()
    return {"status": "ok", **environment.describe(), "cards": found}


def framework(name: str, timeout: float) -> Row:
    """Return a framework's facts, found in a fresh process; its error where it cannot be imported."""
    try:
        done = subprocess.run([sys.executable, "-m", "xloss.gpu.facts", name], capture_output=True, text=True,
                              timeout=timeout, check=False, cwd=Path(__file__).parents[2])  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"status": "timeout", "reason": f"importing {name} gave no answer in {timeout:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()[-1:] or [f"exited with code {done.returncode}"]
        return {"status": "crash" if done.returncode < 0 else "error", "reason": said[0][:300]}
    return {"status": "ok", **json.loads(lines[-1])}


def _torch() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"version": str(torch.__version__), "cuda": torch.version.cuda, "devices": []}
    if torch.cuda.is_available():
        found["cudnn"] = torch.backends.cudnn.version()
        found["precision of products"] = torch.get_float32_matmul_precision()
        for index in range(torch.cuda.device_count()):
            of = torch.cuda.get_device_properties(index)
            found["devices"].append(
                {"name": of.name, "capability": f"{of.major}.{of.minor}", "memory": of.total_memory,
                 "multiprocessors": of.multi_processor_count}
            )  # fmt: skip
    return found


def _jax() -> dict[str, Any]:
    import os

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    devices = [device for device in jax.devices() if device.platform == "gpu"]
    return {
        "version": str(jax.__version__),
        "jaxlib": environment.version("jaxlib"),
        "backend": jax.default_backend(),
        "platform": jax.devices()[0].client.platform_version,
        "devices": [
            {"name": device.device_kind, "memory": (device.memory_stats() or {}).get("bytes_limit")}
            for device in devices
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"torch": _torch, "jax": _jax}[sys.argv[1]](), default=str) + "\n")
