"""`xloss bench`: what it refuses, the table, files, exit codes, and that it leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from xloss.bench import session
from xloss.bench.timer import Timing
from xloss.bench.workload import CONTESTANTS, Workload, shape_at
from xloss.catalog import LOSSES, Contestant, Unsupported, get
from xloss.cli import bench, bench_table
from xloss.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, ["bench", *args], env={"COLUMNS": "200"})


def timing(seconds, spread=0.01, seed=0):
    rng = np.random.default_rng(seed)
    return Timing(tuple(float(x) for x in seconds * rng.lognormal(0, spread, 12)), 1)


@pytest.fixture
def pretend(monkeypatch):
    """Results in place of processes: `change(workload, name)` gives a number or a `Failure`, or raises."""

    def set_up(change=lambda _workload, _name: None):
        asked = []

        def fresh(_own_group, function, *args, timeout=600.0):
            if function is not session.measure:
                return 1e10 if function.__name__ == "bytes_per_second" else ""
            workload, names, _settings = args
            asked.append((workload.contestant, names))
            canned = {
                "facts": {"version": "0", "least_bytes": 1200, "least_peak_bytes": 400, "flops": 0},
                "compile": 0.5, "peak": (800, "resident"), "ulps": {"value_worst": 0.5, "gradient_worst": 1.5},
            }  # fmt: skip
            speed = {"torch": 4e-3, "jax": 1e-3}[workload.contestant.framework]
            out = {}
            for name in names:
                given = change(workload, name)
                out[name] = given if given is not None else canned.get(name) or timing(speed, seed=len(asked))
            return out

        monkeypatch.setattr(session, "fresh", fresh)
        return asked

    return set_up


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "loss: name one, as in `xloss bench mse_loss`"),
        (["mse"], "did you mean mse_loss"),
        (["mse_loss", "--all"], "expected names or --all"),
        (["mse_loss", "--shape", "3,x"], "shape: expected positive numbers"),
        (["mse_loss", "--shape", "3,0"], "shape: expected positive numbers"),
        (["mse_loss", "--shape", "3,3", "--size", "small"], "size: expected none beside a shape"),
        (["cross_entropy", "--shape", "3,4,5,6,7,8"], "shape: expected one like 6,5"),
        (["mse_loss", "l1_loss", "--shape", "3,3"], "shape: expected one loss"),
        (["mse_loss", "l1_loss", "--variant", "weight"], "variant: expected one loss"),
        (["mse_loss", "--size", "huge"], "size: expected one of small, medium"),
        (["mse_loss", "--dtype", "f8"], "dtype: expected one of float64"),
        (["mse_loss", "--variant", "no"], "variant: mse_loss has no variant 'no'"),
        (["mse_loss", "--framework", "tensorflow"], "framework: expected one of torch, jax"),
        (["mse_loss", "--implementation", "me"], "implementation: expected one of xloss"),
        (["mse_loss", "--mode", "fast"], "mode: expected one of eager, compile, jit"),
        (["mse_loss", "--device", "tpu"], "device: expected one of cpu, cuda"),
        (["mse_loss", "--rounds", "0"], "rounds: expected a positive number"),
        (["mse_loss", "--seconds", "nan"], "seconds: expected a positive number"),
        (["mse_loss", "--out", "rows.txt"], "out: expected a file named .csv"),
    ],
)
def test_it_refuses_what_it_does_not_know(run, args, words):
    out = run(*args)
    assert out.exit_code == 2
    assert words in out.stderr
    assert not out.stdout


def test_nothing_to_measure_is_4(run):
    out = run("mse_loss", "--framework", "torch", "--mode", "jit")
    assert out.exit_code == 4
    assert "torch/eager/xloss" in out.stderr


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("8192,32000", (8192, 32000)),
        ("8192x32000", (8192, 32000)),
        ("(4, 3)", (4, 3)),
        ("7", (7,)),
        ("7,", (7,)),
        ("scalar", ()),
    ],
)
def test_a_shape_is_read_as_people_write_it(text, shape):
    assert bench._shape(get("mse_loss"), None, text) == shape


def test_dtypes_have_short_names():
    assert bench._dtypes(["bf16,f32", "half", "float64", "f32"]) == ["bfloat16", "float32", "float16", "float64"]


def test_every_loss_has_a_default_shape():
    for loss in LOSSES.values():
        for variant in loss.variants:
            assert isinstance(shape_at(loss, variant, "medium"), tuple)
        assert {"torch/eager/xloss", "jax/jit/xloss"} <= set(map(str, session.contestants(loss)))
        assert set(session.contestants(loss)) <= set(CONTESTANTS)


def test_the_table_has_a_row_for_everyone_and_a_verdict(run, pretend):
    asked = pretend()
    out = run("mse_loss", "--shape", "10,10")
    assert out.exit_code == 0, out.stdout + out.stderr
    for word in ("value and", "gradient", "sample", "compile", "memory", "GB/s", "roofline", "worst ulps", "verdict"):
        assert word in out.stdout
    lines = [line for line in out.stdout.splitlines() if line.startswith("│")]
    assert len(
        [line for line in lines if "torch eager" in line or "jax jit" in line or "torch compile" in line]
    ) == len(session.contestants(get("mse_loss")))
    fastest = next(line for line in lines if "fastest" in line)
    assert "jax jit" in fastest
    assert "1.00" in fastest
    assert all("slower" in line for line in lines if "torch eager" in line)
    assert "0.5 / 1.5" in fastest
    assert "800 B" in fastest
    rounds = [contestant for contestant, names in asked if names == ("value_and_grad",) or "facts" in names]
    size = len(session.contestants(get("mse_loss")))
    assert rounds[:size] == rounds[size : 2 * size][::-1], "everyone in turn, there and back"
    assert len(rounds) == 5 * size


def test_json_and_files_hold_all_samples(run, pretend, tmp_path):
    pretend()
    out = run("mse_loss", "--json", "--quick", "--dtype", "f32,bf16", "--out", str(tmp_path / "rows.parquet"))
    data = json.loads(out.stdout)
    assert {row["dtype"] for row in data["rows"]} == {"float32", "bfloat16"}
    assert not [row for row in data["rows"] if row["mode"] == "compile"], "--quick leaves out torch.compile"
    for row in data["rows"]:
        assert [len(samples) for samples in row["samples"]] == [12] * 5
        assert row["bytes_per_second"] == pytest.approx(row["least_bytes"] / row["value_and_grad_seconds"])
        assert row["share_of_roofline"] == pytest.approx(row["bytes_per_second"] / data["copy_bytes_per_second"])
        assert row["compile_seconds"] is row["peak_bytes"] is row["value_worst_ulps"] is None
    table = pd.read_parquet(tmp_path / "rows.parquet")
    assert [json.loads(text) for text in table["samples"]] == [row["samples"] for row in data["rows"]]
    assert set(table["cpu"]) == {data["cpu"]}
    for name in ("rows.csv", "rows.json"):
        assert run("mse_loss", "--quick", "--out", str(tmp_path / name)).exit_code == 0
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(json.loads((tmp_path / "rows.json").read_text())["rows"])
    assert not list(tmp_path.glob(".*")), "a temporary file was left"


def test_what_the_report_reads_is_what_this_writes(run, pretend, tmp_path):
    from xloss.report.source import read_bench
    from xloss.report.speed import tables

    pretend()
    run("mse_loss", "l1_loss", "--quick", "--out", str(tmp_path / "data" / "bench.parquet"))
    found = tables.comparisons(read_bench(tmp_path))
    assert [comparison.loss for comparison in found] == ["l1_loss", "mse_loss"]
    assert {one.pairs["xloss · torch eager", "xloss · jax jit"].verdict for one in found} == {"faster"}


def test_who_cannot_says_why_and_the_others_are_measured(run, pretend):
    pretend(
        lambda workload, name: (
            session.Failure("unsupported", "it has none")
            if workload.contestant.implementation == "keras" and name != "facts"
            else None
        )
    )
    out = run("mse_loss", "--no-memory", "--no-accuracy", "--no-compile")
    assert out.exit_code == 0
    assert (
        "keras, jax jit, value and gradient; keras, jax jit, value; keras, jax jit, per sample: it has none"
        in " ".join(out.stdout.split())
    )


@pytest.mark.parametrize("error", [RuntimeError("x: its process died (exit code -11)"), TimeoutError("no")])
def test_what_dies_is_3(run, pretend, monkeypatch, error):
    pretend()
    right = session.fresh

    def fresh(own_group, function, *args, timeout=600.0):
        if function is session.measure and str(args[0].contestant) == "jax/jit/xloss":
            raise error
        return right(own_group, function, *args, timeout=timeout)

    monkeypatch.setattr(session, "fresh", fresh)
    out = run("mse_loss", "--quick")
    assert out.exit_code == 3
    assert ("its process died" if isinstance(error, RuntimeError) else "no answer in") in out.stdout


def test_nobody_measured_is_4(run, pretend):
    pretend(
        lambda _workload, name: (
            session.Failure("unsupported", "too little memory") if name == "value_and_grad" else None
        )
    )
    assert run("mse_loss", "--quick").exit_code == 4


def test_few_rounds_allow_no_verdict(run, pretend):
    pretend()
    out = run("mse_loss", "--quick", "--rounds", "2")
    assert "ambiguous" in out.stdout
    assert "slower" not in out.stdout
    assert "no verdicts of 2 rounds: --rounds 5 or more" in out.stdout


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(pretend, width):
    from io import StringIO

    from rich.console import Console

    pretend()
    workloads = [Workload("mse_loss", contestant, shape=(4, 4)) for contestant in CONTESTANTS]
    rows = bench_table.compared(session.run(workloads, session.Settings(), lambda *_: None), 1e10)
    text = StringIO()
    bench_table.show(rows, {"device": "cpu", "copy_bytes_per_second": 1e10, "rounds": 5, "cpu": "a", "cores": 2},
                     Console(file=text, width=width))  # fmt: skip
    table = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    assert max(map(len, text.getvalue().splitlines())) <= width
    assert all("…" not in line for line in table)
    for row in rows:
        assert sum(row["implementation"] in line and f"{row['framework']} {row['mode']}" in line for line in table) >= 1


def test_what_raises_is_an_error_of_ours_and_a_lack_of_others():
    ours, theirs = (Workload("mse_loss", Contestant("jax", "jit", who)) for who in ("xloss", "optax"))
    assert session.failure(ours, ValueError("no\nmore")) == session.Failure("error", "ValueError: no")
    assert session.failure(theirs, ValueError("no")).status == "unsupported"
    assert session.failure(ours, Unsupported("not here")) == session.Failure("unsupported", "not here")
    assert session.failure(theirs, RuntimeError("CUDA out of memory")).status == "oom"


def test_one_process_takes_every_measurement():
    workload = Workload("mse_loss", Contestant("torch", "eager", "xloss"), variant="weight", shape=(8, 4))
    names = ("facts", "value_and_grad", "value", "per_sample", "compile", "peak", "ulps")
    found = session.measure(workload, names, session.Settings(samples=3, seconds=0.01))
    assert found["facts"]["least_bytes"] == 4 * (3 * 32 + 32 + 1), "three inputs, one gradient, the value"
    assert found["facts"]["least_peak_bytes"] == 4 * 32
    for quantity in ("value_and_grad", "value", "per_sample"):
        assert isinstance(found[quantity], Timing), found[quantity]
    assert found["compile"] == session.Failure("unsupported", "eager mode compiles nothing")
    assert isinstance(found["peak"], tuple) or found["peak"].status == "unsupported"
    assert 0 <= found["ulps"]["gradient_worst"] < 8


def test_a_run_from_end_to_end(run):
    out = run("cross_entropy", "--shape", "8,5", "--implementation", "xloss", "--mode", "eager", "--mode", "jit",
              "--rounds", "1", "--samples", "2", "--seconds", "0.01", "--no-compile", "--json")  # fmt: skip
    assert out.exit_code == 0, out.stdout + out.stderr
    data = json.loads(out.stdout)
    assert {row["framework"] for row in data["rows"]} == {"torch", "jax"}
    for row in data["rows"]:
        assert row["status"] == "ok", row["reason"]
        assert row["value_seconds"] > 0
        assert row["per_sample_seconds"] > 0
        assert 0 <= row["gradient_worst_ulps"] < 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_an_interrupted_run_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "xloss", "bench", "mse_loss", "--shape", "4096,4096", "--mode", "jit",
               "--seconds", "60", "--samples", "100000"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLOSS_MARK": tmp_path.name}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path)

    def running():
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if f"XLOSS_MARK={tmp_path.name}".encode() in (entry / "environ").read_bytes():
                        found.append(entry.name)
                except OSError:
                    continue
        return found

    try:
        assert process.stderr is not None
        assert "0 of" in process.stderr.readline()
        while len(running()) < 3:  # the command, the server, the one that measures
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        end = time.monotonic() + 30
        while running() and time.monotonic() < end:
            time.sleep(0.2)
        assert running() == []
        assert "nothing is left running" in process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
