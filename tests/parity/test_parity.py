"""The checker: passes what is right, and fails on every kind of wrong thing."""

import concurrent.futures
import contextlib
import pickle

import numpy as np
import pytest

from xloss import parity
from xloss.catalog import LOSSES, get, substitute
from xloss.parity.diagnosis import explain
from xloss.parity.evaluate import evaluate
from xloss.parity.expected import Expected
from xloss.parity.mechanisms import jax as jax_
from xloss.parity.policy import asked, compiles_fast
from xloss.parity.verdict import judge, ulp

CASE = "mse_loss:default:6x3:typical:float32:cpu:0"
WEIGHTED = "cross_entropy:weight+ignored:6x5:typical:float32:cpu:0"


@pytest.fixture
def plant():
    """Put a broken implementation in the place of the right one."""
    with contextlib.ExitStack() as stack:

        def put(name, framework, wrap):
            right = LOSSES[name].implementation(framework)

            def broken(*args, **kwargs):
                return wrap(right, *args, **kwargs)

            stack.enter_context(substitute(name, **{framework: broken}))

        yield put


def rows_of(case, framework):
    cell = parity.Cell.parse(case)
    return evaluate(get(cell.loss), cell, (framework,), peers=False)


def bad(rows):
    return [row for row in rows if row["status"] not in ("ok", "unsupported")]


def wrong_sign(right, *args, **kwargs):
    return -right(*args, **kwargs)


def sum_for_mean(right, *args, reduction="mean", **kwargs):
    return right(*args, reduction="sum" if reduction == "mean" else reduction, **kwargs)


def slightly_off(right, *args, **kwargs):
    return right(*args, **kwargs) * (1 + 1e-5)


def not_a_number(right, *args, **kwargs):
    return right(*args, **kwargs) * float("nan")


def kept_dimension(right, *args, reduction="mean", **kwargs):
    out = right(*args, reduction=reduction, **kwargs)
    return out[None] if reduction != "none" else out


def mean_of_means(right, input, target, reduction="mean", **kwargs):
    """Divides by the number of rows, ignored ones too."""
    if reduction != "mean":
        return right(input, target, reduction=reduction, **kwargs)
    return right(input, target, reduction="sum", **kwargs) / target.shape[0]


def forgotten_detach(right, input, target, reduction="mean"):
    error = input - target
    loss = error * error
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (wrong_sign, "the wrong sign"),
        (sum_for_mean, "got/truth = 18 throughout = the number of elements"),
        (slightly_off, "times what is allowed"),
        (not_a_number, "NaN where the exact result is finite"),
        (kept_dimension, "a dimension was kept"),
    ],
)
def test_planted_fault_is_caught_and_named(plant, framework, wrap, words):
    plant("mse_loss", framework, wrap)
    found = bad(rows_of(CASE, framework))
    assert found
    assert any(words in row["reason"] for row in found), [row["reason"] for row in found][:3]
    assert {row["framework"] for row in found} == {framework}


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_denominator_under_ignored_labels_and_weights(plant, framework):
    assert not bad(rows_of(WEIGHTED, framework))
    plant("cross_entropy", framework, mean_of_means)
    found = bad(rows_of(WEIGHTED, framework))
    assert any("the sum of the weights that count" in row["reason"] for row in found)
    # The same code is right where nothing is ignored or weighted: the variant is what finds it.
    assert not bad(row for row in rows_of("cross_entropy:default:6x5:typical:float32:cpu:0", framework)
                   if row["mechanism"] in ("value", "backward"))  # fmt: skip


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_forgotten_detach(plant, framework):
    plant("detached_squared_error", framework, forgotten_detach)
    found = bad(rows_of("detached_squared_error:default:6x3:typical:float32:cpu:0", framework))
    assert {row["mechanism"] for row in found} >= {"backward", "vjp", "jvp", "hvp"}
    assert not any(row["mechanism"] == "value" for row in found)
    assert any("got/truth = 2 throughout" in row["reason"] for row in found)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_dtype_widened_or_narrowed(plant, framework):
    def narrowed(right, *args, **kwargs):
        out = right(*args, **kwargs)
        if framework == "torch":
            import torch

            return out.to(torch.bfloat16)
        return out.astype("bfloat16")

    plant("mse_loss", framework, narrowed)
    assert any("dtype bfloat16 where float32 is right" in row["reason"] for row in bad(rows_of(CASE, framework)))

    def widened(right, *args, **kwargs):
        out = right(*args, **kwargs)
        return out.float() if framework == "torch" else out.astype("float32")

    plant("mse_loss", framework, widened)
    found = bad(rows_of(CASE.replace("float32", "bfloat16"), framework))
    assert any("dtype float32 where bfloat16 is right" in row["reason"] for row in found)


def test_an_exception_becomes_a_row(plant):
    def raising(right, *args, **kwargs):
        raise RuntimeError("planted")

    plant("mse_loss", "torch", raising)
    found = bad(rows_of(CASE, "torch"))
    assert {row["status"] for row in found} == {"error"}
    assert all("planted" in row["reason"] for row in found if row["mechanism"] != "compiled")


def test_table_has_the_columns_of_the_contract_in_order():
    table = parity.sweep([parity.Cell.parse(CASE)], frameworks=("torch",), peers=False)
    assert list(table.columns) == parity.COLUMNS
    assert set(table["status"]) <= {"ok", "unsupported"}
    assert {"value", "backward", "grad", "func.grad", "vjp", "jvp", "per_sample.vmap", "per_sample.loop", "accumulate",
            "hvp", "double_backward", "compiled"} <= set(table["mechanism"])  # fmt: skip
    assert (table["seconds"] >= 0).all()
    assert table["case_id"].is_unique


class _Dying(concurrent.futures.Executor):
    """An executor whose tasks of one loss end as given, and which works inline otherwise."""

    def __init__(self, error):
        self.error = error

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        if any(cell.loss == "mse_loss" for cell in args[0]):
            future.set_exception(self.error)
        else:
            future.set_result(function(*args, **kwargs))
        return future


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeoutError("600 s"), "timeout"), (concurrent.futures.BrokenExecutor("killed"), "crash")],
)
def test_lost_work_becomes_rows(error, status):
    cells = [parity.Cell.parse(case) for case in (CASE, CASE.replace("mse", "l1"))]
    table = parity.sweep(cells, _Dying(error), frameworks=("torch",), peers=False)
    assert (table["status"] == status).sum() == 1
    assert (table["status"] == "ok").any()


def test_workers_survive_a_death():
    from xloss.parity.processes import Workers

    with Workers(1, timeout=60) as workers:
        dying = workers.submit(_die)
        fine = workers.submit(len, "four")
        assert fine.result() == 4
        with pytest.raises(Exception, match=r"(?i)abnormal|died|expired|terminat"):
            dying.result()


def _die():
    import os

    os._exit(3)


def test_cells_are_small_and_come_back():
    for cell in parity.cells(["cross_entropy", "kl_div"]):
        assert parity.Cell.parse(cell.case_id) == cell
        assert pickle.loads(pickle.dumps(cell)) == cell
        assert len(pickle.dumps(cell)) < 400


@pytest.mark.parametrize("wrong", [{"dtypes": ["float8"]}, {"regimes": ["calm"]}])
def test_unknown_names_are_refused_with_the_known(wrong):
    with pytest.raises(ValueError, match=r"expected one of"):
        parity.cells(["mse_loss"], **wrong)
    with pytest.raises(KeyError, match="did you mean mse_loss"):
        parity.cells(["mse_los"])


def expected(values, condition=0.0):
    values = np.asarray(values, dtype=float)
    zeros = np.zeros_like(values)
    return Expected(values, zeros, zeros + condition, zeros)


def test_judge_counts_ulps():
    truth = np.array([1.0, 2.0, -4.0])
    got = truth.astype(np.float32)
    got[1] = np.nextafter(got[1], np.float32(3))
    verdict = judge(got, expected(truth), "float32", "value")
    assert verdict.ok
    assert verdict.max_ulp == 1
    assert verdict.worst == (1,)
    far = judge((truth * 1.001).astype(np.float32), expected(truth), "float32", "value")
    assert not far.ok
    assert far.budget > 100


def test_budget_grows_with_the_condition():
    got = np.array([1.0 + 1e-5], dtype=np.float32)
    assert not judge(got, expected([1.0]), "float32", "value").ok
    assert judge(got, expected([1.0], condition=100.0), "float32", "value").ok


def test_sixteen_bits_are_rounded_once():
    exact = 1.0 + 2.0**-9  # half an ulp of bfloat16 above 1
    assert judge(np.array([1.0]).astype("bfloat16"), expected([exact]), "bfloat16", "value").ok
    assert not judge(np.array([1.0 + 2.0**-6]).astype("bfloat16"), expected([exact]), "bfloat16", "value").ok


def test_undefined_results_must_not_be_plausible():
    nan = expected([np.nan])
    assert judge(np.array([np.nan], dtype=np.float32), nan, "float32", "value").ok
    assert not judge(np.array([0.5], dtype=np.float32), nan, "float32", "value").ok


def test_ulp_is_the_distance_to_the_next_number():
    for at in (1.0, 1.5, 3.0, 1e-30, 1e30):
        assert ulp("float32", np.array(at)) == np.spacing(np.float32(at))
        assert ulp("float64", np.array(at)) == np.spacing(at)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(-1.0, "the wrong sign"), (6.0, "= the batch"), (1 / 6, "1 / the batch"), (2.0, "a factor 2"), (0.0, "detached")],
)
def test_diagnosis_names_the_factor(factor, words):
    truth = np.array([1.0, -2.0, 3.0])
    assert words in explain(factor * truth, expected(truth), {"the batch": 6.0})


def test_diagnosis_says_nothing_of_what_has_no_pattern():
    assert explain(np.array([1.1, -2.7, 2.9]), expected([1.0, -2.0, 3.0]), {"the batch": 6.0}) == ""


def compiled_as_a_user_would(variant="default", dtype="float32", full=False):
    loss = LOSSES["mse_loss"]
    cell = parity.Cell("mse_loss", variant, (6, 3), "typical", dtype, full=full)
    questions = {
        (rule.mechanism, reduction) for rule, reduction, frameworks, _ in asked(loss, cell, 6) if "jax" in frameworks
    }
    return {question for question in questions - {("eager", "mean")} if not compiles_fast(loss, cell, *question)}


def test_values_and_gradient_of_a_first_variant_are_compiled_as_a_user_would():
    assert compiled_as_a_user_would() == {("value", "none"), ("backward", "mean")}
    assert compiled_as_a_user_would("weight") == compiled_as_a_user_would(dtype="bfloat16") == set()
    assert compiled_as_a_user_would(dtype="bfloat16", full=True) == {("value", "none"), ("backward", "mean")}


def test_a_fast_compiled_program_computes_the_same():
    jax = pytest.importorskip("jax")
    x = np.linspace(-20, 20, 64, dtype=np.float32).reshape(8, 8)
    slope = jax.grad(lambda x: LOSSES["cross_entropy"].jax(x, np.arange(8)))
    np.testing.assert_allclose(jax_.fast_compile_jit(slope)(x), jax.jit(slope)(x), rtol=1e-5, atol=1e-9)


def test_options_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setitem(jax_.FAST_COMPILE, "xla_no_such_option", True)
    jax_._fast_compile_options.cache_clear()
    try:
        known = jax_._fast_compile_options()
        assert known
        assert "xla_no_such_option" not in known
    finally:
        jax_._fast_compile_options.cache_clear()
