"""Report what the sweep, the benchmarks and the claims found: one HTML page that opens offline, and Markdown summaries.

`write` reads a folder that ``xloss parity --out`` wrote (``data/``) and benchmarks were stored in (``history/``,
``data/bench.parquet``), with the tables of public bugs (``gallery.json``) and of every input
(``accuracy/exhaustive.json``). `source` reads, `parity` and `speed` turn rows into tables, `svg` draws, `pages` lays
out. None of them imports a framework; importing this package imports neither pandas nor jinja2.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xloss.report.source import ReportError, read_parity

if TYPE_CHECKING:
    from xloss.claims import Result

__all__ = ["ReportError", "read_parity", "write"]


def write(source: Path, out: Path, claims: Sequence[Result] | None = None) -> list[Path]:
    """Write ``index.html``, ``parity.md`` and ``regimes.json`` into `out`, each whole or not at all; return the paths.

    Where there are benchmarks, ``speed.md`` and their long table (``data/speed.parquet``, ``.csv``) too.

    Args:
        source: the folder with ``data/``, as ``xloss parity --out`` wrote it; `ReportError` where it is not there.
        out: the folder to write to.
        claims: results of `xloss.claims.run`, listed in the last section of the page.
    """
    from xloss.files import write_text, write_whole
    from xloss.report import accelerator, exhaustive, gallery, invariance, mutants, pages, speed, stacks
    from xloss.report.parity import regimes, tables

    table, environment = read_parity(source)
    benchmarks = speed.build(source)
    fragment = ""
    if claims:
        from xloss.report.claims import html

        fragment = html(claims)
    sections = {
        "claims": fragment,
        "gallery": gallery.html(gallery.read(source)),
        "stacks": stacks.html(),
        "exhaustive": exhaustive.html(exhaustive.read(source)),
        "mutants": mutants.html(mutants.read(source)),
        "invariance": invariance.html(invariance.read(source)),
        "accelerator": accelerator.html(accelerator.read(source)),
    }
    files = pages.build(table, environment, benchmarks, sections)
    paths = [write_text(out / name, text) for name, text in files.items()]
    summary = regimes.summarize(tables.prepare(table), environment)
    paths.append(write_text(out / regimes.FILE, json.dumps(summary, separators=(",", ":")) + "\n"))
    for name, rows in benchmarks.tables.items():
        flat = rows.drop(columns="samples", errors="ignore")
        paths.append(write_whole(out / "data" / f"{name}.parquet", functools.partial(rows.to_parquet, index=False)))
        paths.append(write_whole(out / "data" / f"{name}.csv", functools.partial(flat.to_csv, index=False)))
    return paths
