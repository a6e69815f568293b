"""Say what is on the pages that compare: frameworks, versions, accuracy, public bugs, claims, stacks, faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from xloss.catalog import LOSSES
from xloss.report import exhaustive, invariance, mutants, stacks
from xloss.report.parity import tables as checks
from xloss.report.speed import sections, tables
from xloss.report.speed.sections import Grid, Section
from xloss.site import code, documents, layout, loss, measurements

if TYPE_CHECKING:
    from markupsafe import Markup

    from xloss.site.sources import Sources

#: The pages of this folder: address and name.
PAGES = (
    ("torch-jax.html", "PyTorch and JAX"),
    ("versions.html", "Versions"),
    ("accuracy.html", "Accuracy"),
    ("gallery.html", "Public bugs"),
    ("claims.html", "Claims"),
    ("stacks.html", "Stacks that were run"),
    ("faults.html", "Planted faults"),
    ("invariance.html", "Batch invariance"),
)


def _page(name: str, heading: str, template: str = "compare.html", **values: Any) -> str:
    given = {"lead": [], "sections": [], "body": "", "command": "", **values}
    return layout.page(
        f"compare/{name}", template, f"{heading} · xloss", heading=heading, comparisons=PAGES,
        script=layout.asset("site.js"), **given,
    )  # fmt: skip


def torch_jax(found: Sources) -> str:
    """Build the page of PyTorch against JAX: what differs, and who is faster."""
    summary = sections.tallies(found.compared)
    first = found.bench[0] if found.bench else {}
    made: list[Section | None] = [sections.ratios(found.compared, summary, first, "reports/data/bench.parquet")]
    several = len(tables.places(found.table)) > 1
    for machine, device in tables.places(found.newest):
        part = found.newest[(found.newest["machine"] == machine) & (found.newest["device"] == device)]
        place = f": {machine}, {device}" if several else ""
        made += [make(part, place) for make in (sections.throughput, sections.memory, sections.compile_times)]
    differences = [(name, d) for name, record in LOSSES.items() for d in loss.differences(record)]
    return _page(
        "torch-jax.html", "PyTorch against JAX", "torch-jax.html", differences=differences,
        sections=[one for one in made if one is not None],
        command="xloss bench --all --quick --out reports/data/bench.parquet && make bench && xloss site reports",
    )  # fmt: skip


def versions(found: Sources) -> str:
    """Build the page of the history: which release of a framework changed what."""
    made = [sections.versions(found.table, found.changes), sections.failed(found.raw[found.raw["status"] == "failed"])]
    lead = sections.lead(found.table) if not found.table.empty else []
    text = "The history of a single loss, over versions and commits, is on its page."
    return _page(
        "versions.html", "What a release changed", lead=[*lead[1:], text],
        sections=[one for one in made if one is not None], command="make bench && xloss site reports",
    )  # fmt: skip


def accuracy(found: Sources) -> str:
    """Build the page of accuracy: worst errors, the sweep, every input, and what a sweep asks."""
    from xloss.parity import policy

    errors = measurements.worst(found)
    whos = [who for who in tables.contestants(found.newest) if any(key[1] == who for key in errors)]
    none = (float("nan"),) * 2
    names = sorted({name for name, _ in errors} & set(LOSSES))
    rows = [(name, [errors.get((name, who), none) for who in whos]) for name in names]
    sweep = {}
    if found.sweep is not None:
        order = checks.contestants(found.sweep)
        by = {who: checks.tally(found.sweep[found.sweep["who"] == who]) for who in order}
        sweep = {"headline": checks.headline(found.sweep), "tallies": list(by.items())}
    return _page(
        "accuracy.html", "Accuracy", "accuracy.html", worst=rows, whos=whos, sweep=sweep, policy=policy.table(),
        body=_markup(exhaustive.html([dict(row) for row in found.exhaustive])),
        command="xloss parity --out reports && make accuracy && xloss site reports",
    )  # fmt: skip


def gallery(found: Sources) -> str:
    """Build the page of public bugs, and of what each way of checking finds of them."""
    made = []
    command = "python -m tests.gallery.oracles --write && xloss site reports"
    if found.gallery is None:
        return _page("gallery.html", "Public bugs", lead=["Nothing was run. This runs it:"], command=command)
    rows = found.gallery["rows"]
    head = ("check", "caught", "side named", "cause named", "false alarms")
    body = tuple(
        (
            row["oracle"], *(f"{row[name]} of {row['cases']}" for name in ("caught", "side named", "cause named")),
            f"{row['false alarms']} of {row['healthy']}",
        )
        for row in rows
    )  # fmt: skip
    text = (
        "Caught: the check fails. Side: it says which of the two is wrong. Cause: it says why. xloss knows the right "
        "value as plain arithmetic; the others take none. Healthy pairs are there to count false alarms.",
    )
    made.append(Section("What each check finds", text, (), (Grid("What each check finds", head, body, 1),)))
    cases = found.texts.get("gallery.md", "").partition("| case |")
    table = documents.rendered(cases[1] + cases[2]) if cases[1] else ""
    lead = (
        f"{rows[0]['cases']} bugs of losses and gradients from public trackers, each a faulty function in one "
        f"framework and the right one in the other, and {rows[0]['healthy']} healthy pairs."
    )
    versions = ", ".join(f"{name} {version}" for name, version in found.gallery["versions"].items())
    made.append(Section("The cases", (f"Run with {versions}.",)))
    return _page("gallery.html", "Public bugs", lead=[lead], sections=made, after=table, command=command,
                 template="gallery-page.html")  # fmt: skip


def claims(found: Sources) -> str:
    """Build the page of claims: what was said, what is so, and the code that shows it."""
    text = found.texts.get("claims.md")
    command = "xloss claims && xloss report reports && xloss site reports"
    if not text:
        return _page("claims.html", "Claims", lead=["Nothing was run. This runs it:"], command=command)
    text = re.sub(r'<a id="([\w-]+)"></a>\n\n(#+ [^\n]*)', r"\2 {#\1}", text.partition("\n")[2])
    return _page("claims.html", "Claims", after=documents.rendered(text), experiments=list(_experiments()),
                 command=command, template="claims-page.html")  # fmt: skip


def _experiments() -> list[tuple[str, list[str], list[tuple[str, Markup]]]]:
    """Return each experiment once: its name, the ids of the claims that it settles, its script in each framework."""
    from xloss.claims import CLAIMS
    from xloss.claims.model import FRAMEWORKS, snippet

    settled: dict[str, list[str]] = {}
    for name, claim in CLAIMS.items():
        settled.setdefault(claim.experiment, []).append(name)
    return [
        (name, ids, [(loss.NAMES[fw], code.highlighted(snippet(fw, name))) for fw in FRAMEWORKS])
        for name, ids in settled.items()
    ]


def run_stacks(_found: Sources) -> str:
    """Build the page of the stacks that were run."""
    return _page("stacks.html", "Stacks that were run", body=_markup(stacks.html()), command="make stacks")


def faults(found: Sources) -> str:
    """Build the page of planted faults."""
    lead = [] if found.mutants else ["Nothing was run. This runs it:"]
    body = _markup(mutants.html(dict(found.mutants)))
    return _page("faults.html", "Planted faults", lead=lead, body=body, command="python -m tests.mutants --write")


def batch_invariance(found: Sources) -> str:
    """Build the page of batch invariance."""
    lead = [] if found.invariance else ["Nothing was run. This runs it:"]
    body = _markup(invariance.html(dict(found.invariance)))
    return _page("invariance.html", "Batch invariance", lead=lead, body=body, command="make invariance")


def all_pages() -> Mapping[str, Callable[[Sources], str]]:
    """Return what makes each page, by its address."""
    made = (torch_jax, versions, accuracy, gallery, claims, run_stacks, faults, batch_invariance)
    return {f"compare/{name}": make for (name, _), make in zip(PAGES, made, strict=True)}


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)
