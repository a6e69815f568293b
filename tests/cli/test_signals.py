"""The command stopped, killed, and gone on with; and folders that cannot be written."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from xloss.parity.sweep import COLUMNS

SWEEP = (
    "--loss",
    "mse_loss",
    "--loss",
    "l1_loss",
    "--loss",
    "huber_loss",
    "--dtype",
    "float64",
    "--dtype",
    "bfloat16",
    "--framework",
    "torch",
    "--no-peers",
)


def start(*arguments, **more):
    command = [sys.executable, "-m", "xloss", "parity", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def kept(folder):
    import sqlite3

    file = folder / "data" / "parity.sqlite"
    if not file.exists() or not file.stat().st_size:
        return 0
    base = sqlite3.connect(file)
    try:
        return base.execute("SELECT count(*) FROM cells").fetchone()[0]
    except sqlite3.OperationalError:  # the table is being made
        return 0
    finally:
        base.close()


def descendants(pid):
    """The processes that a process has started, and these in turn."""
    found, parents = {pid}, {}
    for name in (one.name for one in Path("/proc").iterdir()):
        try:
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (ValueError, OSError):
            continue
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def gone(processes, within=10.0):
    end = time.monotonic() + within
    while time.monotonic() < end and any(Path(f"/proc/{one}/cmdline").exists() and
                                         Path(f"/proc/{one}/cmdline").read_bytes() for one in processes):  # fmt: skip
        time.sleep(0.05)
    return not any(Path(f"/proc/{one}/cmdline").exists() and Path(f"/proc/{one}/cmdline").read_bytes()
                   for one in processes)  # fmt: skip


def resumed(folder):
    out = subprocess.run(
        [sys.executable, "-m", "xloss", "parity", *SWEEP, "--out", str(folder), "--resume", "--json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_keeps_what_is_done_and_says_how_to_go_on(tmp_path, number):
    sweep = start(*SWEEP, "--out", tmp_path)
    while not kept(tmp_path) and sweep.poll() is None:
        time.sleep(0.05)
    children = descendants(sweep.pid)
    assert children
    sweep.send_signal(number)
    _out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + number
    assert f"stopped by {number.name}" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert gone(children)
    done = kept(tmp_path)
    facts = resumed(tmp_path)
    assert facts["resumed"] == done > 0
    assert facts["resumed"] + facts["ran"] == facts["cells"]
    assert list(facts)[-4:] == ["ran", "resumed", "by_status", "seconds"]


@pytest.mark.slow
def test_a_sweep_killed_at_twenty_moments_ends_with_the_rows_of_one_that_was_not(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    resumed(whole)
    rng = random.Random(0)
    for _ in range(20):
        sweep = start(*SWEEP, "--out", folder, "--resume")
        time.sleep(rng.uniform(0.5, 8.0))
        children = descendants(sweep.pid)
        sweep.kill()
        sweep.communicate(timeout=60)
        assert gone(children)
    facts = resumed(folder)
    assert facts["lost"] == 0
    columns = [name for name in COLUMNS if name != "seconds"]
    tables = [pd.read_parquet(one / "data" / "parity.parquet")[columns] for one in (whole, folder)]
    pd.testing.assert_frame_equal(*tables)


def test_a_folder_that_cannot_be_written_is_said_before_the_first_cell(tmp_path):
    (tmp_path / "file").write_text("")
    sweep = start(*SWEEP, "--out", tmp_path / "file")
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    assert str(tmp_path / "file") in errors
    assert "Traceback" not in errors
    assert "cases" not in out + errors


def test_resume_needs_a_folder():
    sweep = start(*SWEEP, "--resume")
    _out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    assert "--out" in errors
