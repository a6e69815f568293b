"""A mutant, and how it is planted."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.mutants.conditions import ALWAYS, Condition
from tests.mutants.edits import Edit
from tests.mutants.operations import Operation
from tests.mutants.sides import side
from xloss import catalog


@dataclass(frozen=True)
class Mutant:
    """One loss in one framework with one fault: an operation in a context, or an edit of the source."""

    loss: str
    framework: str
    operation: Operation | None = None
    condition: Condition = ALWAYS
    edit: Edit | None = None

    @property
    def id(self) -> str:
        """The mutant in one word: `torch/cross_entropy/gradient(weight)*1.01/reduction=sum`."""
        what = f"source/{self.edit.name}" if self.edit else f"{self._operation.text}/{self.condition.text}"
        return f"{self.framework}/{self.loss}/{what}"

    @property
    def kind(self) -> str:
        """What it counts under: the kind of operation, and that of the context, if there is one."""
        if self.edit:
            return "source"
        kind = self._operation.kind
        return f"{kind}, {self.condition.kind}" if self.condition.kind else kind

    @property
    def _operation(self) -> Operation:
        assert self.operation is not None
        return self.operation

    def plant(self) -> None:
        """Replace the loss by the mutant, in the catalogue of this process."""
        right = catalog.get(self.loss)
        if self.edit is not None:
            self.edit.apply()
        else:
            implementation = self.planted_in(getattr(right, self.framework))
            catalog.LOSSES._found[self.loss] = replace(right, **{self.framework: implementation})  # type: ignore[attr-defined]

    def planted_in(self, right: Callable[..., Any]) -> Callable[..., Any]:
        """Return the faulty form of an implementation."""
        f, operation, condition, read = side(self.framework), self._operation, self.condition, reader(right)

        @functools.wraps(right)
        def mutant(*args: Any, **kwargs: Any) -> Any:
            given, about = read(args, kwargs)
            where = condition.holds(f, about if condition.kind == "call" else given)
            return right(*args, **kwargs) if where is False else operation.apply(f, right, given, where)

        mutant.__xloss__ = self.loss  # type: ignore[attr-defined]
        return mutant


def reader(right: Callable[..., Any]) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Return what reads a call: its arguments by name with the defaults, and these with how they were given."""
    parameters = inspect.signature(right).parameters
    names = tuple(parameters)
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        by_name = {**dict(zip(names, args, strict=False)), **kwargs}
        given = {name: by_name[name] if name in by_name else defaults[name] for name in names}
        left_out = {name for name in names if name not in by_name}
        return given, {**given, "_by_position": len(args) > 0, "_defaulted": left_out}

    return read


def watch(loss: str, framework: str, mutants: list[Mutant], reached: set[str]) -> None:
    """Note in `reached` which mutants of a loss would be at fault in a call, and change nothing.

    Conditions on values count as reached in any call: where a function is traced, there are none.
    """
    record = catalog.get(loss)
    right, f = getattr(record, framework), side(framework)
    read = reader(right)
    asked = [(one.id, one.condition) for one in mutants if one.edit is None and not one.condition.masked]
    reached_always = [one.id for one in mutants if one.edit is not None or one.condition.masked]

    @functools.wraps(right)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given, about = read(args, kwargs)
        for id in reached_always:
            reached.add(id)
        for id, condition in asked:
            if condition.holds(f, about if condition.kind == "call" else given) is not False:
                reached.add(id)
        return right(*args, **kwargs)

    watched.__xloss__ = loss  # type: ignore[attr-defined]
    catalog.LOSSES._found[loss] = replace(record, **{framework: watched})  # type: ignore[attr-defined]
