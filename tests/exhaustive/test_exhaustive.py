"""Every input: what is planted is found with its input, the float64 formulas are right, and a run goes on."""

import dataclasses
import json
import math
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")

from xloss.catalog import LOSSES
from xloss.exhaustive import balls, runner, tally
from xloss.exhaustive.__main__ import main
from xloss.exhaustive.problems import PROBLEMS, Axis, Problem
from xloss.exhaustive.runner import Settings
from xloss.parity.expected import Expected
from xloss.parity.inputs import DTYPES
from xloss.parity.truth import Imprecise
from xloss.parity.verdict import errors_in_ulps, ulp

XLOSS_TORCH = ("torch/eager/xloss",)
SOFT = PROBLEMS["soft_margin_loss, y=1"]


def planted(problem: Problem, torch_loss, **changes) -> Problem:
    """The problem with another implementation in PyTorch."""
    record = dataclasses.replace(problem.loss, torch=torch_loss, peers=())
    return dataclasses.replace(problem, record=record, **changes)


def ask(problem: Problem, out: Path, **settings) -> dict:
    given = {"implementations": XLOSS_TORCH, **settings}
    row = runner.run(problem, out, Settings(**given), lambda _done, _total: None)
    assert row is not None
    return row


def around(start: float, count: int) -> Axis:
    first = int(np.float32(start).view(np.uint32))
    return Axis("input", ((first, first + count - 1),))


def test_a_naive_formula_is_found(tmp_path):
    """log(1 + exp(-x)) loses the digits of a small loss, and overflows for a large one."""

    def naive(input, target, reduction="none"):
        import torch

        return torch.log(1 + torch.exp(-target * input))

    found = ask(planted(SOFT, naive), tmp_path, stride=2**15)["results"][XLOSS_TORCH[0]]
    value = found["value"]
    assert value["worst"]["ulps"] > 1e6
    at, right = float.fromhex(value["worst"]["at"][0]), float.fromhex(value["worst"]["right"])
    assert right == pytest.approx(math.log1p(math.exp(-at)), rel=1e-12)
    assert value["worst"]["by balls"]
    assert value["lost"] > 0.2 * value["asked"]
    assert float.fromhex(value["lost_at"]["at"][0]) < -88
    assert value["conditioned"] is not None
    own = ask(SOFT, tmp_path / "own", stride=2**15)["results"][XLOSS_TORCH[0]]
    for quantity in tally.QUANTITIES:
        assert own[quantity]["lost"] == 0
        assert own[quantity]["worst"]["ulps"] < 4
        assert own[quantity]["over"]["0.5"] < 0.1 * own[quantity]["asked"]


@pytest.mark.parametrize(("wrong_at", "quantity"), [(1.0, "value"), (1.25, "gradient"), (1.5, "value")])
def test_one_wrong_bit_pattern_is_found(tmp_path, wrong_at, quantity):
    import torch

    class Off(torch.autograd.Function):
        """The value, or the derivative, 64 ulps off at one input."""

        @staticmethod
        def forward(ctx, loss, input):
            ctx.save_for_backward(input)
            return loss * torch.where(input == wrong_at, 1 + 2.0**-17, 1.0) if quantity == "value" else loss.clone()

        @staticmethod
        def backward(ctx, cotangent):
            (input,) = ctx.saved_tensors
            off = 1 + 2.0**-17 if quantity == "gradient" else 1.0
            return cotangent * torch.where(input == wrong_at, off, 1.0), None

    def almost(input, target, reduction="none"):
        return Off.apply(SOFT.loss.torch(input, target, reduction=reduction), input)

    count = 2**22 + 2**17 + 5  # the last block is not a whole one
    row = ask(planted(SOFT, almost, axes=(around(1.0, count),)), tmp_path, chunk=2**20)
    found = row["results"][XLOSS_TORCH[0]]
    other = "gradient" if quantity == "value" else "value"
    assert float.fromhex(found[quantity]["worst"]["at"][0]) == wrong_at
    assert float.fromhex(found[quantity]["conditioned"]["at"][0]) == wrong_at
    assert 60 < found[quantity]["worst"]["ulps"] < 132
    assert found[other]["worst"]["ulps"] < 4
    assert found[quantity]["asked"] == row["inputs"] == count


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))
def test_the_formula_is_within_its_bound_of_truth(problem):
    draw = np.random.default_rng(7)
    places = [draw.integers(0, problem.size, 12), [0, problem.size - 1], _where_it_matters(problem)]
    bits = problem.bits(np.concatenate([np.asarray(some, dtype=np.int64) for some in places]))
    wide = [tally.widen(tally.numbers(one, problem.dtype)) for one in bits]
    right = problem.right(*wide)
    compared = 0
    for quantity, got, size in (
        ("value", right.value, right.value_size),
        ("gradient", right.gradient, right.gradient_size),
    ):
        size = np.abs(got) if size is None else size
        for at in range(len(got)):
            inputs = balls.inputs_of(problem, tuple(int(one[at]) for one in bits))
            if np.isnan(got[at]) or _on_kink(problem, inputs):
                continue
            try:
                exact = balls.exact(problem, inputs, quantity)
            except Imprecise:
                continue
            if not np.isfinite(got[at]):
                assert abs(exact.high[0]) > 1e300 or not np.isfinite(exact.high[0])
                continue
            error = abs(got[at] - exact.high[0] - exact.low[0])
            # A ball is known to less than a millionth of the least subnormal float32.
            assert error <= problem.bound * size[at] + 1e-50, (quantity, inputs, got[at], exact.high[0])
            compared += 1
    assert compared >= 12


def _where_it_matters(problem: Problem) -> np.ndarray:
    """Return places where each number is in [2^-7, 32], where few random bit patterns are."""
    draw = np.random.default_rng(11)
    at = np.zeros(24, dtype=np.int64)
    one = {"float32": (0x3C000000, 0x42000000), "bfloat16": (0x3C00, 0x4200)}[problem.dtype]
    for axis in problem.axes:
        starts = np.cumsum([0, *(last - first + 1 for first, last in axis.ranges)])
        which = draw.integers(0, len(axis.ranges), at.size)
        magnitude = np.minimum(draw.integers(*one, at.size), axis.ranges[0][1] - axis.ranges[0][0])
        at = at * axis.size + starts[which] + magnitude
    return at


def _on_kink(problem: Problem, inputs) -> bool:
    """Tell where the derivative is a convention, which the truth of the sweep leaves out, too."""
    mask = problem.loss.domain.differentiable_mask
    return mask is not None and not bool(np.all(mask(**inputs, **problem.options)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_errors_are_those_of_the_verdict(dtype):
    """Infinities, NaN, what was flushed and what overflows, too."""
    draw = np.random.default_rng(3)
    info = ml_dtypes.finfo(DTYPES[dtype])
    least, most = float(info.smallest_normal), float(info.max)
    right = np.concatenate([draw.normal(size=200) * 10.0 ** draw.integers(-6, 5, 200), [least, 3 * least, 5 * least],
                            [0.0, most, 1.5 * most, -2 * most, 1e-60, 1.0, 1.0]])  # fmt: skip
    with np.errstate(over="ignore"):
        got = (right * (1 + float(info.eps) * draw.normal(size=right.size))).astype(DTYPES[dtype])
    got[200:206], got[-2:] = 0, [np.nan, np.inf]
    problem = dataclasses.replace(SOFT, dtype=dtype)
    block = tally.Block(problem, np.arange(4, dtype=np.int64))
    with np.errstate(all="ignore"):
        own = block._errors(tally.widen(got), right, block.per_ulp(right))
    there = errors_in_ulps(got, Expected(right, np.zeros_like(right), right, right), dtype)
    np.testing.assert_array_equal(own, there)
    np.testing.assert_array_equal(1 / block.per_ulp(right), ulp(dtype, right))
    # What is rounded at once is what a cast gives, where it is a normal number.
    normal = (np.abs(right) >= least) & (np.abs(right) <= most)
    cast = right[normal].astype(np.float32).astype(DTYPES[dtype]) if dtype == "bfloat16" else right[normal].astype(
        DTYPES[dtype])  # fmt: skip
    np.testing.assert_array_equal(tally.rounded(right, dtype)[normal], cast.astype(np.float32))


def test_a_number_halfway_is_rounded_to_even_once():
    """1 + 2^-8 + 2^-40 is above the middle; by way of float32 it would be on it."""
    given = np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -(1 + 2.0**-8 + 2.0**-40)])
    np.testing.assert_array_equal(tally.rounded(given, "bfloat16"), [1 + 2.0**-7, 1, 1 + 2.0**-6, -1 - 2.0**-7])


def test_a_subnormal_input_may_be_taken_for_zero_in_jax():
    """y (log y - x) of y = 2^-127 and x = -2^127 is about 1, and 0 where y is taken for 0."""
    problem = PROBLEMS["kl_div by target, pairs"]
    block = tally.Block(problem, np.array([0x7F00 * problem.axes[1].size + 0x40], dtype=np.int64))
    assert [float(x[0]) for x in block.wide] == [-(2.0**127), 2.0**-127]
    assert block.right["value"][0] == pytest.approx(1, rel=1e-6)
    for flushes, lost in ((True, 0), (False, 1)):
        one = tally.Tally()
        block.add(one, "value", np.zeros(1, DTYPES["bfloat16"]), flushes)
        assert one.over == [lost] * 3


def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path):
    settings = {"stride": 2**13 + 1, "chunk": 2**15, "implementations": ("xloss",)}  # four chunks
    problem = PROBLEMS["binary_cross_entropy_with_logits, pairs"]

    def quiet(_done, _total):
        pass

    whole = ask(problem, tmp_path / "whole", **settings)
    for _ in range(3):
        assert runner.run(problem, tmp_path / "parts", Settings(**settings, stop_after=1), quiet) is None
    state = json.loads((tmp_path / "parts" / "data" / f"{runner.slug(problem.name)}.json").read_text())
    assert state["done"] == 3
    steps = []
    row = runner.run(problem, tmp_path / "parts", Settings(**settings), lambda done, total: steps.append((done, total)))
    assert steps == [(3, 4), (4, 4)]
    assert {**row, "seconds": 0} == {**whole, "seconds": 0}
    # A run of another question, or a fresh one, begins at the beginning.
    steps.clear()
    runner.run(problem, tmp_path / "parts", Settings(**{**settings, "stride": 2**14}, stop_after=1),
               lambda done, total: steps.append((done, total)))  # fmt: skip
    assert steps[0][0] == 0


def test_every_input_is_asked_once():
    for problem in (PROBLEMS["kl_div by target, pairs"], SOFT):
        ends = np.array([0, problem.axes[-1].size, problem.size - 1], dtype=np.int64)
        bits = problem.bits(ends)
        assert [one[0] for one in bits] == [axis.ranges[0][0] for axis in problem.axes]
        assert [one[-1] for one in bits] == [axis.ranges[-1][1] for axis in problem.axes]
    some = PROBLEMS["mse_loss, pairs"].bits(np.arange(3 * 65280, dtype=np.int64))
    assert len(set(zip(*(one.tolist() for one in some), strict=True))) == 3 * 65280
    strided = runner.places(0, 1000, 37, 37 * 1000 - 5)
    assert (strided // 37 == np.arange(1000))[:-1].all()
    assert strided[-1] < 37 * 1000 - 5
    assert len(set(strided % 37)) > 20
    whole = Axis("input", ((0, 9), (100, 104)))
    np.testing.assert_array_equal(whole.bits(np.arange(15)), [*range(10), *range(100, 105)])


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))
def test_values_are_those_without_a_gradient(problem):
    """One pass of PyTorch gives value and gradient: the value is bit for bit that of a pass without."""
    import torch

    from xloss.bench.runner import implementation

    inputs = tally.Block(problem, runner.places(0, runner.BLOCK, problem.size // runner.BLOCK, problem.size)).inputs
    for who in runner.contestants(problem.loss):
        if who.framework == "torch":
            program = runner.Program(problem, who)
            arrays = [program.framework.put(x, program.device) for x in inputs]
            names = (*(axis.argument for axis in problem.axes), *problem.fixed)
            given = dict(zip(names, [*arrays, *program.fixed], strict=True))
            with torch.no_grad():
                value = implementation(problem.loss, who)(**given, **problem.options, reduction="none")
            np.testing.assert_array_equal(tally.single(program.framework.get(value)),
                                          tally.single(program(inputs)["value"]))  # fmt: skip


def test_a_strided_run_does_not_replace_a_complete_one(tmp_path):
    path = tmp_path / runner.FILE
    same = {"problem": SOFT.name, "code": "x", "versions": {}, "cpu": "c", "kernels": "k", "python": "3"}
    complete, strided = {"stride": 1, "value": 1}, {"stride": 4096, "value": 2}
    runner.record({**same, "results": {"a": complete}, "refused": {}, "seconds": 100}, path)
    runner.record({**same, "results": {"a": strided, "b": strided}, "refused": {"c": "why"}, "seconds": 1}, path)
    (row,) = runner.read(path)
    assert row["results"] == {"a": complete, "b": strided}
    assert row["seconds"] == 100
    assert row["refused"] == {"c": "why"}
    runner.record({**same, "code": "y", "results": {"a": strided}, "refused": {}, "seconds": 1}, path)
    assert runner.read(path)[0]["results"] == {"a": strided}


def test_the_command(tmp_path):
    given = ["--problem", "huber_loss, y=0", "--stride", "2**18", "--out", str(tmp_path)]
    assert main(given) == 0
    (row,) = runner.read(tmp_path / runner.FILE)
    assert set(row["results"]) == {str(who) for who in runner.contestants(LOSSES["huber_loss"])}
    assert row["inputs"] == 2 * 0x7F800000
    assert row["results"]["torch/eager/xloss"]["value"]["over"] == {"0.5": 0, "1.0": 0, "2.0": 0}
    assert all(one["stride"] == 2**18 for one in row["results"].values())
    assert {"torch", "jax", "numpy"} <= set(row["versions"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--problem", "soft_margin"], "--problem: no problem 'soft_margin'; did you mean 'soft_margin_loss'?"),
        (["--implementation", "flax"], "--implementation: no 'flax'; there are"),
        (["--stride", "0"], "argument --stride: expected a whole number from 1 on"),
        (["--stride", "-3"], "argument --stride: expected"),
        (["--chunk", "2**99"], "argument --chunk: expected a whole number from 1 on"),
        (["--chunk", "many"], "got 'many'"),
        (["--out", __file__], "is not a folder"),
    ],
)
def test_wrong_arguments_are_named(capsys, given, words):
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_the_problems_are_listed(capsys):
    assert main(["--list", "--problem", "kl_div"]) == 0
    assert capsys.readouterr().out.split() == ["530,628,480", "bfloat16", "kl_div", "by", "target,", "pairs"]
