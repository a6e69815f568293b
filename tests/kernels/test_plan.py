"""The Triton kernels are compiled for an H100 without one, in a process where they are not interpreted."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("triton_kernels")


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=500)


def test_kernels_compile_for_an_h100_and_spill_nothing(tmp_path: Path) -> None:
    done = run("-m", "xloss.kernels.plan", "--out", str(tmp_path), "--classes", "5000", "--dtypes", "bfloat16")
    assert done.returncode == 0, done.stderr
    table: dict[str, Any] = json.loads((tmp_path / "plan.json").read_text())
    assert table["label"] == "planned by the compiler, not measured"
    assert table["label"] in (tmp_path / "plan.md").read_text()
    rows = {row["kernel"]: row for row in table["kernels"]}
    assert len(rows) == 4
    for row in rows.values():
        assert 0 < row["registers"] <= 255
        assert row["spill_stores"] == row["spill_loads"] == 0
        assert 0 <= row["shared_bytes"] < 228 * 1024
        # The interpreter, which the other tests use, would not show it: a GPU rounds to the nearest bfloat16.
        assert all(".rn." in one for one in row["narrows"].split() if one != "-")
        assert (row["narrows"] == "-") == (row["kernel"] == "forward")
    # The logits once, or twice, the second time perhaps from a cache, and the gradient once.
    over = {name: row["moved_over_least"] for name, row in rows.items()}
    assert over == {"forward": 1.0, "forward with gradient": 1.5, "forward with gradient, smoothing, weights": 2.5,
                    "backward": 1.0}  # fmt: skip


@pytest.mark.slow
def test_a_kernel_that_spills_is_told_by_the_exit_code(tmp_path: Path) -> None:
    """One whose programs hold 65,536 classes in a single warp."""
    code = ("import sys; from xloss.kernels import plan, torch; torch.MOST_CLASSES = 65536; torch.warps = lambda _: 1;"
            "sys.exit(plan.main(['--out', sys.argv[1], '--classes', '70000', '--dtypes', 'float32']))")  # fmt: skip
    done = run("-c", code, str(tmp_path))
    assert done.returncode == 1, done.stderr


def test_under_the_interpreter_nothing_is_planned() -> None:
    from xloss.kernels import plan

    assert importlib.util.find_spec("triton")
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET: expected it not to be set"):
        plan.plan()
