"""Public names of `xloss.torch` and `xloss.jax`: the losses as functions, and as classes made from the catalogue.

`CrossEntropyLoss(ignore_index=0)(input, target)` is the class form of `cross_entropy`, with torch.nn's names and
constructor arguments (see `xloss.catalog.ClassForm`). `torch.py` makes an `nn.Module` of a loss, `jax.py` an immutable
callable that is a pytree; `parametric_torch.py` and `parametric_jax.py` hold the classes that own parameters;
`signatures.py` tells constructor and call apart; `stubs.py` writes all of it down for type checkers.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from xloss.catalog import LOSSES, Loss
from xloss.modules.signatures import class_name


def names() -> list[str]:
    """Return the public names of `xloss.torch` and `xloss.jax`: functions, then classes."""
    return [*LOSSES, *by_class()]


def attribute(framework: str, name: str) -> object:
    """Return the loss `name` in `framework`, as a function or as a class; `AttributeError` as a module raises it."""
    if name in LOSSES:
        return getattr(LOSSES[name], framework)
    if name in by_class():
        return class_of(framework, name)
    raise AttributeError(f"module 'xloss.{framework}' has no attribute {name!r}")


@functools.cache
def by_class() -> Mapping[str, Loss]:
    """Return the losses by the names of their classes."""
    return {class_name(loss): loss for loss in LOSSES.values()}


@functools.cache
def class_of(framework: str, name: str) -> type:
    """Return the class of that name in `framework`, "torch" or "jax"; `KeyError` for another name."""
    loss = by_class()[name]
    made: type
    if loss.class_form.parametric:
        made = getattr(importlib.import_module(f"xloss.modules.parametric_{framework}"), name)
    else:
        made = importlib.import_module(f"xloss.modules.{framework}").make(loss, name)
    made.__name__ = made.__qualname__ = name
    made.__module__ = f"xloss.{framework}"
    return made
