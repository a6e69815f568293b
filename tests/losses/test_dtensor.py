"""Losses on DTensors over two processes: values and gradients are those of plain tensors.

Sharded over the samples, over the last axis (the classes), with what the samples share as DTensors or plain.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xloss.catalog import LOSSES

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("torch without distributed", allow_module_level=True)

# Results compared of each variant in each way: a value for each reduction, at least.
LEAST = 2


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """All losses in two processes that are started once: that takes as long as ten losses."""
    program = Path(__file__).with_name("distributed.py")
    done = subprocess.run(
        [sys.executable, str(program), *LOSSES, "--planted", "--others"],
        capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_sharded_is_unsharded(name: str, answers: dict[str, Any]) -> None:
    count, failures = answers[name]
    assert not failures, "\n".join(failures)
    assert count >= 3 * LEAST * len(LOSSES[name].variants)


def test_what_else_can_be_asked_of_dtensors(answers: dict[str, Any]) -> None:
    count, failures = answers["--others"]
    assert not failures, "\n".join(failures)
    assert count >= 8


def test_a_mean_of_each_devices_own_rows_is_caught(answers: dict[str, Any]) -> None:
    _, failures = answers["--planted"]
    assert any("samples" in line and "mean, value" in line for line in failures), failures
