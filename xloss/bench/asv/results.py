"""What asv stored, of all machines, environments and commits, as one long table; and what follows from it.

asv stores seconds, bytes and ulps, all of which are better when smaller; rates and shares are derived here.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xloss.bench import roofline
from xloss.bench.asv import cells
from xloss.bench.bandwidth import COPY_BYTES
from xloss.bench.workload import CONTESTANTS, Workload, draw
from xloss.catalog import FRAMEWORKS, LOSSES, Unsupported, get

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"speed": "seconds", "variants": "seconds", "device": "seconds", "compiling": "seconds", "machine": "seconds",
         "memory": "bytes", "accuracy": "ulps"}  # fmt: skip
# Columns that asv keeps for each parameter of a benchmark, by the names that they get here.
STATISTICS = {"low": "stats_ci_99_a", "high": "stats_ci_99_b", "q25": "stats_q_25", "q75": "stats_q_75",
              "number": "stats_number", "samples": "samples"}  # fmt: skip
COLUMNS = [
    "machine", "environment", "framework", "version", "device", "commit", "date", "kind", "loss", "quantity", "mode",
    "implementation", "size", "dtype", "caches", "ruler", "variant", "reduction",
    "value", "unit", "status", *STATISTICS, "cpu", "python",
]  # fmt: skip
# The version of asv's files that this reads.
API = 2


def read(folder: Path | str) -> pd.DataFrame:
    """Read all results below asv's `results_dir`: one row for each benchmark, parameter, environment and commit.

    Columns are `COLUMNS`: `kind` is that of the module (see benchmarks/README.md); "variants" are times of another
    `variant` or `reduction` than the first, columns that nothing else has; `low` and `high` are the 99% interval of the
    median, `samples` the seconds per call, where asv was told to keep them; `date` is the commit's; `device` is "cpu"
    or "cuda"; what a benchmark does not have is None. The `status` is "ok", or "skipped" or "failed" with NaN.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for path in sorted(Path(folder).glob("*/*.json")):
        if path.name != "machine.json":
            rows += _rows(json.loads(path.read_text(encoding="utf-8")), path)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["date"] = pd.to_datetime(table["date"], unit="ms", utc=True)
    return table


def _rows(stored: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    if stored.get("version") != API:
        raise ValueError(f"{path}: expected asv's format {API}, got {stored.get('version')}; `asv update` converts")
    variables, requirements = stored.get("env_vars") or {}, stored["requirements"]
    framework = variables.get("XLOSS_FRAMEWORK") or next((name for name in FRAMEWORKS if name in requirements), "")
    common = {
        "machine": stored["params"]["machine"],
        "cpu": stored["params"].get("cpu"),
        "environment": stored["env_name"],
        "framework": framework,
        "version": requirements.get(framework),
        "device": variables.get("XLOSS_DEVICE", "cpu"),
        "commit": stored["commit_hash"],
        "date": stored["date"],
        "python": stored["python"],
    }
    for name, values in stored["results"].items():
        entry = dict(zip(stored["result_columns"], values, strict=False))
        module, loss, method = name.split(".")
        points = list(itertools.product(*entry["params"]))
        results = entry["result"] if entry["result"] is not None else [None] * len(points)
        for number, (point, value) in enumerate(zip(points, results, strict=True)):
            measured = _measured(module, loss, method, point)
            status = "failed" if value is None else "skipped" if math.isnan(value) else "ok"
            yield {
                **dict.fromkeys(COLUMNS),
                **common,
                **measured,
                "value": math.nan if value is None else value,
                "unit": UNITS[measured["kind"]],
                "status": status,
                **{name: entry[column][number] for name, column in STATISTICS.items() if entry.get(column)},
            }


def _measured(module: str, loss: str, method: str, point: Sequence[str]) -> dict[str, Any]:
    """Return what was measured, by a benchmark's name and its parameters."""
    kind, framework, mode = cells.parse(module)
    if kind == "machine":
        return {"kind": kind, "framework": framework, "quantity": method}
    given = dict(zip(cells.PARAMETERS[kind][method], point, strict=True))
    out = {"kind": kind, "framework": framework, "mode": mode, "loss": loss, "quantity": method, "dtype": "float32"}
    out |= {} if kind == "accuracy" else {"size": "medium"}
    if kind == "speed":
        out["caches"] = "warm"
    if method in ("variants", "reductions"):
        out |= {"kind": "variants", "quantity": "value_and_grad"}
    if kind == "memory":
        out["ruler"] = method
    return out | given


def derive(table: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from times and bytes; NaN where it does not.

    For times of `speed` and `device`: `least_bytes` (see `roofline`), `gb_s` (those bytes over the time),
    `share_of_copy` (of the best bandwidth that a copy reached on this machine and device, in whichever framework),
    `samples_s` (rows of the batch per second), `tflop_s` (where matrices are multiplied). For memory: `least_bytes`,
    those of the results alone, and `share_of_least`, them over the peak. A share of 1 is the best possible. A time of 0
    (see `device_time`) has no rates.
    """
    out = table.copy()
    copies = _copies(table)
    columns: dict[str, list[float]] = {
        name: [] for name in ("least_bytes", "gb_s", "share_of_copy", "samples_s", "tflop_s", "share_of_least")
    }
    for row in table.to_dict("records"):
        found = _derived(row, copies) if row["status"] == "ok" else {}
        for name, values in columns.items():
            values.append(found.get(name, math.nan))
    for name, values in columns.items():
        out[name] = values
    return out


def _copies(table: pd.DataFrame) -> dict[Any, float]:
    """Return bytes per second of each machine and device, by the framework that copies fastest."""
    out: dict[Any, float] = {}
    for row in table[(table["kind"] == "machine") & (table["value"] > 0)].to_dict("records"):
        out[_place(row)] = max(out.get(_place(row), 0.0), 2 * COPY_BYTES[row["device"]] / row["value"])
    return out


def _place(row: Any) -> tuple[str, str]:
    return row["machine"], row["device"]


def _derived(row: Any, copies: dict[Any, float]) -> dict[str, float]:
    if row["kind"] not in ("speed", "device", "memory") or row["loss"] not in LOSSES:
        return {}
    try:
        # Bytes and operations are the same for every contestant.
        read, least, flops, rows = _costs(
            Workload(row["loss"], CONTESTANTS[0], row["quantity"], row["size"], row["dtype"])
        )
    except Unsupported:  # a size that the catalogue no longer has
        return {}
    if row["kind"] == "memory":
        written = least - read
        return {"least_bytes": written, "share_of_least": written / row["value"] if row["value"] else math.nan}
    if not row["value"] > 0:
        return {"least_bytes": least}
    speed = least / row["value"]
    found = {
        "least_bytes": least,
        "gb_s": speed / 1e9,
        "share_of_copy": speed / copies.get(_place(row), math.nan),
        "samples_s": rows / row["value"],
    }
    return {**found, "tflop_s": flops / row["value"] / 1e12} if flops else found


@functools.lru_cache(maxsize=4096)
def _costs(workload: Workload) -> tuple[int, int, int, int]:
    """Return bytes of the inputs, least bytes, FLOPs, rows of the batch."""
    inputs, quantity = draw(get(workload.loss), workload), workload.quantity
    return inputs.nbytes(), roofline.least_bytes(inputs, quantity), roofline.flops(inputs, quantity), inputs.rows()
