"""Lay out pages: one frame, one style sheet, one script, all inside the page, and a policy that admits no other."""

from __future__ import annotations

import functools
import posixpath
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from xloss.report import pages as report_pages

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

#: The pages of the bar on top: address and name.
MENU = (
    ("index.html", "Losses"),
    ("compare/torch-jax.html", "PyTorch and JAX"),
    ("compare/versions.html", "Versions"),
    ("compare/accuracy.html", "Accuracy"),
    ("compare/gallery.html", "Public bugs"),
    ("compare/claims.html", "Claims"),
    ("guides/index.html", "Guides"),
    ("api/index.html", "API"),
    ("changelog.html", "Changelog"),
)


@functools.cache
def templates() -> jinja2.Environment:
    """Return the report's environment of templates (its filters, its escaping), with the site's templates first."""
    import jinja2

    loader = jinja2.ChoiceLoader([jinja2.PackageLoader("xloss.site"), jinja2.PackageLoader("xloss.report")])
    environment = report_pages.templates().overlay(loader=loader)
    environment.filters["first_line"] = lambda text: text.split("\n", 1)[0]
    return environment


@functools.cache
def asset(name: str) -> Markup:
    """Return a file beside the templates, as it is."""
    from markupsafe import Markup

    text = resources.files("xloss.site").joinpath("templates", name).read_text("utf-8")
    if name == "site.css":
        text = resources.files("xloss.report").joinpath("templates/report.css").read_text("utf-8") + text
    return Markup(text)


def page(path: str, template: str, title: str, **values: Any) -> str:
    """Fill a page's template in; `path` is its address within the site."""
    root = "../" * path.count("/")
    here = next((address for address, _ in MENU if posixpath.dirname(address) and _within(path, address)), path)
    html = (
        templates()
        .get_template(template)
        .render(path=path, root=root, here=here, menu=MENU, title=title, style=asset("site.css"), **values)
    )
    return report_pages.with_policy(_trimmed(html)).rstrip() + "\n"


def _within(path: str, address: str) -> bool:
    """Tell whether a page belongs to an entry of the menu that is the front of a folder."""
    return path == address or (address.endswith("/index.html") and path.startswith(posixpath.dirname(address) + "/"))


def _trimmed(html: str) -> str:
    """Return a page without the spaces that templates leave at line ends."""
    return re.sub(r"[ \t]+\n", "\n", html)
