"""The site as a whole: complete, linked, small, offline, escaped, and honest where data is absent."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from site_builder import ROOT, check_row, small_reports, with_sweep, without_figures
from typer.testing import CliRunner

from xloss.catalog import LOSSES, substitute
from xloss.cli.app import app
from xloss.report.source import ReportError
from xloss.site import compare, links, loss, pages, sources, write


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site of a folder without history, as the command writes it."""
    folder = tmp_path_factory.mktemp("site")
    rows = [
        check_row(),
        check_row(framework="jax", max_ulp=0.625),
        check_row(regime="ties", status="inaccurate", budget=7.0),
    ]
    reports = with_sweep(small_reports(folder / "reports"), *rows)
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        done = CliRunner().invoke(app, ["site", str(reports), "--out", str(folder / "out")])
    assert done.exit_code == 0, done.output
    assert f"{folder / 'out' / 'index.html'}" in done.stdout
    assert "pages: 0 of" in done.stderr
    return folder / "out"


def test_every_loss_has_a_page_and_the_front_page_finds_it(site: Path) -> None:
    front = (site / "index.html").read_text("utf-8")
    for name, record in LOSSES.items():
        text = (site / "losses" / f"{name}.html").read_text("utf-8")
        assert f'href="losses/{name}.html"' in front
        assert text.count("<math") == len(record.latex)
        assert text.count('<article class="difference"') == len(record.differences)
        for framework in ("torch", "jax"):
            assert f"{framework}_{name}" in text


def test_links_resolve_and_nothing_is_loaded(site: Path) -> None:
    texts = {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}
    assert len(texts) > len(LOSSES) + 20
    assert links.problems(texts) == []


def test_every_command_has_its_help(site: Path) -> None:
    text = (site / "api" / "command.html").read_text("utf-8")
    for name in ("parity", "compare", "site", "doctor"):
        assert f"<code>xloss {name}</code>" in text
    assert "--full" in text


def test_it_is_small(site: Path) -> None:
    assert (site / "index.html").stat().st_size < 200_000
    assert sum(path.stat().st_size for path in site.rglob("*")) < 10_000_000


def test_each_page_has_a_policy_a_title_a_language_and_one_heading(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert "default-src 'none'" in text, path
        assert re.search(r"script-src 'sha256-[^']+'", text), path
        assert '<html lang="en">' in text
        assert re.search(r"<title>[^<]{5,}</title>", text), path
        assert len(re.findall(r"<h1[ >]", text)) == 1, path


def test_a_sweep_that_is_there_is_shown_and_one_that_is_not_is_asked_for(site: Path) -> None:
    there = (site / "losses" / "mse_loss.html").read_text("utf-8")
    assert "0.38" in there
    assert "1 are outside the budget" in there
    assert "✗" in there
    absent = (site / "losses" / "l1_loss.html").read_text("utf-8")
    assert "xloss parity --loss l1_loss" in absent
    assert "Worst error of the value in float32, in ulps (" not in absent


def test_the_summary_of_a_sweep_says_what_the_sweep_says(tmp_path: Path) -> None:
    """It is what is committed, where the table is not."""
    rows = [check_row(), check_row(regime="ties", status="inaccurate", budget=7.0), check_row(mechanism="backward")]
    there = with_sweep(tmp_path / "there", *rows)
    assert CliRunner().invoke(app, ["report", str(there), "--no-claims"]).exit_code == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "regimes.json").write_bytes((there / "regimes.json").read_bytes())
    full, summary = sources.read(there), sources.read(alone)
    assert summary.sweep is None
    assert full.regimes == summary.regimes
    assert full.regimes["losses"]["mse_loss"]["bad"] == 1
    text = loss.page(summary, LOSSES["mse_loss"])
    assert "1 are outside the budget" in text
    assert "0.38" in text
    (alone / "regimes.json").write_text((alone / "regimes.json").read_text().replace('"0.38"', '"0.39"'), "utf-8")
    assert "0.38" not in loss.page(sources.read(alone), LOSSES["mse_loss"])


@pytest.mark.parametrize("wrong", ["{", "[]", '{"losses": {"mse_loss": {}}}'])
def test_a_summary_that_is_none_is_refused_by_name(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "regimes.json").write_text(wrong, "utf-8")
    with pytest.raises(ReportError, match=r"regimes\.json cannot be read .*; run again: xloss parity"):
        sources.read(tmp_path)


def test_what_is_absent_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    found = sources.read(tmp_path)
    assert found.sweep is None
    assert found.table.empty
    for path, make, words in (
        ("torch-jax", compare.torch_jax, "xloss bench --all"),
        ("versions", compare.versions, "make bench"),
        ("gallery", compare.gallery, "tests.gallery.oracles"),
        ("claims", compare.claims, "xloss claims"),
        ("faults", compare.faults, "tests.mutants"),
        ("invariance", compare.batch_invariance, "make invariance"),
        ("accuracy", compare.accuracy, "xloss parity --out"),
    ):
        assert words in make(found), path
    text = loss.page(found, LOSSES["huber_loss"])
    assert "No history was recorded" in text
    assert "xloss bench huber_loss" in text


HOSTILE = "<script>alert('x')</script><img src=https://example.org/x>\x1b[31m\u202e"


def test_hostile_texts_are_escaped_wherever_they_come_from(tmp_path: Path) -> None:
    reports = with_sweep(
        small_reports(tmp_path),
        check_row(status="inaccurate", budget=9.0, reason=HOSTILE),
        check_row(implementation=HOSTILE, status="unsupported", reason=HOSTILE),
    )
    (reports / "claims.md").write_text(
        f"# Claims\n\n## {HOSTILE}\n\n| {HOSTILE} | b |\n|---|---|\n| 1 | 2 |\n", "utf-8"
    )
    (reports / "gallery.md").write_text(
        f"x\n\n| case | b |\n|---|---|\n| {HOSTILE} | [x](javascript:alert(1)) |\n", "utf-8"
    )
    for name in ("gallery.json", "mutants.json"):
        text = (reports / name).read_text("utf-8")
        old = "torch.autograd.gradcheck" if name == "gallery.json" else "more frames than ten"
        assert old in text
        (reports / name).write_text(
            text.replace(old, "<script>alert('x')</script><img src=https://example.org/x>"), "utf-8"
        )
    difference = dataclasses.replace(LOSSES["cross_entropy"].differences[0], case=HOSTILE, who=HOSTILE, link=HOSTILE)
    with substitute("cross_entropy", summary=HOSTILE, differences=(difference,)) as hostile:
        found = sources.read(reports)
        made = {path: make() for path, make in pages.all_pages(found).items() if path.startswith(("compare/", "index"))}
        made["losses/cross_entropy.html"] = loss.page(found, hostile)
        made["losses/mse_loss.html"] = loss.page(found, LOSSES["mse_loss"])
    for path, text in made.items():
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert "\x1b" not in text, path
        assert "\u202e" not in text, path
        assert 'href="javascript:' not in text, path


def test_a_page_with_a_fault_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"index.html": lambda: '<a href="missing.html">x</a>'}
    monkeypatch.setattr(pages, "all_pages", lambda found, command: wrong)
    with pytest.raises(ReportError, match=r"index.html: links to 'missing.html', which is no page"):
        write(small_reports(tmp_path / "reports"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    reports = small_reports(tmp_path / "reports")
    (reports / "gallery.json").write_text("{", "utf-8")
    done = CliRunner().invoke(app, ["site", str(reports), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "gallery.json" in done.stderr
    assert not list((tmp_path / "out").rglob("*.html"))


def test_help_teaches() -> None:
    text = CliRunner().invoke(app, ["site", "--help"]).stdout
    for word in ("--out", "offline", "xloss parity"):
        assert word in text


@pytest.mark.slow
def test_what_is_committed_makes_a_site_that_is_small_and_shows_its_numbers(tmp_path: Path) -> None:
    """With the history, its figures and its tables."""
    paths = write(ROOT / "reports", tmp_path)
    assert sum(path.stat().st_size for path in paths) < 10_000_000
    assert (tmp_path / "index.html").stat().st_size < 200_000
    text = (tmp_path / "losses" / "cross_entropy.html").read_text("utf-8")
    assert text.count("<svg") >= 2
    assert "99 % interval" in text
    assert "torch.nn.functional · torch eager" in text
