"""What is measured on a device, tried on objects that stand for one: no wrong number is passed off as a time."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from xloss import environment
from xloss.bench import device_time, peak_memory
from xloss.bench.timer import Timing
from xloss.bench.workload import CONTESTANTS, Workload, draw
from xloss.catalog import Unsupported, get
from xloss.gpu import measure, summary
from xloss.gpu.published import FIGURES
from xloss.parity.mechanisms import load

JAX = next(who for who in CONTESTANTS if who.framework == "jax")


class Queue:
    """A device with a clock of its own, on which a call takes `device` seconds; queueing one takes `host`."""

    def __init__(self, device, host):
        self.now, self.free, self.device, self.host = 0.0, 0.0, device, host

    def call(self):
        self.now += self.host
        self.free = max(self.free, self.now) + self.device
        return self.free

    def wait(self, until):
        self.now = max(self.now, until)


def timed(queue, monkeypatch):
    monkeypatch.setattr(device_time.time, "perf_counter", lambda: queue.now)
    shares = []
    return [device_time.slope(queue.call, queue.wait, shares) for _ in range(5)], shares


def test_a_queue_gives_the_time_of_the_device_where_the_host_is_ahead(monkeypatch):
    found, shares = timed(Queue(device=3e-3, host=1e-5), monkeypatch)
    assert found == pytest.approx([3e-3] * 5)
    assert device_time.checked(Timing(tuple(found), 16), shares).lower_quartile == pytest.approx(3e-3)


def test_a_host_that_is_slower_than_the_device_is_no_time_of_the_device(monkeypatch):
    found, shares = timed(Queue(device=1e-6, host=1e-4), monkeypatch)
    with pytest.raises(Unsupported, match="host was not ahead"):
        device_time.checked(Timing(tuple(found), 16), shares)


@pytest.mark.parametrize("samples", [(0.0, 0.0, 0.0), (-1e-6, 2e-6, -3e-6), (float("nan"),) * 3])
def test_noise_is_no_time_and_never_0(samples):
    with pytest.raises(Unsupported, match="noise"):
        device_time.checked(Timing(samples, 16), [0.1])


def test_the_peak_of_jax_leaves_out_what_compiling_took():
    """XLA tries kernels out on the device while it compiles; that is not the operation's memory."""

    class Device:
        in_use, peak = 1000, 1000

        def memory_stats(self):
            return {"bytes_in_use": self.in_use, "peak_bytes_in_use": self.peak}

        def take(self, count):
            self.peak = max(self.peak, self.in_use + count)

    def prepared(compiling, running):
        device = Device()
        program = SimpleNamespace(
            lower=lambda *_: SimpleNamespace(
                compile=lambda: device.take(compiling) or (lambda *_: device.take(running))
            )
        )
        workload = Workload("mse_loss", JAX, device="cuda")
        return SimpleNamespace(framework=load("jax"), device=device, program=program, arguments=(), workload=workload,
                               wait=lambda _: None)  # fmt: skip

    assert peak_memory.of_device(prepared(compiling=0, running=400)) == 400
    assert peak_memory.of_device(prepared(compiling=300, running=400)) == 400
    with pytest.raises(Unsupported, match="compiling"):
        peak_memory.of_device(prepared(compiling=900, running=400))


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_device_that_is_not_there_is_refused_by_its_number(name):
    with pytest.raises(RuntimeError, match="device"):
        load(name).device("cuda:1")


def test_jax_takes_the_device_that_is_asked_for(monkeypatch):
    import jax

    monkeypatch.setattr(jax, "devices", lambda kind=None: [f"{kind}:0", f"{kind}:1"])
    assert load("jax").device("cuda:1") == "gpu:1"
    assert load("jax").device("cuda") == "gpu:0"
    with pytest.raises(RuntimeError, match="sees 2 cuda devices, not cuda:2"):
        load("jax").device("cuda:2")


def test_published_shapes_are_those_of_losses_and_the_table_has_a_place_for_ours():
    for figure in FIGURES:
        loss = get(figure.loss)
        workload = Workload(loss.name, JAX, figure.quantity, "published", figure.dtype, shape=figure.shape,
                            extra=figure.extra)  # fmt: skip
        assert workload.shape_of(loss) == (*figure.shape, *figure.extra)
        assert figure.seconds or figure.share_of_bandwidth
    few = Workload("linear_cross_entropy", JAX, shape=(6, 4), extra=(9,))
    assert draw(get("linear_cross_entropy"), few).shape("linear_weight") == (9, 4)
    figure = FIGURES[0]
    cell = f"{figure.loss} torch/eager/xloss {figure.quantity} 32768x32768 float32 warm"
    row = {"step": "published", "cell": cell, "status": "ok", "shape": [32768, 32768], "device_seconds": 0.0042,
           "seconds": 1.0, "peak_bytes": 5e9}  # fmt: skip
    empty, filled = summary.page([], [], [], {}), summary.page([row], [], [], {})
    assert "| 8.4 ms |  |  |" in empty
    assert "| 8.4 ms | 4.2 ms, 5 GB |  |" in filled
    rehearsed = summary.page([{**row, "shape": [32, 32]}], [], [], {})
    assert "| 8.4 ms |  |  |" in rehearsed


@pytest.mark.parametrize("who", ["torch/eager/xloss", "jax/jit/xloss"])
def test_a_rehearsal_measures_small(who):
    cell = {"id": "x", "loss": "linear_cross_entropy", "who": who, "size": "published", "dtype": "float32",
            "quantity": "value_and_grad", "cold": False, "shape": [32768, 4096], "extra": [151936]}  # fmt: skip
    settings = {"device": "cpu", "rehearse": True}
    start = time.perf_counter()
    row = measure.timed(cell, settings)
    assert row["shape"] == [16, 64, 256]
    assert 0 < row["host_seconds"] < time.perf_counter() - start
    same = measure.repeats(cell, settings)
    assert (same["differ"], same["results"]) == (0, 3)
    exact = measure.products({**cell, "precision": "highest"}, settings)
    assert max(exact["errors"].values()) < 1e-5


def test_repeats_see_bits_that_differ(monkeypatch):
    bits = iter([[b"a", b"b"], [b"a", b"c"], [b"a", b"b"]])
    monkeypatch.setattr(measure, "_bits", lambda *_: next(bits))
    cell = {"loss": "mse_loss", "who": "torch/eager/xloss", "size": "small", "dtype": "float32", "quantity": "value"}
    assert measure.repeats(cell, {"device": "cpu", "rehearse": True})["differ"] == 1


def test_an_error_of_products_is_that_of_the_implementation(monkeypatch):
    results = measure._results
    monkeypatch.setattr(
        measure, "_results",
        lambda loss, workload, dtype, device: {
            k: x * (1 + 1e-3 * (dtype == "float32")) for k, x in results(loss, workload, dtype, device).items()
        },
    )  # fmt: skip
    cell = {"loss": "linear_cross_entropy", "who": "torch/eager/xloss", "size": "small", "dtype": "float32",
            "quantity": "value_and_grad", "precision": "usual"}  # fmt: skip
    errors = measure.products(cell, {"device": "cpu", "rehearse": True})["errors"]
    assert np.isclose(max(errors.values()), 1e-3, rtol=0.1)


@pytest.mark.parametrize("unknown", ["", "ecc.mode.current"])
def test_the_card_is_described_field_by_field_where_one_is_unknown(tmp_path, monkeypatch, unknown):
    """By a program in nvidia-smi's place, which refuses a query with a field that it does not know."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\ncase \"$1\" in *{unknown or 'no-such-field'}*) echo 'not a valid field'; exit 2;; esac\n"
        "fields=$(echo \"${1#*=}\" | tr ',' ' ')\n"
        'for card in A B; do line=""; for f in $fields; do line="$line$card-$f, "; done; echo "${line%, }"; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = environment.cards()
    assert [card["name"] for card in found] == ["A-name", "B-name"]
    assert found[1]["power.limit"] == "B-power.limit"
    assert ("ecc.mode.current" in found[0]) is not bool(unknown)
    monkeypatch.setenv("PATH", str(tmp_path / "absent"))
    assert environment.cards() == []


def test_a_copy_that_took_no_time_is_no_bandwidth():
    import pandas as pd

    from xloss.report.speed.tables import copy_gb_s

    row = {"kind": "machine", "quantity": "copy", "device": "cpu", "value": 0.5}
    assert copy_gb_s(pd.DataFrame([row, {**row, "value": 0.0}])) == pytest.approx(2 * 2**28 / 0.5 / 1e9)
    assert np.isnan(copy_gb_s(pd.DataFrame([{**row, "value": 0.0}])))
