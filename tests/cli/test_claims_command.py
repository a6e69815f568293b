"""``xloss claims`` and what it writes: tables, JSON, Markdown, HTML, figures, exit status."""

import dataclasses
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from xloss.claims import CLAIMS, SOURCES, Result, Verdict, select, settle
from xloss.cli import claims as command
from xloss.files import write_text
from xloss.report import claims as shown
from xloss.report.claims import figures

pytest.importorskip("torch")
pytest.importorskip("jax")
pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

_SOME = ("detached-error/signs-of-variants", "four-averages/mean-of-means", "typical-gradients/full-is-a-float")


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [settle(CLAIMS[id]) for id in _SOME]


def invoke(*args: str) -> Any:
    app = typer.Typer()
    app.command()(command.claims)
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, results: list[Result]) -> list[Result]:
    """The command measures nothing and finds these results, which a test may exchange."""
    found = list(results)

    def run(ids: list[str] | None, progress: Any) -> list[Result]:
        chosen = [r for r in found if ids is None or r.claim.id in ids]
        for k, result in enumerate(chosen):
            progress(k + 1, len(chosen), result)
        return chosen

    monkeypatch.setattr(command, "run_claims", run)
    return found


def test_lists_them_and_exits_0(measured: list[Result]) -> None:
    done = invoke()
    assert done.exit_code == 0
    for result in measured:
        assert re.search(
            f"{shown.verdict(result)} +{result.claim.id} +{re.escape(result.claim.statement)}", done.stdout
        )
    assert "3 claims: 1 hold, 1 hold only under a condition, 1 fail; " in done.stdout


def test_shows_one_in_full(measured: list[Result]) -> None:
    done = invoke(_SOME[1])
    claim = CLAIMS[_SOME[1]]
    for part in (claim.statement, "holds only if", "plain: mean of means", *claim.snippets.values()):
        assert part.strip() in done.stdout
    assert done.exit_code == 0


def test_json_is_all_data(measured: list[Result]) -> None:
    done = invoke("--json")
    assert [entry["id"] for entry in json.loads(done.stdout)] == list(_SOME)
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("change", "exit_code", "says"),
    [
        ({"verdict": Verdict("holds")}, 1, "holds (expected: fails)"),
        ({"verdict": None, "error": "the frameworks contradict each other"}, 1, "undecided (expected: fails)"),
        ({"verdict": None, "evidence": {}, "error": "RuntimeError: no", "crashed": True}, 3, "crashed"),
    ],
)
def test_exit_status(measured: list[Result], change: dict[str, Any], exit_code: int, says: str) -> None:
    changed = measured[2] = dataclasses.replace(measured[2], **change)
    done = invoke()
    assert (done.exit_code, says in done.stdout) == (exit_code, True)
    for page in (shown.html([changed]), shown.markdown([changed])):
        assert shown.verdict(changed) in page
        assert shown.note(changed).partition("(")[0] in page
    json.loads(json.dumps(changed.to_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("id", "meant"),
    [
        ("detached-error/half-gradeint", "detached-error/half-gradient"),
        ("half-gradient", "detached-error/half-gradient"),
        ("for-averages", "four-averages"),
    ],
)
def test_unknown_id(id: str, meant: str) -> None:
    done = invoke(id)
    assert done.exit_code == 2
    assert f"no claim {id!r}; did you mean " in done.stderr
    assert meant in done.stderr


def test_missing_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None if name == "jax" else name)
    done = invoke()
    assert (done.exit_code, done.stderr) == (4, "claims compare both frameworks, and jax is not installed\n")


def test_select() -> None:
    assert [claim.id for claim in select("typical-gradients")] == [c.id for c in SOURCES["typical-gradients"].claims]
    assert [claim.id for claim in select("four-averages/mean")] == [
        "four-averages/mean-ignores-batch-size",
        "four-averages/mean-of-means",
    ]
    for id in ("", "nothing like it"):
        with pytest.raises(LookupError, match="no claim"):
            select(id)


def test_sources_are_in_their_order() -> None:
    slugs = ["detached-error", "notebook-backward", "typical-gradients", "notes-on-losses", "four-averages"]
    assert list(SOURCES) == slugs
    assert {claim.source for claim in CLAIMS.values()} == set(slugs)


def test_claims_have_distinct_ids_under_their_source() -> None:
    assert len(CLAIMS) == sum(len(source.claims) for source in SOURCES.values())
    for slug, source in SOURCES.items():
        assert source.slug == slug
        assert all(claim.id.startswith(f"{slug}/") for claim in source.claims)


def test_a_verdict_has_a_condition_or_none() -> None:
    assert str(Verdict("holds only if", "n = 1")) == "holds only if n = 1"
    for kind, condition in (("holds", "n = 1"), ("holds only if", "")):
        with pytest.raises(ValueError, match="a condition belongs to"):
            Verdict(kind, condition)  # type: ignore[arg-type]


def test_files(measured: list[Result], tmp_path: Path) -> None:
    assert invoke("--out", str(tmp_path)).exit_code == 0
    text = (tmp_path / "claims.md").read_text("utf-8")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"claims.md"}
    for result in measured:
        assert f"`{result.claim.id}`: **{shown.verdict(result)}**" in text
    assert len(re.findall(r"^\| evidence \|", text, re.MULTILINE)) == len(measured)
    assert len(text) < 120_000 / len(CLAIMS) * len(measured) + 1000
    before = {path: (tmp_path / path).read_bytes() for path in written}
    invoke("--out", str(tmp_path))
    assert before == {path: (tmp_path / path).read_bytes() for path in written}, "the same numbers, the same bytes"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "claims.md"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \udcff")
    assert [p.name for p in path.parent.iterdir()] == ["claims.md"]
    assert path.read_text("utf-8") == "before"


class _Page(HTMLParser):
    """Ids, links and balance of a page."""

    void = frozenset(("br", "img", "input", "meta", "link", "hr"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.update([values["id"]] if "id" in values else [])
        self.links |= {values["href"][1:]} if values.get("href", "").startswith("#") else set()
        for name, value in values.items():
            assert not name.startswith("on")
            assert "//" not in value, f"{name} points outside"
            self.links |= set(re.findall(r"url\(#([^)]*)\)", value))


def test_page_is_one_section_that_stands_alone(results: list[Result]) -> None:
    text = shown.html(results)
    page = _Page(text)
    assert not page.open
    assert [id for id, count in page.ids.items() if count > 1] == []
    assert page.links <= set(page.ids)
    assert text.startswith('<section class="claims"')
    assert text.count("<svg") == 2
    assert "http" not in text


def test_all_text_is_escaped(results: list[Result]) -> None:
    evil = "<script>alert('x')</script> | *a* `b`"
    claim = dataclasses.replace(results[0].claim, statement=evil, explanation=evil)
    result = dataclasses.replace(
        results[0], claim=claim, evidence={fw: numbers | {evil: evil} for fw, numbers in results[0].evidence.items()}
    )
    assert "<script>" not in shown.html([result])
    text = shown.markdown([result])
    assert "<script>" not in text
    assert r"\| \*a\* \`b\`" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (0.0, "0"),
        (-0.0, "0"),
        (3.0, "3"),
        (0.047500014305114746, "0.0475"),
        (1.4901161193847656e-08, "1.49e-8"),
        (1e10, "1e+10"),
        ([1.0, 0.5], "1, 0.5"),
        ("said", "said"),
    ],
)
def test_numbers_as_a_person_reads_them(value: Any, text: str) -> None:
    assert shown.cell(value) == text


def test_figures_are_plain_and_reproducible(results: list[Result]) -> None:
    draw = figures.FIGURES[_SOME[0]]
    svg = draw(results[0].evidence)
    assert svg == draw(results[0].evidence)
    assert svg.startswith('<svg role="img" aria-label="')
    assert 'viewBox="0 0 374.4 ' in svg
    assert "<text" in svg
    assert not {"<metadata", "<!--"} & set(re.findall(r"<[\w!-]+", svg))


def test_the_package_imports_no_framework() -> None:
    code = (
        "import sys, xloss.claims as c; assert not {'torch', 'jax', 'matplotlib', 'jinja2'} & set(sys.modules);"
        "assert len(c.CLAIMS) > 30; c.CLAIMS['detached-error/signs'].snippets;"
        "assert not {'torch', 'jax', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_figure_is_of_a_claim() -> None:
    assert set(figures.FIGURES) <= set(CLAIMS)


def test_as_a_module() -> None:
    command_line = [sys.executable, "-m", "xloss", "claims", "typical-gradients/square-root", "--json"]
    done = subprocess.run(command_line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)
    assert (entry["seed"], entry["verdict"], entry["status"]) == ("typical-gradients", "fails", "as expected")
