"""The report: what the sweep, the benchmarks and the claims found, as one page that opens offline and as Markdown.

`write` reads ``data/parity.parquet`` and ``data/parity.json`` of a folder that ``xloss parity --out`` wrote, and makes
``index.html`` and ``parity.md``. `tables` sums up, `figures` draws, `pages` lays out; `speed` and its kin do the same for
benchmarks (``history/``, ``data/bench.parquet``) and make ``speed.md``. None of them imports a framework, and importing
this package imports none of them.
"""

from __future__ import annotations

import functools
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
    """Write ``index.html`` and ``parity.md`` into `out`, each whole or not at all; return the paths of what was written.

    Where there are benchmarks, ``speed.md`` and their long table (``data/speed.parquet``, ``.csv``) too.

    Args:
        source: the folder with ``data/``, as ``xloss parity --out`` wrote it; `ReportError` where it is not there.
        out: the folder to write to.
        claims: results of `xloss.claims.run`, which become the last section of the page.
    """
    from xloss.files import write_text, write_whole
    from xloss.report import pages, speed

    table, environment = read(source)
    benchmarks = speed.build(source)
    files = {**pages.build(table, environment, claims, benchmarks.fragment), **benchmarks.texts}
    for name, text in files.items():
        write_text(out / name, text)
    paths = [out / name for name in files]
    for name, rows in benchmarks.tables.items():
        flat = rows.drop(columns="samples", errors="ignore")
        paths.append(write_whole(out / "data" / f"{name}.parquet", functools.partial(rows.to_parquet, index=False)))
        paths.append(write_whole(out / "data" / f"{name}.csv", functools.partial(flat.to_csv, index=False)))
    return paths
