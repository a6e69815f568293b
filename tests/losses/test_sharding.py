"""Losses on sharded arrays: values and gradients are those of one device.

In JAX on eight devices: `Explicit` and `Auto` meshes, over the samples and over the classes, `shard_map`, `pmap`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xloss.catalog import LOSSES

pytest.importorskip("jax")

# A process for several losses: half of the time of one goes into starting.
NAMES = list(LOSSES)
GROUPS = [NAMES[start::8] for start in range(8)]
# One of each way: gathers, a loop, pairs, chunks; the other processes take minutes.
TELLING = ["mse_loss", "nll_loss", "sparsemax_loss", "ntxent_loss", "linear_cross_entropy"]


def ask(*arguments: str) -> dict[str, Any]:
    program = Path(__file__).with_name("sharded.py")
    done = subprocess.run(
        [sys.executable, str(program), *arguments], capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize(
    "names",
    [TELLING, *(pytest.param(names, marks=pytest.mark.slow) for names in GROUPS)],
    ids=["+".join(names) for names in (TELLING, *GROUPS)],
)
def test_sharded_is_unsharded_in_jax(names: list[str]) -> None:
    answer = ask(*names)
    assert not answer["failures"], "\n".join(answer["failures"])
    assert answer["count"] >= 8 * len(names)


def test_a_loss_that_sees_its_own_rows_and_one_that_gathers_carelessly_are_caught() -> None:
    failures = "\n".join(ask("--planted")["failures"])
    assert "mse_loss, default, shard_map: AssertionError" in failures
    assert "mse_loss, default, pmap: AssertionError" in failures
    assert "nll_loss, weight+ignored, Explicit axes: ShardingTypeError" in failures
    assert "mse_loss, default, Explicit axes" not in failures
