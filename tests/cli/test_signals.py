"""The command stopped, killed, and gone on with; and folders that cannot be written."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from xloss.parity.sweep import COLUMNS
from xloss.report.source import digest

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


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
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


SMALL = ("--framework", "torch", "--no-peers", "--regime", "typical", "--dtype", "float64", "--json")


def test_two_sweeps_to_one_folder_lose_and_mix_nothing(tmp_path):
    names = ("mse_loss", "l1_loss")
    both = [start("--loss", name, *SMALL, "--out", tmp_path, "--jobs", 1) for name in names]
    for one in both:
        _out, errors = one.communicate(timeout=300)
        assert one.returncode == 0, errors
    facts = json.loads((tmp_path / "data" / "parity.json").read_text())
    table = pd.read_parquet(tmp_path / "data" / "parity.parquet")
    (last,) = set(table["loss"])
    assert last in names
    assert facts["table_sha256"] == digest(tmp_path / "data" / "parity.parquet")
    assert facts["by_status"] == table["status"].value_counts().to_dict()
    assert list(pd.read_csv(tmp_path / "data" / "parity.csv")["case_id"]) == list(table["case_id"])
    for name in names:
        again = start("--loss", name, *SMALL, "--out", tmp_path, "--resume")
        out, errors = again.communicate(timeout=300)
        assert again.returncode == 0, errors
        assert json.loads(out)["ran"] == 0


def check_full(sweep, data):
    """Raise unless the sweep ends with a sentence, and leaves nothing by half."""
    _out, errors = sweep.communicate(timeout=300)
    assert sweep.returncode in (2, 3), errors
    assert "Traceback" not in errors
    assert "out: " in errors
    assert str(data) in errors
    assert not [one.name for one in data.iterdir() if not one.name.startswith(("parity.sqlite", "truth.sqlite"))]


@pytest.mark.parametrize("most", [1 << 12, 1 << 15, 1 << 16])
def test_files_that_may_not_grow_are_a_sentence(tmp_path, most):
    sweep = start("--loss", "mse_loss", *SMALL[:-1], "--dtype", "float32", "--seed", 1, "--out", tmp_path)
    resource.prlimit(sweep.pid, resource.RLIMIT_FSIZE, (most, most))  # before it has imported what it needs
    check_full(sweep, tmp_path / "data")


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own, and how to mount it anew."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("file systems may not be mounted here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_a_full_disk_is_a_sentence(disk):
    place = disk("size=80k")
    check_full(start("--loss", "mse_loss", *SMALL[:-1], "--out", place), place / "data")


def test_a_disk_that_is_read_only_is_said_before_the_first_cell(disk):
    place = disk("ro,size=1m")
    sweep = start("--loss", "mse_loss", *SMALL[:-1], "--out", place)
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    assert f"{place}" in errors
    assert "Read-only file system" in errors
    assert "cases" not in out + errors
