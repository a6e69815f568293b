"""The Pallas kernels, interpreted on the CPU, are within the budget of truth, and faults planted in them are not."""

import math
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax.experimental.pallas import triton as plt  # noqa: E402

if not (hasattr(plt, "load") and hasattr(plt, "CompilerParams")):
    pytest.skip(f"jax {jax.__version__} lacks what the kernels call", allow_module_level=True)

from kernel_judge import judged  # noqa: E402

from xloss.jax import cross_entropy, linear_cross_entropy  # noqa: E402
from xloss.kernels import pallas_kernels  # noqa: E402
from xloss.parity.cells import Cell  # noqa: E402

pytestmark = pytest.mark.usefixtures("x32")


@pytest.fixture(autouse=True)
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pallas_kernels, "MOST_CLASSES", 16)


def case(variant: str, regime: str, dtype: str = "float32", loss: str = "cross_entropy",
         shape: tuple[int, ...] = (3, 20)) -> Cell:  # fmt: skip
    return Cell(loss, variant, shape, regime, dtype)


CASES = [
    case("default", "confident"), case("default", "nonfinite"), case("weight+smoothing", "typical", "bfloat16"),
    case("weight+ignored", "large"), case("weight+ignored", "all_ignored"),
    case("chunked", "typical", loss="linear_cross_entropy", shape=(5, 1)),
    case("chunked", "typical", "bfloat16", loss="linear_cross_entropy", shape=(5, 1)),
]  # fmt: skip


@pytest.mark.parametrize("cell", CASES, ids=lambda cell: cell.case_id)
def test_value_and_gradients_are_within_the_budget(cell: Cell) -> None:
    assert not judged("jax", cell)


SLOW_CASES = [
    *(case("default", regime) for regime in ("typical", "tiny", "badly_wrong", "ties", "one", "empty")),
    case("weight+ignored", "zero_weight"), case("smoothing", "confident", "float16"),
    case("weight+smoothing", "badly_wrong"), case("default", "typical", shape=(2, 18, 2)),
    case("unbatched", "typical", shape=(20,)), case("smoothing", "typical", "float64"),
    case("unbatched", "typical", "float16", loss="linear_cross_entropy", shape=(2,)),
    case("default", "confident", loss="linear_cross_entropy", shape=(5, 2)),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cell", SLOW_CASES, ids=lambda cell: cell.case_id)
def test_value_and_gradients_are_within_the_budget_elsewhere(cell: Cell) -> None:
    assert not judged("jax", cell, ("mean", "sum", "none"))


@pytest.mark.parametrize(
    ("name", "fault", "cell", "where"),
    [
        ("PADDING", 0.0, case("default", "typical"), "mean/"),  # a wrong mask at the end of the last block
        ("_rescale", lambda total, old, new: total, case("default", "typical", shape=(4, 40)), "mean/"),
    ],
)
def test_a_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch, name: str, fault: Any, cell: Cell,
                                   where: str) -> None:  # fmt: skip
    monkeypatch.setattr(pallas_kernels, name, fault)
    assert where in judged("jax", cell)


def test_a_target_gradient_of_p_minus_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no class were set apart when the gradient is written."""
    write = pallas_kernels._write_slope

    def naive(row: Any, out: Any, label: Any, counted: Any, nothing: Any, m: Any, others: Any) -> None:
        write(row, out, label, counted, nothing, m, others)
        p = jnp.exp(row.at(row.x, label) - m) / (others + jnp.exp(row.at(row.x, label) - m))
        plt.store(out.at[label], p - 1)

    cell = case("default", "confident")
    monkeypatch.setattr(pallas_kernels, "_write_slope", naive)
    assert "mean/input" in judged("jax", cell)


def draw() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 6)), rng.normal(size=(5, 6))
    return jnp.asarray(x, "float32"), jnp.asarray(w, "float32"), jnp.asarray([1, -100, 0, 3])


@pytest.mark.parametrize("name", ["cross_entropy", "linear_cross_entropy"])
def test_all_transformations_pass(name: str) -> None:
    """Forward mode, second derivatives and `vmap` of them, each equal to that of plain operations."""
    x, w, y = draw()

    def run(backend: str | None) -> Any:
        def loss(x: Any, w: Any) -> Any:
            if name == "cross_entropy":
                return cross_entropy(x * w.sum(), y, backend=backend)
            return linear_cross_entropy(x, w, y, chunk_size=3, backend=backend)

        def every(x: Any, w: Any) -> Any:
            tangent = (jnp.linspace(-1, 1, x.size).reshape(x.shape), w)
            hvp = jax.jvp(jax.grad(loss, (0, 1)), (x, w), tangent)[1]
            return (
                jax.jvp(loss, (x, w), tangent),
                hvp,
                jax.vmap(jax.grad(loss))(jnp.stack([x, 2 * x]), jnp.stack([w, w])),
            )

        return jax.tree.leaves(jax.jit(every)(x, w))

    for got, want in zip(run("pallas"), run(None), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_what_is_out_of_range_or_ignored_reaches_only_its_row() -> None:
    x, _, y = draw()
    y, x = y.at[0].set(6), x.at[1].set(math.nan)
    with pytest.raises(ValueError, match=r"target: expected class indices in \[0, 6\), got label 6"):
        cross_entropy(x, y, backend="pallas")
    call = lambda x, y: cross_entropy(x, y, reduction="none", backend="pallas")  # noqa: E731
    value, grad = jax.jit(lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x)))(x, y)
    assert np.isnan(value).tolist() == [True, False, False, False]
    assert np.isnan(grad).all(1).tolist() == np.isnan(grad).any(1).tolist() == [True, False, False, False]
    assert not grad[1].any()


def test_a_derivative_by_the_class_weights_is_that_of_plain_operations() -> None:
    x, _, y = draw()
    weight = jnp.linspace(0.5, 1.5, 6)
    got, want = (jax.grad(lambda w, b=b: cross_entropy(x, y, w, backend=b))(weight) for b in ("pallas", None))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_bad_input_is_refused() -> None:
    x, w, y = draw()
    with pytest.raises(ValueError, match=r"backend: expected None or 'pallas', the backend in JAX, got 'triton'"):
        cross_entropy(x, y, backend="triton")
    with pytest.raises(ValueError, match=r"target: expected class indices.*got probabilities"):
        cross_entropy(x, x, backend="pallas")
    with pytest.raises(ValueError, match=r"linear_weight: expected shape \(C, H\)"):
        linear_cross_entropy(x, w[:, None], y[:, None], backend="pallas")


def test_the_kernels_are_lowered_for_a_gpu() -> None:
    """Without one: to Triton's representation, inside the program, and no plain softmax beside them."""
    shapes = jax.ShapeDtypeStruct((64, 5000), jnp.bfloat16), jax.ShapeDtypeStruct((64,), jnp.int32)
    traced = jax.jit(jax.value_and_grad(lambda x, y: cross_entropy(x, y, backend="pallas"))).trace(*shapes)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("triton") >= 1
    assert "stablehlo.exponential" not in text
