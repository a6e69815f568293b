"""The package's modules import each other in one direction."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(tree: ast.AST, modules: set[str]) -> set[str]:
    """Modules imported anywhere in the code, inside functions too, but for those of type checkers.

    `from package import module` needs the module; `from package import name` needs the package's `__init__`.
    """
    found = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= modules else names | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        waiting += [child for child in ast.iter_child_nodes(node) if not is_type_checking(child)]
    return found & modules


def graph(folder: Path) -> dict[str, set[str]]:
    """Which modules of a package import which others; a package is its `__init__`."""
    files = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: imports(ast.parse(path.read_text("utf-8")), set(files)) - {name} for name, path in files.items()}


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A circle of imports, or an empty list."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges[name]):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    for name in edges:
        if found := visit(name, []):
            return found
    return []


# A package that shows what is in its modules, which look up what belongs to the package itself.
KNOWN = {
    ("xloss.catalog", "xloss.losses"): "the catalogue finds the losses, whose files import its records",
}


def test_there_is_no_circle_of_imports() -> None:
    edges = graph(ROOT / "xloss")
    assert len(edges) > 100
    for (name, other), reason in KNOWN.items():
        assert other in edges[name], f"no longer: {reason}"
        edges[name] -= {other}
    assert not circle(edges), " -> ".join(circle(edges))


@pytest.mark.parametrize("text", ["from pack import b", "import pack.b", "def late():\n    from pack.b import thing"])
def test_a_planted_circle_is_seen(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text(text)
    (folder / "b.py").write_text("from pack.a import other\n")
    assert {"pack.a", "pack.b"} <= set(circle(graph(folder)))
    (folder / "b.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.a import other\n")
    assert not circle(graph(folder))
