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
        f, operation, condition = side(self.framework), self._operation, self.condition
        parameters = inspect.signature(right).parameters
        names = tuple(parameters)
        defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
        seen = condition.kind == "call"

        @functools.wraps(right)
        def mutant(*args: Any, **kwargs: Any) -> Any:
            by_name = {**dict(zip(names, args, strict=False)), **kwargs}
            given = {name: by_name.get(name, defaults.get(name)) for name in names}
            about = {**given, "_by_position": len(args) > 0, "_defaulted": set(names) - set(by_name)} if seen else given
            where = condition.holds(f, about)
            if where is False:
                return right(**by_name)
            return operation.apply(
                f, right, {name: given[name] for name in names if name in by_name or name in defaults}, where
            )

        mutant.__xloss__ = self.loss  # type: ignore[attr-defined]
        return mutant
