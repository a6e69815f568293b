"""Show code: highlighted, with the classes of the style sheet; and the source of what a page is about."""

from __future__ import annotations

import ast
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

    from xloss.catalog import Loss


def highlighted(text: str, language: str = "python") -> Markup:
    """Return code as a ``<pre>`` that can be scrolled by keyboard."""
    from markupsafe import Markup, escape
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    from xloss.report.format import plain

    text = "\n".join(plain(line) for line in text.strip("\n").splitlines())
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        inner: Any = escape(text)
    else:
        inner = highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return Markup(f'<pre class="code" tabindex="0"><code>{inner}</code></pre>')


@functools.lru_cache(maxsize=64)
def _functions(path: str) -> dict[str, str]:
    """Return the source of each function of a file, by name, without importing it."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path of `inspect`
        text = file.read()
    lines = text.splitlines()
    return {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


def file_of(loss: Loss) -> str:
    """Return the path of the file of a loss; nothing where it has none."""
    function = inspect.unwrap(loss.jax)
    code = getattr(function, "__code__", None)
    return str(code.co_filename) if code is not None else ""


def implementations(loss: Loss) -> dict[str, str]:
    """Return the source of both implementations by framework, as the loss's file has it."""
    path = file_of(loss)
    found = _functions(path) if path.endswith(".py") else {}
    return {fw: found[name] for fw in ("torch", "jax") if (name := f"{fw}_{loss.name}") in found}


def truth(loss: Loss) -> str:
    """Return the source of the textbook formula."""
    path = file_of(loss)
    return _functions(path).get("truth", "") if path.endswith(".py") else ""


def function_in_file(loss: Loss, name: str) -> str:
    """Return the source of another function of the loss's file; nothing where there is none of that name."""
    path = file_of(loss)
    return _functions(path).get(name, "") if path.endswith(".py") else ""
