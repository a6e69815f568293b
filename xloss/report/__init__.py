"""The report: what the sweep and the claims found, as one page that opens offline and as Markdown.

`write` reads ``data/parity.parquet`` and ``data/parity.json`` of a folder that ``xloss parity --out`` wrote, and makes
``index.html`` and ``parity.md``. `tables` sums up, `figures` draws, `pages` lays out; none of them imports a framework,
and importing this package imports none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from xloss.claims import Result

__all__ = ["HINT", "ReportError", "read", "write"]

HINT = "xloss parity --out"  #: the command that makes what is read here


class ReportError(ValueError):
    """There is nothing to report on, or it is not what the sweep writes; the text says which file and what makes it."""


def read(source: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of checks and the environment they ran in, from ``source/data``."""
    import json

    import pandas as pd

    from xloss.parity.sweep import COLUMNS

    table_path, environment_path = source / "data" / "parity.parquet", source / "data" / "parity.json"
    for path in (table_path, environment_path):
        if not path.is_file():
            raise ReportError(f"{path} does not exist; run: {HINT} {source}")
    try:
        table = pd.read_parquet(table_path)
        environment = json.loads(environment_path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ReportError(f"{source / 'data'} cannot be read ({error}); run again: {HINT} {source}") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or not isinstance(environment, dict):
        what = f"{table_path} lacks {', '.join(missing)}" if missing else f"{environment_path} holds no object"
        raise ReportError(f"{what}; run again: {HINT} {source}")
    return table, environment


def write(source: Path, out: Path, claims: Sequence[Result] | None = None) -> list[Path]:
    """Write ``index.html`` and ``parity.md`` into `out`, each whole or not at all; return their paths.

    Args:
        source: the folder with ``data/``, as ``xloss parity --out`` wrote it; `ReportError` where it is not there.
        out: the folder to write to.
        claims: results of `xloss.claims.run`, which become the last section of the page.
    """
    from xloss.report import pages
    from xloss.terminal import write_text

    table, environment = read(source)
    files = pages.build(table, environment, claims)
    for name, text in files.items():
        write_text(out / name, text)
    return [out / name for name in files]
