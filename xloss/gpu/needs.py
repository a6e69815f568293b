"""What is installed here, what is missing, and what that costs: the first page of a run. Needs nothing but Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """A package: the module that shows that it is there, what it is for, and whether nothing runs without it."""

    package: str
    module: str
    costs: str
    all: bool = False


NEEDS = (
    Need("numpy", "numpy", "everything", all=True),
    Need("ml_dtypes", "ml_dtypes", "everything", all=True),
    Need("allpairspy", "allpairspy", "everything", all=True),
    Need("torch", "torch", "the steps of PyTorch"),
    Need("jax", "jax", "the steps of JAX"),
    Need("python-flint", "flint", "exact results computed here; they are read from the file that `make truth` makes"),
    Need("optax", "optax", "the times of optax"),
    Need("keras", "keras", "the times of Keras"),
)
#: Nothing here asks for these: times, processes and tables are xloss's own.
NOT_NEEDED = ("asv", "pebble", "pandas", "pyarrow", "typer", "rich", "pytest")


def there(need: Need) -> bool:
    """Tell whether a package is installed."""
    return importlib.util.find_spec(need.module) is not None


def missing(needs: Iterable[Need] = NEEDS) -> list[Need]:
    """Return what is not installed."""
    return [need for need in needs if not there(need)]


def install(wheels: Path) -> str:
    """Install from a folder of wheels what is missing and lies there, without a network; return what was said.

    Their own dependencies are not installed with them, so that no framework is replaced.
    """
    if not wheels.is_dir():
        return f"wheels: expected a folder of wheels, there is no {wheels}"
    have = {path.name.split("-")[0].lower().replace("-", "_") for path in wheels.glob("*.whl")}
    wanted = [need.package for need in missing() if need.package.lower().replace("-", "_") in have]
    if not wanted:
        return f"wheels: {wheels} has nothing that is missing"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--find-links", str(wheels)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=300, check=False)
    importlib.invalidate_caches()
    said = done.stderr.strip().splitlines()[-1:] or [f"exited with code {done.returncode}"]
    return f"wheels: {'installed' if not done.returncode else f'failed ({said[0][:200]}):'} {', '.join(wanted)}"


def page(truth: Path | None) -> list[str]:
    """Return in lines what is there, and what is missing at what cost."""
    lines = [f"Python {sys.version.split()[0]}, {sys.executable}"]
    lines += [f"{need.package}: {'installed' if there(need) else f'missing: it costs {need.costs}'}" for need in NEEDS]
    if truth is not None:
        lines.append(f"exact results: read from {truth}")
    elif not missing([need for need in NEEDS if need.module == "flint"]):
        lines.append("exact results: computed here, on the CPU; `make truth`, run before, would save that time")
    else:
        lines.append("exact results: none: the steps that judge are left out; `make truth` writes them where "
                     "python-flint is installed, and --truth names the file")  # fmt: skip
    return [*lines, f"not needed: {', '.join(NOT_NEEDED)}"]
