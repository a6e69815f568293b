"""Find what is wrong with pages as a whole: links that lead nowhere, requests to another host, repeated ids."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

#: Attributes by which a browser loads something, without a click.
LOADING = ("src", "srcset", "poster", "data", "background", "action", "formaction", "ping")
#: Relations of a `<link>` by which a browser loads something.
STYLES = re.compile(r"@import|url\(\s*['\"]?(?!#|data:)", re.IGNORECASE)


class _Page(HTMLParser):
    """Collect the ids, the links and what is loaded of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take the attributes of a tag."""
        self._style = tag == "style"
        for name, value in attributes:
            text = value or ""
            if name == "id":
                self.ids.append(text)
            elif name in LOADING or (name in ("href", "xlink:href") and tag in ("link", "use", "image", "base")):
                if not text.startswith(("#", "data:")):
                    self.loaded.append(f"<{tag} {name}={text!r}>")
            elif name == "href":
                self.links.append(text)
            elif name == "style" and STYLES.search(text):
                self.loaded.append(f"a style of <{tag}>")

    def handle_data(self, data: str) -> None:
        """Look into style sheets."""
        if self._style and STYLES.search(data):
            self.loaded.append("<style> with a url")

    def handle_endtag(self, tag: str) -> None:
        """Leave a style sheet."""
        if tag == "style":
            self._style = False


def problems(pages: Mapping[str, str]) -> list[str]:
    """List what is wrong with the pages of a site, given by their paths; nothing where all is well."""
    read = {path: _Page(text) for path, text in pages.items()}
    return [f"{path}: {problem}" for path, page in read.items() for problem in _wrong(path, page, read)]


def _wrong(path: str, page: _Page, pages: Mapping[str, _Page]) -> Iterator[str]:
    yield from (f"loads {what}" for what in page.loaded)
    yield from (f"has the id {name!r} {count} times" for name, count in Counter(page.ids).items() if count > 1)
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme in ("http", "https", "mailto"):
            continue  # followed by a click only
        if parts.scheme or parts.netloc or link.startswith("/"):
            yield f"links to {link!r}, which is not relative"
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path)) if parts.path else path
        if target not in pages:
            yield f"links to {link!r}, which is no page"
        elif parts.fragment and unquote(parts.fragment) not in pages[target].ids:
            yield f"links to {link!r}, which is no place on that page"
