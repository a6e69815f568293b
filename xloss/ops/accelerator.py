"""Behave on a CPU as on an accelerator: take values for unreadable, since to look at them there would be to wait.

It is how the branches that an accelerator takes are tested where there is none. The setting is the process's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class _Setting:
    hidden = False


def values_are_hidden() -> bool:
    """Tell whether the values of tensors and arrays are to be taken for unreadable."""
    return _Setting.hidden


def hide_values(hidden: bool = True) -> None:
    """Take values for unreadable in this process, or no longer."""
    _Setting.hidden = hidden


@contextlib.contextmanager
def hidden_values() -> Iterator[None]:
    """Take values for unreadable within this context."""
    before = _Setting.hidden
    hide_values()
    try:
        yield
    finally:
        hide_values(before)
