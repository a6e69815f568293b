"""Measuring: what is timed and how, the verdicts, memory, accuracy, labels, the reading of asv's results."""

import dataclasses
import functools
import gc
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xloss.bench import accuracy, bandwidth, compile_time, peak_memory, roofline, session
from xloss.bench.asv import labels, results
from xloss.bench.compare import VERDICTS, ratio, verdict
from xloss.bench.processes import fresh
from xloss.bench.runner import compile_and_run, implementation, prepare
from xloss.bench.timer import Timing, measure
from xloss.bench.workload import CONTESTANTS, DTYPES, ELEMENTS, QUANTITIES, SIZES, Workload, draw, shape_at
from xloss.catalog import LOSSES, Contestant, Unsupported, get

MSE, CE = "mse_loss", "cross_entropy"


def work(name, contestant="torch/eager/xloss", *what, **more):
    """The workload of a loss by a contestant that is named as asv's parameters are."""
    return Workload(name, Contestant.parse(contestant), *what, **more)


class Clock:
    """A clock that only moves when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_timing_warms_up_waits_and_keeps_its_samples():
    clock, seen = Clock(), []

    def call():
        seen.append("call")
        clock.now += 2.0**-17
        return "results"

    def wait(given):
        assert given == "results"
        seen.append("wait")
        clock.now += 2.0**-17

    taken = measure(call, wait, samples=30, clock=clock)
    assert len(taken.samples) == 30
    assert taken.number == 66  # a millisecond of calls that take 15 microseconds
    assert taken.samples == pytest.approx([2.0**-16] * 30)
    assert seen[::2].count("call") == len(seen) // 2 == seen[1::2].count("wait")
    assert len(seen) // 2 - 30 * 66 >= 2  # warmed up


def test_timing_of_a_slow_call_ends_by_time_but_not_before_the_least():
    clock = Clock()

    def call():
        clock.now += 1.0

    assert len(measure(call, least=5, most_seconds=0.1, clock=clock).samples) == 5
    assert len(measure(call, least=5, most_seconds=7.5, clock=clock).samples) == 8
    assert len(measure(call, least=50, most_seconds=7.5, clock=clock).samples) == 20

    def crawl():
        clock.now += 60.0

    assert len(measure(crawl, clock=clock).samples) == 3


def test_timing_leaves_the_garbage_collector_as_it_was():
    states = []
    measure(lambda: states.append(gc.isenabled()), most_seconds=0.01)
    assert gc.isenabled()
    assert states[0]
    assert not states[-1]


def processes(rng, count=7, seconds=1.0, size=30):
    """Synthetic processes: each a little off, samples with a tail of interference."""
    return [
        seconds * np.exp(rng.normal(0, 0.02)) * (1 + rng.gamma(0.5, 0.05, size) + (rng.random(size) < 0.1) * 2)
        for _ in range(count)
    ]


def test_the_same_program_twice_is_never_called_faster_or_slower():
    rng = np.random.default_rng(0)
    said = [ratio(processes(rng), processes(rng), seed).verdict for seed in range(20)]
    assert set(said) <= {"same", "ambiguous"}
    assert "same" in said


@pytest.mark.parametrize(("times", "expected"), [(2.0, "slower"), (0.5, "faster"), (1.25, "slower")])
def test_another_program_is_called_so(times, expected):
    rng = np.random.default_rng(1)
    found = [ratio(processes(rng), processes(rng, seconds=times), seed) for seed in range(20)]
    assert {one.verdict for one in found} == {expected}
    assert all(one.low <= times * 1.1 and one.high >= times / 1.1 for one in found)


def noisy(rng, seconds=1.0):
    """A fresh process on a busy machine: one in five is slowed down, up to threefold."""
    slowed = 1 + 2 * rng.random() if rng.random() < 0.2 else 1.0
    return processes(rng, 1, seconds * slowed)[0]


def in_turn(sides, rounds, samples):
    """The ratio of two sides, measured in turn; `samples(side)` are those of one process."""
    taken = ([], [])
    for _, number in session.turns(2, rounds):
        taken[number].append(samples(sides[number]))
    return ratio(*taken)


@pytest.mark.parametrize(("times", "right"), [(1.0, "same"), (2.0, "slower"), (0.5, "faster")])
def test_on_a_busy_machine_many_rounds_give_the_right_verdict_or_none(times, right):
    rng = np.random.default_rng(4)
    found = [in_turn((1.0, times), 21, functools.partial(noisy, rng)) for _ in range(20)]
    assert {one.verdict for one in found} <= {right, "ambiguous"}
    assert sum(one.verdict == right for one in found) >= (1 if right == "same" else 18)
    assert all(one.rounds == 21 for one in found)


def test_processes_take_turns():
    assert [number for _, number in session.turns(3, 3)] == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert [turn for turn, _ in session.turns(2, 2)] == [0, 0, 1, 1]


def test_one_disturbed_process_turns_no_verdict():
    rng = np.random.default_rng(2)
    first, second = processes(rng), processes(rng)
    second[3] = second[3] * 5
    assert ratio(first, second).verdict in ("same", "ambiguous")


def test_few_processes_allow_no_verdict_however_far_apart():
    rng = np.random.default_rng(3)
    found = ratio(processes(rng, 4), processes(rng, 4, seconds=10.0))
    assert found.verdict == "ambiguous"
    assert found.ratio == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.06, 2, "slower"),
        (1.04, 2, "ambiguous"),
        (0.97, 1.04, "same"),
        (0.5, 0.94, "faster"),
        (0.5, 0.96, "ambiguous"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, expected):
    assert verdict(low, high) == expected
    assert expected in VERDICTS


def test_sides_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="as many of each side"):
        ratio([[1.0]], [])


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_its_sizes(name):
    loss = get(name)
    assert set(loss.workloads) <= set(SIZES), "a size that no benchmark asks for"
    elements = []
    for size in ELEMENTS:
        drawn = draw(loss, work(name, size=size))
        assert drawn.wrt
        first = next(iter(drawn.arrays))
        elements.append(math.prod(drawn.shape(first)))
        assert sum(array.size for array in drawn.arrays.values()) < 2**24, "drawn in full, not as a block"
    assert len(shape_at(loss, loss.variants[0], "small")) == 0 or elements == sorted(set(elements))


def test_numbers_beyond_the_first_arguments_rank_reach_the_drawing():
    seen = []

    def inputs(draw):
        seen.append((draw.shape, draw.extra))
        return {"input": draw.real(draw.shape), "linear_weight": draw.real((*draw.extra, draw.shape[1]))}

    loss = dataclasses.replace(get(MSE), workloads={"vocabulary": (4096, 512, 1000)}, inputs=inputs)
    drawn = draw(loss, work(MSE, size="vocabulary"))
    assert seen == [((128, 512), (1000,))]
    assert drawn.shape("input") == (4096, 512)
    assert drawn.shape("linear_weight") == (1000, 512)
    assert len(np.unique(drawn.arrays["linear_weight"])) > 10_000
    assert roofline.flops(drawn, "value_and_grad") == 6 * 4096 * 512 * 1000


def test_a_size_that_a_loss_names_is_taken_and_one_that_nobody_names_is_unsupported():
    loss = dataclasses.replace(get(MSE), workloads={"published": (512, 256)})
    drawn = draw(loss, work(MSE, size="published", dtype="bfloat16"))
    assert drawn.shape("input") == drawn.shape("target") == (512, 256)
    assert drawn.nbytes(["input"]) == 512 * 256 * 2
    assert drawn.rows() == 512
    with pytest.raises(Unsupported, match="published"):
        draw(dataclasses.replace(get(MSE), workloads={}), work(MSE, size="published"))


@pytest.mark.parametrize(("name", "shape"), [(MSE, (6, 4, 3, 2)), (MSE, (5,)), (CE, (8, 5, 7)), (MSE, (4096, 128))])
def test_an_explicit_shape_is_that_of_the_first_argument_whatever_its_rank(name, shape):
    assert draw(get(name), work(name, shape=shape)).shape("input") == shape


def test_the_variant_is_drawn_and_a_batch_is_taken_only_where_there_is_one():
    assert set(draw(get(MSE), work(MSE, variant="weight", shape=(8, 4))).arrays) == {"input", "target", "weight"}
    broadcast = draw(get(MSE), work(MSE, variant="broadcast", shape=(8, 8)))
    assert broadcast.shape("target") == (8,)
    assert dict(broadcast.batch_axes) == {"input": 0}, "the target is shared, though it is as long as the batch"
    assert not draw(get(CE), work(CE, variant="unbatched", shape=(8,))).batch_axes


@pytest.mark.parametrize("contestant", ["torch/eager/xloss", "torch/eager/torch.nn.functional", "jax/jit/xloss"])
@pytest.mark.parametrize("name", [MSE, CE])
def test_what_is_timed_is_the_loss_on_all_of_its_rows(contestant, name):
    pytest.importorskip(contestant.split("/")[0])
    found = {}
    for quantity in QUANTITIES:
        with prepare(get(name), work(name, contestant, quantity, shape=(4096, 32))) as run:
            assert run.inputs.repeats, "rows are repeated from a block"
            found[quantity] = run.run()
            arrays = {key: run.framework.get(x) for key, x in zip(run.inputs.arrays, run.arguments, strict=True)}
        assert arrays["input"].shape == (4096, 32)
        x, y = arrays["input"].astype(np.float64), arrays["target"]
    if name == MSE:
        expected, gradient = ((x - y) ** 2).mean(), 2 * (x - y) / x.size
    else:
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        expected = -np.log(p[np.arange(len(y)), y]).mean()
        gradient = (p - np.eye(32)[y]) / len(y)
    value, (by_input,) = found["value_and_grad"]
    value = value.detach() if contestant.startswith("torch") else value
    assert float(found["value"]) == pytest.approx(expected, rel=1e-5) == float(value)
    np.testing.assert_allclose(np.asarray(by_input), gradient, rtol=1e-3, atol=1e-9)
    scale = x.size if name == MSE else len(y)
    np.testing.assert_allclose(np.asarray(found["per_sample"][0]), gradient * scale, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize("contestant", ["torch/eager/xloss", "torch/eager/torch.nn.functional", "jax/jit/xloss"])
def test_another_reduction_is_timed_with_the_gradient_of_its_sum(contestant, reduction):
    pytest.importorskip(contestant.split("/")[0])
    with prepare(get(MSE), work(MSE, contestant, shape=(64, 32), reduction=reduction)) as run:
        value, (gradient,) = run.run()
        x, y = (np.asarray(run.framework.get(array), np.float64) for array in run.arguments)
        value, gradient = run.framework.get(value), run.framework.get(gradient)
    expected = (x - y) ** 2
    np.testing.assert_allclose(value, expected if reduction == "none" else expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * (x - y), rtol=1e-5, atol=1e-6)


def test_a_peer_that_a_loss_has_not_is_unsupported_and_what_it_cannot_do_too():
    with (
        pytest.raises(Unsupported, match="optax has no mse_loss"),
        prepare(dataclasses.replace(get(MSE), peers=()), work(MSE, "jax/jit/optax", size="small")),
    ):
        pass
    with prepare(get(MSE), work(MSE, "torch/eager/torch.nn.functional", size="small")) as run:
        run.call = lambda: 1 / 0
        with pytest.raises(Unsupported, match="ZeroDivisionError"):
            compile_and_run(run)
    with prepare(get(MSE), work(MSE, size="small")) as run:
        run.call = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            compile_and_run(run)


def test_what_does_not_fit_into_memory_is_unsupported():
    with (
        pytest.raises(Unsupported, match="GB"),
        prepare(get(MSE), work(MSE, shape=(2**22, 2**14))),
    ):
        pass


def test_least_bytes_are_those_of_the_literature():
    """Element-wise: 2 N s forward, 3 N s with the gradient; softmax cross entropy: N V s and 2 N V s, plus labels."""
    drawn = draw(get(MSE), work(MSE))
    n = math.prod(drawn.shape("input")) * 4
    assert roofline.least_bytes(drawn, "value") == 2 * n + 4
    assert roofline.least_bytes(drawn, "value_and_grad") == 3 * n + 4
    drawn = draw(get(CE), work(CE))
    rows, classes = drawn.shape("input")
    nv = rows * classes * 4
    assert roofline.least_bytes(drawn, "value") == nv + 8 * rows + 4
    assert roofline.least_bytes(drawn, "value_and_grad") == 2 * nv + 8 * rows + 4
    assert roofline.flops(drawn, "value_and_grad") == 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark is Linux's")
@pytest.mark.parametrize("contestant", ["torch/eager/torch.nn.functional", "jax/jit/xloss"])
def test_resident_peak_is_at_least_the_gradient_and_without_the_framework(contestant):
    pytest.importorskip(contestant.split("/")[0])
    found = fresh(session.measure, work(MSE, contestant), ("facts", "peak"), session.Settings())
    assert found["peak"][1] == "resident"
    gradient = found["facts"]["least_bytes"] // 3
    assert 0.9 * gradient <= found["peak"][0] < 16 * gradient


def test_the_compilers_plan_holds_the_gradient_and_other_rulers_do_not_apply():
    pytest.importorskip("jax")
    loss, jitted = get(MSE), work(MSE, "jax/jit/xloss")
    gradient = roofline.least_bytes(draw(loss, jitted), "value_and_grad") // 3
    assert gradient <= peak_memory.peak(loss, jitted, "analysed") < 8 * gradient
    with pytest.raises(Unsupported, match="PyTorch"):
        peak_memory.peak(loss, work(MSE), "analysed")
    with pytest.raises(Unsupported, match="CPU"):
        peak_memory.peak(loss, jitted, "device")
    with pytest.raises(Unsupported, match="GPU"):
        peak_memory.peak(loss, dataclasses.replace(jitted, device="cuda"), "resident")


def test_compiling_has_its_stages_and_eager_mode_none():
    pytest.importorskip("jax")
    jitted = work(MSE, "jax/jit/xloss", size="small")
    found = {stage: compile_time.seconds(get(MSE), jitted, stage) for stage in compile_time.STAGES}
    assert all(seconds > 0 for seconds in found.values())
    import jax

    assert not jax.config.jax_compilation_cache_dir, "the settings are put back"
    with pytest.raises(Unsupported, match="eager"):
        compile_time.seconds(get(MSE), work(MSE), "cold")


def test_the_machine_copies():
    pytest.importorskip("torch")
    assert 1e8 < bandwidth.bytes_per_second("torch") < 1e13


def both(name, change):
    """The accuracy of a changed implementation, in the frameworks that are there."""
    right = get(name)
    changed = dataclasses.replace(right, torch=change(right.torch), jax=change(right.jax))
    return [accuracy.ulps(changed, work(name, who)) for who in ("torch/eager/xloss", "jax/jit/xloss")]


def test_accuracy_sees_what_is_right_what_is_off_and_what_is_nan():
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    for found in both(MSE, lambda f: lambda *a, **k: f(*a, **k)):
        assert set(found) == set(accuracy.METRICS)
        assert 0 < found["value_p99"] <= found["value_worst"] < 4
        assert 0 <= found["gradient_p99"] <= found["gradient_worst"] < 4
    for found in both(MSE, lambda f: lambda *a, **k: f(*a, **k) * 1.0001):
        assert 400 < found["value_p99"] <= found["value_worst"] < 3000  # 1e-4 of 2**-23, up to a factor of two
        assert 400 < found["gradient_worst"] < 3000
    for found in both(MSE, lambda f: lambda *a, **k: f(*a, **k) * math.nan):
        assert found["value_worst"] == accuracy.LOST == found["gradient_p99"]


def test_accuracy_of_a_confident_prediction_tells_who_loses_its_digits():
    pytest.importorskip("torch")
    ours, theirs = (accuracy.ulps(get(CE), work(CE, f"torch/eager/{who}")) for who in ("xloss", "torch.nn.functional"))
    assert ours["value_worst"] < 100
    assert theirs["value_worst"] > 1e4
    assert all(math.isfinite(value) for value in theirs.values()), "asv's pages cannot hold an infinity"


def test_accuracy_of_what_gives_no_unreduced_values_is_unsupported():
    pytest.importorskip("keras")
    with pytest.raises(Unsupported, match="Keras"):
        accuracy.ulps(get(MSE), work(MSE, "jax/jit/keras"))


def test_errors_in_ulps_of_what_overflows_is_flushed_or_lost():
    from xloss.parity.expected import Expected
    from xloss.parity.verdict import errors_in_ulps

    high = np.array([1.0, 1.0, 1e40, -1e40, 1e-39, np.nan, 2.0, np.inf])
    got = np.array([1.0, 1 + 2.0**-22, np.inf, np.inf, 0.0, 3.0, np.nan, np.inf], dtype=np.float32)
    found = errors_in_ulps(got, Expected(high, np.zeros(8), np.zeros(8), np.zeros(8)), "float32")
    np.testing.assert_array_equal(found, [0, 2, 0, np.inf, 0, np.nan, np.inf, 0])


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment that asv made, of what is installed here; and a way to write its label."""
    monkeypatch.setenv("ASV_ENV_DIR", str(tmp_path))
    monkeypatch.setenv("XLOSS_FRAMEWORK", "jax")
    found = labels.versions("jax")

    def write(**changes):
        made = {"requirements": {"jax": found["jax"], "pip+numpy": found["numpy"], **changes}}
        (tmp_path / "asv-env-info.json").write_text(json.dumps(made))

    write()
    return write


def test_an_environment_is_what_its_label_says(environment):
    pytest.importorskip("jax")
    assert labels.check() == "jax"
    labels.require("jax")
    with pytest.raises(Unsupported, match="environment of jax"):
        labels.require("torch")


@pytest.mark.parametrize("changes", [{"jax": "0.6.2"}, {"pip+numpy": "1.26.4"}, {"optax": "0.0.1"}, {"absent": "1.0"}])
def test_a_mislabelled_environment_is_refused(environment, changes):
    pytest.importorskip("jax")
    environment(**changes)
    with pytest.raises(labels.Mislabelled, match=next(iter(changes)).removeprefix("pip+")):
        labels.check()


def test_a_label_of_another_framework_is_refused(environment, monkeypatch):
    monkeypatch.setenv("XLOSS_FRAMEWORK", "torch")
    with pytest.raises(labels.Mislabelled, match="torch is installed, but the label"):
        labels.check()


def test_two_frameworks_in_one_environment_must_be_told_apart(monkeypatch):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    monkeypatch.delenv("XLOSS_FRAMEWORK", raising=False)
    with pytest.raises(labels.Mislabelled, match="torch and jax"):
        labels.framework()


def test_an_imported_version_other_than_the_installed_one_is_refused(environment, monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    with pytest.raises(labels.Mislabelled, match=r"0\.0\.1 is imported"):
        labels.check()


def test_a_fresh_process_answers_raises_dies_and_is_ended():
    assert fresh(sum, [1, 2]) == 3
    assert fresh(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        fresh(divmod, 1, 0)
    with pytest.raises(RuntimeError, match="exit code 3"):
        fresh(os._exit, 3)
    with pytest.raises(TimeoutError):
        fresh(functools.partial(pow, 3, 10**9), timeout=0.5)


@pytest.fixture
def stored(tmp_path):
    """What asv would have stored: two implementations timed (one failed), a peak, a copy."""
    speed = {"xloss": 2e-3, "torch.nn.functional": None}
    columns = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
               "stats_q_75", "stats_number", "stats_repeat", "samples"]  # fmt: skip
    timed = [1e-3, None], [3e-3, None], [1.5e-3, None], [2.5e-3, None]
    found = {
        f"speed_torch_eager.{MSE}.value_and_grad": [
            list(speed.values()), [list(speed), ["medium"], ["float32"]], "v", 0, 1.0, *timed, [7, None],
            [3, None], [[1e-3, 2e-3, 3e-3], None]],
        f"speed_torch_compile.{MSE}.variants": [[4e-3, math.nan], [["xloss"], ["weight", "broadcast"]], "v", 0, 1.0],
        f"speed_torch_eager.{MSE}.reductions": [[5e-3], [["xloss"], ["none"]], "v", 0, 1.0],
        f"memory_torch_eager.{MSE}.resident": [
            [8 * 2**20], [["xloss"], ["medium"], ["float32"], ["value_and_grad"]], "v", 0, 1.0],
        f"accuracy_torch_eager.{MSE}.value_p99": [[0.5], [["xloss"], ["bfloat16"]], "v", 0, 1.0],
        "machine_torch.memory.copy": [[0.05], [], "v", 0, 1.0],
    }  # fmt: skip
    file = {
        "version": 2, "commit_hash": "a" * 40, "env_name": "virtualenv-py3.11-torch2.13.0", "date": 1_700_000_000_000,
        "params": {"machine": "box", "cpu": "fast", "torch": "2.13.0"}, "python": "3.11",
        "requirements": {"torch": "2.13.0"}, "env_vars": {}, "result_columns": columns, "results": found,
        "durations": {},
    }  # fmt: skip
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "machine.json").write_text(json.dumps({"machine": "box", "version": 1}))
    (tmp_path / "box" / "aaaaaaaa-virtualenv-py3.11-torch2.13.0.json").write_text(json.dumps(file))
    return tmp_path


def test_results_are_read_as_one_long_table(stored):
    table = results.read(stored)
    assert list(table.columns) == results.COLUMNS
    speed = table[table["kind"] == "speed"].set_index("implementation")
    assert list(speed["status"]) == ["ok", "failed"]
    row = speed.loc["xloss"]
    assert (row["loss"], row["quantity"], row["mode"], row["size"], row["dtype"]) == (
        MSE, "value_and_grad", "eager", "medium", "float32")  # fmt: skip
    assert (row["framework"], row["version"], row["machine"], row["device"]) == ("torch", "2.13.0", "box", "cpu")
    assert (row["value"], row["low"], row["high"], row["number"]) == (2e-3, 1e-3, 3e-3, 7)
    assert row["samples"] == [1e-3, 2e-3, 3e-3]
    assert row["unit"] == "seconds"
    memory_row = table[table["kind"] == "memory"].iloc[0]
    assert (memory_row["ruler"], memory_row["quantity"], memory_row["unit"]) == ("resident", "value_and_grad", "bytes")
    assert table[table["kind"] == "accuracy"].iloc[0]["dtype"] == "bfloat16"
    assert len(table) == 8


def test_a_variant_and_a_reduction_are_rows_of_their_own(stored):
    """Not among the times of `speed`, which are the loss's main ones."""
    table = results.read(stored)
    rows = table[table["kind"] == "variants"].set_index("variant")
    assert (rows.loc["weight", "value"], rows.loc["weight", "mode"], rows.loc["weight", "unit"]) == (
        4e-3,
        "compile",
        "seconds",
    )
    assert rows.loc["broadcast", "status"] == "skipped"
    (other,) = table[table["reduction"].notna()].to_dict("records")
    assert (other["kind"], other["reduction"], other["quantity"], other["size"]) == (
        "variants",
        "none",
        "value_and_grad",
        "medium",
    )
    assert table[table["kind"] != "variants"][["variant", "reduction"]].isna().all(axis=None)


def test_rates_and_shares_are_derived(stored):
    table = results.derive(results.read(stored))
    rows, columns = shape_at(get(MSE), get(MSE).variants[0], "medium")
    elements = rows * columns
    row = table[(table["kind"] == "speed") & (table["status"] == "ok")].iloc[0]
    speed = (12 * elements + 4) / 2e-3
    assert row["gb_s"] == pytest.approx(speed / 1e9)
    assert row["share_of_copy"] == pytest.approx(speed / (2 * 2**28 / 0.05))
    assert row["samples_s"] == pytest.approx(rows / 2e-3)
    peak = table[table["kind"] == "memory"].iloc[0]
    assert peak["share_of_least"] == pytest.approx((4 * elements + 4) / (8 * 2**20))
    assert math.isnan(table[table["kind"] == "accuracy"].iloc[0]["gb_s"])


def test_a_time_of_zero_has_no_rates(stored):
    """What a GPU's own time is in JAX where the difference between two queues is noise."""
    table = results.read(stored)
    timed = table[(table["kind"] == "speed") & (table["status"] == "ok")]
    zero = timed.assign(kind="device", caches="warm", value=0.0)
    copies = table[table["kind"] == "machine"].assign(value=0.0)
    row = results.derive(pd.concat([zero, copies], ignore_index=True)).iloc[0]
    assert row["least_bytes"] > 0
    assert row[["gb_s", "share_of_copy", "samples_s", "tflop_s"]].isna().all()


def test_a_share_is_of_the_fastest_copy_of_the_machine(stored):
    table = results.read(stored)
    slow = table[table["kind"] == "machine"].assign(framework="jax", environment="jax", value=0.5)
    own = results.derive(table)["share_of_copy"]
    pd.testing.assert_series_equal(
        results.derive(pd.concat([table, slow], ignore_index=True))["share_of_copy"][: len(own)], own
    )
    fast = slow.assign(value=0.025)
    halved = results.derive(pd.concat([table, fast], ignore_index=True))["share_of_copy"][: len(own)]
    pd.testing.assert_series_equal(halved, own / 2)


def test_what_asv_itself_reads_is_the_same(stored):
    reader = pytest.importorskip("asv.results")
    (theirs,) = reader.iter_results(str(stored))
    name = f"speed_torch_eager.{MSE}.value_and_grad"
    values = theirs.get_result_value(name, theirs.get_result_params(name))
    ours = results.read(stored)
    assert values[0] == ours[(ours["kind"] == "speed") & (ours["status"] == "ok")]["value"].iloc[0]


def test_another_format_of_asv_is_refused(stored):
    (path,) = stored.glob("box/a*.json")
    path.write_text(path.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(ValueError, match="format"):
        results.read(stored)


def samples_of(number):
    """The samples of a sum of so many numbers, in a fresh process."""
    return fresh(measure, functools.partial(sum, range(number))).samples


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_real_processes_the_same_work_is_never_called_faster_or_slower():
    said = [in_turn((20_000, 20_000), 5, samples_of).verdict for _ in range(20)]
    assert set(said) <= {"same", "ambiguous"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("first", "second", "right"), [(20_000, 40_000, "slower"), (40_000, 20_000, "faster")])
def test_on_real_processes_twice_the_work_is_called_slower(first, second, right):
    assert in_turn((first, second), 21, samples_of).verdict == right


def test_dtypes_and_contestants_are_what_the_names_say():
    for contestant in CONTESTANTS:
        assert (contestant.framework, contestant.mode) in {("torch", "eager"), ("torch", "compile"), ("jax", "jit")}
        assert contestant.implementation
    assert Timing((3.0, 1.0, 2.0), 1).median == 2.0
    assert DTYPES == ("float32", "bfloat16")


def test_every_peer_that_a_loss_has_can_be_measured():
    for loss in LOSSES.values():
        for contestant in session.contestants(loss):
            if contestant.implementation in ("torch.nn.functional", "optax"):
                pytest.importorskip(contestant.framework)
                assert callable(implementation(loss, contestant))


def test_a_loss_with_a_call_of_its_own_is_measured_by_it():
    """torch.nn.functional's own function would not take the arguments."""
    pytest.importorskip("torch")
    functional = Contestant("torch", "eager", "torch.nn.functional")
    wrapped = [loss for loss in LOSSES.values() if loss.wrap_call and functional in session.contestants(loss)]
    assert wrapped
    for loss in wrapped:
        with prepare(loss, Workload(loss.name, functional, size="small")) as prepared:
            assert math.isfinite(float(prepared.run()[0]))
