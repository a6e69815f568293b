"""`xloss compare` on files, in real processes: what crashes, hangs or leaves costs its own check."""

import json
import subprocess
import sys

import pytest

TORCH = """
import ctypes, os, time
import torch
import torch.nn.functional as F

def right(input, target):
    return F.mse_loss(input, target)

def doubled(input, target):
    return 2 * F.mse_loss(input, target)

def segfault(input, target):
    if input.dtype == torch.float16:
        ctypes.string_at(0)
    return F.mse_loss(input, target)

def hang(input, target):
    if input.dtype == torch.bfloat16 and len(input) == 8:
        while True:
            time.sleep(1)
    return F.mse_loss(input, target)

def eat(input, target):
    if input.dtype == torch.float16 and len(input) == 8:
        kept = []
        while True:
            kept.append(b"x" * 2**28)
    return F.mse_loss(input, target)

def leave(input, target):
    if input.dtype == torch.float16:
        os._exit(0)
    return F.mse_loss(input, target)
"""
JAX = """
def mse(pred, target):
    return ((pred - target) ** 2).mean()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pair")
    (path / "t.py").write_text(TORCH)
    (path / "j.py").write_text(JAX)
    return path


def run(folder, *arguments):
    done = subprocess.run([sys.executable, "-m", "xloss", "compare", *arguments, "--no-per-sample"], cwd=folder,
                          capture_output=True, text=True, timeout=400)  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def test_a_healthy_pair_of_files(folder):
    done = run(folder, "t.py:right", "j.py:mse", "--junit", "out/j.xml", "--markdown", "out/s.md")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torch and jax agree" in done.stdout
    assert "assumed from the signature" in done.stdout
    assert (folder / "out/j.xml").read_text().startswith("<?xml")
    assert "agree" in (folder / "out/s.md").read_text()


def test_a_factor_is_named_and_a_script_shown(folder):
    done = run(folder, "t.py:doubled", "j.py:mse", "--dtype", "float32")
    assert done.returncode == 1
    assert "cause: " in done.stdout
    assert "without xloss" in done.stdout


@pytest.mark.parametrize(
    ("function", "status"),
    [
        ("segfault", "crash"),
        pytest.param("hang", "timeout", marks=pytest.mark.slow),
        pytest.param("leave", "crash", marks=pytest.mark.slow),
        pytest.param("eat", "oom", marks=pytest.mark.slow),
    ],
)
def test_a_fault_costs_its_own_check(folder, function, status):
    done = run(
        folder, f"t.py:{function}", "j.py:mse", "--json", "--timeout", "25", "--regime", "typical", "--jobs", "1"
    )
    assert done.returncode == 3, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    bad = [row for row in rows if row["status"] != "ok"]
    assert {row["status"] for row in bad} == {status}
    assert {(row["side"], row["dtype"], row["case"]) for row in bad} <= {
        ("torch", "float16", "typical"), ("torch", "bfloat16", "typical")}  # fmt: skip
    assert {row["dtype"] for row in rows if row["status"] == "ok" and row["side"] == "torch"} >= {"float64", "float32"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["t.py", "j.py:mse"], "first: expected module:name"),
        (["t.py:right", "nowhere.py:mse"], "there is no file"),
        (["t.py:rihgt", "j.py:mse"], "did you mean right"),
        (["t.py:right", "j.py:mse", "--like", "mse_los"], "did you mean mse_loss"),
        (["t.py:right", "j.py:mse", "--labels", "4"], "labels: needs --shape"),
        (["t.py:right", "j.py:mse", "--shape", "4,x"], "shape: expected sizes"),
        (["t.py:right", "j.py:mse", "--like", "mse_loss", "--truth", "t.py:right"], "truth: --like"),
        (["t.py:right", "j.py:mse", "--regime", "typicl"], "did you mean typical"),
        (["t.py:right", "j.py:mse", "--inputs", "none.toml"], "none.toml"),
        (["t.py:right", "j.py:mse", "--microbatches", "-1"], "microbatches"),
    ],
)
def test_wrong_input_ends_with_a_sentence(folder, arguments, says):
    done = run(folder, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert not done.stdout
