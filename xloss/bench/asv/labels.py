"""What environment this is, and whether it is what its label says.

An installer that resolves dependencies anew can silently put other versions into an environment than its label names:
two "versions" are then compared that are one. So every benchmark calls `check` before it measures.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from xloss import environment
from xloss.catalog import Unsupported
from xloss.forkserver import installed

# Packages beside the framework that may change a result.
RECORDED = ("jaxlib", "numpy", "optax", "keras", "triton", "jax-cuda12-plugin", "jax-cuda13-plugin")


class Mislabelled(Exception):
    """The environment is not what its label says."""


def device() -> str:
    """Return the device of this run: `XLOSS_DEVICE`, "cpu" or "cuda"."""
    name = os.environ.get("XLOSS_DEVICE", "cpu")
    if name not in ("cpu", "cuda"):
        raise ValueError(f"XLOSS_DEVICE: expected cpu or cuda, got {name!r}")
    return name


def framework() -> str:
    """Return the one framework of this environment: `XLOSS_FRAMEWORK`, else the one that is installed."""
    named, found = os.environ.get("XLOSS_FRAMEWORK"), installed()
    if named and named not in found:
        raise Mislabelled(f"XLOSS_FRAMEWORK is {named!r}; installed: {', '.join(found) or 'none'}")
    if not named and len(found) != 1:
        raise Mislabelled(f"expected one framework, found {' and '.join(found) or 'none'}: name it in XLOSS_FRAMEWORK")
    return named or found[0]


def label() -> dict[str, str]:
    """Return the versions that asv made this environment for, by package; empty where asv did not make it."""
    folder = os.environ.get("ASV_ENV_DIR")
    if not folder or not (path := Path(folder) / "asv-env-info.json").is_file():
        return {}
    requirements = json.loads(path.read_text())["requirements"]
    return {name.removeprefix("pip+"): version for name, version in requirements.items() if version}


def check() -> str:
    """Return the framework of this environment; `Mislabelled` where a version is not that of the label."""
    name = framework()
    promised = label()
    if promised and name not in promised:
        raise Mislabelled(f"{name} is installed, but the label of this environment names {', '.join(promised)}")
    for package, version in promised.items():
        found = _version(package)
        if found != version:
            raise Mislabelled(f"{package} {found} in an environment labelled {package} {version}")
    imported = sys.modules.get(name)
    if imported is not None and imported.__version__.split("+")[0] != str(_version(name)):
        raise Mislabelled(f"{name} {imported.__version__} is imported, {_version(name)} is installed")
    return name


def require(name: str) -> None:
    """Raise `Unsupported` where this is another framework's environment."""
    here = check()
    if name != here:
        raise Unsupported(f"this is an environment of {here}")


def versions(name: str) -> dict[str, str]:
    """Return the versions that results of a framework depend on, for an environment that asv did not make."""
    found = {package: _version(package) for package in (name, *RECORDED)}
    other = {"torch": ("jaxlib", "optax", "keras", "jax-cuda12-plugin", "jax-cuda13-plugin"), "jax": ("triton",)}[name]
    return {package: version for package, version in found.items() if version and package not in other}


def _version(package: str) -> str | None:
    """Return the installed version, without the build's mark (2.13.0+cpu)."""
    found = environment.version(package)
    return found.split("+")[0] if found else None
