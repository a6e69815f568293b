"""Write `xloss/torch.pyi` and `xloss/jax.pyi`, what type checkers and editors know of the losses, from the catalogue.

`python -m xloss.modules.stubs` writes them, `--check` fails where they are not current. No framework is imported: the
signatures are those of the catalogue's functions, whose annotations are strings; what is not annotated is `Any`. The
classes with parameters of their own are imported from the files they are written in.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xloss.catalog import FRAMEWORKS, LOSSES, Loss
from xloss.modules import signatures
from xloss.ops import types
from xloss.ops.reductions import sum_and_denominator

Parameter = inspect.Parameter
LINE = 120  # of pyproject.toml's ruff, whose layout this is
TENSOR = {"torch": "Tensor", "jax": "Array"}
SUM_AND_DENOMINATOR = (
    "def sum_and_denominator(loss: Callable[_P, {0}], *args: _P.args, **kwargs: _P.kwargs) -> tuple[{0}, {0}]:\n{1}"
)


def path_of(framework: str) -> Path:
    """Return where the stub of `xloss.torch` or `xloss.jax` lies."""
    return Path(__file__).resolve().parents[1] / f"{framework}.pyi"


def text(framework: str) -> str:
    """Return the stub of `xloss.torch` or `xloss.jax`."""
    imports = {("collections.abc", "Callable"), ("typing", "ParamSpec"), ("xloss.ops.types", TENSOR[framework])}
    functions, classes = [], []
    for loss in LOSSES.values():
        function = getattr(loss, framework)
        imports |= set(_imports(function))
        signature = signatures.signature_of(function)
        functions.append(
            _definition(loss.name, list(signature.parameters.values()), signature.return_annotation, _summary(loss))
        )
        if not loss.class_form.parametric:
            classes.append(_class(loss, framework))
            imports |= {("", "torch")} if framework == "torch" else {("typing", "Final")}
        else:
            name = signatures.class_name(loss)
            imports.add((f"xloss.modules.parametric_{framework}", f"{name} as {name}"))
    doc = _docstring((sum_and_denominator.__doc__ or "").split("\n")[0])
    body = "\n".join([*functions, SUM_AND_DENOMINATOR.format(TENSOR[framework], doc), *classes])
    if "Any" in {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}:
        imports.add(("typing", "Any"))
    head = f'"""The losses of `xloss.{framework}` and their types; written by `python -m xloss.modules.stubs`."""\n'
    return f'{head}\n{_import_lines(imports)}\n_P = ParamSpec("_P")\n\n{body}'


def _class(loss: Loss, framework: str) -> str:
    """Return the class form: its options, the constructor and the call."""
    options, call = signatures.options_of(loss, framework), signatures.call_signature(loss, framework)
    myself = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD, annotation="")
    name, base = signatures.class_name(loss), "(torch.nn.Module)" if framework == "torch" else ""
    lines = [f"class {name}{base}:\n", _summary(loss), "\n"]
    for option in options:
        type_ = _annotation(option.annotation)
        lines.append(f"    {option.name}: {type_ if framework == 'torch' else f'Final[{type_}]'}\n")
    lines.append(_definition("__init__", [myself, *options], "None", "", "    "))
    for method in ("forward", "__call__") if framework == "torch" else ("__call__",):
        parameters = [myself, *call.parameters.values()]
        lines.append(_definition(method, parameters, call.return_annotation, "", "    "))
    return "".join(lines)


def _definition(name: str, parameters: list[Parameter], returns: Any, body: str, indent: str = "") -> str:
    """Return `def name(...) -> ...:` in one line, or the parameters in one, or one a line, as ruff has it."""
    parts = []
    for parameter in parameters:
        if parameter.kind is Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        default = "" if parameter.default is Parameter.empty else f" = {_default(parameter.default)}"
        annotation = "" if parameter.annotation == "" else f": {_annotation(parameter.annotation)}"
        parts.append(f"{parameter.name}{annotation}{default}")
    end = f") -> {_annotation(returns)}:"
    end, body = (f"{end}\n", body) if body else (f"{end} ...\n", "")
    listed = ", ".join(parts)
    if len(line := f"{indent}def {name}({listed}{end}") <= LINE + 1:
        return line + body
    start, inner = f"{indent}def {name}(\n", f"{indent}    "
    if len(f"{inner}{listed}") <= LINE:
        return f"{start}{inner}{listed}\n{indent}{end}{body}"
    return start + "".join(f"{inner}{part},\n" for part in parts) + f"{indent}{end}{body}"


def _annotation(annotation: Any) -> str:
    """Return what is written for an annotation."""
    if annotation is Parameter.empty:
        return "Any"
    if not isinstance(annotation, str):
        raise TypeError(f"{annotation!r}: an annotation is a string under `from __future__ import annotations`")
    return str(annotation)


def _default(value: Any) -> str:
    """Return what is written for a default: a literal, `...` for what has none."""
    if isinstance(value, str):
        return json.dumps(value)
    try:
        ast.literal_eval(repr(value))
    except (ValueError, SyntaxError):
        return "..."
    return repr(value)


def _imports(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Give module and name of what the annotations of a function mention."""
    known = inspect.unwrap(function).__globals__
    for annotation in inspect.get_annotations(function).values():
        for node in ast.walk(ast.parse(_annotation(annotation), mode="eval")):
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                # The types of xloss.ops.types are all Any at run time, and lead nowhere.
                module = None if node.id in types.__all__ else known[node.id].__module__
                yield module or types.__name__, node.id


def _import_lines(imports: set[tuple[str, str]]) -> str:
    """Return import statements in ruff's order: the standard library, torch, xloss."""
    blocks: tuple[list[str], list[str], list[str]] = ([], [], [])
    by_module: dict[str, list[str]] = {}
    for module, name in sorted(imports):
        # A name that is imported as itself is exported; ruff wants a line for each.
        by_module.setdefault(f"{module} {name}" if " as " in name else module, []).append(name)
    for key, found in by_module.items():
        module = key.split(" ")[0]
        line = f"from {module} import {', '.join(found)}\n" if module else f"import {found[0]}\n"
        blocks[1 if not module else 2 if module.startswith("xloss") else 0].append(line)
    return "\n".join("".join(block) for block in blocks if block)


def _docstring(line: str) -> str:
    return f'    """{line}"""\n'


def _summary(loss: Loss) -> str:
    return _docstring(f"{loss.summary[0].upper()}{loss.summary[1:]}.")


def main() -> int:
    """Write the stubs; with `--check`, say which are not current and return 1."""
    if "--check" not in sys.argv[1:]:
        for framework in FRAMEWORKS:
            path_of(framework).write_text(text(framework))
        return 0
    stale = [path_of(framework) for framework in FRAMEWORKS if path_of(framework).read_text() != text(framework)]
    for path in stale:
        sys.stderr.write(f"{path} is not current; run python -m xloss.modules.stubs\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
