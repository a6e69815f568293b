"""Every transformation of both frameworks passes through every loss, nested ones too, and gives what plain gradients
give.

How accurate each is, the sweep judges by truth, at every regime; here it is that they work, in float64, by identities
and by differences of the values.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import no_slope_in_torch

from xloss.catalog import LOSSES, Loss
from xloss.parity.cells import Cell
from xloss.parity.evaluate import exact
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit
from xloss.parity.truth import Tape, balls

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def held(loss: Loss) -> bool:
    """Whether the formula holds a term constant: then differences of the values are not its gradient."""

    class Watch(Tape):
        stopped = False

        def stop_gradient(self, x: Any) -> Any:
            self.stopped = True
            return x

    tape = Watch()
    loss.truth(tape, **{name: balls(array) for name, array in arrays_of(loss).items()}, **loss.variants[0].options)
    return tape.stopped


def arrays_of(loss: Loss, dtype: str = "float64") -> dict[str, np.ndarray]:
    """Typical inputs, away from kinks; the class of problems that a batch of the first variant is."""
    return loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "typical", dtype))


def put(framework: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: framework.put(array, framework.device("cpu")) for name, array in arrays.items()}


def problem(loss: Loss, framework: Any, reduction: str = "mean") -> tuple[Callable[[Any], Any], Any, dict[str, Any]]:
    """The loss as a function of its first argument, where it is, and the other arguments."""
    given = put(framework, arrays_of(loss))
    first = loss.arguments.wrt[0]
    function = loss.implementation(framework.name)
    options = loss.variants[0].options

    def call(x: Any, **changes: Any) -> Any:
        return function(**{**given, first: x, **changes}, **options, reduction=reduction)

    return call, given[first], given


def direction(like: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(3).integers(-24, 25, tuple(like.shape)) / 16)


def plain(loss: Loss, reduction: str = "mean") -> np.ndarray:
    """The gradient by the first argument, by `backward()`."""
    call, x, _ = problem(loss, TORCH, reduction)
    leaf = x.clone().requires_grad_()
    call(leaf).backward()
    return leaf.grad.numpy()


def differences(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, v: np.ndarray, step: float = 1e-6
) -> np.ndarray:
    """The derivative along v by values to both sides."""
    return (np.asarray(function(x + step * v)) - np.asarray(function(x - step * v))) / (2 * step)


def torch_values(loss: Loss, x: np.ndarray) -> np.ndarray:
    return problem(loss, TORCH)[0](torch.from_numpy(np.asarray(x))).numpy()


def torch_slopes(loss: Loss, x: np.ndarray) -> np.ndarray:
    call = problem(loss, TORCH)[0]
    leaf = torch.from_numpy(np.asarray(x)).requires_grad_()
    return torch.autograd.grad(call(leaf), leaf)[0].numpy()


def near(got: Any, want: Any, relative: float = 1e-9) -> None:
    """Raise unless equal to a relative error of the greatest of them."""
    # A gradient that PyTorch knows to be 0 has no memory before `get` gives it some.
    got, want = (TORCH.get(x) if isinstance(x, torch.Tensor) else np.asarray(x) for x in (got, want))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=relative, atol=relative * np.abs(want).max(initial=1e-3))


# --- PyTorch --------------------------------------------------------------------------------------


@every_loss
def test_the_gradient_is_the_slope_of_the_values(loss: Loss) -> None:
    if held(loss):
        pytest.skip("a term is held constant: test_truth has its gradient")
    _, x, _ = problem(loss, TORCH)
    v = direction(x)
    near((plain(loss) * v).sum(), differences(lambda x: torch_values(loss, x), x.numpy(), v), 1e-6)


@every_loss
def test_torch_func(loss: Loss) -> None:
    """grad, vjp, jvp, jacrev, and jvp of grad."""
    call, x, _ = problem(loss, TORCH)
    v = torch.from_numpy(direction(x))
    want = plain(loss)
    near(torch.func.grad(call)(x), want)
    value, pull = torch.func.vjp(call, x)
    near(pull(torch.ones_like(value))[0], want)
    _, slope = torch.func.jvp(call, (x,), (v,))
    near(slope, (want * v.numpy()).sum())
    near(torch.func.jacrev(call)(x), want)
    gradient, curvature = torch.func.jvp(torch.func.grad(call), (x,), (v,))
    near(gradient, want)
    # The gradients of linear losses, and of terms held constant, do not depend on x: then there is no graph.
    near_curvature(curvature, hessian_vector(loss, x, v))


def hessian_vector(loss: Loss, x: Any, v: Any) -> np.ndarray:
    """By differences of gradients; the exact one where a term is held constant, which differences do not see."""
    if held(loss):
        variant = loss.variants[0]
        cell = Cell(loss.name, variant.name, variant.shapes[0], "typical", "float64")
        return exact(loss, cell)[1].curvature(loss.arguments.wrt[0], np.asarray(v), "mean").high
    got = differences(lambda x: torch_slopes(loss, x), x.numpy(), v.numpy())
    return np.where(np.abs(got) < 1e-8, 0.0, got)


def near_curvature(got: Any, want: np.ndarray) -> None:
    near(got, want, 1e-6)


@every_loss
def test_torch_double_backward(loss: Loss) -> None:
    call, x, _ = problem(loss, TORCH)
    v = torch.from_numpy(direction(x))
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(call(leaf), leaf, create_graph=True)
    curvature = torch.zeros_like(x)
    if slope.requires_grad:
        (again,) = torch.autograd.grad(slope, leaf, v, allow_unused=True)
        curvature = curvature if again is None else again
    near_curvature(curvature, hessian_vector(loss, x, v))


@every_loss
def test_torch_per_sample_gradients(loss: Loss) -> None:
    """vmap of grad, sample by sample, sums to the gradient of the sum; and vmap of the value is the unreduced one."""
    if loss.arguments.class_axes is None:
        pytest.skip("its samples are coupled")
    call, x, given = problem(loss, TORCH, "sum")
    axes = loss.arguments.batch_axes
    rest = {name: given[name] for name in axes if name in given and name != loss.arguments.wrt[0]}
    one = lambda x, rest: call(x, **rest)  # noqa: E731
    axis = axes[loss.arguments.wrt[0]]
    ways = {"in_dims": (axis, {name: axes[name] for name in rest}), "out_dims": axis}
    per_sample = torch.func.vmap(torch.func.grad(one), **ways)(x, rest)
    near(per_sample, plain(loss, "sum"))
    near(torch.func.vmap(one, in_dims=ways["in_dims"])(x, rest).sum(), call(x))
    near(
        torch.func.vmap(torch.func.vmap(torch.func.grad(one), **ways))(x[None], {k: r[None] for k, r in rest.items()})[
            0
        ],
        per_sample,
    )


@every_loss
def test_torch_compile(loss: Loss) -> None:
    """The whole graph at once, forward and backward, by each argument."""
    given = put(TORCH, arrays_of(loss))
    function, options = loss.implementation("torch"), loss.variants[0].options
    call = lambda given: function(**given, **options)  # noqa: E731
    torch.compiler.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    results = []
    for run in (compiled, call):
        leaves = {
            name: given[name].clone().requires_grad_()
            for name in loss.arguments.wrt
            if name in given and given[name].is_floating_point()
        }
        value = run({**given, **leaves})
        results.append([value, *torch.autograd.grad(value, list(leaves.values()))])
    for got, want in zip(*results, strict=True):
        near(got.detach(), want.detach(), 1e-13)


@pytest.mark.slow
@every_loss
def test_torch_compile_under_func_grad(loss: Loss) -> None:
    call, x, _ = problem(loss, TORCH)
    torch.compiler.reset()
    near(torch.compile(torch.func.grad(call), fullgraph=True, backend="eager")(x), plain(loss))


@every_loss
def test_inputs_are_left_alone_and_no_graph_is_made_without_need(loss: Loss) -> None:
    given = put(TORCH, arrays_of(loss))
    before = {name: tensor.clone() for name, tensor in given.items()}
    out = loss.implementation("torch")(**given, **loss.variants[0].options)
    assert not out.requires_grad
    for name, tensor in given.items():
        assert torch.equal(tensor, before[name])
    with torch.no_grad():
        leaf = given[loss.arguments.wrt[0]].clone().requires_grad_()
        assert not loss.implementation("torch")(
            **{**given, loss.arguments.wrt[0]: leaf}, **loss.variants[0].options
        ).requires_grad


# --- JAX: one program a loss
# ------------------------------------------------------------------------------------------------


def jax_everything(loss: Loss) -> dict[str, np.ndarray]:
    """All of grad, vjp, jvp, vmap, hessian, and nested ones in one program: compiling is what takes the time."""
    call, x, given = problem(loss, JAX)
    total = problem(loss, JAX, "sum")[0]
    v = jnp.asarray(direction(x))
    axes = loss.arguments.batch_axes
    rest = {name: given[name] for name in axes if name in given and name != loss.arguments.wrt[0]}
    one = lambda x, rest: total(x, **rest)  # noqa: E731
    axis = axes[loss.arguments.wrt[0]]
    into = (axis, {name: axes[name] for name in rest})

    def program(x: Any, v: Any, rest: Any) -> dict[str, Any]:
        value, pull = jax.vjp(call, x)
        out = {
            "value": value,
            "grad": jax.grad(call)(x),
            "value_and_grad": jax.value_and_grad(call)(x)[1],
            "vjp": pull(jnp.ones_like(value))[0],
            "jvp": jax.jvp(call, (x,), (v,))[1],
            "jvp of grad": jax.jvp(jax.grad(call), (x,), (v,))[1],
            "vjp of grad": jax.vjp(jax.grad(call), x)[1](v)[0],
            "grad of jvp": jax.grad(lambda x: jax.jvp(call, (x,), (v,))[1])(x),
            "hessian": jnp.tensordot(jax.hessian(call)(x), v, axes=v.ndim),
        }
        if loss.arguments.class_axes is not None:
            out["vmap"] = jax.vmap(one, into)(x, rest).sum()
            out["vmap of grad"] = jax.vmap(jax.grad(one), into, axis)(x, rest)
            twice = jax.vmap(jax.vmap(jax.grad(one), into, axis))
            out["vmap of vmap of grad"] = twice(x[None], {name: row[None] for name, row in rest.items()})[0]
            slope = lambda x, v, rest: jax.jvp(lambda x: one(x, rest), (x,), (v,))[1]  # noqa: E731
            out["vmap of jvp"] = jax.vmap(slope, (axis, *into))(x, v, rest).sum()
        out["checkpoint"] = jax.grad(jax.checkpoint(call))(x)
        return out

    return jax.tree.map(np.asarray, fast_compile_jit(program)(x, v, rest))


@every_loss
def test_jax(loss: Loss) -> None:
    out = jax_everything(loss)
    call, x, _ = problem(loss, TORCH)
    v = direction(x)
    mean, total = plain(loss), plain(loss, "sum")
    near(out["value"], call(x))
    for name in ("grad", "value_and_grad", "vjp", "checkpoint"):
        near(out[name], mean)
    near(out["jvp"], (mean * v).sum())
    want = hessian_vector(loss, x, torch.from_numpy(v))
    for name in ("jvp of grad", "vjp of grad", "hessian", "grad of jvp"):
        near_curvature(out[name], want)
    if "vmap" in out:
        near(out["vmap"], problem(loss, TORCH, "sum")[0](x))
        near(out["vmap of grad"], total)
        near(out["vmap of vmap of grad"], total)
        near(out["vmap of jvp"], (total * v).sum())


@every_loss
@pytest.mark.slow
def test_jax_without_jit(loss: Loss) -> None:
    """Operation by operation: what a first attempt at a prompt is."""
    call, x, _ = problem(loss, JAX)
    near(jax.grad(call)(x), plain(loss))


@pytest.mark.parametrize("loss", [loss for loss in LOSSES.values() if loss.domain.kinks], ids=lambda loss: loss.name)
def test_the_second_derivative_on_a_kink_is_that_of_functional(loss: Loss) -> None:
    """Where both sides meet in value and slope, the second derivative still tells which side was taken."""
    functional = getattr(torch.nn.functional, loss.name, None)
    if functional is None:
        pytest.skip("torch has no such loss")
    if no_slope_in_torch(loss):
        pytest.skip("nor has torch a first derivative there, from 2.14 on: a Difference")
    variant = loss.variants[0]
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "on_kink", "float64"))
    given = put(TORCH, arrays)
    v = direction(given[loss.arguments.wrt[0]])

    def curvature(function: Callable[..., Any]) -> np.ndarray:
        leaf = given[loss.arguments.wrt[0]].clone().requires_grad_()
        value = function(**{**given, loss.arguments.wrt[0]: leaf}, **variant.options, reduction="sum")
        (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
        if not slope.requires_grad:
            return np.zeros(leaf.shape)
        (again,) = torch.autograd.grad(slope, leaf, torch.from_numpy(v), allow_unused=True)
        return np.zeros(leaf.shape) if again is None else TORCH.get(again)

    want = curvature(functional)
    near(curvature(loss.implementation("torch")), want)
    twin = put(JAX, arrays)

    def call(x):
        return loss.implementation("jax")(**{**twin, loss.arguments.wrt[0]: x}, **variant.options, reduction="sum")

    near(
        jax.jit(lambda x, v: jax.jvp(jax.grad(call), (x,), (v,))[1])(twin[loss.arguments.wrt[0]], jnp.asarray(v)), want
    )


# --- the comparison sees faults
# ---------------------------------------------------------------------------------------------


def test_a_term_that_is_detached_is_seen() -> None:
    """The gradient of `error * error.detach()` is half the slope of the values."""
    loss = LOSSES["detached_squared_error"]
    _, x, _ = problem(loss, TORCH)
    v = direction(x)
    slope = differences(lambda x: torch_values(loss, x), x.numpy(), v)
    near((plain(loss) * v).sum() * 2, slope, 1e-6)
    with pytest.raises(AssertionError):
        near((plain(loss) * v).sum(), slope, 1e-6)


@pytest.mark.parametrize("factor", [-1.0, 2.0, 1 + 1e-8, np.nan])
def test_a_wrong_gradient_is_seen(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = LOSSES["mse_loss"]
    want = plain(loss)
    right = LOSSES["mse_loss"].torch

    def wrong(input: Any, target: Any, reduction: str = "mean") -> Any:
        loss = right(input, target, reduction)
        return loss.detach() * 1 + factor * (loss - loss.detach())

    monkeypatch.setitem(loss.__dict__, "torch", wrong)
    with pytest.raises(AssertionError):
        near(plain(loss), want)


def test_a_wrong_second_derivative_is_seen() -> None:
    """As that of a custom rule that treats its own derivative as a constant."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * 2 * x.detach()

    x = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    assert not slope.requires_grad
    with pytest.raises(AssertionError):
        near_curvature(torch.zeros(2, dtype=torch.float64), np.array([2.0, 2.0]))
