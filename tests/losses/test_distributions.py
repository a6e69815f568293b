"""Likelihoods, logistic, hinge and robust losses: what the catalogue-wide tests do not reach.

Refusals by name, torch.nn.functional's answers off the beaten track, conventions on kinks, digits where others lose
them.
"""

import math
import re
import warnings
from typing import Any

import flint
import numpy as np
import pytest
from helpers import OLD_TORCH

from xloss.catalog import LOSSES
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

FRAMEWORKS = {"torch": load("torch"), "jax": load("jax")}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
rng = np.random.default_rng(0)
X, Y, V = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.uniform(0.5, 2, (4, 3))
N, S = rng.integers(0, 9, (4, 3)), rng.choice([-1, 1], (4, 3))
EXTREMES = np.array([0.0, np.inf, -np.inf, np.nan, 1.0, -1e300])


def put(framework: Any, given: dict[str, Any]) -> dict[str, Any]:
    device = framework.device("cpu")
    return {key: framework.put(a, device) if isinstance(a, np.ndarray) else a for key, a in given.items()}


def owner(framework: Any, name: str) -> Any:
    """Whose loss: torch.nn.functional's where `framework` is None."""
    return getattr(functional, name) if framework is None else getattr(LOSSES[name], framework.name)


def compiled(function: Any, given: dict[str, Any]) -> np.ndarray:
    """JAX compiles each operation on its own for longer than all of them at once."""
    arrays = {key: jnp.asarray(a) for key, a in given.items() if isinstance(a, np.ndarray)}
    rest = {key: a for key, a in given.items() if key not in arrays}
    return np.asarray(fast_compile_jit(lambda arrays: function(**arrays, **rest))(arrays))


def value(framework: Any, name: str, **given: Any) -> np.ndarray:
    """The loss."""
    function = owner(framework, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        if framework is FRAMEWORKS["jax"]:
            return compiled(function, given)
        return FRAMEWORKS["torch"].get(function(**put(FRAMEWORKS["torch"], given)))


def gradient(framework: Any, name: str, by: str, **given: Any) -> np.ndarray:
    """The derivative of the sum by one argument."""
    function = owner(framework, name)
    if framework is FRAMEWORKS["jax"]:

        def slope(**given: Any) -> Any:
            return jax.grad(lambda x: function(**{**given, by: x}, reduction="sum"))(given[by])

        return compiled(slope, given)
    ready = put(FRAMEWORKS["torch"], given)
    leaf = ready[by].clone().requires_grad_()
    function(**{**ready, by: leaf}, reduction="sum").backward()
    return leaf.grad.numpy()


# --- refusals -------------------------------------------------------------------------------------

GOOD: dict[str, dict[str, Any]] = {
    "poisson_nll_loss": {"input": X, "target": V},
    "gaussian_nll_loss": {"input": X, "target": Y, "var": V},
    "soft_margin_loss": {"input": X, "target": S * 1.0},
    "hinge_embedding_loss": {"input": X, "target": S * 1.0},
    "hinge_loss": {"input": X, "target": S * 1.0},
    "squared_hinge_loss": {"input": X, "target": S * 1.0},
    "log_cosh_loss": {"input": X, "target": Y},
    "quantile_loss": {"input": X, "target": Y},
    "wing_loss": {"input": X, "target": Y},
}
NAN = float("nan")
# The loss, the argument, the values that are refused there; last whether torch.nn.functional takes some, too.
REFUSED: list[tuple[str, str, list[Any], bool]] = [
    ("poisson_nll_loss", "target", [V[0, :2], V[:3], None, V.tolist()], False),
    ("poisson_nll_loss", "target", [V > 1], True),
    ("poisson_nll_loss", "log_input", [1, "yes", None], False),
    ("poisson_nll_loss", "full", [0, "no"], False),
    ("poisson_nll_loss", "eps", [None, "1"], False),
    ("poisson_nll_loss", "eps", [-1e-8, NAN], True),
    (
        "gaussian_nll_loss",
        "var",
        [V[:, :2], V[0], V[:1, :1], V[None], np.ones(()), 1, True, "1", None, -0.5, NAN],
        True,
    ),
    ("gaussian_nll_loss", "target", [Y[:, :2], Y[:3]], False),
    ("gaussian_nll_loss", "eps", [-1.0, NAN, "1"], True),
    ("soft_margin_loss", "target", [S[:3], S[None].repeat(2, 0), S[:, 0], S > 0, None], True),
    ("hinge_embedding_loss", "target", [S[:3], S[:, 0], S > 0, None], True),
    ("hinge_embedding_loss", "margin", ["1", None], False),
    ("hinge_embedding_loss", "margin", [NAN, True], True),
    ("hinge_loss", "target", [S[:3], S > 0, S * 1j], False),
    ("squared_hinge_loss", "target", [S[:3], S > 0], False),
    ("log_cosh_loss", "target", [Y[:3], N], False),
    ("quantile_loss", "target", [Y[:3], N], False),
    ("quantile_loss", "quantile", [0, 1, -0.5, 1.5, NAN, "0.5", None], False),
    ("wing_loss", "omega", [0, -1.0, NAN, "1"], False),
    ("wing_loss", "epsilon", [0.0, -1.0, NAN, None], False),
]
CASES = [(name, at, bad, takes) for name, at, bads, takes in REFUSED for bad in bads]
refused = pytest.mark.parametrize(
    ("name", "at", "bad", "takes"), CASES,
    ids=[f"{n}-{at}-{b.dtype}{list(b.shape)}" if isinstance(b, np.ndarray) else f"{n}-{at}-{b!r:.9}" for n, at, b,
        _ in CASES],
)  # fmt: skip


def alike(message: str) -> str:
    message = message.replace("a torch.Tensor", "an array").replace(
        "a jax.Array, a NumPy array or a number", "an array"
    )
    return message.replace("torch.", "")


@refused
def test_it_is_refused_by_name_in_the_same_words(name: str, at: str, bad: Any, takes: bool) -> None:
    """While tracing, too; and by torch.nn.functional, but for what it lets pass."""
    given = {**GOOD[name], at: bad}
    errors = []
    for framework in FRAMEWORKS.values():
        with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected .+, got \S") as caught:
            owner(framework, name)(**put(framework, given))
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert alike(str(errors[0])) == alike(str(errors[1]))
    with pytest.raises(type(errors[1]), match="^" + re.escape(str(errors[1]))):
        compiled(owner(FRAMEWORKS["jax"], name), given)
    if hasattr(functional, name) and not takes:
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
            value(None, name, **given)


@pytest.mark.parametrize("name", GOOD)
def test_the_good_arguments_are_good(name: str) -> None:
    for framework in FRAMEWORKS.values():
        assert np.isfinite(value(framework, name, **GOOD[name]))


# --- a variance below 0
# -------------------------------------------------------------------------------------------------

GAUSSIAN = ("input", "target", "var")
BELOW = np.where(np.arange(4)[:, None] == 2, -V, V)


@both
def test_a_negative_variance_is_refused_where_it_can_be_seen(framework: Any) -> None:
    with pytest.raises(ValueError, match=r"^var: expected values >= 0, got -"):
        owner(framework, "gaussian_nll_loss")(**put(framework, {"input": X, "target": Y, "var": BELOW}))
    assert np.isfinite(value(framework, "gaussian_nll_loss", input=X, target=Y, var=np.zeros((4, 3))))


def jax_mapped(by: str) -> np.ndarray:
    loss = LOSSES["gaussian_nll_loss"].jax
    one = lambda x, y, v: loss(x, y, v, reduction="sum")  # noqa: E731
    program = jax.jit(jax.vmap(jax.grad(one, GAUSSIAN.index(by))))
    return np.asarray(program(*map(jnp.asarray, (X, Y, BELOW))))


def torch_mapped(by: str) -> np.ndarray:
    loss = LOSSES["gaussian_nll_loss"].torch
    one = lambda x, y, v: loss(x, y, v, reduction="sum")  # noqa: E731
    program = torch.func.vmap(torch.func.grad(one, GAUSSIAN.index(by)))
    return program(*map(torch.from_numpy, (X, Y, BELOW))).numpy()


@pytest.mark.parametrize("mapped", [jax_mapped, torch_mapped])
@pytest.mark.parametrize("by", ["input", "target", "var"])
def test_elsewhere_its_row_is_nan(mapped: Any, by: str) -> None:
    grad = mapped(by)
    np.testing.assert_array_equal(np.isnan(grad), BELOW < 0)
    clean = gradient(None, "gaussian_nll_loss", by, input=X, target=Y, var=V)
    np.testing.assert_allclose(grad[[0, 1, 3]], clean[[0, 1, 3]], rtol=1e-12)


def test_so_it_is_where_torch_compiles() -> None:
    torch.compiler.reset()
    loss = torch.compile(LOSSES["gaussian_nll_loss"].torch, fullgraph=True, backend="eager")
    got = loss(*map(torch.from_numpy, (X, Y, BELOW)), reduction="none")
    np.testing.assert_array_equal(np.isnan(got.numpy()), BELOW < 0)


# --- as torch.nn.functional
# ------------------------------------------------------------------------------------------------

SAME: list[tuple[str, dict[str, Any]]] = [
    ("poisson_nll_loss", {"input": X, "target": N}),
    ("poisson_nll_loss", {"input": X[0], "target": V}),
    ("poisson_nll_loss", {"input": X, "target": V[:1, 0]}),
    ("poisson_nll_loss", {"input": V, "target": N * 1.0, "log_input": False, "full": True, "eps": 0.5}),
    ("poisson_nll_loss", {"input": X, "target": V, "log_input": False}),
    ("poisson_nll_loss", {"input": EXTREMES, "target": np.full(6, 2.0), "full": True}),
    ("gaussian_nll_loss", {"input": X, "target": Y[0], "var": V}),
    ("gaussian_nll_loss", {"input": X, "target": Y[:, :1], "var": V[:, 0]}),
    ("gaussian_nll_loss", {"input": X, "target": Y, "var": V[:1], "full": True}),
    ("gaussian_nll_loss", {"input": X[:3], "target": Y[:3], "var": V[:3, 0]}),
    ("gaussian_nll_loss", {"input": X[0], "target": Y[0], "var": np.asarray(2.0)}),
    ("gaussian_nll_loss", {"input": X[:1], "target": Y, "var": V[:1]}),
    ("gaussian_nll_loss", {"input": X, "target": Y, "var": 0.25, "eps": 0.5}),
    ("gaussian_nll_loss", {"input": X, "target": Y, "var": V, "eps": 1.0}),
    ("gaussian_nll_loss", {"input": X, "target": Y, "var": 0 * V}),
    ("gaussian_nll_loss", {"input": EXTREMES, "target": np.ones(6), "var": np.full(6, 0.5)}),
    ("gaussian_nll_loss", {"input": np.ones(3), "target": np.zeros(3), "var": np.array([np.inf, np.nan, 1.0])}),
    ("soft_margin_loss", {"input": X, "target": S[0]}),
    ("soft_margin_loss", {"input": X, "target": S[:, :1]}),
    ("soft_margin_loss", {"input": X, "target": Y}),
    ("soft_margin_loss", {"input": EXTREMES[:-1], "target": np.ones(5)}),
    ("hinge_embedding_loss", {"input": X, "target": Y}),
    ("hinge_embedding_loss", {"input": X, "target": N, "margin": -0.5}),
    ("hinge_embedding_loss", {"input": X[0], "target": S, "margin": 2}),
    ("hinge_embedding_loss", {"input": X, "target": S[:1], "margin": 1e9}),
    ("hinge_embedding_loss", {"input": EXTREMES, "target": -np.ones(6)}),
    ("hinge_embedding_loss", {"input": X, "target": X * np.nan}),
]


@pytest.mark.parametrize(("name", "given"), SAME, ids=[f"{name}-{i}" for i, (name, _) in enumerate(SAME)])
def test_it_equals_functional(name: str, given: dict[str, Any]) -> None:
    try:
        want = value(None, name, **given, reduction="none")
    except ValueError as error:
        if not OLD_TORCH:
            raise
        pytest.skip(f"torch {torch.__version__}: {error}")
    finite = all(np.isfinite(a).all() for a in given.values() if isinstance(a, np.ndarray))
    by = ["input", *(key for key in ("target", "var") if "nll" in name and isinstance(given.get(key), np.ndarray))]
    for framework in FRAMEWORKS.values():
        got = value(framework, name, **given, reduction="none")
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)
        assert got.dtype == np.float64
        for key in by if finite else ():
            if given[key].dtype != np.float64:
                continue
            slope = gradient(None, name, key, **given)
            clear = np.isfinite(slope)  # where torch has a derivative
            assert clear.any()
            np.testing.assert_allclose(gradient(framework, name, key, **given)[clear], slope[clear], rtol=1e-12)


@both
def test_whole_counts_do_not_pass_through_16_bits(framework: Any) -> None:
    """Of 257, bfloat16 makes 256."""
    import ml_dtypes

    given = {"input": np.ones(1, ml_dtypes.bfloat16), "target": np.array([257])}
    assert float(value(framework, "poisson_nll_loss", **given, reduction="sum")) == float(
        ml_dtypes.bfloat16(math.e - 257)
    )


# --- conventions and identities
# --------------------------------------------------------------------------------------------


def same(
    framework: Any, one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], factor: float = 1.0
) -> None:
    got, want = (value(framework, name, **given, reduction="none") for name, given in (one, other))
    np.testing.assert_allclose(got, factor * want, rtol=1e-13, atol=1e-15)


@both
def test_identities(framework: Any) -> None:
    both_ways = {"input": X, "target": Y}
    same(framework, ("poisson_nll_loss", {"input": X, "target": V}),
         ("poisson_nll_loss", {"input": np.exp(X), "target": V, "log_input": False, "eps": 0}))  # fmt: skip
    same(framework, ("gaussian_nll_loss", {**both_ways, "var": 1.0}), ("mse_loss", both_ways), 0.5)
    same(framework, ("soft_margin_loss", {"input": X, "target": S}),
         ("binary_cross_entropy_with_logits", {"input": X, "target": (1.0 + S) / 2}))  # fmt: skip
    same(framework, ("hinge_embedding_loss", {"input": X, "target": -np.ones((4, 3))}),
         ("hinge_loss", {"input": X, "target": np.ones((4, 3))}))  # fmt: skip
    same(framework, ("hinge_embedding_loss", {"input": S * X, "target": -np.ones((4, 3))}),
         ("hinge_loss", {"input": X, "target": S}))  # fmt: skip
    same(framework, ("quantile_loss", both_ways), ("l1_loss", both_ways), 0.5)
    hinge = value(framework, "hinge_loss", input=X, target=S, reduction="none")
    np.testing.assert_allclose(value(framework, "squared_hinge_loss", input=X, target=S, reduction="none"), hinge**2)
    lower = value(framework, "log_cosh_loss", **both_ways, reduction="none")
    assert (lower <= (X - Y) ** 2 / 2).all()
    assert (lower >= abs(X - Y) - math.log(2)).all()


@both
def test_the_best_constant_is_the_quantile(framework: Any) -> None:
    """Of 0, 1, ..., 10, the quantile 0.85 is 9."""
    constants = np.broadcast_to(np.arange(0, 11, 0.25)[:, None], (44, 11))
    losses = value(framework, "quantile_loss", input=constants, target=np.arange(11.0), quantile=0.85, reduction="none")
    assert np.argmin(losses.mean(1)) == 36


@both
def test_derivatives_on_kinks(framework: Any) -> None:
    ones = np.ones(2)
    both_signs = np.array([1.0, -1.0])
    slope = lambda name, **given: gradient(framework, name, "input", **given).tolist()  # noqa: E731
    assert slope("hinge_embedding_loss", input=ones, target=-ones) == [-1, -1]
    assert slope("hinge_loss", input=both_signs, target=both_signs) == [-1, 1]
    assert slope("squared_hinge_loss", input=both_signs, target=both_signs) == [0, 0]
    assert slope("quantile_loss", input=ones, target=ones, quantile=0.75) == [0, 0]
    assert slope("quantile_loss", input=ones, target=ones - both_signs, quantile=0.75) == [0.25, -0.75]
    assert slope("wing_loss", input=ones, target=ones) == [0, 0]
    assert slope("wing_loss", input=10 * both_signs, target=0 * ones) == [1, -1]
    inside = slope("wing_loss", input=both_signs * np.nextafter(10, 0), target=0 * ones)
    np.testing.assert_allclose(inside, 10 / 12 * both_signs, rtol=1e-14)
    assert value(framework, "wing_loss", input=10 * ones, target=0 * ones) == pytest.approx(
        10 * math.log1p(5), rel=1e-15
    )


def test_second_derivatives_on_kinks() -> None:
    """log_cosh has none, and its second derivative at 0 is 1; the squared hinge takes the side of the loss."""
    for name, at, label, want in (("log_cosh_loss", 0.0, 0.0, 1.0),
        ("log_cosh_loss", 0.5, 0.0, 1 / math.cosh(0.5) ** 2),
                                  ("squared_hinge_loss", 1.0, 1.0, 2.0)):  # fmt: skip
        loss = LOSSES[name]
        fixed = jnp.asarray(label)
        twice = jax.jit(jax.grad(jax.grad(lambda x: loss.jax(x, fixed))))(jnp.asarray(at))  # noqa: B023
        assert float(twice) == pytest.approx(want, rel=1e-14)
        leaf = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(loss.torch(leaf, torch.tensor(label).double()), leaf, create_graph=True)
        assert float(torch.autograd.grad(slope, leaf)[0]) == pytest.approx(want, rel=1e-14)


@both
def test_a_variance_below_eps_has_the_gradient_at_eps(framework: Any) -> None:
    got = gradient(
        framework, "gaussian_nll_loss", "var", input=np.ones(2), target=np.zeros(2), var=np.array([0.0, 1e-9])
    )
    np.testing.assert_allclose(got, (1 - 1e6) / 2e-6, rtol=1e-12)


# --- digits ---------------------------------------------------------------------------------------


def ulps(got: np.ndarray, want: list[Any]) -> float:
    """The greatest distance to numbers of many digits, in ulps of got's dtype."""
    away = [abs(float(flint.arb(float(g)) - w)) for g, w in zip(got, want, strict=True)]
    return float((away / np.spacing(np.abs(np.array([float(w) for w in want])).astype(got.dtype))).max())


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_cosh_keeps_its_digits(framework: Any, dtype: Any) -> None:
    """From 1e-15 to 1e30: a few ulps of value and gradient, where log(exp(e) + exp(-e)) - log 2 has none for small
    errors.
    """
    error = np.concatenate([10 ** rng.uniform(-15, 30, 300), 10 ** rng.uniform(-1, 0.5, 300)]).astype(dtype)
    error[::2] *= -1
    with flint.ctx.workprec(400):
        sizes = [abs(flint.arb(float(e))) for e in error]
        value_of = [e - flint.arb(2).log() + (-2 * e).exp().log1p() for e in sizes]
        slope_of = [e.tanh() * int(np.sign(x)) for e, x in zip(sizes, error, strict=True)]
        zeros = np.zeros_like(error)
        got = value(framework, "log_cosh_loss", input=error, target=zeros, reduction="none")
        assert got.dtype == dtype
        assert ulps(got, value_of) < 8
        assert ulps(gradient(framework, "log_cosh_loss", "input", input=error, target=zeros), slope_of) < 8
        naive = np.logaddexp(error, -error) - np.log(dtype(2))
        assert ulps(naive, value_of) > 1e6


@both
def test_soft_margin_does_not_overflow(framework: Any) -> None:
    """Value and gradient are right where torch has inf and NaN."""
    score, label = np.array([-200.0, 1e4, -3e38, 90.0], np.float32), np.array([1, -1, 1, -1])
    np.testing.assert_array_equal(
        value(framework, "soft_margin_loss", input=score, target=label, reduction="none"), abs(score)
    )
    np.testing.assert_array_equal(gradient(framework, "soft_margin_loss", "input", input=score, target=label), -label)
    assert np.isinf(value(None, "soft_margin_loss", input=score, target=label, reduction="none")).all()


@both
def test_the_square_in_gaussian_nll_does_not_overflow(framework: Any) -> None:
    given = {
        "input": np.array([1e25], np.float32),
        "target": np.zeros(1, np.float32),
        "var": np.array([1e20], np.float32),
    }
    assert value(framework, "gaussian_nll_loss", **given) == pytest.approx(5e29, rel=1e-6)
    assert gradient(framework, "gaussian_nll_loss", "input", **given) == pytest.approx(1e5, rel=1e-6)
    assert np.isinf(value(None, "gaussian_nll_loss", **given))


@both
def test_twice_a_gaussian_nll_may_overflow(framework: Any) -> None:
    """error^2 / var is 3.5e38, beyond float32; half of it is not."""
    given = {
        "input": np.array([1.872e19], np.float32),
        "target": np.zeros(1, np.float32),
        "var": np.array([1.0], np.float32),
    }
    assert value(framework, "gaussian_nll_loss", **given) == pytest.approx(0.5 * 1.872e19**2, rel=1e-6)
    assert np.isinf(value(None, "gaussian_nll_loss", **given))


@both
def test_a_count_of_none_has_a_derivative_by_the_count(framework: Any) -> None:
    """-x, with the full term or without: in torch 0 * log(0) spoils it."""
    given = {"input": X[0], "target": np.array([0.0, 0.5, 1.0]), "full": True}
    np.testing.assert_array_equal(gradient(framework, "poisson_nll_loss", "target", **given), -X[0])
    assert np.isnan(gradient(None, "poisson_nll_loss", "target", **given)[0])
