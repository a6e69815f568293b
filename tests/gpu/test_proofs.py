"""What is proven of accelerators without one: each proof passes on the losses, and fails on a loss that is wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from xloss.catalog import LOSSES, get
from xloss.gpu import lowering, noise
from xloss.ops import accelerator
from xloss.ops import torch as ops

ROOT = Path(__file__).resolve().parents[2]
PLANTED = """
import sys, torch
from dataclasses import replace
from xloss.catalog import get
from xloss.gpu import fake
def item(input, target, reduction):
    return (input - target).square().mean() * (1.0 if input.sum().item() > 0 else 2.0)
def elsewhere(input, target, reduction):
    return ((input - target) * torch.ones(3)).mean()
def count(input, target, reduction):
    return input[input > 0].mean()
for function in (item, elsewhere, count):
    print(fake.failure(replace(get("mse_loss"), torch=function), "value"))
print(fake.failure(get("mse_loss"), "value"))
"""


def run(*command):
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, cwd=ROOT, timeout=500
    )


def test_no_loss_waits_for_a_device_or_leaves_it():
    done = run("-m", "xloss.gpu.fake")
    found = json.loads(done.stdout)
    assert found["losses"] == len(LOSSES), done.stderr
    assert found["raised"] == {}


def test_a_loss_that_waits_or_leaves_the_device_is_seen():
    done = run("-c", PLANTED)
    item, elsewhere, count, healthy = done.stdout.splitlines()
    assert "DataDependentOutput" in item, done.stderr
    assert "device" in elsewhere
    assert "DynamicOutputShape" in count
    assert healthy == ""


def test_values_are_looked_at_unless_they_are_hidden():
    label = torch.tensor([7])
    with pytest.raises(ValueError, match="target"):
        get("cross_entropy").torch(torch.zeros(1, 3), label)
    with pytest.raises(ValueError, match="target"):
        get("cross_entropy").jax(jnp.zeros((1, 3)), jnp.array([7]))
    with accelerator.hidden_values():
        assert not ops.concrete(label)
        assert torch.isnan(get("cross_entropy").torch(torch.zeros(1, 3), label))
        assert jnp.isnan(get("cross_entropy").jax(jnp.zeros((1, 3)), jnp.array([7])))
    assert ops.concrete(label)


@pytest.mark.parametrize("name", ["cross_entropy", "cosine_embedding_loss", "multi_margin_loss"])
def test_hidden_values_leave_the_kernels_of_the_cpu(name):
    """What an accelerator computes is asked: plain operations, no `autograd.Function` of ours."""

    def nodes():
        loss = get(name)
        from xloss.parity import Cell
        from xloss.parity.evaluate import inputs_of

        first = loss.variants[0]
        arrays = inputs_of(loss, Cell(name, first.name, first.shapes[0], "typical", "float32"))
        given = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
        wrt = loss.arguments.wrt[0]
        value = loss.implementation("torch")(**{**given, wrt: given[wrt].requires_grad_()}, **first.options)
        waiting, seen = [value.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [other for other, _ in node.next_functions]
        return {type(node).__name__ for node in seen}

    with accelerator.hidden_values():
        hidden = nodes()
    assert not any(one.startswith("_") for one in hidden), hidden
    assert any(one.startswith("_") for one in nodes())


def test_the_command_checks_with_values_hidden(tmp_path):
    from typer.testing import CliRunner

    from xloss.cli.app import app

    asked = ["parity", "--loss", "cross_entropy", "--dtype", "float32", "--regime", "typical", "--framework", "torch",
             "--no-peers", "--as-accelerator", "--no-isolation", "--out", str(tmp_path)]  # fmt: skip
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "data" / "parity.json").read_text())["as_accelerator"] is True
    assert not accelerator.values_are_hidden()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_sweep_passes_with_values_hidden(tmp_path):
    done = run("-m", "xloss", "parity", "--framework", "torch", "--dtype", "float32", "--no-peers", "--as-accelerator",
               "--json", "--out", str(tmp_path))  # fmt: skip
    found = json.loads(done.stdout)
    assert (done.returncode, found["failures"], found["lost"]) == (0, [], 0)
    assert found["checks_of_xloss"] > 30_000


@pytest.mark.parametrize("name", ["huber_loss", "ctc_loss", "linear_cross_entropy"])
def test_a_loss_is_lowered_for_other_platforms(name):
    rows = list(lowering.lowered(get(name)))
    assert [row["reason"] for row in rows if row["reason"]] == []
    assert len(rows) == len(lowering.PLATFORMS) * len(lowering.DERIVATIVES)
    assert all(row["lines"] > 5 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_lowered_for_other_platforms(name):
    assert [row for row in lowering.lowered(get(name)) if row["reason"]] == []


def test_a_call_back_to_the_host_is_seen():
    def calls(input, target, reduction="mean"):
        shape = jax.ShapeDtypeStruct(input.shape, input.dtype)
        return jax.pure_callback(lambda x: np.asarray(x), shape, input - target, vmap_method="sequential").mean()

    rows = list(lowering.lowered(replace(get("mse_loss"), jax=calls), ("cpu", "cuda"), ("value", "grad")))
    assert "calls back to the host" in rows[0]["reason"]
    assert all(row["reason"] for row in rows)  # for cuda it has no rule here, and no derivative anywhere


def test_the_programs_that_are_long_come_last(tmp_path):
    path = tmp_path / "lowering.json"
    rows = [
        {"loss": name, "derivative": "grad", "platform": "cuda", "lines": lines} for name, lines in (("a", 9), ("b", 2))
    ]
    path.write_text(json.dumps({"results": rows}))
    assert lowering.lengths(path) == {"a": 9, "b": 2}
    assert lowering.lengths(tmp_path / "absent") == {}


def test_noise_is_of_an_ulp_and_leaves_what_is_exact():
    x = torch.tensor([0.0, 1.0, -1.0, torch.inf, torch.nan, 0.3, 5.0, 1e-20, 3e8])
    for seed in noise.SEEDS:
        moved = noise.off_by_an_ulp(x, seed)
        assert torch.equal(moved[:4], x[:4])
        assert moved[4].isnan()
        steps = (moved[5:].view(torch.int32) - x[5:].view(torch.int32)).abs()
        assert steps.tolist() == [1, 1, 1, 1]
    with noise.noisy(0):
        assert torch.exp(x[5]) != np.exp(np.float32(0.3)) or torch.exp(x[6]) != np.exp(np.float32(5))
        assert torch.equal(torch.exp(x[5:]), torch.exp(x[5:]))
        assert torch.equal(x[5:] * 3, x[5:] + x[5:] + x[5:])


def test_noise_tells_a_loss_that_amplifies_it(monkeypatch):
    """The root of 4 is exact here, and an ulp off elsewhere, which its 64th power makes 64."""
    healthy = noise.measure("mse_loss")
    assert healthy["noisy"] < 1
    assert healthy["lost"] == []

    def amplified(input, target, reduction="mean"):
        loss = (input - target).square() * (torch.sqrt(torch.full_like(input, 4.0)) / 2) ** 64
        return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()

    monkeypatch.setattr(noise, "get", lambda name: replace(get("mse_loss"), torch=amplified))
    found = noise.measure("mse_loss")
    assert found["quiet"] <= 1 < found["noisy"]
    assert "mse_loss" in found["where"]
    assert noise.summary([healthy, {**found, "loss": "faulty"}])["beyond"] == ["faulty"]
