"""The table of the gallery: what each check catches, names and wrongly reports; written to reports/gallery.md."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.gallery import Case, cases
from tests.gallery.healthy import names, pair
from tests.gallery.oracles import ORACLES, XLOSS
from tests.gallery.verdicts import Verdict

REPORTS = Path(__file__).parents[2] / "reports"
COMMAND = "python -m tests.gallery.oracles --write"
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
                "healthy": sum(isinstance(got[job], Verdict) for job in healthy),  # one that raises says nothing
                "false alarms": sum(said[job].caught for job in healthy),
                "missed": [job[1] for job in bugs if not said[job].caught],
                "side missed": [job[1] for job in bugs if not said[job].side],
                "cause missed": [job[1] for job in bugs if not said[job].cause],
                "alarms": [f"{job[0]} {job[1]}" for job in healthy if said[job].caught],
                "raised": {f"{job[0]} {job[1]}": v for job, v in got.items() if isinstance(v, str)},
            }
        )
    return rows


def bugs(answers: Mapping[Job, Mapping[str, Verdict | str]]) -> list[dict[str, Any]]:
    """Return one row a case: what it is, where it was reported, and whether xloss names its side and its cause."""
    rows = []
    for slug, case in cases().items():
        said = answers.get(("bug", slug), {}).get(XLOSS)
        verdict = said if isinstance(said, Verdict) else Verdict(False)
        named = ("caught", verdict.caught), ("side named", verdict.side), ("cause named", verdict.cause)
        rows.append({"case": slug, "title": case.title, "reference": case.reference, "url": case.url,
                     "wrong": case.wrong, "cause": case.cause, **dict(named)})  # fmt: skip
    return rows


def facts(rows: list[dict[str, Any]], answers: Mapping[Job, Mapping[str, Verdict | str]]) -> dict[str, Any]:
    """Return all that the pages show: the rows of the table, the cases, the versions."""
    import importlib.metadata
    import platform

    packages = ("torch", "jax", "optax", "numpy")
    versions = {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
    left = len(jobs()) - len(answers)
    return {"rows": rows, "bugs": bugs(answers), "left": left, "versions": versions, "command": COMMAND}


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table as Markdown, with the cases, the versions and the command that made it."""
    rows = found["rows"]
    first = rows[0]
    lines = [
        "# Public bugs, and what each check says of them",
        "",
        f"{first['cases']} bugs of losses and gradients from public trackers (`tests/gallery/`), each a faulty "
        f"function beside the right one, and {first['healthy']} healthy pairs: the right functions of each case in "
        "both frameworks, and losses of the catalogue in torch and JAX.",
        "",
        *counts(rows),
        "",
        "Side named: all failing rows are of the faulty function (for gradcheck and check_grads: the check of that "
        "side fails). Cause named: the first diagnosis is the cause that the case's file gives. `xloss` knows the "
        "right value as plain arithmetic, the others do not take one. gradcheck and check_grads are asked about cases "
        "with a gradient only.",
        "",
    ]
    for key, title in (("missed", "Not caught"), ("cause missed", "Cause not named"), ("alarms", "False alarms")):
        lines += [f"{title} by xloss: {', '.join(first[key]) or 'none'}.", ""]
    if found["left"]:
        lines += [f"{found['left']} pairs of the catalogue were not asked in this run.", ""]
    lines += ["| case | reported | wrong | cause | named |", "|---|---|---|---|---|"]
    for bug in found["bugs"]:
        named = ", ".join(what for what in ("side", "cause") if bug[f"{what} named"]) or (
            "caught" if bug["caught"] else "no"
        )
        reported = f"[{bug['reference']}]({bug['url']})"
        lines.append(f"| {bug['title']} | {reported} | {bug['wrong']} | {bug['cause']} | {named} |")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines += ["", f"{versions}; `{found['command']}`."]
    return "\n".join(lines) + "\n"


def counts(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of the checks, as README has it, too."""
    lines = ["| check | caught | side named | cause named | false alarms |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row[column]} of {row['cases']}" for column in ("caught", "side named", "cause named")]
        lines.append(f"| {row['oracle']} | {' | '.join(cells)} | {row['false alarms']} of {row['healthy']} |")
    return lines


def kept(path: Path) -> dict[Job, dict[str, Verdict | str]]:
    """Read the answers that an earlier run has kept; a line by half, of a run that was killed, is left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            (kind, name), answers = json.loads(line)
        except ValueError:
            continue
        found[kind, name] = {k: v if isinstance(v, str) else Verdict(**v) for k, v in answers.items()}
    return found


def measured(number: int, keep: Path) -> Iterator[tuple[Job, dict[str, Verdict | str]]]:
    """Ask all that is not kept yet, in as many processes; keep the answers, and say on stderr how far it is."""
    known = kept(keep)
    missing = [job for job in jobs() if job not in known]
    yield from ((job, known[job]) for job in jobs() if job in known)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=context) as pool, keep.open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # after a line by half
        for done, future in enumerate(as_completed([pool.submit(ask, job) for job in missing]), start=1):
            job, answers = future.result()
            plain = {k: v if isinstance(v, str) else asdict(v) for k, v in answers.items()}
            file.write(json.dumps([job, plain]) + "\n")
            file.flush()
            sys.stderr.write(f"{done} of {len(missing)}: {' '.join(job)}\n")
            yield job, answers


def main(argv: list[str]) -> int:
    """Print the table, or write it; return 1 where xloss misses a case or raises a false alarm."""
    parser = argparse.ArgumentParser(prog="python -m tests.gallery.oracles", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, with the cases missed")
    parser.add_argument("--write", action="store_true", help="write reports/gallery.md and gallery.json")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--keep", type=Path, help="file for the answers: a run that was stopped goes on from it")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        answers = dict(measured(options.jobs, options.keep or Path(folder) / "answers.jsonl"))
    rows = table(answers.items())
    found = facts(rows, answers)
    text = markdown(found)
    if options.write:
        from xloss.files import write_text

        write_text(REPORTS / "gallery.md", text)
        write_text(REPORTS / "gallery.json", json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(rows, indent=1) + "\n" if options.json else text)
    ours = next(row for row in rows if row["oracle"] == XLOSS)
    return int(ours["caught"] < ours["cases"] or ours["false alarms"] > 0)
