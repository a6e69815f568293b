"""Read what the site is made from; what is absent is None or empty, and the pages say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xloss.report import exhaustive, gallery, invariance, mutants
from xloss.report.format import plain
from xloss.report.source import ReportError, read_bench, read_history, read_parity

if TYPE_CHECKING:
    import pandas as pd

    from xloss.report.speed.history import Change
    from xloss.report.speed.tables import Comparison

#: The folder that holds the package, and of a checkout README, CHANGELOG.md, ...
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)  # they are themselves, and can be a key
class Sources:
    """What was found below a folder of reports.

    `table` has all measurements of asv's history (`xloss.report.speed.tables.prepare`), `newest` those of the newest
    versions; `sweep` is the prepared table of a parity sweep, or None; `regimes` is its
    summary, or the one that is committed, or empty.
    """

    source: Path
    raw: pd.DataFrame
    table: pd.DataFrame
    newest: pd.DataFrame
    copy: float
    changes: Sequence[Change]
    bench: Sequence[Mapping[str, Any]]
    compared: Sequence[Comparison]
    sweep: pd.DataFrame | None
    regimes: Mapping[str, Any]
    gallery: Mapping[str, Any] | None
    mutants: Mapping[str, Any]
    invariance: Mapping[str, Any]
    exhaustive: Sequence[Mapping[str, Any]]
    stacks: Sequence[Mapping[str, Any]]
    texts: Mapping[str, str] = field(default_factory=dict)

    def sweep_of(self, loss: str) -> pd.DataFrame | None:
        """Return the sweep's checks of a loss; None where there was no sweep, or where it left this loss out."""
        if self.sweep is None:
            return None
        part = self.sweep[self.sweep["loss"] == loss]
        return None if part.empty else part


def read(source: Path) -> Sources:
    """Read a folder of reports; `ReportError` where there is none, or where a file is not what it should be."""
    from xloss import stacks
    from xloss.report.parity import regimes
    from xloss.report.parity import tables as checks
    from xloss.report.speed import history, tables

    if not source.is_dir():
        raise ReportError(f"source: {source} is no folder; expected one of reports, as reports/ of a checkout")
    raw = read_history(source)
    raw = raw[raw["status"] != "skipped"]
    table = tables.prepare(raw)
    newest = tables.newest(table)
    bench = read_bench(source)
    sweep, by_regime = None, regimes.read(source)
    if (source / "data" / "parity.parquet").is_file():
        sweep, facts = read_parity(source)
        sweep = checks.prepare(sweep)
        by_regime = regimes.parse(regimes.summarize(sweep, facts))
    return Sources(
        source=source,
        raw=raw,
        table=table,
        newest=newest,
        copy=tables.copy_gb_s(newest),
        changes=history.changes(table),
        bench=bench,
        compared=tables.comparisons(bench),
        sweep=sweep,
        regimes=by_regime,
        gallery=gallery.read(source),
        mutants=mutants.read(source),
        invariance=invariance.read(source),
        exhaustive=exhaustive.read(source),
        stacks=stacks.read(),
        texts=_texts(source),
    )


def _texts(source: Path) -> dict[str, str]:
    """Return Markdown that was written beside the data, and of a checkout its changelog, by name."""
    paths = [source / "claims.md", source / "gallery.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
    found = {path.name: path.read_text("utf-8", errors="replace") for path in paths if path.is_file()}
    fragments = sorted((ROOT / "changelog.d").glob("*.*.md"))
    found["changelog.d"] = "\n\n".join(_fragment(path) for path in fragments)
    return {name: "\n".join(plain(line) for line in text.splitlines()) for name, text in found.items()}


def _fragment(path: Path) -> str:
    """Return a fragment of the changelog as items of a list, with its kind."""
    kind = path.name.split(".")[-2]
    text = path.read_text("utf-8", errors="replace").strip()
    return text if text.startswith("- ") else f"- **{kind}**: {' '.join(text.split())}"
