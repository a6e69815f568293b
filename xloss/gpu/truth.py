"""`python -m xloss.gpu.truth`: write exact results to a file, for a machine without ball arithmetic (`make truth`)."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from xloss.catalog import get
from xloss.gpu.steps import DTYPES
from xloss.parity.cells import Cell
from xloss.parity.evaluate import draw_directions, inputs_of, prepare
from xloss.parity.failures import WorkerFailure
from xloss.parity.truth_file import Stored, digest, dumps, name_of

#: Where it is written, and where `python -m xloss.gpu` looks for it.
USUAL = Path("reports/data/truth-for-gpu.sqlite")


def compute(cell: Cell) -> tuple[str, str, str, bytes]:
    """Return the row of a cell: name, digest, facts, and what is expected of each probe."""
    loss = get(cell.loss)
    question = prepare(loss, cell)
    found: Stored = {probe.key: question.expected(probe) for probe in question.probes if not probe.reason}
    facts = json.dumps(asdict(question.facts))
    mark = digest(loss, question.arrays, question.directions)
    return name_of(cell), mark, facts, dumps(found)


def _mark(cell: Cell, shape: tuple[int, ...]) -> str:
    """Return the digest that a cell's entry is to have here."""
    loss = get(cell.loss)
    arrays = inputs_of(loss, cell)
    return digest(loss, arrays, draw_directions(cell, arrays, loss.arguments.floating(arrays), shape))


def make(path: Path, cells: Sequence[Cell], jobs: int | None = None) -> Iterator[tuple[int, int]]:
    """Compute what the file does not have of these cells, in worker processes; yield how many are done, of how many.

    A cell is there whole or not at all; where it was made by other code it is made again.
    """
    from xloss.parity.processes import Workers

    path.parent.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(path)
    table = "(cell TEXT PRIMARY KEY, digest TEXT, facts TEXT, result BLOB) WITHOUT ROWID"
    base.execute(f"CREATE TABLE IF NOT EXISTS cells {table}")
    have = {name: (mark, facts) for name, mark, facts in base.execute("SELECT cell, digest, facts FROM cells")}

    def holds(cell: Cell) -> bool:
        mark, facts = have.get(name_of(cell), ("", ""))
        return bool(mark) and mark == _mark(cell, tuple(json.loads(facts)["shape"]))

    missing = [cell for cell in cells if not holds(cell)]
    done = len(cells) - len(missing)
    yield done, len(cells)
    try:
        with Workers(jobs, timeout=None) as workers:
            for cell, future in [(cell, workers.submit(compute, cell)) for cell in missing]:
                try:
                    row = future.result()
                except WorkerFailure as failure:  # one cell's fault costs that cell
                    sys.stderr.write(f"{cell.case_id}: {failure}\n")
                else:
                    with base:
                        base.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)", row)
                done += 1
                yield done, len(cells)
    finally:
        base.close()


def main() -> int:
    """Make the file, or add to it what is missing."""
    from xloss.parity import cells

    reader = argparse.ArgumentParser(prog="python -m xloss.gpu.truth", description=main.__doc__)
    reader.add_argument("--out", type=Path, default=USUAL, help=f"the file (default: {USUAL})")
    reader.add_argument("--loss", nargs="*", help="only these losses")
    reader.add_argument("--dtype", nargs="*", default=DTYPES, help="(default: %(default)s)")
    reader.add_argument("--regime", nargs="*", help="only these regimes")
    reader.add_argument("--jobs", type=int, help="processes (default: one a core)")
    given = reader.parse_args()
    try:
        asked = cells(given.loss, given.dtype, given.regime, "cpu")
    except (ValueError, KeyError) as error:
        reader.error(str(error.args[0]))
    for done, of in make(given.out, asked, given.jobs):
        if sys.stderr.isatty() or done % 500 == 0 or done == of:
            sys.stderr.write(f"{done} of {of} cells\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
