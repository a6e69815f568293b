"""Say what is on the front page: what agrees, what does not, who is fast, and all losses with a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xloss.catalog import LOSSES
from xloss.modules.signatures import class_name
from xloss.report import format as words
from xloss.report.speed import sections, tables
from xloss.site import layout, loss, measurements

if TYPE_CHECKING:
    from xloss.site.sources import Sources

#: Whose errors and times the table of losses has, with the heading of the column.
ERRORS = (
    ("xloss · torch eager", "xloss, PyTorch"),
    ("xloss · jax jit", "xloss, JAX"),
    ("torch.nn.functional · torch eager", "torch.nn. functional"),
    ("optax · jax jit", "optax"),
)
#: Pairs whose times are compared: the first against the second, each measured in the same environment.
RIVALS = (
    ("xloss · torch eager", "torch.nn.functional · torch eager"),
    ("xloss · jax jit", "optax · jax jit"),
)


def page(found: Sources) -> str:
    """Build the front page."""
    return layout.page(
        "index.html", "front.html", "xloss: losses in PyTorch and JAX, compared", script=layout.asset("site.js"),
        agrees=_agrees(found), differs=_differs(), fast=_fast(found), losses=_losses(found), errors=ERRORS,
        versions=_versions(found),
    )  # fmt: skip


def _agrees(found: Sources) -> dict[str, Any]:
    """Count xloss's checks within the budget: of the sweep, or of its summary, else of the stacks that were run."""
    if found.regimes:
        losses = found.regimes["losses"].values()
        total, bad = (sum(one[name] for one in losses) for name in ("checks", "bad"))
        return {
            "within": total - bad,
            "all": total,
            "what": f"checks of {words.plural(len(losses), 'loss', 'losses')} in both frameworks",
        }
    rows = found.stacks
    within = sum(row["checks"]["within"] for row in rows)
    total = within + sum(row["checks"]["outside"] for row in rows)
    ends = [f"{name} {rows[0]['versions'][name]} to {rows[-1]['versions'][name]}" for name in ("torch", "jax") if rows]
    what = f"checks in float32, on {words.plural(len(rows), 'stack')}: {words.listed(ends)}"
    return {"within": within, "all": total, "what": what}


def _differs() -> dict[str, Any]:
    """Count the recorded differences by whose they are, and choose one for each, the first of the catalogue."""
    every = [(name, difference) for name, record in LOSSES.items() for difference in loss.differences(record)]
    counts = Counter(difference["who"].partition(" ")[0] for _, difference in every)
    shown = [
        next((name, d) for name, d in every if name == wanted)
        for wanted in ("cross_entropy", "hinge_loss")
        if any(name == wanted for name, _ in every)
    ]
    return {
        "count": len(every),
        "losses": len({name for name, _ in every}),
        "by": counts.most_common(3),
        "shown": shown,
    }


def _fast(found: Sources) -> dict[str, Any]:
    """Say who is faster: by ratios that were measured in turn, else by intervals of the history."""
    if found.compared:
        return {"lines": sections.tallies(found.compared), "in_turn": True}
    times = measurements.medium(found)
    lines = []
    for first, second in RIVALS:
        pairs = [(times[name, first], times[name, second]) for name in LOSSES if _both(times, name, first, second)]
        if not pairs:
            continue
        counts = Counter(_verdict(a, b) for a, b in pairs)
        ratio = sorted(float(a["value"] / b["value"]) for a, b in pairs)[len(pairs) // 2]
        told = words.listed(f"{verdict} in {n}" for verdict, n in counts.most_common())
        lines.append(
            f"{first}, against {second.partition(' · ')[0]}: {told} of {len(pairs)} losses; median ratio {ratio:.2f}."
        )
    return {"lines": lines, "in_turn": False}


def _both(times: Mapping[tuple[str, str], Any], name: str, first: str, second: str) -> bool:
    return (name, first) in times and (name, second) in times


def _verdict(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> str:
    """Compare the 99 % intervals of two medians."""
    if float(first["high"] or "nan") < float(second["low"] or "nan"):
        return "faster"
    if float(first["low"] or "nan") > float(second["high"] or "nan"):
        return "slower"
    return "not told apart"


def _losses(found: Sources) -> list[dict[str, Any]]:
    """Return a row for each loss: errors, times, differences, and the text that the search looks into."""
    worst, times = measurements.worst(found), measurements.medium(found)
    rows = []
    for name, record in LOSSES.items():
        errors: list[Any] = [max(pair) if (pair := worst.get((name, who))) else None for who, _ in ERRORS]
        whose = [difference.who for difference in record.differences]
        text: Sequence[str] = (
            name, class_name(record), record.summary, *(peer.name for peer in record.peers), *whose,
            loss.signature_names(record),
        )  # fmt: skip
        rows.append({
            "name": name, "summary": record.summary, "errors": errors, "differences": len(record.differences),
            "times": [times[name, who]["value"] if (name, who) in times else None for who, _ in ERRORS],
            "search": " ".join(text),
        })  # fmt: skip
    return rows


def _versions(found: Sources) -> str:
    """Return the versions whose times and errors the table shows."""
    newest = found.newest[found.newest["version"].notna()]
    pairs = sorted({(str(r["framework"]), str(r["version"])) for r in newest.to_dict("records")}, reverse=True)
    machines = words.listed(f"{machine} ({device})" for machine, device in tables.places(newest))
    return f"{', '.join(f'{name} {version}' for name, version in pairs)}; {machines}" if pairs else ""
