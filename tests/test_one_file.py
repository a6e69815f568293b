"""Adding a loss is one file: dropped into `xloss/losses`, it gets checks, a page, benchmarks, a class and stubs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOY = '''r"""The fourth power of the error.

Formula: l = (x - y)^4.

Args:
    input: x, any shape.
    target: y, the shape of `input`.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: the loss.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.toy_quartic_loss(np.float32([2.0]), np.float32([0.0])))
16.0

Source: this test.
"""

from __future__ import annotations

from xloss.catalog import Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_toy_quartic_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    square = (input - target) * (input - target)
    return ops.reduce(square * square, reduction, dtype)


def jax_toy_quartic_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    square = (input - target) * (input - target)
    return ops.reduce(square * square, reduction, dtype)


def truth(t, input, target):
    return (input - target) ** 4


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="toy_quartic_loss",
    summary="the fourth power of the error",
    torch=torch_toy_quartic_loss,
    jax=jax_toy_quartic_loss,
    truth=truth,
    inputs=inputs,
    variants=(Variant(shapes=((6, 3),)),),
    source="this test",
)
'''
COUNT = """
import json, pathlib, sys
import xloss, xloss.jax, xloss.torch
from xloss import parity
from xloss.bench.workload import Workload
from xloss.catalog import LOSSES, Contestant
from xloss.modules import class_name
from xloss.modules.stubs import text as stub

assert pathlib.Path(xloss.__file__).is_relative_to(sys.argv[1]), xloss.__file__
loss = LOSSES["toy_quartic_loss"]
table = parity.sweep(parity.cells([loss.name], dtypes=["float32"], regimes=["typical", "tiny"]))
own = table[table["implementation"] == "xloss"]
import benchmarks.speed_torch_eager
print(json.dumps({
    "checks": {name: int((own["framework"] == name).sum()) for name in ("torch", "jax")},
    "status": sorted(own["status"].unique()),
    "mechanisms": int(own["mechanism"].nunique()),
    "functions": [hasattr(face, loss.name) for face in (xloss.torch, xloss.jax)],
    "classes": [type(getattr(face, class_name(loss))()).__name__ for face in (xloss.torch, xloss.jax)],
    "size": Workload(loss.name, Contestant("torch", "eager", "xloss")).shape_of(loss),
    "benchmark": hasattr(benchmarks.speed_torch_eager, loss.name),
    "stubs": [
        f"def {loss.name}(" in stub(name) and f"class {class_name(loss)}" in stub(name) for name in ("torch", "jax")
    ],
    "explained": "fourth power" in loss.torch.__doc__,
}))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and its benchmarks with one file more."""
    for name in ("xloss", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "xloss" / "losses" / "toy_quartic_loss.py").write_text(TOY)
    return tmp_path


def run(checkout: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu", "XLOSS_FRAMEWORK": "torch"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_a_loss_is_one_file(checkout: Path) -> None:
    got = json.loads(run(checkout, "-c", COUNT, str(checkout)).splitlines()[-1])
    assert got["checks"]["torch"] >= 40
    assert got["checks"]["jax"] >= 25
    assert got["status"] == ["ok"]
    assert got["mechanisms"] >= 12
    assert got["functions"] == [True, True]
    assert got["classes"] == ["ToyQuarticLoss", "ToyQuarticLoss"]
    assert got["size"] == [1024, 1024]
    assert got["benchmark"]
    assert got["stubs"] == [True, True]
    assert got["explained"]


def test_its_page(checkout: Path) -> None:
    command = (
        "-m",
        "xloss",
        "parity",
        "--loss",
        "toy_quartic_loss",
        "--dtype",
        "float32",
        "--jobs",
        "1",
        "--out",
        "reports",
    )
    run(checkout, *command, "--regime", "typical")
    run(checkout, "-m", "xloss", "report", "reports", "--no-claims")
    assert "toy_quartic_loss" in (checkout / "reports" / "index.html").read_text("utf-8")
    assert "toy_quartic_loss" in run(checkout, "-m", "xloss", "list")


def test_a_wrong_loss_is_seen(checkout: Path) -> None:
    file = checkout / "xloss" / "losses" / "toy_quartic_loss.py"
    file.write_text(TOY.replace("return (input - target) ** 4", "return (input - target) ** 3"))
    with pytest.raises(AssertionError, match="inaccurate"):
        run(checkout, "-m", "xloss", "parity", "--loss", "toy_quartic_loss", "--dtype", "float32", "--jobs", "1")
