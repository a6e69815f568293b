"""The table of the gallery: what each check catches, names and wrongly reports; written to reports/gallery.md."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.gallery import Case, cases
from tests.gallery.healthy import names, pair
from tests.gallery.oracles import ORACLES, XLOSS
from tests.gallery.verdicts import Verdict

REPORT = Path(__file__).parents[2] / "reports" / "gallery.md"
# What is asked: ("bug", slug), ("mended", slug), or (loss, variant).
Job = tuple[str, str]


def jobs() -> list[Job]:
    """Return all that is asked: each case, each case with right functions on both sides, the catalogue's pairs."""
    return [(kind, slug) for kind in ("bug", "mended") for slug in cases()] + names()


def case_of(job: Job) -> Case:
    """Return the case that a job asks about."""
    kind, name = job
    if kind == "bug":
        return cases()[name]
    return cases()[name].mended() if kind == "mended" else pair(kind, name)


def ask(job: Job) -> tuple[Job, dict[str, Verdict | str]]:
    """Ask all checks about one job; what a check raises is its answer."""
    case = case_of(job)
    answers: dict[str, Verdict | str] = {}
    for name, oracle in ORACLES.items():
        try:
            answers[name] = oracle(case)
        except Exception as error:  # a rival that cannot take an input shall not end the run
            answers[name] = f"{type(error).__name__}: {error}"[:200]
    return job, answers


def table(answers: Iterable[tuple[Job, dict[str, Verdict | str]]] | None = None) -> list[dict[str, Any]]:
    """Return one row an oracle: cases caught, side named, cause named, false alarms, and which those are not or are."""
    known = dict(map(ask, jobs()) if answers is None else answers)
    bugs = [job for job in known if job[0] == "bug"]
    healthy = [job for job in known if job[0] != "bug"]
    rows = []
    for oracle in ORACLES:
        got = {job: answer[oracle] for job, answer in known.items()}
        said = {job: v if isinstance(v, Verdict) else Verdict(False) for job, v in got.items()}
        rows.append(
            {
                "oracle": oracle,
                "cases": len(bugs),
                "caught": sum(said[job].caught for job in bugs),
                "side named": sum(said[job].side for job in bugs),
                "cause named": sum(said[job].cause for job in bugs),
                "healthy": len(healthy),
                "false alarms": sum(said[job].caught for job in healthy),
                "missed": [job[1] for job in bugs if not said[job].caught],
                "side missed": [job[1] for job in bugs if not said[job].side],
                "cause missed": [job[1] for job in bugs if not said[job].cause],
                "alarms": [f"{job[0]} {job[1]}" for job in healthy if said[job].caught],
                "raised": {f"{job[0]} {job[1]}": v for job, v in got.items() if isinstance(v, str)},
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]], command: str) -> str:
    """Return the table as Markdown, with the versions and the command that made it."""
    import importlib.metadata
    import platform

    packages = ("torch", "jax", "optax", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    first = rows[0]
    lines = [
        "# Public bugs, and what each check says of them",
        "",
        f"{first['cases']} bugs of losses and gradients from public trackers (`tests/gallery/`), each a faulty "
        f"function beside the right one, and {first['healthy']} healthy pairs: the right functions of each case in "
        "both frameworks, and losses of the catalogue in torch and JAX.",
        "",
        "| check | caught | side named | cause named | false alarms |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        counts = [f"{row[column]} of {row['cases']}" for column in ("caught", "side named", "cause named")]
        lines.append(f"| {row['oracle']} | {' | '.join(counts)} | {row['false alarms']} of {row['healthy']} |")
    lines += [
        "",
        "Side named: all failing rows are of the faulty function (for gradcheck and check_grads: the check of that "
        "side fails). `xloss` knows the right value as plain arithmetic, the others do not take one. "
        "gradcheck and check_grads are asked about cases with a gradient only.",
        "",
    ]
    for key, title in (("missed", "Not caught"), ("alarms", "False alarms")):
        lines += [f"{title} by xloss: {', '.join(first[key]) or 'none'}.", ""]
    lines += [f"Python {platform.python_version()}, {versions}; `{command}`."]
    return "\n".join(lines) + "\n"


def measured(number: int) -> Iterator[tuple[Job, dict[str, Verdict | str]]]:
    """Ask all, in as many processes, and say on stderr how far it is."""
    asked = jobs()
    with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, answer in enumerate(pool.map(ask, asked), start=1):
            sys.stderr.write(f"{done} of {len(asked)}: {' '.join(answer[0])}\n")
            yield answer


def main(argv: list[str]) -> int:
    """Print the table, or write it; return 1 where xloss misses a case or raises a false alarm."""
    parser = argparse.ArgumentParser(prog="python -m tests.gallery.oracles", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, with the cases missed")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    options = parser.parse_args(argv)
    rows = table(measured(options.jobs))
    text = markdown(rows, "python -m tests.gallery.oracles --write")
    if options.write:
        from xloss.files import write_text

        write_text(REPORT, text)
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if options.json else text)
    ours = next(row for row in rows if row["oracle"] == XLOSS)
    return int(ours["caught"] < ours["cases"] or ours["false alarms"] > 0)
