"""What a comparison found: rows, notes, the cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xloss.compare.run import Case
from xloss.compare.sides import Side
from xloss.parity.sweep import BAD, STOPPED


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        sides: the labels and frameworks of the two functions.
        names: what sentences call them: their frameworks, or labels where both have one.
        rows: one a check and side, with the columns of `xloss.compare.rows.COLUMNS`.
        notes: what is no fault, and yet worth knowing.
        diagnoses: why they disagree, the likeliest first.
        right: what they were judged by.
        assumed: what was guessed of the inputs.
        case: the first case on which they part, in float64, None where they agree.
        seconds: how long it took.
    """

    sides: tuple[Side, Side]
    names: tuple[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diagnoses: list[Any] = field(default_factory=list)
    right: str = ""
    assumed: str = ""
    case: Case | None = None
    seconds: float = 0.0

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The rows that are neither ok nor unsupported, the first part first."""
        return [row for row in self.rows if row["status"] in (*BAD, *STOPPED)]

    @property
    def ok(self) -> bool:
        """Whether every check passed, and there was one."""
        return not self.failures and any(row["status"] == "ok" for row in self.rows)

    def exit_code(self) -> int:
        """Return 0 (the same), 1 (a disagreement), 3 (something crashed or timed out) or 4 (nothing was run)."""
        statuses = {row["status"] for row in self.rows}
        if statuses & set(STOPPED):
            return 3
        return 1 if statuses & set(BAD) else 0 if "ok" in statuses else 4

    def __str__(self) -> str:
        """Return the report as text."""
        from xloss.compare.show import text

        return text(self)

    def _repr_html_(self) -> str:
        from xloss.compare.show import html

        return html(self)


def names_of(a: Side, b: Side) -> tuple[str, str]:
    """Return what to call the two sides: their frameworks, or their labels where both have the same."""
    return (a.framework, b.framework) if a.framework != b.framework else (a.label, b.label)
