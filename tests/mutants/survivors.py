"""Why some mutants are not seen by a default sweep: what would have to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

#: By reason, patterns of ids.
REASONS: Mapping[str, tuple[str, ...]] = {}


def reason_of(id: str) -> str:
    """Return why a mutant is not seen, or "" where nobody has said."""
    return next((why for why, patterns in REASONS.items() if any(fnmatchcase(id, one) for one in patterns)), "")
