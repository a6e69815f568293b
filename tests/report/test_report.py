"""The pages: they say what the table says, open offline, and survive hostile and missing input."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from xloss.cli import report
from xloss.parity.sweep import COLUMNS
from xloss.report import ReportError, svg, write
from xloss.report import format as words


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their figures, which take most of the time."""
    monkeypatch.setattr(svg, "distribution", lambda *_: "<svg></svg>")


def row(**changes):
    base = {
        "loss": "mse_loss", "variant": "default", "reduction": "none", "mechanism": "value", "argument": "",
        "dtype": "float32", "device": "cpu", "regime": "typical", "shape": "6x3", "implementation": "xloss",
        "framework": "torch", "version": "2.13.0", "max_abs": 1e-8, "max_rel": 1e-7, "max_ulp": 0.9, "p99_ulp": 0.8,
        "budget": 0.2, "status": "ok", "reason": "", "seconds": 0.001, "case_id": "mse_loss:default:6x3:typical:float32:cpu:0#a",
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
                    out.append(row(loss=loss, implementation=implementation, framework=framework, mechanism=mechanism,
                                   dtype=dtype, case_id=f"{loss}:default:6x3:typical:{dtype}:cpu:0#{len(out)}"))  # fmt: skip
    nan = float("nan")
    lost = {"max_abs": nan, "max_rel": nan, "max_ulp": nan, "p99_ulp": nan, "budget": nan}
    out.append(row(implementation="optax", framework="jax", status="unsupported", reason="optax has no weight", **lost))
    out.append(row(implementation="keras", framework="jax", status="error", reason="TypeError: no", **lost))
    out.append(row(implementation="torch.nn.functional", max_ulp=np.inf, budget=np.inf, status="inaccurate", regime="confident",
                   reason="got 0, truth 1e-7"))  # fmt: skip
    return out


def source(folder, table):
    data = folder / "data"
    data.mkdir(parents=True)
    pd.DataFrame(table, columns=COLUMNS).to_parquet(data / "parity.parquet")
    facts = {"created": "2026-01-01T00:00:00+00:00", "xloss": "0", "python": "3.11", "versions": {"torch": "2.13.0", "jax": None},
             "seconds": 2.0, "checks": len(table), "cells": 3, "cores": 2, "cpu": "a", "device": "cpu", "seed": 0, "full": False}  # fmt: skip
    (data / "parity.json").write_text(json.dumps(facts))
    return folder


def pages(folder, table):
    write(source(folder, table), folder)
    return (folder / "index.html").read_text(), (folder / "parity.md").read_text()


def test_the_page_fetches_nothing(tmp_path):
    html, _ = pages(tmp_path, rows())
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html)
    assert not re.findall(r"url\(\s*['\"]?\s*(?:https?:)?//|@import", html)
    assert "<script src" not in html


def test_the_check_sees_an_address(tmp_path):
    html, _ = pages(tmp_path, rows())
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html + '<img src="https://example.org/a.png">')


@pytest.mark.usefixtures("undrawn")
def test_a_planted_miss_changes_the_verdict_and_is_shown(tmp_path):
    good, _ = pages(tmp_path / "good", rows())
    bad_row = row(framework="jax", status="inaccurate", budget=99.0, max_ulp=1e6, reason="got/truth = 3 throughout",
                  case_id="mse_loss:default:6x3:ties:float32:cpu:7#x")  # fmt: skip
    bad, text = pages(tmp_path / "bad", [*rows(), bad_row])
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
    html, _ = pages(tmp_path, [*rows(), hostile])
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.usefixtures("undrawn")
def test_counts_are_those_of_the_table(tmp_path):
    _, text = pages(tmp_path, rows())
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
    first = pages(tmp_path / "a", rows())
    assert first == pages(tmp_path / "b", rows())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["data", "index.html", "parity.md"]


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
    _, text = pages(tmp_path, rows())
    found = counted(text)
    assert found["all"]["all"] == len(table)
    for (implementation, framework, status), n in (
        table.groupby(["implementation", "framework", "status"]).size().items()
    ):
        who = f"xloss · {framework}" if implementation == "xloss" else implementation
        assert found[who][status] == n, who
    assert sum(line["all"] for who, line in found.items() if who != "all") == len(table)


LOST = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "p99_ulp", "budget"), float("nan"))


@pytest.mark.parametrize(
    "status", ["inaccurate", "differs", "error", "crash", "timeout", "oom", "a status of tomorrow"]
)
@pytest.mark.usefixtures("undrawn")
def test_whatever_is_not_ok_spoils_the_verdict(tmp_path, status):
    gone = row(
        status=status, mechanism="", reason="it is gone", case_id="mse_loss:default:6x3:one:float32:cpu:0", **LOST
    )
    html, text = pages(tmp_path, [*rows(), gone])
    said = "1 of 17 checks of xloss are not within budget"
    assert said in html
    assert said in text
    assert "it is gone" in html
    assert "it is gone" in text


@pytest.mark.parametrize("budget", [1.004, float("nan"), float("inf")])
@pytest.mark.usefixtures("undrawn")
def test_an_ok_that_its_own_budget_contradicts_is_none(tmp_path, budget):
    html, _ = pages(tmp_path, [*rows(), row(budget=budget)])
    assert "1 of 17 checks of xloss are not within budget" in html


@pytest.mark.usefixtures("undrawn")
def test_nothing_of_xloss_is_no_good_verdict(tmp_path):
    for name, table in (("peers", [r for r in rows() if r["implementation"] != "xloss"]), ("none", [])):
        html, _ = pages(tmp_path / name, table)
        assert "Nothing of xloss was checked." in html
        assert "verdict ill" in html


@pytest.mark.usefixtures("undrawn")
def test_numbers_that_are_none_are_shown_as_such(tmp_path):
    html, text = pages(tmp_path, [*rows(), row(regime="ties", implementation="optax", framework="jax", **LOST)])
    for page in (html, text):
        assert not re.search(r"[>|] *-?(nan|inf)\b", page)
    assert "∞" in text


@pytest.mark.usefixtures("undrawn")
def test_the_devices_and_dtypes_left_out_are_named(tmp_path):
    html, _ = pages(tmp_path / "cpu", rows())
    assert "Not run on a GPU" in html
    assert "No check of these dtypes: float64, float16." in html
    assert "keras was not asked in bfloat16." in html
    html, _ = pages(tmp_path / "gpu", [*rows(), row(device="cuda")])
    assert "Not run on a GPU" not in html


@pytest.mark.usefixtures("undrawn")
def test_a_reason_cannot_break_the_markdown(tmp_path):
    hostile = row(implementation="optax", framework="jax", status="inaccurate", budget=3.0, reason="a | b\n# c <img src=x>",
                  case_id="mse_loss:a`b|c:6x3:ties:float32:cpu:0")  # fmt: skip
    _, text = pages(tmp_path, [*rows(), hostile])
    assert r"a \| b \# c \<img src=x\>" in text
    assert "# c" not in text.splitlines()
    assert "a`b" not in text


@pytest.mark.usefixtures("undrawn")
def test_what_is_closest_to_the_budget_is_no_16_bit_rounding(tmp_path):
    _, text = pages(
        tmp_path, [*rows(), row(dtype="bfloat16", budget=0.999, case_id="c16"), row(budget=0.5, case_id="c32")]
    )
    worst = text[text.index("## Worst of xloss") : text.index("## Findings")]
    assert "c32" in worst
    assert "c16" not in worst


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.4849, "0.48"), (81.2, "81"), (1.67e7, "1.7e7"), (1e5, "1e5"), (999.6, "1e3"), (9.97, "10"), (0, "0"), (3e-5, "3e-5"),
     (float("inf"), "∞"), (float("nan"), "–")],
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
    assert done.stdout.split() == [str(tmp_path / "out" / name) for name in ("index.html", "parity.md")]
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
