"""The two functions of a comparison: found by name, with the framework that each is written in."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xloss.catalog import FRAMEWORKS

# Where a bare library name looks a loss up: "optax:huber_loss" is optax.losses.huber_loss.
SHORT = {"torch": "torch.nn.functional", "optax": "optax.losses", "keras": "keras.losses"}
TORCH_PACKAGES = ("torch", "torchvision", "torchmetrics")
JAX_PACKAGES = ("jax", "jaxlib", "optax", "flax", "equinox", "haiku", "chex", "keras")


@dataclass(frozen=True)
class Side:
    """One of the two functions that are compared.

    Attributes:
        label: what the user called it: "losses.py:focal".
        framework: "torch" or "jax": which arrays it takes.
        call: the function; arrays in the order of the case, options as keywords.
        keywords: the names of its parameters; None where it takes any keyword.
        required: its parameters without a default, in order.
    """

    label: str
    framework: str
    call: Callable[..., Any]
    keywords: frozenset[str] | None = None
    required: tuple[str, ...] = ()

    def takes(self, keyword: str) -> bool:
        """Tell whether it takes that keyword."""
        return self.keywords is None or keyword in self.keywords


def side(function: Any, label: str = "", framework: str = "", default: str = "") -> Side:
    """Make a `Side` of a function, an `nn.Module`, a Flax or Equinox module, or a class of one without arguments.

    `default` is the framework of one whose code does not tell (plain arithmetic).

    Raises:
        TypeError: it cannot be called.
        ValueError: the framework cannot be told from its code; name it.
    """
    label = label or getattr(function, "__qualname__", type(function).__name__)
    if inspect.isclass(function):
        try:
            function = function()
        except TypeError as error:
            raise TypeError(f"{label}: is a class that needs arguments ({error}); give an instance of it") from None
    if not callable(function):
        raise TypeError(f"{label}: expected a function, got {type(function).__name__}")
    if framework and framework not in FRAMEWORKS:
        raise ValueError(f"framework of {label}: expected 'torch' or 'jax', got {framework!r}")
    framework = framework or framework_of(function) or default
    if not framework:
        raise ValueError(
            f"{label}: its code names neither torch nor jax; write 'torch={label}' or 'jax={label}' (in Python: "
            "side(function, framework='torch'))"
        )
    keywords, required = _parameters(function)
    return Side(label, framework, function, keywords, required)


def _parameters(function: Any) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Return the names that a callable takes as keywords (None: any), and those without a default."""
    forward = getattr(function, "forward", None) if _top_package(type(function)) == "torch" or hasattr(
        function, "register_buffer") else None  # fmt: skip
    try:
        parameters = inspect.signature(forward or function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return None, ()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names = None
    else:
        names = frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return names, tuple(p.name for p in parameters if p.kind in plain and p.default is p.empty)


def _top_package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "") or "").partition(".")[0]


def framework_of(function: Any) -> str:
    """Return "torch" or "jax", by what a callable is and what its code names; "" where that does not tell."""
    marked = str(getattr(function, "__module__", "") or "")
    for name in FRAMEWORKS:
        if marked == f"xloss.{name}" or marked.startswith(f"xloss.{name}."):
            return name
    for cls in type(function).__mro__:
        if (found := _package_framework(_top_package(cls))) and cls is not types.FunctionType:
            return found
    if found := _package_framework(_top_package(function)):
        return found
    votes = _votes(function, set(), 3) or _imports(function)
    return max(FRAMEWORKS, key=votes.count) if votes and votes.count("torch") != votes.count("jax") else ""


def _imports(function: Any) -> list[str]:
    """Return the frameworks that the module of a function imports."""
    modules = [thing for thing in _globals(function).values() if isinstance(thing, types.ModuleType)]
    return [found for one in modules if (found := _package_framework(one.__name__.partition(".")[0]))]


def _package_framework(package: str) -> str:
    return "torch" if package in TORCH_PACKAGES else "jax" if package in JAX_PACKAGES else ""


def _votes(function: Any, seen: set[int], depth: int) -> list[str]:
    """Return the frameworks that the code of a function names: its globals, its imports, what it calls."""
    function = inspect.unwrap(getattr(function, "func", function))
    function = getattr(function, "__func__", function)
    # An object that is called: a Flax or Equinox module, a callable of the user's own class.
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if code is None or id(code) in seen or not depth:
        return []
    seen.add(id(code))
    out: list[str] = []
    names = list(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names += constant.co_names
    cells = {
        name: cell.cell_contents
        for name, cell in zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False)
        if _filled(cell)
    }
    for name in [*names, *cells]:
        thing = cells.get(name, _globals(function).get(name))
        if isinstance(thing, types.ModuleType):
            out += [found] if (found := _package_framework(thing.__name__.partition(".")[0])) else []
        elif thing is not None and callable(thing):
            found = _package_framework(_top_package(thing)) or _package_framework(_top_package(type(thing)))
            out += [found] if found else _votes(thing, seen, depth - 1)
        elif thing is None and (found := _package_framework(name.partition(".")[0])):
            out.append(found)  # imported inside the function
    return out


def _globals(function: Any) -> dict[str, Any]:
    function = function if hasattr(function, "__globals__") else type(function).__call__
    return getattr(function, "__globals__", {})


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where nothing was put in yet
    except ValueError:
        return False
    return True


def resolve(text: str, other: str = "", default: str = "") -> Side:
    """Find a function by "module:name" or "path/file.py:name".

    A prefix names the framework where the code does not tell ("torch=losses.py:f"); otherwise it is `default`.
    "xloss:cross_entropy" is the catalogue's own, in the framework that `other` is not (or "xloss.torch:...",
    "xloss.jax:..."); "optax:", "keras:" and "torch:" look in optax.losses, keras.losses and torch.nn.functional.

    Raises:
        ValueError: the text has another form, or names nothing; the message says what was found instead.
    """
    framework, _, rest = text.rpartition("=") if text.partition("=")[0] in FRAMEWORKS else ("", "", text)
    where, colon, name = rest.rpartition(":")
    if not colon or not where or not name:
        raise ValueError(f"function: expected module:name or file.py:name, got {text!r}")
    if where == "xloss":
        where = f"xloss.{framework or ('torch' if other == 'jax' else 'jax')}"
    module = _module(SHORT.get(where, where), text)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"function: {where} has no {name!r}{_near(part, found)}")
        found = getattr(found, part)
    try:
        return side(found, rest, framework, default)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _near(name: str, module: Any) -> str:
    """Return what else is there: the nearest names, or the functions of the module."""
    names = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n, None))]
    if near := difflib.get_close_matches(name, names, n=3, cutoff=0.5):
        return f"; did you mean {' or '.join(near)}?"
    own = [n for n in names if getattr(getattr(module, n), "__module__", "") == getattr(module, "__name__", "")]
    return f"; it has {', '.join(own[:8])}" if own else ""


def _module(where: str, text: str) -> types.ModuleType:
    if where.endswith(".py") or "/" in where:
        return _module_of_file(Path(where), text)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    if where.partition(".")[0] == "keras":
        import os

        os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        missing = "" if error.name and where.startswith(error.name) else f" ({error})"
        hint = f"; for a file write {where}.py:..." if Path(f"{where}.py").exists() else ""
        raise ValueError(f"function: {text!r}: there is no module {where!r}{missing}{hint}") from None


def _module_of_file(path: Path, text: str) -> types.ModuleType:
    """Import a file by path; what lies beside it can be imported by it."""
    if not path.is_file():
        raise ValueError(f"function: {text!r}: there is no file {path}")
    path = path.resolve()
    name = f"_compared_{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"function: {text!r}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
