"""Dice, Tversky, Jensen-Shannon, distillation; and special cases of cross entropy, where the catalogue-wide tests do
not look.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity.inputs import DIGITS
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit
from xloss.parity.reference import floats
from xloss.parity.truth import evaluate
from xloss.parity.verdict import ulp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
FRAMEWORKS = {"torch": TORCH, "jax": JAX}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
overlaps = pytest.mark.parametrize("name", ["dice_loss", "tversky_loss"])
rng = np.random.default_rng(0)
P, MASK, X = rng.uniform(0.05, 0.95, (4, 3)), (rng.random((4, 3)) < 0.5).astype(float), rng.normal(size=(4, 3))
SIMPLEX = np.exp(X) / np.exp(X).sum(1, keepdims=True)


def run(framework: Any, name: str, *arrays: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The value, and the gradient of its sum by the first argument."""
    function = getattr(LOSSES[name], framework.name)
    given = [framework.put(np.asarray(a), framework.device("cpu")) for a in arrays]
    if framework is JAX:

        def call(x: Any, rest: Any) -> Any:
            value = function(x, *rest, **options)
            return value.sum(), value

        program = fast_compile_jit(jax.grad(call, has_aux=True))
        grad, value = program(given[0], given[1:])
        return np.asarray(value), np.asarray(grad)
    leaf = given[0].requires_grad_()
    value = function(leaf, *given[1:], **options)
    return TORCH.get(value), TORCH.get(torch.autograd.grad(value.sum(), leaf)[0])


# --- refusals -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, str, tuple[np.ndarray, ...], dict[str, Any]]] = {
    "smooth<0": ("dice_loss", "smooth", (P, MASK), {"smooth": -1.0}),
    "smooth=nan": ("tversky_loss", "smooth", (P, MASK), {"smooth": math.nan}),
    "alpha<0": ("tversky_loss", "alpha", (P, MASK), {"alpha": -0.5}),
    "beta=None": ("tversky_loss", "beta", (P, MASK), {"beta": None}),
    "a scalar": ("dice_loss", "input", (np.asarray(0.5), np.asarray(1.0)), {}),
    "broadcasting": ("dice_loss", "target", (P, MASK[:1]), {}),
    "logits for probabilities": ("dice_loss", "input", (X, MASK), {}),
    "labels for a mask": ("tversky_loss", "target", (P, 2 * MASK + 1), {}),
    "labels for a mask, logits": ("tversky_loss", "target", (X, 2 * MASK + 1), {"from_logits": True}),
    "a NaN": ("dice_loss", "input", (np.where(MASK > 0, P, np.nan), MASK), {}),
    "share 0": ("jensen_shannon_loss", "beta", (np.log(SIMPLEX), SIMPLEX), {"beta": 0.0}),
    "share 1": ("jensen_shannon_loss", "beta", (np.log(SIMPLEX), SIMPLEX), {"beta": 1}),
    "share 2": ("jensen_shannon_loss", "beta", (np.log(SIMPLEX), SIMPLEX), {"beta": 2.0}),
    "no broadcast": ("jensen_shannon_loss", "target", (np.log(SIMPLEX), SIMPLEX[:, :2]), {}),
    "temperature 0": ("self_distillation_loss", "temperature", (X, X), {"temperature": 0.0}),
    "another shape": ("self_distillation_loss", "target", (X, X[:, :2]), {}),
    "no classes": ("self_distillation_loss", "input", (X[:, :0], X[:, :0]), {}),
    "a scalar logit": ("self_distillation_loss", "input", (np.asarray(0.5), np.asarray(0.5)), {}),
    "two labels": ("nll_loss", "target", (X[0], np.array([0, 1])), {}),
    "a label of shape (1)": ("cross_entropy", "target", (X[0], np.array([0])), {}),
    "one probability of three": ("cross_entropy", "target", (X[0], np.array([0.5])), {}),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_both_refuse_by_name_in_the_same_words(case: Any) -> None:
    name, at, arrays, options = case
    messages = []
    for framework in FRAMEWORKS.values():
        given = [framework.put(array, framework.device("cpu")) for array in arrays]
        with pytest.raises((ValueError, TypeError), match=rf"^{at}( \([a-z ]+\))?: expected .*, got ") as caught:
            getattr(LOSSES[name], framework.name)(*given, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@overlaps
def test_what_cannot_be_looked_at_is_nan_in_its_sample(name: str) -> None:
    bad = np.where(np.arange(12).reshape(4, 3) == 4, 1.5, P)
    value, grad = jax.jit(lambda p: jax.value_and_grad(lambda p: LOSSES[name].jax(p, jnp.asarray(MASK),
        reduction="sum"))(p))(bad)  # fmt: skip
    assert np.isnan(value)
    np.testing.assert_array_equal(np.isnan(grad).any(1), [False, True, False, False])
    torch.compiler.reset()
    compiled = torch.compile(LOSSES[name].torch, fullgraph=True, backend="eager")
    leaf = torch.tensor(bad, requires_grad=True)
    rows = compiled(leaf, torch.tensor(MASK), reduction="none")
    rows.sum().backward()
    np.testing.assert_array_equal(np.isnan(rows.detach().numpy()), [False, True, False, False])
    np.testing.assert_array_equal(np.isnan(leaf.grad.numpy()).any(1), [False, True, False, False])
    assert np.isnan(leaf.grad.numpy()[1, 1])


# --- identities and conventions -------------------------------------------------------------------


def by_hand(p: np.ndarray, t: np.ndarray, smooth: float) -> np.ndarray:
    axes = tuple(range(1, p.ndim))
    return 1 - (2 * (p * t).sum(axes) + smooth) / (p.sum(axes) + t.sum(axes) + smooth)


@both
@pytest.mark.parametrize("smooth", [0.0, 1.0, 3.0])
def test_dice_is_the_formula_and_a_tversky_loss(framework: Any, smooth: float) -> None:
    p, t = rng.uniform(size=(3, 2, 4)), (rng.random((3, 2, 4)) < 0.5).astype(float)
    value, grad = run(framework, "dice_loss", p, t, smooth=smooth, reduction="none")
    np.testing.assert_allclose(value, by_hand(p, t, smooth), rtol=1e-12)
    same = run(framework, "tversky_loss", p, t, smooth=smooth / 2, reduction="none")
    np.testing.assert_array_equal(value, same[0])
    np.testing.assert_array_equal(grad, same[1])
    logits = run(framework, "dice_loss", np.log(p / (1 - p)), t, smooth=smooth, from_logits=True, reduction="none")
    np.testing.assert_allclose(logits[0], value, rtol=1e-12)
    np.testing.assert_allclose(logits[1], grad * p * (1 - p), rtol=1e-10)


@both
def test_tversky_with_weights_of_1_is_the_jaccard_loss(framework: Any) -> None:
    value, _ = run(framework, "tversky_loss", MASK, P, alpha=1.0, beta=1.0, smooth=0, reduction="none")
    both_, any_ = (MASK * P).sum(1), (MASK + P - MASK * P).sum(1)
    np.testing.assert_allclose(value, 1 - both_ / any_, rtol=1e-12)


@both
@overlaps
def test_an_empty_mask(framework: Any, name: str) -> None:
    """0 where nothing is predicted, even without smoothing; the whole loss at the least prediction without it."""
    p, t = np.array([[0.0, 0.0], [0.25, 0.25]]), np.zeros((2, 2))
    value, grad = run(framework, name, p, t, smooth=0.0, reduction="none")
    np.testing.assert_array_equal(value, [0, 1])
    np.testing.assert_array_equal(grad, np.zeros((2, 2)))
    smoothed, grad = run(framework, name, p, t, reduction="none")
    np.testing.assert_allclose(smoothed, [0, 0.5 / 1.5 if name == "dice_loss" else 0.25 / 1.25])
    assert (grad > 0).all()


@both
@overlaps
def test_infinite_logits_are_certain(framework: Any, name: str) -> None:
    x, t = np.array([[np.inf, -np.inf], [-np.inf, np.inf], [np.nan, 0]]), np.array([[1.0, 0.0]] * 3)
    value, grad = run(framework, name, x, t, smooth=0.0, from_logits=True, reduction="none")
    np.testing.assert_array_equal(value, [0, 1, np.nan])
    np.testing.assert_array_equal(grad[:2], np.zeros((2, 2)))


@both
@pytest.mark.parametrize(("beta", "log_target"), [(0.5, False), (0.3, True)])
def test_jensen_shannon_is_two_kl_divs_from_the_mixture(framework: Any, beta: float, log_target: bool) -> None:
    q, p = SIMPLEX, np.roll(SIMPLEX, 1, 0)
    m = torch.tensor(beta * p + (1 - beta) * q)
    kl = functools.partial(functional.kl_div, m.log(), reduction="none")
    want = beta * kl(torch.tensor(p)) + (1 - beta) * kl(torch.tensor(q))
    target = np.log(p) if log_target else p
    value, grad = run(framework, "jensen_shannon_loss", np.log(q), target, beta=beta, log_target=log_target,
        reduction="none")  # fmt: skip
    np.testing.assert_allclose(value, want.numpy(), rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(grad, (1 - beta) * q * np.log(q / m.numpy()), rtol=1e-12, atol=1e-17)
    batchmean, _ = run(framework, "jensen_shannon_loss", np.log(q), target, beta=beta, log_target=log_target,
        reduction="batchmean")  # fmt: skip
    np.testing.assert_allclose(batchmean, value.sum() / 4, rtol=1e-14)


@both
@pytest.mark.parametrize("log_target", [False, True])
def test_jensen_shannon_where_there_is_no_probability(framework: Any, log_target: bool) -> None:
    """Of disjoint distributions log 2; where both have none 0, with finite gradients. `kl_div` is infinite there."""
    q, p = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    with np.errstate(divide="ignore"):
        x, target = np.log(q), np.log(p) if log_target else p
    value, grad = run(framework, "jensen_shannon_loss", x, target, log_target=log_target, reduction="none")
    np.testing.assert_allclose(value, [math.log(2) / 2, math.log(2) / 2, 0], rtol=1e-15)
    np.testing.assert_allclose(grad, [math.log(2) / 2, 0, 0], rtol=1e-15)
    flipped = lambda target, x: LOSSES["jensen_shannon_loss"].torch(x, target, "sum", log_target)  # noqa: E731
    (by_target,) = torch.autograd.grad(flipped(leaf := torch.tensor(target, requires_grad=True), torch.tensor(x)), leaf)
    assert np.isfinite(by_target.numpy()).all()
    assert math.isnan(run(framework, "jensen_shannon_loss", np.zeros(1), np.array([-0.5]))[0])


@both
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_kl_div_of_softened_logits(framework: Any, temperature: float) -> None:
    x, y = torch.tensor(3 * X, requires_grad=True), torch.tensor(3 * np.roll(X, 1, 0))
    log_q, p = functional.log_softmax(x / temperature, 1), functional.softmax(y / temperature, 1)
    want = temperature**2 * functional.kl_div(log_q, p, reduction="batchmean")
    value, grad = run(framework, "self_distillation_loss", 3 * X, y.numpy(), temperature=temperature)
    np.testing.assert_allclose(value, want.detach(), rtol=1e-12)
    np.testing.assert_allclose(grad, torch.autograd.grad(want, x)[0].numpy(), rtol=1e-10, atol=1e-16)


def test_the_teacher_is_held() -> None:
    x, y = (torch.tensor(a, requires_grad=True) for a in (X, X[::-1].copy()))
    _, by_teacher = torch.autograd.grad(LOSSES["self_distillation_loss"].torch(x, y), [x, y], allow_unused=True)
    assert by_teacher is None
    slope = jax.grad(LOSSES["self_distillation_loss"].jax, argnums=1)(jnp.asarray(X), jnp.asarray(X[::-1]))
    assert not np.asarray(slope).any()


@both
def test_a_class_ruled_out_in_both_is_none(framework: Any) -> None:
    x, y, keep = X.copy(), X[::-1].copy(), [0, 2]
    x[:, 1] = y[:, 1] = -np.inf
    value, grad = run(framework, "self_distillation_loss", x, y)
    want, slope = run(framework, "self_distillation_loss", X[:, keep], X[::-1][:, keep])
    np.testing.assert_allclose(value, want, rtol=1e-14)
    np.testing.assert_allclose(grad[:, keep], slope, rtol=1e-12)
    assert not grad[:, 1].any()
    only_student = run(framework, "self_distillation_loss", x, X[::-1].copy(), reduction="none")[0]
    np.testing.assert_array_equal(only_student, np.full(4, np.inf))


# --- digits ---------------------------------------------------------------------------------------


def nearly_equal(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that agree to one part in 10 to 10^5, where a difference of logarithms, or 1 - a quotient, is lost."""
    gap = 10.0 ** -np.linspace(1, 5, 60)[:, None] * rng.normal(size=(60, 4))
    if name == "self_distillation_loss":
        x = rng.normal(size=(60, 4)) * rng.choice([0.01, 1.0, 8.0], (60, 1))
        return x.astype(np.float32), (x * (1 + gap)).astype(np.float32)
    if name == "jensen_shannon_loss":
        p = rng.dirichlet(np.ones(4), 60).astype(np.float32)
        return np.log(p * (1 + np.abs(gap))).astype(np.float32), p
    t = (rng.random((60, 4)) < 0.5).astype(np.float32)
    return ((2 * t - 1) * -np.log(np.abs(gap))).astype(np.float32), t


def worst(name: str, function: Callable[..., Any], framework: Any, **options: Any) -> float:
    """The greatest error of the unreduced value, in ulps, over 1 + its condition number by `input`."""
    arrays = dict(zip(("input", "target"), nearly_equal(name), strict=True))
    loss = LOSSES[name]
    exact = evaluate(loss.truth, arrays, options, loss.arguments.wrt, loss.arguments.class_axes, 1, *DIGITS["float32"])
    want = floats(exact.values)
    by_input = [c for c, column in enumerate(exact.columns) if column.argument == "input"]
    spread = sum(np.abs(floats(exact.own(c)) * floats(exact.first[c])) for c in by_input)
    given = {key: framework.put(a, framework.device("cpu")) for key, a in arrays.items()}
    got = framework.get(function(**given, **options, reduction="none")).astype(np.float64)
    return float((np.abs(got - want) / ulp("float32", want) / (1 + spread / want)).max())


CLOSE = {"dice_loss": {"from_logits": True, "smooth": 0.0}, "jensen_shannon_loss": {}, "self_distillation_loss": {}}


@both
@pytest.mark.parametrize("name", CLOSE)
def test_next_to_0_the_digits_are_kept(name: str, framework: Any) -> None:
    assert worst(name, getattr(LOSSES[name], framework.name), framework, **CLOSE[name]) <= 8


def dice_by_subtraction(input: Any, target: Any, reduction: str, from_logits: bool, smooth: float) -> Any:
    p = torch.sigmoid(input)
    return 1 - (2 * (p * target).sum(1) + smooth) / (p.sum(1) + target.sum(1) + smooth)


def jensen_shannon_by_kl_div(input: Any, target: Any, reduction: str) -> Any:
    kl = functools.partial(functional.kl_div, ((input.exp() + target) / 2).log(), reduction=reduction)
    return (kl(target) + kl(input.exp())) / 2


def distillation_by_kl_div(input: Any, target: Any, reduction: str) -> Any:
    q, p = functional.log_softmax(input, 1), functional.softmax(target, 1)
    return functional.kl_div(q, p, reduction=reduction).sum(1)


@pytest.mark.parametrize("written", [dice_by_subtraction, jensen_shannon_by_kl_div, distillation_by_kl_div])
def test_as_they_are_usually_written_the_digits_are_lost(written: Callable[..., Any]) -> None:
    name = {f.__name__: n for f, n in zip((dice_by_subtraction, jensen_shannon_by_kl_div, distillation_by_kl_div),
        CLOSE, strict=True)}[written.__name__]  # fmt: skip
    assert worst(name, written, TORCH, **CLOSE[name]) > 100
