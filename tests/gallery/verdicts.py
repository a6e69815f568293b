"""What a check says of one case."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Hold whether a check fails, and whether its failure names the wrong side and the cause."""

    caught: bool
    side: bool = False
    cause: bool = False
