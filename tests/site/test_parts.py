"""What pages are made of: formulas, docstrings, snippets, code, Markdown."""

from __future__ import annotations

import contextlib
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from xloss.catalog import LOSSES, Unsupported
from xloss.site import code, docstrings, documents, figures, mathematics, snippets

DIFFERENCES = [(loss, difference) for loss in LOSSES.values() for difference in loss.differences]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_formula_that_is_typeset(name: str) -> None:
    assert LOSSES[name].latex, "no formula in LaTeX"
    for latex in LOSSES[name].latex:
        math = ElementTree.fromstring(mathematics.mathml(latex))
        assert math.tag.endswith("math")
        text = "".join(math.itertext())
        assert "\\" not in text
        assert "merror" not in mathematics.mathml(latex)
        assert latex.count("{") == latex.count("}")


def test_what_cannot_be_typeset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\\nosuchcommand"):
        mathematics.mathml(r"x = \nosuchcommand{y}")


def test_a_word_is_one_name() -> None:
    assert "<mi>ignore_index</mi>" in mathematics.mathml(r"\mathrm{ignore\_index}").replace("&#x0005F;", "_")


@pytest.mark.parametrize("name", LOSSES)
def test_every_argument_is_documented_and_has_its_place(name: str) -> None:
    import inspect

    loss = LOSSES[name]
    doc = docstrings.parse(inspect.getdoc(loss.jax) or "")
    documented = {one for names, _ in doc.arguments for one in re.split(r",\s*", names)}
    assert documented == set(inspect.signature(loss.torch).parameters)
    assert {"Formula", "Returns", "Errors", "Source"} <= set(doc.parts)
    assert doc.example.startswith(">>>")
    # Nothing of the docstring is lost: each word of it is in one of the parts.
    kept = " ".join([doc.summary, *doc.parts.values(), *(text for _, text in doc.arguments), doc.example]).split()
    lost = set((inspect.getdoc(loss.jax) or "").split()) - set(kept)
    assert all(word.endswith(":") or word.rstrip(",").isalpha() for word in lost), lost


def test_a_denominator_is_found() -> None:
    import inspect

    said = docstrings.denominators(docstrings.parse(inspect.getdoc(LOSSES["cross_entropy"].jax) or ""))
    assert any("divides by the sum of the w[y_n]" in sentence for sentence in said)


@pytest.mark.parametrize(("loss", "difference"), DIFFERENCES, ids=[d.id for _, d in DIFFERENCES])
def test_every_snippet_runs_and_prints_what_the_page_says(loss, difference) -> None:
    text = snippets.snippet(loss, difference)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(text, difference.id, "exec"), {"__name__": "__main__"})
    except Unsupported as error:
        pytest.skip(str(error))
    ours, theirs = (line.partition(": ")[2] for line in out.getvalue().strip().splitlines()[-2:])
    same(ours, difference.expected[0])
    if difference.holds_here():
        same(theirs, difference.expected[1])
    else:
        with pytest.raises(AssertionError):
            same(theirs, difference.expected[1])


def same(printed: str, expected: object) -> None:
    if isinstance(expected, str):
        assert printed == expected
    else:
        assert float(printed) == pytest.approx(expected, rel=1e-6)


def test_a_wrong_number_is_noticed() -> None:
    with pytest.raises(AssertionError):
        same("0.25", 0.5)
    with pytest.raises(AssertionError):
        same("nan", "inf")


@pytest.mark.parametrize("name", LOSSES)
def test_both_implementations_are_shown_as_they_are_in_the_file(name: str) -> None:
    found = code.implementations(LOSSES[name])
    assert set(found) == {"torch", "jax"}
    for framework, text in found.items():
        assert text.startswith(f"def {framework}_{name}(")
        assert "return" in text


@pytest.mark.parametrize("guide", documents.GUIDES)
def test_the_python_of_a_guide_runs(guide: str) -> None:
    from importlib import resources

    text = resources.files("xloss.site").joinpath("guides", f"{guide}.md").read_text("utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, guide, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("guide", documents.GUIDES)
def test_the_commands_of_a_guide_exist(guide: str) -> None:
    from importlib import resources

    import typer

    from xloss.cli.app import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = resources.files("xloss.site").joinpath("guides", f"{guide}.md").read_text("utf-8")
    for command, rest in re.findall(r"^(?:\$|- run:) xloss (\w+)([^#\n]*)", text, re.MULTILINE):
        known = {name for parameter in commands[command].params for name in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[\w-]+", rest)) <= known, command


def test_markdown_is_escaped_and_keeps_only_links_that_lead_somewhere() -> None:
    text = (
        "# A <b>\n\n<script>alert(1)</script> [in](../x.md) [out](https://example.org) ![p](https://example.org/p.png)"
    )
    html = str(documents.rendered(text))
    assert "<script>" not in html
    assert "<b>" not in html
    assert "x.md" not in html
    assert "<img" not in html
    assert 'href="https://example.org"' in html


def test_code_is_escaped() -> None:
    html = str(code.highlighted('x = "</code><script>alert(1)</script>\x1b[31m"'))
    assert "<script>" not in html
    assert "\x1b" not in html
    assert "<img" not in str(code.highlighted("<img src=x>", "no such language"))


def test_the_figures_draw_what_they_are_given() -> None:
    nan = float("nan")
    columns = [("0.9", "a"), ("0.9", "b"), ("0.10", "b")]
    lines = {"x": {("0.9", "a"): (1e-3, 9e-4, 2e-3), ("0.10", "b"): (2e-3, nan, nan)}}
    history = figures.history([figures.Panel("jax: time", "seconds", columns, lines)], "a <title>")
    assert 'aria-label="a &lt;title&gt;"' in history
    assert "0.10" in history
    assert "jax: time" in history
    sizes = figures.sizes({"x": [(1e3, (1e-6, 9e-7, 2e-6)), (1e6, (1e-4, nan, nan))]}, 10.0, "t")
    assert "roofline" in sizes
    assert "roofline" not in figures.sizes({"x": [(1e3, (1e-6, nan, nan))]}, nan, "t")


def test_an_error_of_zero_is_drawn() -> None:
    lines = {"x": {("1", "a"): (0.0, float("nan"), float("nan")), ("2", "a"): (3.0, float("nan"), float("nan"))}}
    panel = figures.Panel("worst", "ulps", [("1", "a"), ("2", "a")], lines)
    assert ">0</text>" in figures.history([panel], "zero")
    none = {"x": {("1", "a"): (0.0, float("nan"), float("nan"))}}
    assert "<svg" in figures.history([figures.Panel("worst", "ulps", [("1", "a")], none)], "zeros")


def test_ticks_are_round_and_few() -> None:
    for low, high in ((1e-3, 5e-3), (0.7, 1.4), (90.0, 95.0), (1.0, 49.0)):
        ticks = figures._round_ticks(low, high)
        assert 1 <= len(ticks) <= 6
        assert all(np.isclose(tick / 10.0 ** np.floor(np.log10(tick) + 1e-9), (1, 2, 3, 5, 7)).any() for tick in ticks)
