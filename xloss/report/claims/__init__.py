"""Show results of `xloss.claims.run`: as a section of the report's page and as Markdown."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from xloss.claims import SOURCES, Result, Source
from xloss.claims.model import FRAMEWORKS
from xloss.files import write_text

LABELS: Mapping[str, str] = {"torch": "PyTorch", "jax": "JAX"}


def cell(value: Any) -> str:
    """Return one piece of evidence as text: with six digits, as the texts print up to five."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence):
        return ", ".join(map(cell, value))
    # Adding 0 takes the sign off -0.
    return (f"{value + 0:.3g}" if abs(value) < 1e-4 else f"{value:.6g}").replace("e-0", "e-")


def rows(result: Result) -> list[tuple[str, dict[str, str]]]:
    """Return the evidence that matters to the verdict by name; "–" where a framework measured nothing of that name."""
    cells = {framework: result.evidence.get(framework, {}) for framework in FRAMEWORKS}
    names = list(dict.fromkeys(name for measured in cells.values() for name in measured))
    if result.verdict:
        used = result.claim.used(result.evidence)
        names = [n for n in names if n in used or any(isinstance(m.get(n), str) for m in cells.values())]
    return [(name, {fw: cell(cells[fw][name]) if name in cells[fw] else "–" for fw in FRAMEWORKS}) for name in names]


def verdict(result: Result) -> str:
    """Return the kind of the verdict, or what stands in its place."""
    return result.verdict.kind if result.verdict else result.status


def note(result: Result) -> str:
    """Return a remark where the verdict is not the expected one, else nothing."""
    expected = result.claim.expected
    if result.status == "changed":
        return f"This differs from the verdict that the explanation was written for ({expected})."
    return "" if result.verdict else f"There is no verdict; the expected one is “{expected}”."


def versions() -> str:
    """Return which frameworks were run."""
    found = []
    for framework in FRAMEWORKS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{LABELS[framework]} {metadata.version(framework)}")
    return ", ".join(found)


def counts(results: Iterable[Result]) -> str:
    """Return how many there are of each verdict."""
    tally = Counter(map(verdict, results))
    phrases = {"holds": "hold", "holds only if": "hold only under a condition", "fails": "fail"}
    kinds = (*phrases, "undecided", "crashed")
    return ", ".join(f"{tally[kind]} {phrases.get(kind, kind)}" for kind in kinds if tally[kind])


def by_source(results: Sequence[Result]) -> list[tuple[Source, list[Result]]]:
    """Return the sources that occur, each with its results."""
    groups = [(source, [r for r in results if r.claim.source == slug]) for slug, source in SOURCES.items()]
    return [(source, group) for source, group in groups if group]


def slug(result: Result) -> str:
    """Return the id as a name for anchors."""
    return "claim-" + result.claim.id.replace("/", "-")


def markdown(results: Sequence[Result]) -> str:
    """Return a page of Markdown, without the figures and snippets that the report's page has."""
    from xloss.report import pages

    return pages.render("claims.md", **_shown(results))


def html(results: Sequence[Result]) -> str:
    """Return a ``<section>`` for the report's page, with its figures inside and all text escaped."""
    from markupsafe import Markup

    from xloss.report import pages
    from xloss.report.claims import figures

    def figure(result: Result) -> str:
        draw = figures.FIGURES.get(result.claim.id)
        return Markup(draw(result.evidence)) if draw and result.verdict else ""

    return pages.render("claims.html", **_shown(results), figure=figure)


def _shown(results: Sequence[Result]) -> dict[str, Any]:
    helpers = {helper.__name__: helper for helper in (rows, verdict, note, slug)}
    facts = {"results": results, "counts": counts(results), "versions": versions(), "sources": by_source(results)}
    return {**helpers, **facts, "labels": LABELS}


def write(results: Sequence[Result], directory: Path) -> Path:
    """Write ``claims.md``, whole or not at all; return its path."""
    return write_text(directory / "claims.md", markdown(results))
