"""Show the stacks that xloss was run on, and record a run.

In the environment of the stack: ``python -m xloss.report.stacks NAME --tests JUNIT.xml --sweep FOLDER``, with what
``pytest --junitxml`` and ``xloss parity --out`` wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from xloss import stacks

#: Packages that a column of the table shows.
SHOWN = ("torch", "jax", "numpy", "optax", "keras")


def html() -> str:
    """Return a ``<section>`` for the report's page; nothing where no stack was recorded."""
    from xloss.report import pages

    rows = stacks.read()
    return pages.render("stacks.html", rows=rows, packages=SHOWN) if rows else ""


def tests_of(*junits: Path) -> dict[str, int]:
    """Count the tests that passed, were skipped and failed in JUnit files of pytest's; `ValueError` if there is none.

    Of a test that is in several, the last counts: those that failed may be run again after they were mended.
    """
    outcomes = {}
    for junit in junits:
        for case in ElementTree.parse(junit).getroot().iter("testcase"):
            found = {child.tag for child in case} & {"failure", "error", "skipped"}
            outcome = "passed" if not found else "skipped" if found == {"skipped"} else "failed"
            outcomes[case.get("classname"), case.get("name")] = outcome
    if not outcomes:
        raise ValueError(f"tests: {', '.join(map(str, junits))}: no test; expected what `pytest --junitxml` wrote")
    return {outcome: list(outcomes.values()).count(outcome) for outcome in ("passed", "skipped", "failed")}


def checks_of(sweep: Path) -> dict[str, int]:
    """Count the checks of xloss's own in what ``xloss parity --out`` wrote: within and outside of the budget."""
    from xloss.report.parity import tables
    from xloss.report.source import read_parity

    table, _ = read_parity(sweep)
    own = tables.tally(tables.ours(tables.prepare(table)))
    return {"within": own.checks - own.bad, "outside": own.bad}


def record(name: str, junits: Sequence[Path], sweep: Path, path: Path = stacks.FILE) -> stacks.Row:
    """Put a run of this stack in the file, in the place of an earlier one of its name, and return its row."""
    from xloss import environment
    from xloss.files import write_text

    here = environment.describe()
    row = {
        "stack": name,
        "date": here["created"][:10],
        "python": here["python"],
        "versions": {package: version for package, version in here["versions"].items() if version},
        "tests": tests_of(*junits),
        "checks": checks_of(sweep),
    }
    rows = [one for one in stacks.read(path) if one["stack"] != name] if path.is_file() else []
    write_text(path, json.dumps([*rows, row], indent=1) + "\n")
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Record what the command line names; return 1 where a test failed or a check is outside of the budget."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m xloss.report.stacks", description=str(__doc__).splitlines()[0])
    parser.add_argument("name", help="the name of the stack: lock, lowest, newest, ...")
    parser.add_argument("--tests", type=Path, required=True, nargs="+", metavar="JUNIT", help="of `pytest --junitxml`")
    parser.add_argument("--sweep", type=Path, required=True, metavar="FOLDER", help="what `xloss parity --out` wrote")
    parser.add_argument(
        "--to", type=Path, default=stacks.FILE, metavar="FILE", help="the table; that of xloss if not given"
    )
    given = parser.parse_args(arguments)
    try:
        row = record(given.name, given.tests, given.sweep, given.to)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        parser.error(str(error))
    print(json.dumps(row))  # noqa: T201
    return int(row["tests"]["failed"] > 0 or row["checks"]["outside"] > 0)


if __name__ == "__main__":
    sys.exit(main())
