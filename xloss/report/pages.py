"""The pages: one HTML file that needs nothing but itself, and its Markdown twin. jinja2 is imported where used."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from xloss.report import format as words

if TYPE_CHECKING:
    import pandas as pd

    from xloss.claims import Result

#: A table of offenders shows so many; the closest to the budget, where nothing is outside it, are fewer.
MOST, NEAREST = 40, 8
STATUS_WORDS: Mapping[str, str] = {
    "ok": "within budget",
    "inaccurate": "outside the budget",
    "differs": "differs by a convention",
    "error": "raised an exception",
    "crash": "the process died",
    "timeout": "took too long",
    "oom": "out of memory",
    "unsupported": "not offered, not run",
}


def build(
    table: pd.DataFrame, environment: Mapping[str, Any], claims: Sequence[Result] | None = None, speed: str = ""
) -> dict[str, str]:
    """The texts of ``index.html`` and ``parity.md`` by name, from the sweep's table and environment.

    `speed` is the fragment of `xloss.report.speed`.
    """
    found = contents(table, environment)
    style = resources.files("xloss.report").joinpath("templates/report.css").read_text("utf-8")
    fragment = ""
    if claims:
        from xloss.report.claims import html as claims_html

        fragment = claims_html(claims)
    return {"index.html": html(found, style, fragment, speed), "parity.md": markdown(found)}


def contents(table: pd.DataFrame, environment: Mapping[str, Any]) -> dict[str, Any]:
    """All that the pages show, summed up."""
    from xloss.catalog import LOSSES
    from xloss.parity.inputs import DTYPES, REGIMES
    from xloss.parity.verdict import K
    from xloss.report.parity import heatmap, tables

    table = tables.prepare(table)
    mine, others = tables.ours(table), tables.peers(table)
    bad = tables.offenders(mine, bad_only=True)
    findings = tables.offenders(others, bad_only=True)
    by_peer: dict[str, dict[str, list[tables.Finding]]] = {}
    for finding in findings:
        by_peer.setdefault(finding.who, {}).setdefault(finding.loss, []).append(finding)
    peer_order = [who for who in tables.contestants(table) if who in by_peer]
    speed, timings = tables.timings(table, environment)
    return {
        "headline": tables.headline(table),
        "facts": facts(table, environment),
        "counts": tables.counts(table),
        "status_words": STATUS_WORDS,
        "maps": heatmap.maps(table, DTYPES),
        "steps": heatmap.STEPS,
        "short": heatmap.SHORT,
        "budget_k": K["float32"],
        "distributions": {quantity: tables.distribution(table, name) for name, quantity in tables.ASKED.items()},
        "bad": bad[:MOST],
        "bad_left": max(len(bad) - MOST, 0),
        "nearest": [] if bad else tables.nearest(table, NEAREST),
        "by_dtype": tables.by_dtype(table, DTYPES),
        "peers_worst": findings[:MOST],
        "findings": [(who, list(by_peer[who].items())) for who in peer_order],
        "findings_count": len(findings),
        "mechanisms": tables.mechanisms(table),
        "frameworks": sorted(set(mine["framework"]), reverse=True),
        "absent": tables.absent(table, LOSSES, DTYPES, REGIMES),
        "unsupported": tables.unsupported(table),
        "speed": speed,
        "timings": timings,
        "regimes": REGIMES,
    }


def facts(table: pd.DataFrame, environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run where, as pairs of a name and a text; what was not recorded is left out."""
    get = environment.get
    versions = get("versions") if isinstance(get("versions"), Mapping) else {}
    machine = str(get("cpu") or get("machine") or "")
    cores, cells = get("cores"), get("cells")
    machine += f", {words.some(cores, 'core')}" if machine and isinstance(cores, int) else ""
    among = f" in {words.some(cells, 'cell')}" if isinstance(cells, int) else ""
    losses = words.some(table["loss"].nunique(), "loss", "losses")
    pairs = [
        ("checked", f"{words.some(len(table), 'check')}{among}, {losses}{', the full sweep' if get('full') else ''}"),
        ("when", str(get("created") or "").replace("T", " ")[:16]),
        ("command", get("command")),
        ("seed", get("seed")),
        ("device", get("device")),
        ("machine", machine),
        ("platform", get("platform")),
        ("xloss", get("xloss")),
        ("Python", get("python")),
        *sorted((versions or {}).items()),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def sentence(finding: Any, regimes: Mapping[str, str]) -> str:
    """A finding as a person would say it."""
    what = {"value": "the value", "backward": "the gradient", "": "the check"}.get(finding.mechanism, finding.mechanism)
    about = regimes.get(finding.regime, "")
    where = f"on {finding.regime.replace('_', ' ')} inputs" + (f" ({about})" if about else "")
    share = f"in {words.count(finding.bad)} of {words.some(finding.checks, 'check')} ({words.listed(finding.dtypes)})"
    if finding.status in ("ok", "inaccurate", "differs"):
        finite = finding.budget < float("inf")
        far = f"up to {words.times(finding.budget)} times what is allowed" if finite else "beyond any measure"
        return f"{what} is off {where}: {far}, {share}."
    return f"{what} gives no result {where}: {STATUS_WORDS.get(finding.status, finding.status)}, {share}."


def reach(group: Sequence[Any]) -> str:
    """How far the worst of these findings is off, in a few words."""
    budgets = [finding.budget for finding in group if finding.budget >= 0]
    return f"up to {words.times(max(budgets))} × budget" if budgets else "no result"


def _environment(**options: Any) -> Any:
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("xloss.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        **options,
    )
    found.filters |= {name: getattr(words, name) for name in ("number", "times", "listed", "duration", "command")}
    found.filters["count"] = words.count
    found.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    found.globals |= {"some": words.some, "sentence": sentence, "reach": reach}
    return found


@functools.cache
def html_environment() -> Any:
    """What makes HTML of templates: all text is escaped."""
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        return Markup(escape(name)).replace("_", Markup("_<wbr>")).replace(".", Markup(".<wbr>"))

    environment = _environment(autoescape=True)
    environment.filters["breakable"] = breakable
    return environment


@functools.cache
def markdown_environment() -> Any:
    """What makes Markdown of templates: all values are escaped, unless they are made into code."""
    from markupsafe import Markup

    def code(text: str) -> Markup:
        plain = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
        return Markup(f"`{plain}`")

    environment = _environment(finalize=lambda value: value if isinstance(value, Markup) else words.markdown(value))
    environment.filters["code"] = code
    return environment


def html(found: Mapping[str, Any], style: str, claims: str = "", speed: str = "") -> str:
    """The page; `claims` and `speed` are HTML of this package's own making, all other text is escaped."""
    from markupsafe import Markup

    from xloss.report import svg

    def drawing(quantity: str, what: str) -> Markup:
        ruler = "in ulps" if what == "ulps" else "against the budget"
        return Markup(svg.distribution(found["distributions"][quantity], what, f"{quantity.title()}, {ruler}"))

    parts = {"claims": Markup(claims), "benchmarks": Markup(speed)}
    return html_environment().get_template("report.html").render(**found, **parts, style=Markup(style), drawing=drawing)


def markdown(found: Mapping[str, Any]) -> str:
    """The Markdown twin: the same tables without the pictures; every value is escaped unless it is made into code."""
    return markdown_environment().get_template("parity.md").render(**found).rstrip() + "\n"
