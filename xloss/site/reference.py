"""Make the reference of the API and of the command, from docstrings, signatures and the command's own help."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from xloss.catalog import LOSSES
from xloss.modules.signatures import class_name, signature_text
from xloss.site import code, docstrings, layout, loss

if TYPE_CHECKING:
    from markupsafe import Markup

#: Modules that people outside of the project call, with what they are for.
MODULES = {
    "xloss.testing": "assert that two losses are the same, in a test",
    "xloss.compare.comparison": "what a comparison of two functions found",
    "xloss.catalog": "the losses, as data",
    "xloss.parity": "the sweep",
    "xloss.parity.evaluate": "judge one cell",
    "xloss.parity.cluster": "sweep over a dask cluster",
    "xloss.ops.reductions": "sum and denominator, apart",
    "xloss.bench": "measuring",
    "xloss.bench.workload": "what is measured",
    "xloss.bench.compare": "ratios with intervals",
    "xloss.bench.asv.results": "what asv stored, as a table",
    "xloss.report": "pages and tables of results",
    "xloss.site": "this site",
    "xloss.claims": "claims, settled by running them",
    "xloss.environment": "versions and machine",
}


@dataclass(frozen=True)
class Entry:
    """A function or a class: its name, signature and documentation, its public methods in the same form."""

    name: str
    signature: Markup
    doc: Markup
    members: tuple[Entry, ...] = ()


def index() -> str:
    """Build the front of the reference: the losses in both frameworks, and the modules."""
    losses = [(name, class_name(record), record.summary) for name, record in LOSSES.items()]
    modules = [(f"{module}.html", module, what) for module, what in MODULES.items()]
    return _page("api/index.html", "The API", "api-index.html", losses=losses, modules=modules)


def module(name: str) -> str:
    """Build the page of a module."""
    found = importlib.import_module(name)
    doc = _documentation(inspect.getdoc(found) or "")
    return _page(f"api/{name}.html", name, "api.html", doc=doc, entries=list(_entries(found)))


def command(group: Any) -> str:
    """Build the page of the command, given as the group of its commands: each with its help, arguments and options."""
    commands = []
    for name, one in group.commands.items() if group is not None else ():
        rows = []
        for parameter in one.params:
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
            names = names if parameter.param_type_name == "option" else str(parameter.name).upper()
            rows.append((names, str(getattr(parameter, "help", "") or ""), _default(parameter.default)))
        commands.append((name, _documentation(inspect.cleandoc(one.help or "")), rows))
    return _page("api/command.html", "The command", "command.html", commands=commands, help=getattr(group, "help", ""))


def _default(value: Any) -> str:
    return "" if value is None or value is False or callable(value) or value == () else str(value)


def _entries(module: Any) -> Iterator[Entry]:
    """Yield what a module offers: its `__all__`, else the public functions and classes that it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield _entry(name, value)


def _entry(name: str, value: Any) -> Entry:
    members: tuple[Entry, ...] = ()
    if inspect.isclass(value):
        own = [(n, v) for n, v in vars(value).items() if not n.startswith("_")]
        methods = [(n, inspect.unwrap(getattr(v, "__func__", v))) for n, v in own]
        members = tuple(_entry(f"{name}.{n}", v) for n, v in methods if inspect.isfunction(v) and v.__doc__)
    try:
        signature = signature_text(value)
    except (TypeError, ValueError):
        signature = ""
    text = f"{name}{signature}" if len(signature) < 70 else f"{name}{loss._broken(signature)}"
    return Entry(name, code.highlighted(text), _documentation(inspect.getdoc(value) or ""), members)


def _documentation(text: str) -> Markup:
    """Return a docstring as it is written, with code in backticks; the names of losses are links."""
    return docstrings.inline(text.replace("``", "`"), lambda name: f"../losses/{name}.html" if name in LOSSES else None)


def _page(path: str, heading: str, template: str, **values: Any) -> str:
    return layout.page(path, template, f"{heading} · xloss", heading=heading, script=layout.asset("site.js"), **values)


def all_pages(group: Any) -> dict[str, Any]:
    """Return what makes each page, by its address; `group` are the commands of the command line, or None."""
    pages: dict[str, Any] = {"api/index.html": index, "api/command.html": partial(command, group)}
    return pages | {f"api/{name}.html": partial(module, name) for name in MODULES}
