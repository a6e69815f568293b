"""The page of a run, in Markdown: what was answered and what was not, and the figures, each with its own unit."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xloss.gpu.journal import Row
from xloss.gpu.published import FIGURES, Figure

Table = list[list[str]]
_OURS = ("torch/eager", "jax/jit")


def page(rows: Sequence[Row], first_page: Sequence[str], steps: Sequence[Mapping[str, Any]],
         skipped: Mapping[str, str]) -> str:  # fmt: skip
    """Return the page of what a journal has."""
    run: Row = next((row["run"] for row in reversed(rows) if "run" in row), {})
    of: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        if "cell" in row:
            of[row["step"]].append(row)
    rehearsal = run.get("rehearse")
    title = "# A rehearsal on a CPU: no figure here is of an accelerator" if rehearsal else "# xloss on an accelerator"
    parts = [title, f"{run.get('created', '')}, budget {run.get('budget', '?')} s", _bullets(first_page)]
    parts += ["## Steps", _steps(of, steps, skipped), "## Machine", _facts(of.pop("facts", []))]
    for name, section in _SECTIONS.items():
        if of.get(name):
            parts += section(of[name], of)
    parts += ["## Shapes for which others published figures", *_published(of)]
    faults = [row for name, found in of.items() for row in found if row["status"] not in ("ok", "unsupported")]
    parts += ["## What went wrong", _faults(faults) if faults else "Nothing."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_cell(line)}" for line in lines)


def _table(head: Sequence[str], rows: Table) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _steps(of: Mapping[str, list[Row]], steps: Sequence[Mapping[str, Any]], skipped: Mapping[str, str]) -> str:
    table = []
    for step in steps:
        counts = collections.Counter(row["status"] for row in of.get(step["step"], []))
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
        table.append([step["title"], said, step["left"] or "", f"{step['seconds']:.0f}", step["reason"]])
    table += [[name, "left out", "", "", reason] for name, reason in skipped.items()]
    return _table(("step", "cells", "left", "seconds", "why it ended"), table)


def _facts(rows: Sequence[Row]) -> str:
    out = []
    for row in rows:
        if row["cell"] == "machine":
            out.append(f"{row['platform']}, {row['cpu']}, {row['cores']} cores, Python {row['python']}")
            out += [", ".join(f"{k} {v}" for k, v in card.items()) for card in row["cards"]] or ["no nvidia-smi here"]
        elif row["status"] == "ok":
            known = {k: v for k, v in row.items() if k not in ("step", "cell", "status")}
            out.append(f"{row['cell']}: " + ", ".join(f"{k} {v}" for k, v in known.items()))
        else:
            out.append(f"{row['cell']}: {row['status']}: {row['reason']}")
    return _bullets(out)


def _values(rows: Sequence[Row], _of: Mapping[str, list[Row]], title: str) -> list[str]:
    table = [
        [row.get("loss", row["cell"]), row["status"], _number(row.get("value_ulps")), _number(row.get("gradient_ulps")),
         _number(row.get("budget")), f"{row['seconds']:.1f}", row.get("reason", "")]
        for row in rows
    ]  # fmt: skip
    head = ("loss", "status", "value, worst ulps", "gradient, worst ulps", "worst / allowed", "seconds", "why")
    return [f"## {title}: value and gradient against the exact result", _table(head, table)]


def _parity(rows: Sequence[Row], _of: Mapping[str, list[Row]], dtype: str) -> list[str]:
    checks: collections.Counter[str] = collections.Counter()
    by_loss: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        checks.update(row.get("counts", {}))
        by_loss[row.get("loss", row["cell"].split(":")[0])].update(row.get("counts", {row["status"]: 1}))
    bad = [[loss, *(str(of.get(s, "")) for s in ("ok", "inaccurate", "error"))] for loss, of in sorted(by_loss.items())
           if set(of) - {"ok", "unsupported"}]  # fmt: skip
    said = ", ".join(f"{count} {status}" for status, count in sorted(checks.items()))
    losses = _table(("loss", "ok", "inaccurate", "error"), bad) or "No check failed."
    return [f"## PyTorch, every mechanism and regime, {dtype}", f"{len(rows)} cells; checks: {said}.", losses]


def _bandwidth(rows: Sequence[Row], _of: Mapping[str, list[Row]]) -> list[str]:
    found = [[row["cell"], _rate(row.get("bytes_per_second"))] for row in rows]
    return ["## Bandwidth of a copy", _table(("framework", "GB/s"), found)]


def _timed(rows: Sequence[Row], of: Mapping[str, list[Row]]) -> list[str]:
    copy = max((row["bytes_per_second"] for row in of.get("bandwidth", []) if "bytes_per_second" in row), default=None)
    table = []
    for row in rows:
        seconds = row.get("device_seconds") or (row.get("host_seconds") if row.get("notes") else None)
        rate = row["least_bytes"] / seconds if seconds and row.get("least_bytes") else None
        table.append([row["cell"], row["status"], _ms(row.get("device_seconds")), _ms(row.get("host_seconds")),
                      _ms(row.get("first_seconds")), _rate(rate), f"{rate / copy:.0%}" if rate and copy else "",
                      _rate(row.get("peak_bytes")), "; ".join(row.get("notes", {}).values())])  # fmt: skip
    head = ("cell", "status", "device, ms", "host, ms", "first call, ms", "least bytes, GB/s", "of a copy", "peak, GB",
            "note")  # fmt: skip
    return ["## Times", "The rate is of the device's time, or without one of the host's.", _table(head, table)]


def _memory(rows: Sequence[Row], _of: Mapping[str, list[Row]]) -> list[str]:
    kinds = ("device_bytes", "resident_bytes", "analysed_bytes", "least_bytes", "input_bytes")
    table = [[row["cell"], row["status"], *(_mb(row.get(kind)) for kind in kinds)] for row in rows]
    head = ("cell", "status", "device", "resident", "planned by XLA", "least", "inputs")
    return ["## Peak memory above the inputs, MB", _table(head, table)]


def _repeats(rows: Sequence[Row], _of: Mapping[str, list[Row]]) -> list[str]:
    ok = [row for row in rows if row["status"] == "ok"]
    moved = [[row["cell"], f"{row['differ']} of {row['results']}"] for row in ok if row["differ"]]
    same = f"The same bits in every repeat: {len(ok) - len(moved)} of {len(ok)}."
    return ["## Repeats", same, _table(("cell", "results that differ"), moved)]


def _products(rows: Sequence[Row], _of: Mapping[str, list[Row]]) -> list[str]:
    table = [
        [row["loss"], row["who"], row["precision"], f"{max(row['errors'].values()):.1e}"]
        for row in rows
        if row.get("errors")
    ]
    head = ("loss", "implementation", "precision of products", "worst error, of the largest element")
    return ["## Precision of matrix products", _table(head, table)]


def _published(of: Mapping[str, list[Row]]) -> list[str]:
    """Return the table of published figures, with a place for ours in each framework."""
    table = [
        [figure.source, figure.who, figure.card, figure.loss, "x".join(map(str, (*figure.shape, *figure.extra))),
         figure.dtype, figure.quantity, _theirs(figure), *(_ours(figure, who, of) for who in _OURS)]
        for figure in FIGURES
    ]  # fmt: skip
    head = ("source", "who", "card", "loss", "shape", "dtype", "quantity", "published", "xloss, PyTorch", "xloss, JAX")
    return ["Theirs are of their own cards and versions; a place that is empty was not measured.", _table(head, table)]


def _theirs(figure: Figure) -> str:
    share = f"{figure.share_of_bandwidth:.0%} of the bandwidth" if figure.share_of_bandwidth else ""
    return _both(figure.seconds, figure.peak_bytes) or share


def _ours(figure: Figure, who: str, of: Mapping[str, list[Row]]) -> str:
    shape = "x".join(map(str, (*figure.shape, *figure.extra)))
    cell = f"{figure.loss} {who}/xloss {figure.quantity} {shape} {figure.dtype} warm"
    row = next((row for row in of.get("published", []) if row["cell"] == cell), None)
    if row is None:
        return ""
    measured = [*figure.shape, *figure.extra] == row.get("shape")  # a rehearsal's shape is another
    return (
        _both(row.get("device_seconds"), row.get("peak_bytes")) if measured else row["status"] * (row["status"] != "ok")
    )


def _both(seconds: float | None, peak: float | None) -> str:
    return ", ".join(part for part in (f"{_ms(seconds)} ms" if seconds else "", f"{_rate(peak)} GB" if peak else "")
                     if part)  # fmt: skip


def _faults(rows: Sequence[Row]) -> str:
    return _table(("step", "cell", "status", "reason"), [
        [row["step"], row["cell"], row["status"], row.get("reason") or _first_bad(row)] for row in rows
    ])  # fmt: skip


def _first_bad(row: Row) -> str:
    bad = row.get("bad") or [[""]]
    return f"{len(bad)} checks, the first: {', '.join(map(str, bad[0]))}"[:300]


def _ms(seconds: Any) -> str:
    return f"{1000 * seconds:.4g}" if seconds else ""


def _rate(count: Any) -> str:
    return f"{count / 1e9:.4g}" if count else ""


def _mb(count: Any) -> str:
    return f"{count / 1e6:.4g}" if count is not None else ""


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else ""


_SECTIONS: Mapping[str, Any] = {
    "torch-values": lambda rows, of: _values(rows, of, "PyTorch"),
    "jax-values": lambda rows, of: _values(rows, of, "JAX"),
    "torch-float32": lambda rows, of: _parity(rows, of, "float32"),
    "torch-bfloat16": lambda rows, of: _parity(rows, of, "bfloat16"),
    "bandwidth": _bandwidth, "device-time": _timed, "published": _timed, "memory": _memory, "repeats": _repeats,
    "products": _products,
}  # fmt: skip
