"""The pages: they say what the table says, open offline, and survive hostile and missing input."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from xloss.parity.sweep import COLUMNS
from xloss.report import ReportError, write


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


def test_text_is_escaped(tmp_path):
    hostile = row(
        implementation="optax", framework="jax", status="inaccurate", budget=3.0, reason="<script>alert(1)</script>"
    )
    html, _ = pages(tmp_path, [*rows(), hostile])
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


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
