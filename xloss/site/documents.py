"""Turn Markdown into pages: the guides of this package, a checkout's changelog, and what reports wrote beside data."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from xloss.site import code, layout

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from xloss.site.sources import Sources

#: The guides, in the order of their list: the name of the file, and the title.
GUIDES = {
    "port": "Port a loss from PyTorch to JAX",
    "ci": "Check your pair in CI",
    "add-a-loss": "Add a loss",
    "gpu": "Run on your GPU",
}
#: A heading that names its own anchor: "### Title {#anchor}".
_ANCHOR = re.compile(r"\s*\{#([\w-]+)\}\s*$")


def rendered(text: str, shift: int = 0) -> Markup:
    """Return Markdown as HTML: raw HTML is escaped, headings have ids, and are `shift` levels deeper.

    A relative link to anything but a page of this site is text.
    """
    from markupsafe import Markup

    parser = _parser()
    tokens = parser.parse(text)
    _finish(tokens, shift)
    return Markup(parser.renderer.render(tokens, parser.options, {}))


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")

    def fence(_self: Any, tokens: Sequence[Any], index: int, *_: Any) -> str:
        token = tokens[index]
        return str(code.highlighted(token.content, (token.info or "text").split()[0]))

    def opened(_self: Any, tokens: Sequence[Any], index: int, *_: Any) -> str:
        heads = [tokens[i + 1].content for i in range(index, len(tokens)) if tokens[i].type == "th_open"]
        label = re.sub(r'[\\"<>&]', "", f"Table: {heads[0] if heads else ''}".strip(": "))
        return (
            f'<div class="scroll" role="region" aria-label="{label} ({index})" tabindex="0"><table class="sortable">\n'
        )

    parser.add_render_rule("fence", fence)
    parser.add_render_rule("code_block", fence)
    parser.add_render_rule("table_open", opened)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("thead_open", lambda *_: "<thead>")
    return parser


def _finish(tokens: list[Any], shift: int) -> None:
    """Give headings ids and levels, columns a scope, and take links apart that lead out of the site."""
    seen: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + shift, 6)}"
        if token.type == "heading_open":
            inline = tokens[place + 1]
            own = _ANCHOR.search(inline.content)
            if own and inline.children and inline.children[-1].type == "text":
                inline.children[-1].content = _ANCHOR.sub("", inline.children[-1].content)
            slug = own[1] if own else _slug(inline.content)
            seen[slug] = seen.get(slug, 0) + 1
            token.attrSet("id", slug if seen[slug] == 1 else f"{slug}-{seen[slug]}")
        if token.type == "th_open":
            token.attrSet("scope", "col")
        if token.children:
            _links(token.children)


def _links(children: list[Any]) -> None:
    opened: list[bool] = []
    for child in children:
        if child.type == "link_open":
            address = str(child.attrGet("href") or "")
            kept = bool(re.match(r"https?://|#", address)) or bool(re.match(r"[\w./-]*\.html(#[\w.-]+)?$", address))
            opened.append(kept)
            if not kept:
                child.tag, child.attrs = "span", {}
            elif address.startswith("http"):
                child.attrSet("rel", "noreferrer")
        elif child.type == "link_close" and not opened.pop():
            child.tag = "span"
        elif child.type == "image":  # nothing is loaded
            child.type, child.tag, child.content = "text", "", child.content


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def guide(name: str) -> str:
    """Build the page of a guide."""
    text = resources.files("xloss.site").joinpath("guides", f"{name}.md").read_text("utf-8")
    return _page(f"guides/{name}.html", GUIDES[name], rendered(text), crumbs=[("index.html", "Guides")])


def guides() -> str:
    """Build the list of the guides."""
    items = "\n".join(f"- [{title}]({name}.html)" for name, title in GUIDES.items())
    text = f"# Guides\n\n{items}\n- [The API and the command](../api/index.html)\n"
    return _page("guides/index.html", "Guides", rendered(text))


def changelog(found: Sources) -> str:
    """Build the page of changes: of a checkout its CHANGELOG.md and the fragments beside it."""
    text, fragments = found.texts.get("CHANGELOG.md"), found.texts.get("changelog.d")
    if not text:
        text = "# Changelog\n\nThis site was made from an installed package; the changelog is in the repository."
    elif fragments:
        head, mark, rest = text.partition("## Unreleased")
        text = f"{head}{mark}\n\n{fragments}\n{rest}" if mark else f"{text}\n\n{fragments}"
    return _page("changelog.html", "Changelog", rendered(text))


def _page(path: str, title: str, text: Markup, crumbs: Sequence[tuple[str, str]] = ()) -> str:
    values = {"text": text, "crumbs": crumbs, "script": layout.asset("site.js")}
    return layout.page(path, "document.html", f"{title} · xloss", **values)
