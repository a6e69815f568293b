"""Say what got slower, larger or less accurate: ``python -m xloss.bench.changes``, or ``make regressions``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xloss.bench.changes.judging import Change, Found, find
from xloss.bench.changes.series import AXES
from xloss.bench.changes.steps import LEAST_RUNS
from xloss.cli.console import DISAGREES, NOTHING, USAGE, WELL

HELP = """\
Find what a commit of xloss, or a release of torch or jax, made slower, larger or less accurate, in asv's history.

Prints for each: the commit or the release, the cell, the ratio (new over old), its 99 % interval, the verdict. The
machine's own control, a copy of memory, is divided out of times. What got better is printed with --all.

Exits 0 where nothing got worse, 1 where something did, 2 for wrong arguments, 4 where nothing can be compared (fewer
than two commits and two releases, or fewer than {runs} runs on each side)."""
EPILOG = """\
examples:
  python -m xloss.bench.changes                      the whole history
  python -m xloss.bench.changes --last 1             only what the newest commit or the newest release changed
  python -m xloss.bench.changes --axis release --json
  python -m xloss.bench.changes --loss cross_entropy --all"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m xloss.bench.changes", description=HELP.format(runs=LEAST_RUNS), epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--history", type=Path, default=Path("reports") / "history", metavar="FOLDER",
                        help="asv's results (reports/history)")  # fmt: skip
    parser.add_argument("--axis", action="append", choices=AXES, help="along commits or along releases only")
    parser.add_argument("--loss", action="append", default=[], metavar="NAME", help="this loss only; may be repeated")
    parser.add_argument("--last", type=int, metavar="N", help="only changes among the last N commits or releases")
    parser.add_argument("--all", action="store_true", help="print what got better, too")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if given.last is not None and given.last < 1:
        parser.error(f"--last: expected a positive number, got {given.last}")
    if given.seed < 0:
        parser.error(f"--seed: expected a number from 0 on, got {given.seed}")
    if not given.history.is_dir():
        parser.error(
            f"--history: expected a folder of asv's results, got {str(given.history)!r}; `make bench` makes one"
        )
    try:
        table = _read(given.history, given.loss)
    except (ValueError, LookupError, OSError) as error:
        print(f"--history: {given.history} cannot be read: {error}", file=sys.stderr)  # noqa: T201
        return USAGE
    found = find(table, tuple(dict.fromkeys(given.axis or AXES)), seed=given.seed)
    chosen = [one for one in found.changes if given.last is None or one.recent <= given.last]
    worse = [one for one in chosen if one.worse]
    shown = chosen if given.all else worse
    print(as_json(found, shown) if given.json else text(found, shown, worse))  # noqa: T201
    return NOTHING if not found.judged else DISAGREES if worse else WELL


def _read(history: Path, losses: Sequence[str]) -> Any:
    from xloss.bench.asv import results

    table = results.read(history)
    known = set(table["loss"].dropna())
    if unknown := sorted(set(losses) - known):
        raise ValueError(f"--loss: {', '.join(unknown)} was not measured; {', '.join(sorted(known)) or 'nothing'} was")
    return table[table["loss"].isin(losses) | (table["kind"] == "machine")] if losses else table


def text(found: Found, shown: Sequence[Change], worse: Sequence[Change]) -> str:
    """Return a line for each change, and a summary."""
    lines = [line(one) for one in shown]
    if not found.judged:
        few = f"{found.short} series have fewer than {LEAST_RUNS} runs on each side" if found.short else "there is none"
        return f"Nothing to compare: {few}. `make bench` measures a commit in all versions."
    lines.append(f"{len(worse)} got worse, of {found.judged} series judged; {found.short} have too few runs.")
    if steps := [f"{100 * (x - 1):.0f} %" for x in found.least if math.isfinite(x)]:
        lines.append(
            f"Half of the timed series would show a step of {steps[len(steps) // 2]}; a quarter, of {steps[0]}."
        )
    return "\n".join(lines)


def line(one: Change) -> str:
    """Return a change as a line."""
    interval = "exact" if one.low == one.high else f"{one.low:.3g} to {one.high:.3g}"
    return f"{one.place}: {one.name}: {one.ratio:.3g} times ({interval}), {one.verdict} [{one.machine}, {one.device}]"


def as_json(found: Found, shown: Sequence[Change]) -> str:
    """Return the changes and the counts as JSON."""
    least = [x if math.isfinite(x) else None for x in found.least]
    rows = [{**asdict(one), "worse": one.worse} for one in shown]
    return json.dumps({"judged": found.judged, "short": found.short, "least": least, "changes": rows}, indent=1)


if __name__ == "__main__":
    sys.exit(main())
