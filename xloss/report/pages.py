"""Lay out the pages: one HTML file that needs nothing but itself, and Markdown summaries."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from xloss.report import format as words
from xloss.report import svg

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from xloss.report.speed import Speed

#: A list shows so many findings: xloss's, those of the others on the page, those in parity.md, and the closest to the
#: budget where nothing is outside it.
OURS_SHOWN, PEERS_SHOWN, SUMMARY_SHOWN, NEAREST_SHOWN = 40, 60, 15, 8
#: What prints all findings of the sweep, in the folder that it wrote to.
ALL_FINDINGS = (
    "python -c \"import pandas as pd; t = pd.read_csv('data/parity.csv'); "
    "print(t[~t.status.isin(['ok', 'unsupported'])].to_string())\""
)


#: The sections of the page that are made elsewhere, by name.
SECTIONS = ("claims", "gallery", "stacks", "exhaustive", "mutants", "invariance", "accelerator")


def build(
    table: pd.DataFrame, environment: Mapping[str, Any], speed: Speed, sections: Mapping[str, str]
) -> dict[str, str]:
    """Build the texts of the pages by name, from the sweep, the benchmarks, and the HTML of the other `SECTIONS`."""
    found = contents(table, environment)
    pages = {"index.html": page(found, speed, sections), "parity.md": render("parity.md", **found)}
    return {**pages, "speed.md": render("speed.md", speed=speed)} if speed.sections else pages


def page(found: Mapping[str, Any], speed: Speed, sections: Mapping[str, str]) -> str:
    """Build ``index.html``; all text is escaped but that of the figures and the style sheet."""
    from markupsafe import Markup

    style = Markup(resources.files("xloss.report").joinpath("templates/report.css").read_text("utf-8"))
    parts = {name: Markup(sections.get(name, "")) for name in SECTIONS}
    return with_policy(render("report.html", **found, style=style, speed=speed, **parts))


def with_policy(html: str) -> str:
    """Add a Content-Security-Policy to a page: nothing is loaded, and only the styles and scripts inside it apply."""
    styles, scripts = _hashes("style", html) or "'none'", _hashes("script", html)
    policy = f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {scripts}" if scripts else ""
    first = '<meta charset="utf-8">'
    return html.replace(first, f'{first}\n<meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


def _hashes(tag: str, html: str) -> str:
    """Return the hashes of a page's elements of that tag, as a policy names them."""
    texts = dict.fromkeys(re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts)


def contents(table: pd.DataFrame, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Sum up the sweep as the pages show it."""
    from xloss.catalog import LOSSES
    from xloss.parity import policy
    from xloss.parity.inputs import DTYPES, REGIMES
    from xloss.parity.verdict import K
    from xloss.report.parity import heatmap, tables

    table = tables.prepare(table)
    bad = tables.findings(tables.ours(table))
    others = tables.findings(tables.peers(table), tables.BY_LOSS)
    order = tables.contestants(table)
    sweep_time, timings = tables.timings(table, environment)
    return {
        "headline": tables.headline(table),
        "facts": facts(table, environment),
        "tallies": [(who, tables.tally(table[table["who"] == who])) for who in order],
        "counts": tables.counts(table),
        "status_words": words.STATUS_WORDS,
        "maps": heatmap.maps(table, DTYPES),
        "ulp_steps": heatmap.ULP_STEPS,
        "share_steps": heatmap.SHARE_STEPS,
        "ill_conditioned": tables.ILL_CONDITIONED,
        "short": heatmap.SHORT,
        "budget_k": K["float32"],
        "distributions": {quantity: tables.distribution(table, name) for name, quantity in tables.ASKED.items()},
        "bad": bad[:OURS_SHOWN],
        "bad_left": max(len(bad) - OURS_SHOWN, 0),
        "nearest": [] if bad else tables.nearest(table, NEAREST_SHOWN),
        "by_dtype": tables.by_dtype(table, DTYPES),
        "findings": [(who, group) for who in order if (group := [f for f in others[:PEERS_SHOWN] if f.who == who])],
        "findings_left": max(len(others) - PEERS_SHOWN, 0),
        "worst_findings": others[:SUMMARY_SHOWN],
        "findings_count": len(others),
        "all_findings": ALL_FINDINGS,
        "mechanisms": tables.mechanisms(table),
        "frameworks": sorted(set(tables.ours(table)["framework"]), reverse=True),
        "policy": policy.table(),
        "absent": tables.absent(table, LOSSES, DTYPES, REGIMES),
        "unsupported": tables.unsupported(table),
        "sweep_time": sweep_time,
        "timings": timings,
        "regimes": REGIMES,
    }


def facts(table: pd.DataFrame, environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what was run where, as pairs of a name and a text; what was not recorded is left out."""
    get = environment.get
    versions = get("versions") if isinstance(get("versions"), Mapping) else {}
    machine = str(get("cpu") or get("machine") or "")
    cores, cells = get("cores"), get("cells")
    machine += f", {words.plural(cores, 'core')}" if machine and isinstance(cores, int) else ""
    among = f" in {words.plural(cells, 'cell')}" if isinstance(cells, int) else ""
    losses = words.plural(table["loss"].nunique(), "loss", "losses")
    pairs = [
        ("checked", f"{losses}{among}{', the full sweep' if get('full') else ''}"),
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


@functools.cache
def templates() -> jinja2.Environment:
    """Return the environment of the templates: every value is escaped, for HTML or for Markdown, as the name ends."""
    import jinja2
    from markupsafe import Markup, escape

    @jinja2.pass_eval_context
    def escaped(context: jinja2.nodes.EvalContext, value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        if context.autoescape:
            return words.plain(value) if isinstance(value, str) else value
        return words.markdown(value)

    def breakable(name: str) -> Markup:
        return Markup(escape(words.plain(name))).replace("_", Markup("_<wbr>")).replace(".", Markup(".<wbr>"))

    def code(text: str) -> Markup:
        plain = " ".join(words.plain(text).split()).replace("`", "'").replace("|", "\\|")
        return Markup(f"`{plain}`")

    def drawing(rows: Sequence[Mapping[str, Any]], quantity: str, what: str) -> Markup:
        unit = "in ulps" if what == "ulps" else "against the budget"
        return Markup(svg.distribution(rows, what, f"{quantity.title()}, {unit}"))

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xloss.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    formats = (words.number, words.times, words.share, words.count, words.seconds, words.listed, words.command)
    environment.filters |= {filter.__name__: filter for filter in formats}
    environment.filters |= {
        "breakable": breakable,
        "code": code,
        "first_upper": lambda text: text[:1].upper() + text[1:],
    }
    environment.globals |= {"plural": words.plural, "badges": words.BADGES, "drawing": drawing, "markup": Markup}
    return environment


def render(template: str, **values: Any) -> str:
    """Fill a template in."""
    return templates().get_template(template).render(**values).rstrip() + "\n"
