"""Read what a report is made from: the sweep's table, asv's history, the rows of ``xloss bench``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xloss.report.format import plain

if TYPE_CHECKING:
    import pandas as pd

PARITY_HINT = "xloss parity --out"
HISTORY_HINT = "make bench"
BENCH_HINT = "xloss bench --all --quick --mode eager --mode compile --mode jit --out {path}"
T = TypeVar("T")

HISTORY, BENCH = "history", "data/bench.parquet"


class ReportError(ValueError):
    """Report input is missing or malformed; the message names the file and the command that makes it."""


def read_made(path: Path, hint: str, parse: Callable[[Any], T]) -> T | None:
    """Return what `parse` makes of a JSON file that the command `hint` wrote; None where there is no file.

    `ReportError` names the file, and the command that writes it anew, where it is not what that command writes.
    """
    if not path.is_file():
        return None
    try:
        return parse(json.loads(path.read_text("utf-8")))
    except (ValueError, OSError, TypeError, LookupError, AttributeError) as error:
        raise ReportError(f"{path} cannot be read ({plain(error)[:300]}); run again: {hint}") from error


def read_parity(source: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the table of checks and the facts about their run, from ``source/data``.

    `ReportError` where a file is missing, is not what a sweep writes, or is of another run than the other.
    """
    for path in (source / "data" / "parity.parquet", source / "data" / "parity.json"):
        if not path.is_file():
            raise ReportError(f"{path} does not exist; run: {PARITY_HINT} {source}")
    return _read(source / "data" / "parity.parquet", source / "data" / "parity.json", f"{PARITY_HINT} {source}")


def read_run(run: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a run by its folder or by its parquet file, whose facts are read where they lie beside it."""
    if run.is_dir():
        return read_parity(run)
    if not run.is_file():
        raise ReportError(f"{run} does not exist; expected a folder that `{PARITY_HINT}` wrote, or its parquet file")
    beside = run.with_suffix(".json")
    return _read(run, beside if beside.is_file() else None, f"{PARITY_HINT} FOLDER")


def _read(table_path: Path, facts_path: Path | None, hint: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    facts: Any = {}
    path = table_path
    try:
        table = pd.read_parquet(table_path)
        if facts_path is not None:
            path = facts_path
            facts = json.loads(facts_path.read_text("utf-8"))
    except (ValueError, OSError, NotImplementedError, RuntimeError, TypeError, LookupError) as error:
        raise ReportError(f"{path} cannot be read ({plain(error)[:300]}); run again: {hint}") from error
    if not isinstance(facts, dict):
        raise ReportError(f"{facts_path} holds no object; run again: {hint}")
    if wrong := _wrong(table) or _other_run(table, table_path, facts):
        raise ReportError(f"{table_path} {wrong}; run again: {hint}")
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(plain) for name in texts}), _plain_values(facts)


def _wrong(table: pd.DataFrame) -> str:
    """Say what keeps a table from being that of a sweep, or nothing."""
    import pandas as pd

    from xloss.parity.cells import NUMBERS
    from xloss.parity.sweep import COLUMNS, STATUSES

    if missing := [name for name in COLUMNS if name not in table.columns]:
        return f"lacks {', '.join(missing)}"
    if table.empty:
        return "is empty: there is no check in it"
    for name in COLUMNS:
        if name in (*NUMBERS, "seconds"):
            if not pd.api.types.is_numeric_dtype(table[name]) or pd.api.types.is_bool_dtype(table[name]):
                return f"has {table[name].dtype} in the column {name}, where numbers are expected"
        elif not table[name].map(lambda value: isinstance(value, str)).all():
            return f"has {table[name].dtype} in the column {name}, where text is expected"
    if unknown := sorted(set(table["status"]).difference(STATUSES)):
        return f"has the unknown status {plain(unknown[0])!r}; known are {', '.join(STATUSES)}"
    return ""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, by which the facts about a run name its table."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _other_run(table: pd.DataFrame, path: Path, facts: dict[str, Any]) -> str:
    """Say where the facts are those of another table, or nothing; runs of older versions are told by their counts."""
    keys = ["implementation", "framework", "status"]
    if "table_sha256" in facts:
        same = facts["table_sha256"] == digest(path)
    elif isinstance(facts.get("counts"), list):
        found = table.groupby(keys).size().rename("checks").reset_index().to_dict("records")
        same = sorted(map(str, found)) == sorted(map(str, facts["counts"]))
    else:
        return ""
    return "" if same else f"is not the table of the run that {path.with_suffix('.json').name} beside it describes"


def _plain_values(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _plain_values(one) for key, one in value.items()}
    return [_plain_values(one) for one in value] if isinstance(value, list) else value


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
        return [
            {**{str(k): _plain_values(value) for k, value in row.items()}, "samples": json.loads(row["samples"])}
            for row in rows
        ]
    except (ValueError, KeyError, OSError, NotImplementedError, RuntimeError, TypeError) as error:
        raise ReportError(f"{path} cannot be read ({error}); run again: {BENCH_HINT.format(path=path)}") from error
