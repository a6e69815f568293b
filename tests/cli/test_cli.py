"""The command, as a user runs it: output, exit codes, files."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from xloss.catalog import LOSSES, substitute
from xloss.cli.app import app

QUICK = ["parity", "--loss", "mse_loss", "--dtype", "float32", "--regime", "typical", "--no-isolation", "--no-peers"]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, list(args))


def broken(name, framework, wrap):
    right = LOSSES[name].implementation(framework)
    return substitute(name, **{framework: lambda *args, **kwargs: wrap(right, *args, **kwargs)})


def test_list(run):
    out = run("list")
    assert out.exit_code == 0
    assert "cross_entropy" in out.stdout
    data = json.loads(run("list", "--json").stdout)
    assert {"name", "summary", "reductions", "variants", "peers"} <= set(data[0])


def test_explain(run):
    out = run("explain", "cross_entropy")
    assert out.exit_code == 0
    assert "label_smoothing" in out.stdout
    assert "logsumexp" in out.stdout
    assert json.loads(run("explain", "kl_div", "--json").stdout)["name"] == "kl_div"
    wrong = run("explain", "cross_entropi")
    assert wrong.exit_code == 2
    assert "did you mean cross_entropy" in wrong.stderr


def test_parity_passes_and_keeps_its_table(run, tmp_path):
    out = run(*QUICK, "--out", str(tmp_path))
    assert out.exit_code == 0, out.stdout
    table = pd.read_parquet(tmp_path / "data" / "parity.parquet")
    assert len(table) == len(pd.read_csv(tmp_path / "data" / "parity.csv"))
    facts = json.loads((tmp_path / "data" / "parity.json").read_text())
    assert facts["checks"] == (table["status"] != "unsupported").sum() == facts["checks_of_xloss"]
    assert f"all {facts['checks']} checks of xloss are within the budget; no other library asked" in out.stdout
    assert not list((tmp_path / "data").glob(".*")), "a temporary file was left"


def test_the_checks_of_xloss_are_counted_apart_from_those_of_others(run, tmp_path):
    case = "cross_entropy:default:6x5:confident:float32:cpu:0"
    out = run("parity", "--case", case, "--framework", "torch", "--out", str(tmp_path))
    assert out.exit_code == 0, out.stdout
    table = pd.read_parquet(tmp_path / "data" / "parity.parquet")
    asked = table[table["status"] != "unsupported"]
    own = (asked["implementation"] == "xloss").sum()
    facts = json.loads((tmp_path / "data" / "parity.json").read_text())
    assert facts["checks"] == len(asked) > own == facts["checks_of_xloss"]
    said = f"all {own} checks of xloss are within the budget; {len(asked) - own} checks of other libraries"
    assert said in out.stdout


def test_parity_fails_on_a_planted_fault_and_says_whose_it_is(run):
    with broken("mse_loss", "jax", lambda right, *args, **kwargs: 3 * right(*args, **kwargs)):
        out = run(*QUICK)
        data = json.loads(run(*QUICK, "--json").stdout)
    assert out.exit_code == 1
    assert "got/truth = 3 throughout" in out.stdout
    assert "jax is wrong; xloss (torch) is right" in out.stdout
    assert "backward" in out.stdout
    assert "xloss parity --case 'mse_loss:default:6x3:typical:float32:cpu:0'" in out.stdout
    assert {row["framework"] for row in data["failures"]} == {"jax"}


def test_parity_exits_3_when_something_raises(run):
    def raising(right, *args, **kwargs):
        raise RuntimeError("planted")

    with broken("mse_loss", "torch", raising):
        assert run(*QUICK).exit_code == 3


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--loss", "mse"], "did you mean mse_loss"),
        (["--dtype", "float8"], "expected one of float64, float32"),
        (["--regime", "calm"], "expected one of typical"),
        (["--framework", "tensorflow"], "expected one of torch, jax"),
        (["--device", "tpu"], "expected one of cpu, cuda"),
        (["--case", "mse_loss"], "loss:variant:shape"),
    ],
)
def test_parity_refuses_what_it_does_not_know(run, args, words):
    out = run("parity", *args)
    assert out.exit_code == 2
    assert words in out.stderr


def test_parity_says_when_nothing_was_run(run):
    out = run("parity", "--loss", "mse_loss", "--regime", "all_ignored")
    assert out.exit_code == 4


def test_doctor(run):
    out = run("doctor", "--json")
    assert out.exit_code == 0, out.stdout
    data = json.loads(out.stdout)
    assert data["frameworks"]["torch"]["check"] == "ok"
    assert data["frameworks"]["jax"]["check"] == "ok"


def test_help_teaches(run):
    for command in ("list", "parity", "bench", "claims", "explain", "report", "site", "doctor"):
        assert command in run("--help").stdout
        assert len(run(command, "--help").stdout) > 200
    assert "0 all well" in " ".join(run("--help").stdout.split())


def test_module_is_the_command():
    out = subprocess.run([sys.executable, "-m", "xloss", "--version"], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("xloss 0.")


def test_progress_without_a_terminal_is_a_line_a_tenth_or_half_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xloss.cli import console

    clock = iter(range(0, 10**6, 20))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    with console.progress("work") as show:
        for done in (0, 1, 2, 3, 50, 51):  # 20 s apart
            show(done, 100)
    assert capsys.readouterr().err.splitlines() == [f"work: {done} of 100" for done in (0, 2, 50)]
