"""Facts of the machine and of each framework, each asked in a process of its own: one that hangs costs its own facts.

`python -m xloss.gpu.facts torch` prints those of a framework as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from xloss import environment
from xloss.gpu.journal import Row


def machine() -> Row:
    """Return the machine's facts."""
    return {"status": "ok", **environment.describe(), "cards": environment.cards()}


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
