"""List all pages of the site: their addresses, and what makes each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xloss.site.sources import Sources


def all_pages(found: Sources, command: Any = None) -> Mapping[str, Callable[[], str]]:
    """Return a function for each page, by its address within the site; `command` as for `xloss.site.write`."""
    from xloss.catalog import LOSSES
    from xloss.site import compare, documents, front, loss, reference

    return {
        "index.html": partial(front.page, found),
        **{loss.path(name): partial(loss.page, found, record) for name, record in LOSSES.items()},
        **{path: partial(make, found) for path, make in compare.all_pages().items()},
        "guides/index.html": documents.guides,
        **{f"guides/{name}.html": partial(documents.guide, name) for name in documents.GUIDES},
        **reference.all_pages(command),
        "changelog.html": partial(documents.changelog, found),
    }
