"""The pages: they say what the table says, open offline, and survive hostile and missing input."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from xloss.catalog import LOSSES
from xloss.cli import report
from xloss.parity.sweep import COLUMNS
from xloss.report import ReportError, claims, pages, speed, svg, write
from xloss.report import format as words
from xloss.report.parity import heatmap, tables


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their figures, which take most of the time."""
    monkeypatch.setattr(svg, "distribution", lambda *_: "<svg></svg>")


def row(**changes):
    base = {
        "loss": "mse_loss", "variant": "default", "reduction": "none", "mechanism": "value", "argument": "",
        "dtype": "float32", "device": "cpu", "regime": "typical", "shape": "6x3", "implementation": "xloss",
        "framework": "torch", "version": "2.13.0", "max_abs": 1e-8, "max_rel": 1e-7, "max_ulp": 0.9, "p99_ulp": 0.8,
        "budget": 0.2, "status": "ok", "reason": "", "seconds": 0.001,
        "case_id": "mse_loss:default:6x3:typical:float32:cpu:0#a",
    }  # fmt: skip
    return {**base, **changes}


def rows():
    out = []
    for loss in ("mse_loss", "cross_entropy"):
        for implementation, framework in (
            ("xloss", "torch"),
            ("xloss", "jax"),
            ("torch.nn.functional", "torch"),
            ("optax", "jax"),
        ):
            for mechanism in ("value", "backward"):
                for dtype in ("float32", "bfloat16"):
                    case = f"{loss}:default:6x3:typical:{dtype}:cpu:0#{len(out)}"
                    out.append(row(loss=loss, implementation=implementation, framework=framework, mechanism=mechanism,
                                   dtype=dtype, case_id=case))  # fmt: skip
    nan = float("nan")
    lost = {"max_abs": nan, "max_rel": nan, "max_ulp": nan, "p99_ulp": nan, "budget": nan}
    out.append(row(implementation="optax", framework="jax", status="unsupported", reason="optax has no weight", **lost))
    out.append(row(implementation="keras", framework="jax", status="error", reason="TypeError: no", **lost))
    out.append(row(implementation="torch.nn.functional", max_ulp=np.inf, budget=np.inf, status="inaccurate",
                   regime="confident", reason="got 0, truth 1e-7"))  # fmt: skip
    return out


def source(folder, table):
    data = folder / "data"
    data.mkdir(parents=True)
    pd.DataFrame(table, columns=COLUMNS).to_parquet(data / "parity.parquet")
    facts = {"created": "2026-01-01T00:00:00+00:00", "xloss": "0", "python": "3.11", "seconds": 2.0, "cells": 3,
             "versions": {"torch": "2.13.0", "jax": None}, "checks": len(table), "cores": 2, "cpu": "a",
             "device": "cpu", "seed": 0, "full": False}  # fmt: skip
    (data / "parity.json").write_text(json.dumps(facts))
    return folder


def written(folder, table):
    write(source(folder, table), folder)
    return (folder / "index.html").read_text(), (folder / "parity.md").read_text()


def test_the_page_fetches_nothing(tmp_path):
    html, _ = written(tmp_path, rows())
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html)
    assert not re.findall(r"url\(\s*['\"]?\s*(?:https?:)?//|@import", html)
    assert "<script src" not in html


def test_the_check_sees_an_address(tmp_path):
    html, _ = written(tmp_path, rows())
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html + '<img src="https://example.org/a.png">')


@pytest.mark.usefixtures("undrawn")
def test_a_planted_miss_changes_the_verdict_and_is_shown(tmp_path):
    good, _ = written(tmp_path / "good", rows())
    bad_row = row(framework="jax", status="inaccurate", budget=99.0, max_ulp=1e6, reason="got/truth = 3 throughout",
                  case_id="mse_loss:default:6x3:ties:float32:cpu:7#x")  # fmt: skip
    bad, text = written(tmp_path / "bad", [*rows(), bad_row])
    assert "are within budget" in good
    assert "got/truth = 3 throughout" in bad
    assert "mse_loss:default:6x3:ties:float32:cpu:7" in bad
    assert "got/truth = 3 throughout" in text
    whole = r"All [\d,]+ checks of xloss are within budget"
    assert re.search(whole, good)
    assert not re.search(whole, bad)


@pytest.mark.usefixtures("undrawn")
def test_text_is_escaped(tmp_path):
    hostile = row(
        implementation="optax", framework="jax", status="inaccurate", budget=3.0, reason="<script>alert(1)</script>"
    )
    html, _ = written(tmp_path, [*rows(), hostile])
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.usefixtures("undrawn")
def test_counts_are_those_of_the_table(tmp_path):
    _, text = written(tmp_path, rows())
    line = next(line for line in text.splitlines() if re.match(r"\|\s*torch\.nn\.functional\s*\|", line))
    assert re.search(r"\|\s*8\s*\|", line), line


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(ReportError, match=r"parity\.parquet does not exist; run: xloss parity --out"):
        write(tmp_path, tmp_path)
    source(tmp_path, rows())
    (tmp_path / "data" / "parity.parquet").write_bytes(b"not a table")
    with pytest.raises(ReportError, match="cannot be read"):
        write(tmp_path, tmp_path)


def test_the_same_table_gives_the_same_page_and_leaves_nothing_else(tmp_path):
    first = written(tmp_path / "a", rows())
    assert first == written(tmp_path / "b", rows())
    made = ["data", "index.html", "parity.md", "regimes.json"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == made


def counted(text):
    """The table of statuses in parity.md, by implementation."""
    part = text[text.index("## Checks by status") : text.index("## Worst errors")]
    cells = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in part.splitlines() if line.startswith("|")
    ]
    statuses = cells[0][-len(cells[2]) + 1 :]
    return {line[0]: dict(zip(statuses, map(int, line[1:]), strict=True)) for line in cells[2:]}


@pytest.mark.usefixtures("undrawn")
def test_every_count_is_that_of_the_table(tmp_path):
    table = pd.DataFrame(rows())
    _, text = written(tmp_path, rows())
    found = counted(text)
    assert found["all"]["all"] == len(table)
    for (implementation, framework, status), n in (
        table.groupby(["implementation", "framework", "status"]).size().items()
    ):
        who = f"xloss · {framework}" if implementation == "xloss" else implementation
        assert found[who][status] == n, who
    assert sum(line["all"] for who, line in found.items() if who != "all") == len(table)


LOST = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "p99_ulp", "budget"), float("nan"))


@pytest.mark.parametrize("status", ["inaccurate", "differs", "error", "crash", "timeout", "oom"])
@pytest.mark.usefixtures("undrawn")
def test_whatever_is_not_ok_spoils_the_verdict(tmp_path, status):
    gone = row(
        status=status, mechanism="", reason="it is gone", case_id="mse_loss:default:6x3:one:float32:cpu:0", **LOST
    )
    html, text = written(tmp_path, [*rows(), gone])
    said = "1 of 17 checks of xloss are not within budget"
    assert said in html
    assert said in text
    assert "it is gone" in html
    assert "it is gone" in text


@pytest.mark.parametrize("budget", [1.004, float("nan"), float("inf")])
@pytest.mark.usefixtures("undrawn")
def test_an_ok_that_its_own_budget_contradicts_is_none(tmp_path, budget):
    html, _ = written(tmp_path, [*rows(), row(budget=budget)])
    assert "1 of 17 checks of xloss are not within budget" in html


@pytest.mark.usefixtures("undrawn")
def test_nothing_of_xloss_is_no_good_verdict(tmp_path):
    html, _ = written(tmp_path, [r for r in rows() if r["implementation"] != "xloss"])
    assert "Nothing of xloss was checked." in html
    assert "verdict ill" in html


@pytest.mark.usefixtures("undrawn")
def test_numbers_that_are_none_are_shown_as_such(tmp_path):
    html, text = written(tmp_path, [*rows(), row(regime="ties", implementation="optax", framework="jax", **LOST)])
    for page in (html, text):
        assert not re.search(r"[>|] *-?(nan|inf)\b", page)
    assert "∞" in text


@pytest.mark.usefixtures("undrawn")
def test_the_devices_and_dtypes_left_out_are_named(tmp_path):
    html, _ = written(tmp_path / "cpu", rows())
    assert "Not run on a GPU" in html
    assert "No check of these dtypes: float64, float16." in html
    assert "keras was not asked in bfloat16." in html
    html, _ = written(tmp_path / "gpu", [*rows(), row(device="cuda")])
    assert "Not run on a GPU" not in html


@pytest.mark.usefixtures("undrawn")
def test_a_reason_cannot_break_the_markdown(tmp_path):
    hostile = row(implementation="optax", framework="jax", status="inaccurate", budget=3.0,
                  reason="a | b\n# c <img src=x>", case_id="mse_loss:a`b|c:6x3:ties:float32:cpu:0")  # fmt: skip
    _, text = written(tmp_path, [*rows(), hostile])
    assert r"a \| b \# c \<img src=x\>" in text
    assert "# c" not in text.splitlines()
    assert "a`b" not in text


@pytest.mark.usefixtures("undrawn")
def test_what_is_closest_to_the_budget_is_no_16_bit_rounding(tmp_path):
    _, text = written(
        tmp_path, [*rows(), row(dtype="bfloat16", budget=0.999, case_id="c16"), row(budget=0.5, case_id="c32")]
    )
    worst = text[text.index("## Worst of xloss") : text.index("## Findings")]
    assert "c32" in worst
    assert "c16" not in worst


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.4849, "0.48"), (81.2, "81"), (1.67e7, "1.7e7"), (1e5, "1e5"), (999.6, "1e3"), (9.97, "10"), (0, "0"),
     (3e-5, "3e-5"), (float("inf"), "∞"), (float("nan"), "–")],
)  # fmt: skip
def test_numbers_are_short(value, said):
    assert words.number(value) == said


def test_a_multiple_of_the_budget_never_rounds_to_the_other_side():
    assert words.times(1.004) == "1.004"
    assert words.times(0.9989) == "0.9989"
    assert words.times(1.00001) == "1.00001"
    assert words.times(1.0) == "1"


def test_the_command_writes_and_says_where(tmp_path):
    app = typer.Typer()
    app.command()(report.report)
    source(tmp_path / "in", rows())
    done = CliRunner().invoke(app, [str(tmp_path / "in"), "--no-claims", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "out" / name) for name in ("index.html", "parity.md", "regimes.json")]
    done = CliRunner().invoke(app, [str(tmp_path / "elsewhere")])
    assert done.exit_code == 2
    assert "xloss parity --out" in done.output


def test_the_command_costs_no_heavy_import_and_the_pages_no_framework(tmp_path):
    source(tmp_path, rows())
    code = (
        "import sys, pathlib, xloss.cli.report as c, xloss.report as r\n"
        "assert not {'pandas', 'matplotlib', 'jinja2'} & set(sys.modules), 'heavy'\n"
        f"r.write(pathlib.Path({str(tmp_path)!r}), pathlib.Path({str(tmp_path)!r}))\n"
        "assert not {'torch', 'jax', 'matplotlib.pyplot'} & set(sys.modules), 'framework'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def cell(*changes):
    return heatmap.heat_cell(tables.prepare(pd.DataFrame([row(**change) for change in changes])))


def test_many_ulps_within_the_budget_are_shown_as_a_share_of_it():
    well, ill = {"max_ulp": 3.0, "budget": 0.2}, {"max_ulp": 8.8e15, "budget": 0.31}
    assert (cell(well).text, cell(well).style) == ("3", "s2")
    assert (cell(well, ill).text, cell(well, ill).style) == ("31 %", "b1")
    missed = cell(well, ill, {"max_ulp": 40.0, "budget": 2.5, "status": "inaccurate"})
    assert (missed.text, missed.style, missed.mark) == ("40", "s4", "miss"), "ulps of what is not ill conditioned"
    assert "2.5 × budget, 1 of 3 bad" in missed.title
    lost = cell(ill, {"max_ulp": np.inf, "budget": np.inf, "status": "inaccurate"})
    assert (lost.text, lost.style) == ("∞", "s8")


@pytest.mark.usefixtures("undrawn")
def test_the_legend_explains_the_shares(tmp_path):
    html, text = written(tmp_path, [*rows(), row(max_ulp=8.8e15, budget=0.31)])
    map_of_errors = html[html.index('id="map"') : html.index('id="distributions"')]
    for page in (map_of_errors, text[: text.index("## Worst of xloss")]):
        assert "8.8e15" not in page
        assert "more than 100 ulps" in page
    assert '<td class="first b1">31 %' in html


@pytest.mark.usefixtures("undrawn")
def test_the_checks_of_xloss_are_counted_apart(tmp_path):
    table = pd.DataFrame(rows())
    html, text = written(tmp_path, rows())
    prepared = tables.prepare(table)
    assert tables.tally(tables.ours(prepared)) == tables.Tally(16, 0, 0)
    assert tables.tally(tables.peers(prepared)) == tables.Tally(18, 1, 1)
    for page in (html, text):
        assert "All 16 checks of xloss are within budget." in page
        assert "2 of 18 checks of torch.nn.functional, optax and keras" in page.replace("\\", "")


@pytest.mark.usefixtures("undrawn")
def test_a_peer_that_is_unsupported_throughout_is_not_beside_the_loss(tmp_path):
    never = [row(loss="kl_div", implementation="optax", framework="jax", status="unsupported", reason="no kl_div",
                 mechanism=mechanism, **LOST) for mechanism in ("value", "backward")]  # fmt: skip
    table = tables.prepare(pd.DataFrame([*rows(), row(loss="kl_div"), *never]))
    assert not ((tables.offered(table)["loss"] == "kl_div") & (tables.offered(table)["who"] == "optax")).any()
    for drawn in heatmap.maps(table, ["float32"]):
        whos = [who for _, names in drawn.columns for who in names]
        assert dict(drawn.rows)["kl_div"][whos.index("optax")] == heatmap.HeatCell()
    html, _ = written(tmp_path, [*rows(), row(loss="kl_div"), *never])
    assert "no kl_div" in html, "the reason is among what was not run"


def test_findings_beyond_a_stated_number_are_cut_with_the_command_that_shows_them(tmp_path, undrawn):
    bad = [row(loss=f"loss_{n}", implementation="optax", framework="jax", status="inaccurate", budget=2.0 + n)
           for n in range(pages.PEERS_SHOWN + 5)]  # fmt: skip
    html, _ = written(tmp_path, [*rows(), *bad])
    assert "7 findings more." in html, "two more are in rows()"
    assert "data/parity.csv" in html
    assert "<code>loss_<wbr>64</code> The value" in html
    assert "<code>loss_<wbr>0</code> The value" not in html


def claim(n):
    claim = SimpleNamespace(id=f"detached-error/{n}", source="detached-error", statement=f"<b>{n}</b>" + "x" * 120,
                            expected="holds")  # fmt: skip
    return SimpleNamespace(claim=claim, verdict=SimpleNamespace(kind="holds", condition=""), explanation="y" * 400,
                           status="as expected", evidence={})  # fmt: skip


def test_the_page_stays_small(tmp_path):
    whos = (("xloss", "torch"), ("xloss", "jax"), ("torch.nn.functional", "torch"), ("optax", "jax"), ("keras", "jax"))
    table = []
    for loss, (who, framework), dtype, mechanism, regime in itertools.product(
        LOSSES, whos, ("float64", "float32", "bfloat16", "float16"), ("value", "backward"), ("typical", "ties")
    ):
        bad = who != "xloss" and "float16" in dtype
        verdict = {"max_ulp": 1e5, "budget": 9.0, "status": "inaccurate", "reason": "z" * 120} if bad else {}
        what = {"loss": loss, "dtype": dtype, "mechanism": mechanism, "regime": regime}
        table.append(row(implementation=who, framework=framework, **what, **verdict))
    found = pages.contents(pd.DataFrame(table), {})
    html = pages.page(found, speed.Speed([], ["a"]), {"claims": claims.html([claim(n) for n in range(70)])})
    assert "&lt;b&gt;3&lt;/b&gt;" in html
    assert len(html.encode()) < 285_000, "the figures about speed take 115 kB more"


def test_what_is_committed_stays_small():
    folder = Path(__file__).parents[2] / "reports"
    names = subprocess.run(
        ["git", "ls-files", "."], cwd=folder, capture_output=True, text=True, check=False
    ).stdout.split()
    if not names:
        pytest.skip("not a checkout")
    sizes = {name: (folder / name).stat().st_size for name in names if not name.startswith("history/")}
    assert sizes["index.html"] < 450_000
    assert sizes["parity.md"] < 30_000
    assert sizes.get("regimes.json", 0) < 600_000
    assert sum(sizes.values()) < 3_000_000
    assert not [name for name in names if name.endswith(".parquet") or name == "history/benchmarks.json"]
