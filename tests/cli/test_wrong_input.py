"""Wrong input: exit 2, one sentence that names the option, what came and what was expected, before anything runs."""

import pytest
from typer.testing import CliRunner

from xloss import parity
from xloss.cli.app import app

CASE = "mse_loss:default:6x3:typical:float32:cpu:0"


def other(**parts: str) -> str:
    names = ("loss", "variant", "shape", "regime", "dtype", "device", "seed")
    return ":".join(parts.get(name, was) for name, was in zip(names, CASE.split(":"), strict=True))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--timeout", "0"], ["timeout", "positive", "got 0"]),
        (["--timeout", "nan"], ["timeout", "got nan"]),
        (["--timeout", "-1"], ["timeout", "got -1"]),
        (["--timeout", "inf"], ["timeout", "got inf"]),
        (["--timeout", "1e300"], ["timeout", "1,000,000", "1e+300"]),
        (["--timeout", "x"], ["timeout", "number", "'x'"]),
        (["--seed", "-1"], ["seed", "from 0 to 4294967295", "-1"]),
        (["--seed", "9" * 400], ["seed", "4294967295"]),
        (["--seed", "1.5"], ["seed", "whole number", "'1.5'"]),
        (["--jobs", "-1"], ["jobs", "from 0 to 1024", "-1"]),
        (["--jobs", "x"], ["jobs", "whole number", "'x'"]),
        (["--out", ""], ["out", "path", "''"]),
        (["--out", "a\x1bb"], ["out", "path"]),
        (["--out", "/dev/null"], ["out", "/dev/null"]),
        (["--out", "x" * 5000], ["out", "too long"]),
        (["--device", "cudaa"], ["device", "did you mean cuda?"]),
        (["--dtype", "Float32"], ["dtype", "did you mean float32"]),
        (["--regime", "typcal"], ["regime", "did you mean typical"]),
        (["--loss", "mse"], ["loss", "did you mean mse_loss"]),
        (["--sed", "1"], ["--sed", "did you mean --seed"]),
        (["--loss"], ["loss", "argument"]),
        (["--case", other(loss="mse_losss")], ["case", "did you mean mse_loss"]),
        (["--case", other(variant="defualt")], ["case", "default, weight"]),
        (["--case", other(shape="6y3")], ["case", "shape", "6y3"]),
        (["--case", other(shape="6x٣")], ["case", "shape"]),
        (["--case", other(shape="1_0x3")], ["case", "shape"]),
        (["--case", other(shape="-6x3")], ["case", "shape"]),
        (["--case", other(shape="0x3")], ["case", "shape", "empty"]),
        (["--case", other(shape="1000000x1000000")], ["case", "at most"]),
        (["--case", other(loss="cross_entropy", shape="6")], ["case", "a shape like 6x5", "got 6"]),
        (["--case", other(loss="ctc_loss", shape="6x3")], ["case", "a shape like 4x3x3"]),
        (["--case", other(regime="all_ignored")], ["case", "does not apply"]),
        (["--case", other(dtype="float8")], ["case", "dtype", "did you mean"]),
        (["--case", other(device="tpu")], ["case", "device", "cpu, cuda"]),
        (["--case", other(seed="-1")], ["case", "seed"]),
        (["--case", other(seed="9" * 5000)], ["case", "seed"]),
        (["--case", CASE + "#nonsense"], ["case", "nonsense"]),
        (["--case", CASE, "--loss", "l1_loss"], ["loss", "contradicts --case"]),
        (["--case", CASE, "--dtype", "float64"], ["dtype", "contradicts --case"]),
        (["--case", CASE, "--regime", "large"], ["regime", "contradicts --case"]),
        (["--case", CASE, "--seed", "3"], ["seed", "contradicts --case"]),
        (["--case", CASE, "--device", "cuda"], ["device", "contradicts --case"]),
        (["--case", CASE, "--full"], ["full", "contradicts --case"]),
    ],
)
def test_parity(args: list[str], words: list[str]) -> None:
    done = CliRunner().invoke(app, ["parity", *args])
    assert done.exit_code == 2, done.output
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1, "one sentence"
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["paritty"], ["'paritty'", "did you mean parity"]),
        ([""], ["no command ''", "expected one of"]),
        (["--verson"], ["--verson", "--version"]),
        (["list", "x"], ["xloss list", "x"]),
        (["explain"], ["loss", "expected one"]),
        (["explain", "a\x00"], ["loss", r"'a\x00'"]),
        (["bench", "mse_loss", "--shape", ""], ["shape", "''"]),
        (["bench", "mse_loss", "--shape", "9" * 20 + "x99999"], ["shape", "at most"]),
        (["bench", "mse_loss", "--size", ""], ["size", "''"]),
        (["bench", "mse_loss", "--rounds", "1000000"], ["rounds", "up to 100,000"]),
        (["bench", "mse_loss", "--quick", "--memory"], ["memory", "contradicts --quick"]),
        (["bench", "mse_loss", "--out", "/dev/null/x.csv"], ["out", "/dev/null"]),
        (["claims", "detached-error/signs", "--out", "/dev/null"], ["out", "/dev/null"]),
        (["report", "/nonexistent"], ["source", "/nonexistent", "xloss parity --out"]),
        (["report", ""], ["source", "path", "''"]),
        (["site", "/nonexistent"], ["source", "/nonexistent"]),
        (["site", "reports", "--out", "/dev/null"], ["out", "/dev/null"]),
    ],
)
def test_the_other_commands(args: list[str], words: list[str]) -> None:
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2, done.output
    assert not done.stdout
    for word in words:
        assert word in done.stderr


def test_every_cell_of_a_sweep_is_accepted() -> None:
    for full in (False, True):
        for cell in parity.cells(["cross_entropy", "ctc_loss", "mse_loss", "triplet_margin_loss"], full=full):
            assert parity.Cell.parse(cell.case_id) == cell
