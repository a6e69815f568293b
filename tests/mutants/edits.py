"""A fault made in the text of a function: the edited source is compiled, and its code put in the function's place.

All who hold the function, under whatever name, then run the edited one.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import textwrap
from dataclasses import dataclass
from types import FunctionType
from typing import Any


class EditError(Exception):
    """The text to replace is not there exactly once."""


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must be in the function exactly once, by `new`; `function` is "module:name"."""

    name: str
    function: str
    old: str
    new: str

    def apply(self) -> None:
        """Make the edit, in this process."""
        target = self.target()
        namespace = dict(target.__globals__)
        exec(compile(self.source(target), inspect.getsourcefile(target) or "edited", "exec"), namespace)
        edited = inspect.unwrap(namespace[self.function.rpartition(":")[2].rpartition(".")[2]])
        target.__code__ = edited.__code__
        target.__defaults__, target.__kwdefaults__ = edited.__defaults__, edited.__kwdefaults__

    def target(self) -> FunctionType:
        """Return the function."""
        module, _, name = self.function.partition(":")
        found: Any = inspect.unwrap(operator.attrgetter(name)(importlib.import_module(module)))
        assert isinstance(found, FunctionType), self.function
        return found

    def source(self, target: FunctionType) -> str:
        """Return the edited text of the function; `EditError` where there is nothing, or not one thing, to edit."""
        text = textwrap.dedent(inspect.getsource(target))
        count = text.count(self.old)
        if count != 1:
            raise EditError(f"{self.function}, {self.name}: {self.old!r} is there {count} times, not once")
        return f"from __future__ import annotations\n{text.replace(self.old, self.new)}"
