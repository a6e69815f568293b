"""What type checkers and editors know of the losses: they read right.py and wrong.py as a user's files."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xloss.catalog import FRAMEWORKS, LOSSES
from xloss.modules import by_class, stubs
from xloss.modules.signatures import signature_text
from xloss.ops import types

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
FILES = ("right.py", "wrong.py")
SCRIPTS = Path(sysconfig.get_path("scripts"))
# mypy reads all of torch and jax in a minute or two; as Any they leave names and arguments to be checked.
ANY_FRAMEWORKS = "[mypy-torch.*,jax.*]\nfollow_imports = skip\n"
Lines = dict[str, set[int]]


def run_mypy(root: Path | None, work: Path, config: str = ANY_FRAMEWORKS, python: str = sys.executable) -> Lines:
    (work / "mypy.ini").write_text(f"[mypy]\nstrict = true\n{config}")
    # What mypy knows of other packages is kept from one run to the next; a configuration has a cache of its own.
    cache = ROOT / ".mypy_cache" / f"typing-{hashlib.sha256(config.encode()).hexdigest()[:8]}"
    options = ["--config-file=mypy.ini", f"--cache-dir={cache}", f"--python-executable={python}"]
    environment = {**os.environ, "MYPYPATH": str(root or "")}
    command = [sys.executable, "-m", "mypy", *options, *FILES]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(\w+\.py):(\d+): error", done.stdout, re.MULTILINE)
    return {file: {int(line) for name, line in found if name == file} for file in FILES}


def run_mypy_with_frameworks(root: Path | None, work: Path) -> Lines:
    return run_mypy(root, work, "")


def configure_pyright(root: Path | None, work: Path, **more: Any) -> None:
    paths = {"extraPaths": [str(root)]} if root else {}
    config = {"include": list(FILES), "typeCheckingMode": "strict", **paths, **more}
    (work / "pyrightconfig.json").write_text(json.dumps(config))


def run_pyright(root: Path | None, work: Path, python: str = sys.executable, **more: Any) -> Lines:
    configure_pyright(root, work, **more)
    command = [SCRIPTS / "basedpyright", "--outputjson", "--pythonpath", python]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = [(Path(d["file"]).name, d) for d in json.loads(done.stdout)["generalDiagnostics"]]
    return {
        file: {d["range"]["start"]["line"] + 1 for name, d in found if name == file and d["severity"] == "error"}
        for file in FILES
    }


quick = pytest.mark.parametrize("checker", [run_mypy, run_pyright])


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory of a user's with right.py and wrong.py."""
    path = tmp_path / "work"
    path.mkdir()
    for file in FILES:
        shutil.copy(HERE / file, path)
    return path


def marked(file: str) -> set[int]:
    lines = (HERE / file).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("  # error")}


def check(found: Lines) -> None:
    """Raise unless errors are found in the marked lines and in no others."""
    for file in FILES:
        unexpected, missed = sorted(found[file] - marked(file)), sorted(marked(file) - found[file])
        assert not unexpected, f"{file}: errors in lines {unexpected}"
        assert not missed, f"{file}: no errors in lines {missed}"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_stubs_are_current(framework: str) -> None:
    written = stubs.path_of(framework).read_text()
    assert written == stubs.text(framework), "run python -m xloss.modules.stubs"


def test_a_stub_that_is_not_current_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stubs, "path_of", lambda framework: tmp_path / f"{framework}.pyi")
    monkeypatch.setattr(sys, "argv", ["stubs"])
    assert stubs.main() == 0
    monkeypatch.setattr(sys, "argv", ["stubs", "--check"])
    assert stubs.main() == 0
    path = tmp_path / "jax.pyi"
    path.write_text(path.read_text().replace("delta: float", "delta: int"))
    assert stubs.main() == 1


@pytest.mark.parametrize(
    "checker", [run_mypy, pytest.param(run_mypy_with_frameworks, marks=pytest.mark.slow), run_pyright]
)
def test_checkers_find_what_is_wrong_and_nothing_else(checker: Callable[[Path, Path], Lines], work: Path) -> None:
    if checker is run_pyright and np.__version__ < "2":
        pytest.skip("arrays of NumPy 1.26 are partially unknown to pyright")
    check(checker(ROOT, work))


@quick
def test_checkers_see_a_broken_stub(checker: Callable[[Path, Path], Lines], work: Path, tmp_path: Path) -> None:
    """A name that is missing from one stub, a signature that is lost in the other."""
    shutil.copytree(ROOT / "xloss", tmp_path / "xloss", ignore=shutil.ignore_patterns("__pycache__"))
    for framework, broken in (("jax", ""), ("torch", "def huber_loss(*args: Any, **kwargs: Any) -> Any:\n")):
        path = tmp_path / "xloss" / f"{framework}.pyi"
        text, count = re.subn(
            r"def huber_loss\((?s:.*?):\n(?=    \"\"\")", broken or "def lost() -> None:\n", path.read_text()
        )
        assert count == 1
        path.write_text(text if "Any" in text.split("def ")[0] else f"from typing import Any\n{text}")
    found = checker(tmp_path, work)
    with pytest.raises(AssertionError, match=r"right\.py: errors in lines"):
        check(found)
    with pytest.raises(AssertionError, match=r"wrong\.py: no errors in lines"):
        check({**found, "right.py": set()})


class Editor:
    """A client of basedpyright's language server, as an editor is."""

    def __init__(self, root: Path, work: Path) -> None:
        configure_pyright(root, work)
        command = [SCRIPTS / "basedpyright-langserver", "--stdio"]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=work)
        self.folder, self.asked = work.as_uri(), 0
        folders = [{"uri": self.folder, "name": "work"}]
        capabilities = {"workspace": {"configuration": True, "workspaceFolders": True}}
        self.ask("initialize", processId=os.getpid(), capabilities=capabilities, workspaceFolders=folders)
        self.send(method="initialized", params={})

    def __enter__(self) -> "Editor":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self.server.communicate()

    def send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.server.stdin.flush()

    def receive(self) -> dict[str, Any]:
        length = 0
        while line := self.server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the language server has ended"
        return json.loads(self.server.stdout.read(length))

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request and return its result; answer what the server asks meanwhile."""
        self.asked += 1
        self.send(id=self.asked, method=method, params=params)
        while True:
            message = self.receive()
            if "method" in message and "id" in message:
                answer = None
                if message["method"] == "workspace/configuration":
                    answer = [{"pythonPath": sys.executable} for _ in message["params"]["items"]]
                self.send(id=message["id"], result=answer)
            elif message.get("id") == self.asked:
                assert "error" not in message, message
                return message["result"]

    def at_end_of(self, method: str, line: str) -> Any:
        """Ask at the end of a line that stands below imports of both modules."""
        text = f"import xloss.jax, xloss.torch\n{line}"
        document = {"uri": f"{self.folder}/{self.asked}.py", "languageId": "python", "version": 1, "text": text}
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        return self.ask(method, textDocument={"uri": document["uri"]}, position={"line": 1, "character": len(line)})


def test_an_editor_completes_names_and_shows_signatures(work: Path) -> None:
    with Editor(ROOT, work) as editor:
        for framework in FRAMEWORKS:
            offered = editor.at_end_of("textDocument/completion", f"xloss.{framework}.")
            names = {item["label"] for item in (offered["items"] if isinstance(offered, dict) else offered)}
            assert {*LOSSES, *by_class(), "sum_and_denominator"} <= names
            assert "no_such_loss" not in names
            hover = editor.at_end_of("textDocument/hover", f"xloss.{framework}.huber_loss")["contents"]["value"]
            assert 'reduction: Reduction = "mean"' in hover
            assert "delta: float = 1" in hover
            assert LOSSES["huber_loss"].summary[1:] in hover
            help = editor.at_end_of("textDocument/signatureHelp", f"xloss.{framework}.HuberLoss(")
            assert "delta: float = 1" in help["signatures"][0]["label"]


@pytest.mark.slow  # makes an environment
def test_checkers_find_the_stubs_of_an_editable_install(work: Path, tmp_path: Path) -> None:
    """Without the frameworks, and without a path that leads to the package: right.py has types of theirs to tell."""
    import venv

    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "reports", "*.egg-info"))
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", str(source)]
    subprocess.run(install, check=True, capture_output=True)
    (work / "right.py").write_text("")
    missing = "[mypy-torch.*,jax.*]\nignore_missing_imports = true\n"
    check(run_mypy(None, work, missing, python))
    check(run_pyright(None, work, python, typeCheckingMode="basic", reportMissingImports=False))


def test_a_signature_prints_without_quotes() -> None:
    assert signature_text(LOSSES["huber_loss"].torch) == (
        "(input: Tensor, target: Tensor, reduction: Reduction = 'mean', delta: float = 1.0, "
        "weight: Tensor | None = None) -> Tensor"
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_nothing_in_the_stubs_is_any(framework: str) -> None:
    assert not re.findall(r".*\bAny\b.*", stubs.text(framework))


def test_the_annotated_reductions_are_those_of_the_loss() -> None:
    for loss in LOSSES.values():
        for framework in FRAMEWORKS:
            annotation = getattr(loss, framework).__annotations__.get("reduction")
            assert annotation is None or set(getattr(types, annotation).__args__) == set(loss.reductions), loss.name
