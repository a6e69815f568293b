"""Results as Markdown, as a fragment of HTML, and as files."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from xloss.claims import SEEDS
from xloss.claims.model import FRAMEWORKS, Result
from xloss.files import write_text

LABELS: Mapping[str, str] = {"torch": "PyTorch", "jax": "JAX"}
#: The style of `html`: light and dark, from 390 pixels up.
CSS = resources.files("xloss.claims").joinpath("templates/claims.css").read_text("utf-8")
_INTRO = (
    "Five texts in which people reason about losses and gradients, taken at their word: each claim below was run in "
    "PyTorch and in JAX, and its verdict is computed from the numbers shown. Statements are quoted in short; every "
    "snippet runs as it stands."
)


def number(value: Any) -> str:
    """One piece of evidence as a person reads it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence):
        if len(value) > 9:
            return f"{len(value)} numbers from {number(min(value))} to {number(max(value))}"
        return ", ".join(map(number, value))
    value = float(value)
    if value == 0:
        return "0"  # also for -0.0
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}"
    return (f"{value:.3g}" if abs(value) < 1e-4 else f"{value:.6g}").replace("e-0", "e-")


def rows(result: Result) -> list[tuple[str, dict[str, str]]]:
    """The evidence that matters to the verdict, one name a row; "–" where a framework measured nothing of that name."""
    cells = {framework: result.evidence.get(framework, {}) for framework in FRAMEWORKS}
    names = dict.fromkeys(name for measured in cells.values() for name in measured)
    if result.verdict:
        used = result.claim.used(result.evidence)
        names = {n: None for n in names if n in used or any(isinstance(m.get(n), str) for m in cells.values())}
    return [(name, {fw: number(cells[fw][name]) if name in cells[fw] else "–" for fw in FRAMEWORKS}) for name in names]


def verdict(result: Result) -> str:
    """The kind of the verdict, or what stands in its place."""
    return result.verdict.kind if result.verdict else result.status


def note(result: Result) -> str:
    """A remark where the verdict is not the one vouched for, else nothing."""
    expected = result.claim.expected
    if result.status == "changed":
        return f"This differs from the verdict that the explanation was written for ({expected})."
    return "" if result.verdict else f"There is no verdict; the one vouched for is “{expected}”."


def versions() -> str:
    """Which frameworks were run."""
    found = []
    for framework in FRAMEWORKS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{LABELS[framework]} {metadata.version(framework)}")
    return ", ".join(found)


def counts(results: Iterable[Result]) -> str:
    """How many of each verdict."""
    tally = Counter(map(verdict, results))
    order = ("holds", "holds only if", "fails", "undecided", "crashed")
    words = {"holds": "hold", "holds only if": "hold only under a condition", "fails": "fail"}
    return ", ".join(f"{tally[kind]} {words.get(kind, kind)}" for kind in order if tally[kind])


def by_seed(results: Sequence[Result]) -> list[tuple[Any, list[Result]]]:
    """The seeds that occur, each with its results."""
    groups = [(seed, [r for r in results if r.claim.seed == slug]) for slug, seed in SEEDS.items()]
    return [(seed, group) for seed, group in groups if group]


def slug(result: Result) -> str:
    """The id as a name for files and anchors."""
    return result.claim.id.replace("/", "-")


def _md(text: str) -> str:
    """Text that Markdown shall show as it is."""
    return re.sub(r"([\\`*_<>\[\]|#~$])", r"\\\1", text)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return _md(text).replace("\n", " ")


def markdown(results: Sequence[Result]) -> str:
    """A page of Markdown; the figures are expected in ``claims/`` beside it, as `write` puts them."""
    lines = ["# Claims", "", _INTRO, "", f"{len(results)} claims: {counts(results)}. Run with {versions()}.", ""]
    for seed, group in by_seed(results):
        lines += [f"## {seed.title}", "", _md(seed.about), "", "| verdict | claim |", "|---|---|"]
        lines += [f"| {verdict(r)} | [{_cell(r.claim.statement)}](#{slug(r)}) |" for r in group]
        lines.append("")
        for result in group:
            lines += _markdown_claim(result)
    return "\n".join(lines).rstrip() + "\n"


def _markdown_claim(result: Result) -> list[str]:
    claim, condition = result.claim, result.verdict.condition if result.verdict else ""
    lines = [f'<a id="{slug(result)}"></a>', "", f"### {_md(claim.question)}", ""]
    lines += [
        f"Claim `{claim.id}`: *{_md(claim.statement)}*",
        "",
        f"**{verdict(result)}** {_md(condition)}".strip(),
        "",
    ]
    lines += [_md(text) + "\n" for text in (note(result), result.explanation) if text]
    if result.figure:
        lines += [f"![{_md(claim.question)}](claims/{slug(result)}.svg)", ""]
    if result.evidence:
        lines += ["| evidence | PyTorch | JAX |", "|---|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(cell['torch'])} | {_cell(cell['jax'])} |" for name, cell in rows(result)]
        lines.append("")
    for framework, code in claim.snippets.items():
        lines += [
            f"<details><summary>Run it in {LABELS[framework]}</summary>",
            "",
            "```python",
            code.rstrip(),
            "```",
            "",
            "</details>",
            "",
        ]
    return lines


def html(results: Sequence[Result]) -> str:
    """A ``<section class="claims">`` for a page of HTML, with its figures inside and all text escaped; see `CSS`."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xloss.claims"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    for helper in (rows, verdict, note, slug, counts):
        environment.globals[helper.__name__] = helper

    def figure(result: Result) -> str:
        # Drawn by this package, no text of others in it; inside HTML the namespace goes without saying.
        return Markup((result.figure or "").replace(' xmlns="http://www.w3.org/2000/svg"', ""))

    return environment.get_template("claims.html").render(
        intro=_INTRO, results=results, seeds=by_seed(results), labels=LABELS, versions=versions(), figure=figure
    )


def write(results: Sequence[Result], directory: Path) -> list[Path]:
    """Write ``claims.md``, ``claims.json`` and ``claims/*.svg``, each whole or not at all; return their paths."""
    data = [{key: value for key, value in r.to_dict().items() if key != "seconds"} for r in results]
    files = {f"claims/{slug(r)}.svg": figure for r in results if (figure := r.figure)}
    files["claims.json"] = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files["claims.md"] = markdown(results)
    for name, text in files.items():
        write_text(directory / name, text)
    return [directory / name for name in files]
