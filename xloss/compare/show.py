"""A comparison as text, Markdown, HTML, JSON and JUnit XML."""

from __future__ import annotations

import html as escaping
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from xloss.compare.rows import COLUMNS
from xloss.parity.sweep import BAD, STOPPED

if TYPE_CHECKING:
    from xloss.compare.comparison import Comparison

SHOWN = 3  # rows of one kind in a text


def verdict(comparison: Comparison) -> str:
    """Return the outcome in one line."""
    a, b = comparison.names
    checks = sum(row["status"] != "unsupported" for row in comparison.rows)
    failures = comparison.failures
    if not checks:
        return "nothing was compared"
    if not failures:
        return f"{a} and {b} agree: all {checks} checks passed"
    stopped = [row for row in failures if row["status"] in STOPPED]
    if stopped:
        who = " and ".join(dict.fromkeys(str(row["side"]) for row in stopped))
        return f"{who} could not be compared: {stopped[0]['status']} in {len(stopped)} of {checks} checks"
    wrong = [name for name in comparison.names if any(r["side"] == name and r["status"] in BAD for r in failures)]
    undecided = any(row["status"] == "differs" for row in failures)
    if undecided:
        return f"{a} and {b} compute different functions ({len(failures)} of {checks} checks)"
    return f"{' and '.join(wrong)} {'are' if len(wrong) > 1 else 'is'} wrong in {len(failures)} of {checks} checks"


def summary(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row a check, dtype and argument: both sides' worst status over all cases, and where."""
    out: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in comparison.rows:
        key = (row["check"], row["argument"], row["dtype"])
        line = out.setdefault(key, {"check": row["check"], "argument": row["argument"], "dtype": row["dtype"],
                                    **dict.fromkeys(comparison.names, "-")})  # fmt: skip
        before = line[row["side"]]
        if before in ("-", "ok") and not (before == "ok" and row["status"] == "unsupported"):
            bad = row["status"] not in ("ok", "unsupported")
            line[row["side"]] = f"{row['status']} ({row['case']})" if bad else row["status"]
    return list(out.values())


def first_failures(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the failures to show: the first of each side, check and argument, in order."""
    seen: dict[Any, dict[str, Any]] = {}
    for row in comparison.failures:
        both = row["status"] == "differs"  # one row is enough for the two sides
        row = {**row, "side": " and ".join(comparison.names)} if both else row
        seen.setdefault((row["check"], row["argument"], row["side"]), row)
    return list(seen.values())


def what(row: Mapping[str, Any]) -> str:
    """Return a row's check in words: "gradient by input"."""
    of = f" ({row['check']})" if row["check"] not in ("value", "") else ""
    if row["check"] in ("called twice", "arguments unchanged", "vmap"):
        return str(row["check"]) + (f", {row['argument']}" if row["argument"] else "")
    return (f"gradient by {row['argument']}" if row["argument"] else "value") + of


def where(row: Mapping[str, Any]) -> str:
    """Return whose check it is, which, and on what: "torch, gradient by input, float32, case large"."""
    return f"{row['side']}, {what(row)}, {row['dtype']}, case {row['case']}"


def text(comparison: Comparison) -> str:
    """Return the whole report as plain text."""
    a, b = comparison.sides
    lines = [f"{comparison.names[0]}: {a.label}    {comparison.names[1]}: {b.label}"]
    if comparison.assumed:
        lines.append(comparison.assumed)
    if comparison.right:
        lines.append(f"judged by: {comparison.right}")
    lines.append("")
    lines += _table(summary(comparison), ["check", "argument", "dtype", *comparison.names])
    if failures := first_failures(comparison):
        lines.append("")
        for row in failures[: 2 * SHOWN]:
            lines.append(f"{row['status']}  {where(row)}")
            lines.append(f"    {row['reason']}")
        if len(failures) > 2 * SHOWN:
            lines.append(f"... and {len(failures) - 2 * SHOWN} more kinds of failure")
    if comparison.failures:
        lines.append("")
        causes = comparison.diagnoses
        lines += [f"cause: {found.sentence}" for found in causes[:SHOWN]]
        if not causes and any(row["status"] in BAD for row in comparison.failures):
            lines.append("cause: none of the known ones fits; the first element that differs is given above")
    if comparison.notes:
        lines.append("")
        lines += [f"note: {note}" for note in comparison.notes[:SHOWN]]
        if len(comparison.notes) > SHOWN:
            lines.append(f"... and {len(comparison.notes) - SHOWN} more notes")
    lines += ["", f"{verdict(comparison)}; {comparison.seconds:.1f} s"]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    widths = [max(len(c), *(len(str(row[c])) for row in rows), 1) if rows else len(c) for c in columns]
    lines = [list(columns), *([str(row[c]) for c in columns] for row in rows)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]


def markdown(comparison: Comparison) -> str:
    """Return a summary in Markdown, for a CI job's page."""
    columns = ["check", "argument", "dtype", *comparison.names]
    lines = [f"### {_md(verdict(comparison))}", ""]
    lines += [f"- {_md(name)}: `{_code(s.label)}`" for name, s in zip(comparison.names, comparison.sides, strict=True)]
    lines += [f"- cause: {_md(found.sentence)}" for found in comparison.diagnoses[:SHOWN]]
    lines += ["", "| " + " | ".join(map(_md, columns)) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_md(row[c]) for c in columns) + " |" for row in summary(comparison)]
    for row in first_failures(comparison)[: 2 * SHOWN]:
        lines += ["", f"- **{row['status']}** {_md(where(row))}: {_md(row['reason'])}"]
    return "\n".join(lines) + "\n"


def _printable(cell: Any) -> str:
    """Return text with control characters, escape sequences among them, as blanks."""
    return "".join(c if c.isprintable() else " " for c in str(cell))


def _md(cell: Any) -> str:
    plain = _printable(cell)
    for mark in "\\`*_[]<>|":
        plain = plain.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return plain


def _code(cell: str) -> str:
    return _printable(cell).replace("`", "'")


def html(comparison: Comparison) -> str:
    """Return tables in HTML, every text escaped, for a notebook or a page."""
    columns = ["check", "argument", "dtype", *comparison.names]
    head = "".join(f"<th>{_esc(c)}</th>" for c in columns)
    lines = ["".join(f"<td>{_esc(row[c])}</td>" for c in columns) for row in summary(comparison)]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    causes = "".join(f"<p><b>cause:</b> {_esc(found.sentence)}</p>" for found in comparison.diagnoses[:SHOWN])
    reasons = "".join(
        f"<li>{_esc(row['status'])}: {_esc(where(row))}: {_esc(row['reason'])}</li>"
        for row in first_failures(comparison)[: 2 * SHOWN]
    )
    listed = f"<ul>{reasons}</ul>" if reasons else ""
    return (f"<div><p><b>{_esc(verdict(comparison))}</b></p>{causes}<table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{listed}</div>")  # fmt: skip


def _esc(cell: Any) -> str:
    return escaping.escape(_printable(cell))


def page_of(parts: Sequence[tuple[str, str]]) -> str:
    """Return a whole HTML page of comparisons by name, each as `html` gives it."""
    body = "".join(f"<h2>{_esc(name)}</h2>{shown}" for name, shown in parts) or "<p>Nothing was compared.</p>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>xloss: comparisons</title>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
        f"<h1>Comparisons</h1>{body}</html>\n"
    )


def as_json(comparison: Comparison) -> str:
    """Return everything as JSON; NaN and infinities become null and text."""

    def plain(cell: Any) -> Any:
        if isinstance(cell, float) and not math.isfinite(cell):
            return None if math.isnan(cell) else str(cell)
        return cell

    found = {
        "sides": [
            {"name": name, "function": side.label, "framework": side.framework}
            for name, side in zip(comparison.names, comparison.sides, strict=True)
        ],
        "verdict": verdict(comparison),
        "ok": comparison.ok,
        "exit_code": comparison.exit_code(),
        "judged_by": comparison.right,
        "assumed": comparison.assumed,
        "diagnoses": [{"cause": d.cause, "side": d.side, "sentence": d.sentence} for d in comparison.diagnoses],
        "notes": comparison.notes,
        "rows": [{c: plain(row[c]) for c in COLUMNS} for row in comparison.rows],
        "seconds": round(comparison.seconds, 3),
    }
    return json.dumps(found, indent=2)


def junit(comparison: Comparison) -> str:
    """Return the rows as a JUnit XML test suite."""
    rows = comparison.rows
    suite = ElementTree.Element(
        "testsuite", name="xloss compare", tests=str(len(rows)),
        failures=str(sum(row["status"] in BAD for row in rows)), errors=str(sum(r["status"] in STOPPED for r in rows)),
        skipped=str(sum(row["status"] == "unsupported" for row in rows)), time=f"{comparison.seconds:.3f}",
    )  # fmt: skip
    for row in rows:
        name = ", ".join(filter(None, (what(row), row["dtype"], row["case"])))
        test = ElementTree.SubElement(suite, "testcase", classname=f"xloss.compare.{row['side']}", name=name)
        if row["status"] == "ok":
            continue
        kind = "skipped" if row["status"] == "unsupported" else "failure" if row["status"] in BAD else "error"
        ElementTree.SubElement(test, kind, message=_printable(row["reason"]))
    for found in comparison.diagnoses:
        ElementTree.SubElement(suite, "system-out").text = f"cause: {found.sentence}"
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
