"""What `xloss.torch` and `xloss.jax` are made of: the catalogue, seen from one framework."""

from __future__ import annotations

from xloss import modules
from xloss.catalog import LOSSES


def names() -> list[str]:
    """The public names of a face: functions, then classes."""
    return [*LOSSES, *modules.by_class()]


def find(framework: str, name: str) -> object:
    """The loss `name` in `framework`, as a function or as a class; `AttributeError` as a module raises it."""
    if name in LOSSES:
        return getattr(LOSSES[name], framework)
    if name in modules.by_class():
        return modules.find(framework, name)
    raise AttributeError(f"module 'xloss.{framework}' has no attribute {name!r}")
