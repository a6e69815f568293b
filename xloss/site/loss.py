"""Say what is on the page of a loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xloss.catalog import FRAMEWORKS, LOSSES, Loss
from xloss.modules.signatures import class_name, options_of, signature_of, signature_text
from xloss.report import exhaustive
from xloss.report.format import plural
from xloss.site import code, docstrings, figures, layout, mathematics, measurements, snippets

if TYPE_CHECKING:
    from markupsafe import Markup

    from xloss.site.sources import Sources

NAMES: Mapping[str, str] = {"torch": "PyTorch", "jax": "JAX"}
#: The parts of a page: the ids of its sections, and what a link to them says.
CONTENTS = (
    ("formula", "Formula"), ("call", "Call"), ("conventions", "Conventions"), ("differences", "Differences"),
    ("accuracy", "Accuracy"), ("speed", "Speed and memory"), ("history", "History"), ("invariance", "Batch invariance"),
    ("asked", "What was asked"), ("source", "Source"), ("reproduce", "Reproduce"),
)  # fmt: skip


def path(name: str) -> str:
    """Return the address of the page of a loss."""
    return f"losses/{name}.html"


def link(name: str) -> str | None:
    """Return where, from the page of a loss, that of another is; None for other names."""
    return f"{name}.html" if name in LOSSES else None


def page(found: Sources, loss: Loss) -> str:
    """Build the page of a loss."""
    doc = docstrings.parse(inspect.getdoc(loss.jax) or "")
    panels, changes = measurements.history(found, loss)
    title = f"History of {loss.name}"
    return layout.page(
        path(loss.name), "loss.html", f"{loss.name}: PyTorch and JAX · xloss",
        record=loss, doc=doc, contents=CONTENTS, script=layout.asset("site.js"),
        inline=functools.partial(docstrings.inline, link=link),
        formulas=[_markup(mathematics.mathml(text)) for text in loss.latex],
        calls=list(_calls(loss)),
        denominators=docstrings.denominators(doc),
        example=code.highlighted(doc.example, "pycon") if doc.example else "",
        kinks=_kinks(loss),
        form=_form(loss),
        peers=", ".join(f"{peer.name} ({peer.framework})" for peer in loss.peers),
        differences=list(differences(loss)),
        worst=measurements.worst_of(found, loss),
        regimes=_regimes(found, loss),
        every_input=_every_input(found, loss),
        speed=measurements.reported(found, loss),
        history=_markup(figures.history(panels, title)) if panels else "",
        commits=", ".join(measurements.commits(found)),
        changes=changes,
        invariance=_invariance(found, loss),
        variants=list(_variants(loss)),
        crossed="; ".join(_factor(factor) for factor in loss.crossed),
        unsupported=_unsupported(found, loss),
        implementations=[(NAMES[fw], code.highlighted(text)) for fw, text in code.implementations(loss).items()],
        truth=code.highlighted(text) if (text := code.truth(loss)) else "",
        commands=commands(found, loss),
    )  # fmt: skip


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


def _calls(loss: Loss) -> Iterator[tuple[str, str, Markup, Markup]]:
    """Show how it is called in each framework, as a function and as a class."""
    required = [
        name for name, p in inspect.signature(loss.torch).parameters.items() if p.default is inspect.Parameter.empty
    ]
    form, options = class_name(loss), [parameter.name for parameter in options_of(loss)]
    called = "" if loss.class_form.parametric else f"\n{form}()({', '.join(required)})"
    called += f"\n# options of {form}: {', '.join(options)}" if called and options else ""
    for framework in FRAMEWORKS:
        signature = f"{loss.name}{_broken(signature_text(getattr(loss, framework)))}"
        example = f"from xloss.{framework} import {form}, {loss.name}\n\n{loss.name}({', '.join(required)}){called}"
        yield framework, NAMES[framework], code.highlighted(signature), code.highlighted(example)


def _broken(signature: str) -> str:
    """Return a signature with a line for each argument."""
    inner, closing, result = signature.rpartition(")")
    depth, out = 0, ""
    for letter in inner.removeprefix("("):
        depth += (letter in "([") - (letter in ")]")
        out += ",\n   " if letter == "," and depth == 0 else letter
    return f"(\n    {out},\n{closing}{result}" if out else signature


def _kinks(loss: Loss) -> str:
    """Say where it has no derivative, and that a sweep draws these points."""
    from xloss.parity.inputs import KINKS

    drawn = (
        "drawn exactly, and a few ulps beside them. The derivative there is xloss's own, the same in both frameworks"
    )
    if loss.domain.kinks:
        return f"{', '.join(f'{kink:g}' for kink in loss.domain.kinks)}: {drawn}."
    return f"Where the branches of the formula meet: {drawn}." if set(KINKS) & set(loss.domain.regimes) else ""


def _form(loss: Loss) -> str:
    """Return the class form's constructor as it is written."""
    if loss.class_form.parametric:
        return class_name(loss)
    return f"{class_name(loss)}{inspect.Signature(options_of(loss))}"


def differences(loss: Loss) -> Iterator[dict[str, Any]]:
    """Describe where implementations of a loss differ, each with a snippet that runs."""
    for difference in loss.differences:
        measured = snippets.measured_by(loss, difference)
        yield {
            "slug": f"difference-{difference.id.partition('/')[2]}",
            "who": difference.who,
            "case": difference.case,
            "here": _shown(difference.expected[0]),
            "there": _shown(difference.expected[1]),
            "seen": difference.seen,
            "versions": difference.versions,
            "link": difference.link,
            "snippet": code.highlighted(snippets.snippet(loss, difference)),
            "measured": code.highlighted(measured) if measured else "",
        }


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _regimes(found: Sources, loss: Loss) -> dict[str, Any]:
    """Return the errors by regime, value and gradient, where a sweep or its summary has them."""
    from xloss.parity.inputs import REGIMES

    one = found.regimes.get("losses", {}).get(loss.name)
    if one is None:
        return {}
    versions = [f"{name} {found.regimes['versions'][name]}" for name in FRAMEWORKS if name in found.regimes["versions"]]
    lead = (
        f"Of {plural(one['checks'], 'check')} of xloss, of all dtypes and mechanisms that were asked, {one['bad']:,} "
    )
    lead += "are outside the budget. Run: "
    lead += ", ".join(filter(None, [found.regimes["command"], found.regimes["created"][:10], *versions])) + "."
    maps = [
        (quantity, given["whos"], [(regime, REGIMES.get(regime, ""), cells) for regime, cells in given["rows"].items()])
        for quantity, given in one["maps"].items()
        if given["rows"]
    ]
    return {"lead": lead, "maps": maps}


def _every_input(found: Sources, loss: Loss) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the table of every input that are of this loss."""
    rows = []
    for row in found.exhaustive:
        if row["problem"].split(",")[0] != loss.name:
            continue
        inputs = f"{row['dtype']}, {row['inputs']:,} inputs{'' if row['complete'] else ', sampled'}"
        for who, cells in row["cells"].items():
            value, gradient = (cell["worst"] + (f" at {cell['at']}" if cell["at"] else "") for cell in cells)
            rows.append((row["problem"], inputs, exhaustive.COLUMNS[who], value, gradient))
    return rows


def _invariance(found: Sources, loss: Loss) -> list[Mapping[str, Any]] | None:
    """Return the implementations whose rows depend on their batch; None where nothing was asked."""
    if not found.invariance:
        return None
    return [row for row in found.invariance["rows"] if row["loss"] == loss.name]


def _variants(loss: Loss) -> Iterator[dict[str, str]]:
    from xloss.parity.inputs import applicable

    for variant in loss.variants:
        yield {
            "name": variant.name,
            "options": ", ".join(f"{name}={value!r}" for name, value in variant.options.items()),
            "tensors": ", ".join(variant.tensors),
            "shapes": ", ".join("×".join(map(str, shape)) or "()" for shape in variant.shapes),
            "regimes": ", ".join(applicable(loss, variant)),
        }


def _factor(factor: Any) -> str:
    return str(getattr(factor, "name", factor))


def _unsupported(found: Sources, loss: Loss) -> list[tuple[str, int]]:
    """Return the reasons for which checks were not offered, with their counts."""
    part = found.sweep_of(loss.name)
    if part is None:
        return []
    rows = part[part["outcome"] == "unsupported"]
    counts = (rows["who"] + ": " + rows["reason"]).value_counts()
    return [(str(reason), int(count)) for reason, count in counts.items()]


def commands(found: Sources, loss: Loss) -> list[tuple[str, str]]:
    """Return the commands that make the numbers of the page again."""
    problems = [row["problem"] for row in found.exhaustive if row["problem"].split(",")[0] == loss.name]
    return [
        ("formula, conventions, differences", f"xloss explain {loss.name}"),
        ("accuracy by regime", f"xloss parity --loss {loss.name}"),
        *([("every input", f"python -m xloss.exhaustive --problem '{problems[0]}'")] if problems else []),
        ("speed and memory, in turn", f"xloss bench {loss.name}"),
        ("history", "make bench"),
        ("your own against it", f"xloss compare mine.py:torch_loss mine.py:jax_loss --like {loss.name}"),
        ("this page", "xloss site reports"),
    ]


def signature_names(loss: Loss) -> str:
    """Return the names of the arguments, for the search."""
    return " ".join(signature_of(loss.torch).parameters)
