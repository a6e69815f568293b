"""What `xloss.torch` and `xloss.jax` are made of: the catalogue, seen from one framework."""

from __future__ import annotations

from xloss.catalog import LOSSES


def names() -> list[str]:
    """The public names of a face."""
    return list(LOSSES)


def find(framework: str, name: str) -> object:
    """The loss `name` in `framework`; `AttributeError` as a module raises it."""
    if name in LOSSES:
        return LOSSES[name].implementation(framework)
    raise AttributeError(f"module 'xloss.{framework}' has no attribute {name!r}")
