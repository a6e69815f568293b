"""Read what a report is made from: the sweep's table, asv's history, the rows of ``xloss bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PARITY_HINT = "xloss parity --out"
HISTORY_HINT = "make bench"
BENCH_HINT = "xloss bench --all --quick --mode eager --mode compile --mode jit --out {path}"
HISTORY, BENCH = "history", "data/bench.parquet"


class ReportError(ValueError):
    """Report input is missing or malformed; the message names the file and the command that makes it."""


def read_parity(source: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the table of checks and the environment they ran in, from ``source/data``."""
    import pandas as pd

    from xloss.parity.sweep import COLUMNS

    table_path, environment_path = source / "data" / "parity.parquet", source / "data" / "parity.json"
    for path in (table_path, environment_path):
        if not path.is_file():
            raise ReportError(f"{path} does not exist; run: {PARITY_HINT} {source}")
    try:
        table = pd.read_parquet(table_path)
        environment = json.loads(environment_path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ReportError(f"{source / 'data'} cannot be read ({error}); run again: {PARITY_HINT} {source}") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or not isinstance(environment, dict):
        what = f"{table_path} lacks {', '.join(missing)}" if missing else f"{environment_path} holds no object"
        raise ReportError(f"{what}; run again: {PARITY_HINT} {source}")
    return table, environment


def read_history(source: Path) -> pd.DataFrame:
    """Read asv's results below ``source/history``, with derived columns; no rows where there are none.

    Only ``history/<machine>/*.json`` is read: asv's ``benchmarks.json`` may be missing.
    """
    from xloss.bench.asv import results

    folder = source / HISTORY
    try:
        return results.derive(results.read(folder))
    except (ValueError, KeyError, OSError) as error:
        raise ReportError(
            f"{folder} cannot be read ({error}); these are not results of asv's that this version knows"
        ) from error


def read_bench(source: Path) -> list[dict[str, Any]]:
    """Read the rows that ``xloss bench --out`` wrote; none where there is no such file."""
    import pandas as pd

    path = source / BENCH
    if not path.is_file():
        return []
    try:
        rows = pd.read_parquet(path).to_dict("records")
        return [{**{str(k): value for k, value in row.items()}, "samples": json.loads(row["samples"])} for row in rows]
    except (ValueError, KeyError, OSError) as error:
        raise ReportError(f"{path} cannot be read ({error}); run again: {BENCH_HINT.format(path=path)}") from error
