"""`xloss diff`: what got worse between two sweeps, in both directions, through files as a sweep writes them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from xloss.cli.app import app
from xloss.cli.sweep_results import keep
from xloss.parity.sweep import COLUMNS


def row(n: int, **changes: Any) -> dict[str, Any]:
    base = dict.fromkeys(COLUMNS, "") | {
        "loss": "mse_loss", "framework": "torch", "implementation": "xloss", "status": "ok", "max_abs": 0.0,
        "max_rel": 0.0, "max_ulp": 2.0, "p99_ulp": 1.0, "budget": 0.1, "seconds": 0.1, "case_id": f"mse_loss:{n}#x",
    }  # fmt: skip
    return base | changes


def kept(folder: Path, rows: list[dict[str, Any]], torch: str = "2.13.0") -> str:
    keep(pd.DataFrame(rows, columns=COLUMNS), {"versions": {"torch": torch}, "cpu": "a", "seconds": len(rows)}, folder)
    return str(folder)


def diff(*args: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["diff", *args, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({}, {"status": "inaccurate", "budget": 9.0, "max_ulp": 900.0}),
        ({}, {"status": "crash", "max_ulp": float("nan"), "budget": float("nan")}),
        ({"status": "inaccurate", "budget": 9.0}, {"status": "error", "budget": float("nan")}),
        ({}, {"status": "unsupported", "max_ulp": float("nan"), "budget": float("nan")}),
        ({}, {"max_ulp": 20.0, "budget": 0.9}),
    ],
)
def test_worse_is_1_and_the_other_way_round_better_and_0(tmp_path: Path, was: dict, now: dict) -> None:
    a = kept(tmp_path / "a", [row(0, **was), row(1)])
    b = kept(tmp_path / "b", [row(0, **now), row(1)], torch="2.14.0")
    code, data = diff(a, b)
    assert (code, data["worse"], data["better"], data["compared"]) == (1, 1, 0, 2)
    assert data["facts"] == {"torch": ["2.13.0", "2.14.0"]}
    assert [check["case_id"] for check in data["checks"]] == ["mse_loss:0#x"]
    code, data = diff(b, a)
    assert (code, data["worse"], data["better"]) == (0, 0, 1)


def test_the_threshold_decides_and_rounding_is_none(tmp_path: Path) -> None:
    a, b = kept(tmp_path / "a", [row(0)]), kept(tmp_path / "b", [row(0, max_ulp=20.0, budget=0.9)])
    assert diff(a, b)[0] == 1
    assert diff(a, b, "--digits", "1.1")[0] == 0
    c, d = kept(tmp_path / "c", [row(0, max_ulp=0.01)]), kept(tmp_path / "d", [row(0, max_ulp=0.5, budget=0.9)])
    assert diff(c, d)[0] == 0


def test_what_is_in_one_only(tmp_path: Path) -> None:
    a, b = kept(tmp_path / "a", [row(0), row(1)]), kept(tmp_path / "b", [row(1), row(2)])
    code, data = diff(a, b)
    assert (code, data["only_in_a"], data["only_in_b"], data["compared"]) == (0, 1, 1, 1)
    lost = kept(tmp_path / "lost", [row(1), row(0, case_id="mse_loss:0", status="timeout")])
    assert diff(a, lost)[0] == 1, "a cell without a result is worse"
    assert diff(a, kept(tmp_path / "c", [row(7)]))[0] == 4


def test_a_file_does_and_what_is_none_is_2(tmp_path: Path) -> None:
    a = kept(tmp_path / "a", [row(0)])
    assert diff(a, str(tmp_path / "a" / "data" / "parity.parquet"))[0] == 0
    for args in ([a, str(tmp_path / "no")], [a, a, "--digits", "nan"], [a, a, "--digits", "-1"], [a]):
        code, data = diff(*args)
        assert code == 2, args
        assert data["error"].strip()


def test_the_text_says_it(tmp_path: Path) -> None:
    a = kept(tmp_path / "a", [row(0), row(1)])
    b = kept(tmp_path / "b", [row(0, status="inaccurate", budget=9.0, max_ulp=900.0), row(1)], torch="2.14.0")
    text = CliRunner().invoke(app, ["diff", a, b]).stdout
    for words in ("torch: 2.13.0 -> 2.14.0", "worse  mse_loss:0#x: ok -> inaccurate", "2 checks compared: 1 worse"):
        assert words in text
