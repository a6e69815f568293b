"""Options that are numbers of another kind: NumPy's, and 0-d tensors or arrays, traced or not, learned by gradient.

Every option of every loss, by its default in the signature. The value is that of the Python number; the gradient by the
option is the central difference of calls with Python numbers, in float64.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import JAX, LOSSES, TORCH, Loss, fast_compile_jit, jax, jnp, put, torch

import xloss.jax
import xloss.torch
from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x64")

# Exact in float32; where the default would hide the option, or is at the end of its range.
CHOSEN = {"label_smoothing": 0.125, "margin": 0.25, "z_weight": 0.125, "eps": 0.0009765625, "beta": 0.375,
          "quantile": 0.375, "discount": 0.75, "m": 0.375, "temperature": 0.5, "alpha": 0.375}  # fmt: skip
# The gradient by it does not exist: it chooses the formula.
FIXED = {("triplet_margin_loss", "p"): "chooses the norm", ("multi_margin_loss", "p"): "1 or 2, an integer"}
STOPPED = {("td_semi_gradient_loss", "discount"): "the target of the loss is a constant"}


def numeric(loss: Loss) -> dict[str, Any]:
    parameters = inspect.signature(loss.torch).parameters
    return {name: p.default for name, p in parameters.items() if type(p.default) in (bool, int, float)}


def value_of(loss: Loss, name: str) -> Any:
    default = numeric(loss)[name]
    if type(default) is bool:
        return not default
    if name in ("ignore_index", "blank"):
        return 1
    annotation = str(inspect.signature(loss.torch).parameters[name].annotation)
    return CHOSEN.get(name, float(np.float32(default))) if "float" in annotation else default


OPTIONS = [(loss, name) for loss in LOSSES.values() for name in numeric(loss)]
LEARNED = [
    (loss, name) for loss, name in OPTIONS if type(value_of(loss, name)) is float and (loss.name, name) not in FIXED
]


def every(pairs: list[tuple[Loss, str]]) -> Any:
    return pytest.mark.parametrize(("loss", "name"), pairs, ids=[f"{loss.name}-{name}" for loss, name in pairs])


def arrays_of(loss: Loss, name: str, dtype: str = "float64") -> dict[str, np.ndarray]:
    variant = loss.variants[0]
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", dtype))
    if name in ("from_logits", "log_input") or (loss.name, name) == ("poisson_nll_loss", "eps"):
        arrays = {key: np.abs(a) % 1 if a.dtype.kind == "f" else a for key, a in arrays.items()}
    if name == "blank":
        arrays["targets"] = np.where(arrays["targets"] == 1, 2, arrays["targets"])
    return {key: np.asarray(array) for key, array in arrays.items()}


def caller(loss: Loss, framework: Any, name: str, arrays: dict[str, np.ndarray],
           reduction: str = "sum") -> Callable[[Any], Any]:  # fmt: skip
    """The loss as a function of the option."""
    function, tensors = loss.implementation(framework.name), put(framework, arrays)
    rest = {"log_input": False} if (loss.name, name) == ("poisson_nll_loss", "eps") else {}
    return lambda value: function(**tensors, **rest, **{name: value}, reduction=reduction)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        yield


def numpy_kinds(value: Any) -> list[Any]:
    if type(value) is bool:
        return [np.bool_(value), np.array(value)]
    if type(value) is int:
        return [np.int64(value), np.int32(value), np.array(value)]
    return [np.float32(value), np.float64(value), np.float16(value) if value == np.float16(value) else np.array(value)]


@every(OPTIONS)
def test_numpy_scalars(loss: Loss, name: str) -> None:
    value, arrays = value_of(loss, name), arrays_of(loss, name)
    for framework in (TORCH, JAX):
        call = caller(loss, framework, name, arrays)
        want = framework.get(call(value))
        for given in numpy_kinds(value):
            np.testing.assert_array_equal(framework.get(call(given)), want, err_msg=repr(given))


def central_difference(call: Callable[[Any], Any], value: float) -> float:
    h = 1e-6 * max(abs(value), 1e-2)
    return float((float(call(value + h)) - float(call(value - h))) / (2 * h))


def agree(got: Any, want: float, scale: float) -> None:
    np.testing.assert_allclose(float(got), want, rtol=1e-6, atol=1e-7 * max(scale, 1))


@every(LEARNED)
def test_learned_in_torch(loss: Loss, name: str) -> None:
    value = value_of(loss, name)
    call = caller(loss, TORCH, name, arrays_of(loss, name))
    plain = float(call(value))
    want = 0.0 if (loss.name, name) in STOPPED else central_difference(call, value)
    for dtype in (torch.float64, torch.float32):
        leaf = torch.tensor(value, dtype=dtype, requires_grad=True)
        out = call(leaf)
        assert out.dtype == torch.float64
        np.testing.assert_allclose(out.item(), plain, rtol=1e-13)
        if out.requires_grad:
            out.backward()
        agree(leaf.grad if leaf.grad is not None else 0.0, want, abs(plain))
    agree(torch.func.grad(call)(torch.tensor(value, dtype=torch.float64)), want, abs(plain))
    several = torch.tensor([value, 0.5 * value, 0.75 * value], dtype=torch.float64)
    np.testing.assert_allclose(torch.func.vmap(call)(several), [float(call(float(v))) for v in several], rtol=1e-12)


@pytest.mark.slow
@every(LEARNED)
def test_learned_compiled_in_torch(loss: Loss, name: str) -> None:
    value = value_of(loss, name)
    call = caller(loss, TORCH, name, arrays_of(loss, name))
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    leaf = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    out = compiled(leaf)
    np.testing.assert_allclose(out.item(), float(call(value)), rtol=1e-13)
    if out.requires_grad:
        out.backward()
    want = 0.0 if (loss.name, name) in STOPPED else central_difference(call, value)
    agree(leaf.grad if leaf.grad is not None else 0.0, want, abs(out.item()))


@every(LEARNED)
def test_learned_in_jax(loss: Loss, name: str) -> None:
    """Under strict promotion; in `grad`, `jit`, `vmap`, and as a concrete array."""
    value = value_of(loss, name)
    call = caller(loss, JAX, name, arrays_of(loss, name))
    torch_call = caller(loss, TORCH, name, arrays_of(loss, name))
    plain = float(torch_call(value))
    want = 0.0 if (loss.name, name) in STOPPED else central_difference(torch_call, value)
    several = jnp.asarray([value, 0.5 * value, 0.75 * value])

    @fast_compile_jit
    def program(x: Any, narrow: Any, several: Any) -> Any:
        return jax.value_and_grad(call)(x), jax.value_and_grad(call)(narrow), jax.vmap(call)(several)

    (found, grad), (of_narrow, grad_of_narrow), mapped = program(jnp.asarray(value), jnp.float32(value), several)
    assert found.dtype == of_narrow.dtype == jnp.float64
    np.testing.assert_allclose([float(found), float(of_narrow)], plain, rtol=1e-12)
    agree(grad, want, abs(plain))
    agree(grad_of_narrow, want, abs(plain))
    np.testing.assert_allclose(mapped, [float(torch_call(float(v))) for v in several], rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_option_does_not_widen(dtype: str) -> None:
    """A float32 or float64 temperature of bfloat16 logits leaves the loss in bfloat16."""
    for kind in ("float32", "float64"):
        x = torch.randn(4, 3, dtype=getattr(torch, dtype))
        option = torch.tensor(2.0, dtype=getattr(torch, kind))
        assert LOSSES["self_distillation_loss"].torch(x, x, temperature=option).dtype == x.dtype
        y = jnp.ones((4, 3), dtype)
        found = LOSSES["self_distillation_loss"].jax(y, y, temperature=jnp.asarray(2.0, kind))
        assert found.dtype == y.dtype


BAD = [
    ("huber_loss", "delta", -1.0),
    ("self_distillation_loss", "temperature", 0.0),
    ("softmax_focal_loss", "gamma", -0.5),
    ("cross_entropy", "label_smoothing", 1.5),
    ("quantile_loss", "quantile", 1.0),
    ("dpo_loss", "beta", float("nan")),
    ("triplet_margin_loss", "margin", -1.0),
]


@pytest.mark.parametrize(("name", "option", "value"), BAD, ids=[name for name, *_ in BAD])
def test_a_range_is_checked_where_the_value_is_at_hand(name: str, option: str, value: float) -> None:
    loss = LOSSES[name]
    arrays = arrays_of(loss, option)
    in_torch, in_jax = (caller(loss, framework, option, arrays) for framework in (TORCH, JAX))
    for call, given in ((in_torch, torch.tensor(value)), (in_jax, jnp.asarray(value)), (in_torch, np.float32(value))):
        with pytest.raises(ValueError, match=f"^{option}: expected a number"):
            call(given)
    jax.eval_shape(in_jax, jnp.asarray(value))  # no check while tracing
    for call, given in (
        (in_torch, torch.ones(1)), (in_torch, torch.tensor(1)), (in_jax, jnp.ones(1)), (in_jax, jnp.asarray(1)),
        (in_torch, np.ones(1)), (in_jax, np.ones(2)), (in_torch, np.bool_(True)), (in_jax, "1"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"^{option}: expected a number"):
            call(given)


def test_a_parameter_in_a_class_form() -> None:
    """A parameter of the module is trained; in JAX an option that is an array is a leaf, the others stay static."""
    module = xloss.torch.HuberLoss(delta=torch.nn.Parameter(torch.tensor(0.5)))  # type: ignore[arg-type]
    assert [name for name, _ in module.named_parameters()] == ["delta"]
    module(torch.tensor([3.0]), torch.tensor([0.0])).backward()
    assert module.delta.grad.item() == 2.5
    form = xloss.jax.HuberLoss(delta=jnp.asarray(0.5))  # type: ignore[arg-type]
    assert len(jax.tree.leaves(form)) == 1
    grad = jax.jit(jax.grad(lambda form: form(jnp.asarray([3.0]), jnp.asarray([0.0]))))(form)
    assert float(grad.delta) == 2.5
    assert not jax.tree.leaves(xloss.jax.HuberLoss(delta=np.float32(0.5)))  # type: ignore[arg-type]
