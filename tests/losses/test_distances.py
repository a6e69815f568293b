"""Losses of distances and angles: refusals, special cases of torch.nn.functional, conventions, digits at small angles
and far scales.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity.inputs import DIGITS
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit
from xloss.parity.reference import floats
from xloss.parity.truth import evaluate

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

FRAMEWORKS = {"torch": load("torch"), "jax": load("jax")}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
Arguments = Mapping[str, Any]
SHARED = ("margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss")
NAMES = {
    "margin_ranking_loss": ("input1", "input2", "target"),
    "cosine_embedding_loss": ("input1", "input2", "target"),
    "triplet_margin_loss": ("anchor", "positive", "negative"),
    "triplet_margin_with_distance_loss": ("anchor", "positive", "negative"),
    "negative_cosine_stopgrad_loss": ("input", "target"),
    "circle_loss": ("input", "target"),
    "ntxent_loss": ("input", "target"),
}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng([seed, *shape]).normal(size=shape))


def given(name: str, *shapes: tuple[int, ...]) -> dict[str, Any]:
    """Arrays of those shapes for the arguments of the loss; a target of signs or labels as what it is."""
    arrays = {n: normal(*shape, seed=i) for i, (n, shape) in enumerate(zip(NAMES[name], shapes, strict=True))}
    if name in ("margin_ranking_loss", "cosine_embedding_loss"):
        arrays["target"] = np.asarray(np.sign(arrays["target"]))
    elif name in ("circle_loss", "ntxent_loss"):
        arrays["target"] = np.asarray(np.arange(arrays["target"].size) // 2).reshape(arrays["target"].shape)
    return arrays


def put(framework: Any, arguments: Arguments) -> dict[str, Any]:
    put = lambda a: framework.put(a, framework.device("cpu")) if isinstance(a, np.ndarray) else a  # noqa: E731
    return {name: put(a) for name, a in arguments.items()}


def value_and_grads(framework: Any, function: Callable[..., Any], arguments: Arguments, wrt: tuple[str, ...],
                    **options: Any) -> list[np.ndarray]:  # fmt: skip
    """The unreduced values, and the gradients of their weighted sum."""
    ready = put(framework, arguments)

    def total(leaves: dict[str, Any]) -> tuple[Any, Any]:
        loss = function(**{**ready, **leaves}, **options, reduction="none")
        weights = np.linspace(1, 2, int(np.prod(loss.shape))).reshape(tuple(loss.shape))
        return (loss * framework.put(weights.astype(framework.get(loss.detach()).dtype) if framework.name == "torch"
                                     else weights.astype(loss.dtype), framework.device("cpu"))).sum(), loss  # fmt: skip

    leaves = {name: ready[name] for name in wrt}
    if framework.name == "jax":
        program = fast_compile_jit(jax.value_and_grad(total, has_aux=True))
        (_, loss), grads = program(leaves)
        return [np.asarray(x) for x in (loss, *(grads[name] for name in wrt))]
    leaves = {name: tensor.requires_grad_() for name, tensor in leaves.items()}
    sum_, loss = total(leaves)
    grads = torch.autograd.grad(sum_, list(leaves.values()))
    return [x.detach().numpy() for x in (loss, *grads)]


def call(framework: Any, name: str, arguments: Arguments, **options: Any) -> np.ndarray:
    """One evaluation, in JAX as one program."""
    function = lambda ready: getattr(LOSSES[name], framework.name)(**ready, **options)  # noqa: E731
    function = fast_compile_jit(function) if framework.name == "jax" else function
    return np.asarray(framework.get(function(put(framework, arguments))))


def same(name: str, arguments: Arguments, wrt: tuple[str, ...] = (), *, there: Callable[..., Any] | None = None,
         rtol: float = 1e-9, asked: tuple[str, ...] = ("torch", "jax"), **options: Any) -> None:  # fmt: skip
    """Both frameworks (or those asked) give torch.nn.functional's values and gradients."""
    wrt = wrt or tuple(n for n in NAMES[name] if n != "target")
    want = value_and_grads(FRAMEWORKS["torch"], there or getattr(functional, name), arguments, wrt, **options)
    for framework in (FRAMEWORKS[one] for one in asked):
        got = value_and_grads(framework, getattr(LOSSES[name], framework.name), arguments, wrt, **options)
        for a, b in zip(got, want, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


# --- refusals -------------------------------------------------------------------------------------

REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("input2", "margin_ranking_loss", given("margin_ranking_loss", (4, 3), (3,), (4, 3))),
    ("target", "margin_ranking_loss", given("margin_ranking_loss", (4, 3), (4, 3), (3,))),
    ("input2", "margin_ranking_loss", given("margin_ranking_loss", (4,), (3,), (4,))),
    ("target", "margin_ranking_loss", given("margin_ranking_loss", (4,), (4,), (3,))),
    ("target", "margin_ranking_loss", {**given("margin_ranking_loss", (4,), (4,), (4,)), "target": np.ones(4, bool)}),
    ("target", "margin_ranking_loss", {**given("margin_ranking_loss", (4,), (4,), (4,)), "target": [1.0] * 4}),
    ("target", "margin_ranking_loss", {**given("margin_ranking_loss", (4,), (4,), (4,)),
     "target": np.ones(4, complex)}),
    ("margin", "margin_ranking_loss", {**given("margin_ranking_loss", (4,), (4,), (4,)), "margin": "1"}),
    ("input1", "cosine_embedding_loss", given("cosine_embedding_loss", (2, 4, 3), (2, 4, 3), (2, 4))),
    ("input1", "cosine_embedding_loss", given("cosine_embedding_loss", (), (), ())),
    ("input2", "cosine_embedding_loss", given("cosine_embedding_loss", (4, 3), (3,), (4,))),
    ("input2", "cosine_embedding_loss", given("cosine_embedding_loss", (4, 3), (4, 2), (4,))),
    ("target", "cosine_embedding_loss", given("cosine_embedding_loss", (4, 3), (4, 3), ())),
    ("target", "cosine_embedding_loss", given("cosine_embedding_loss", (4, 3), (4, 3), (3,))),
    ("target", "cosine_embedding_loss", given("cosine_embedding_loss", (4, 3), (4, 3), (4, 1))),
    ("target", "cosine_embedding_loss", given("cosine_embedding_loss", (3,), (3,), (1,))),
    ("margin", "cosine_embedding_loss", {**given("cosine_embedding_loss", (4, 3), (4, 3), (4,)), "margin": "1"}),
    *((at, "triplet_margin_loss", given("triplet_margin_loss", *shapes)) for at, shapes in (
        ("positive", ((3, 5), (3, 4), (3, 4))), ("positive", ((3, 4), (3, 5), (3, 4))),
        ("negative", ((3, 4), (3, 4), (3, 5))), ("positive", ((3,), (3, 4), (3, 4))),
        ("positive", ((3, 4), (3,), (3, 4))), ("negative", ((3, 4), (3, 4), (3,))),
        ("negative", ((1, 3), (4, 3), (2, 3))))),
    *((at, "triplet_margin_loss", {**given("triplet_margin_loss", (3, 4), (3, 4), (3, 4)), at: value})
      for at, value in (("margin", 0.0), ("margin", -1.0), ("margin", "1"), ("p", "2"), ("swap", 1), ("swap", None),
                        ("eps", "0"))),
    ("positive", "triplet_margin_with_distance_loss",
     given("triplet_margin_with_distance_loss", (3, 4), (3,), (3, 4))),
    ("negative", "triplet_margin_with_distance_loss",
     given("triplet_margin_with_distance_loss", (3, 4), (3, 4), (3, 5))),
    *((at, "triplet_margin_with_distance_loss",
       {**given("triplet_margin_with_distance_loss", (3, 4), (3, 4), (3, 4)), at: value})
      for at, value in (("margin", 0), ("reduction", "average"), ("distance_function", 2.0))),
]  # fmt: skip
# What torch.nn.functional has not, or lets pass.
OURS: list[tuple[str, str, dict[str, Any]]] = [
    ("p", "triplet_margin_loss", {**given("triplet_margin_loss", (3, 4), (3, 4), (3, 4)), "p": 0.0}),
    ("p", "triplet_margin_loss", {**given("triplet_margin_loss", (3, 4), (3, 4), (3, 4)), "p": math.nan}),
    ("swap", "triplet_margin_with_distance_loss",
     {**given("triplet_margin_with_distance_loss", (3, 4), (3, 4), (3, 4)), "swap": 1}),
    ("anchor", "triplet_margin_with_distance_loss",
     {**given("triplet_margin_with_distance_loss", (3, 4), (3, 4), (3, 4)), "anchor": np.ones((3, 4), int)}),
    ("target", "negative_cosine_stopgrad_loss", given("negative_cosine_stopgrad_loss", (4, 3), (1, 3))),
    ("input", "negative_cosine_stopgrad_loss", given("negative_cosine_stopgrad_loss", (), ())),
    *((at, name, {**given(name, (4, 3), (4,)), at: value}) for name in ("circle_loss", "ntxent_loss")
      for at, value in (("input", normal(4)), ("input", normal(2, 4, 3)), ("target", np.arange(3)),
                        ("target", np.zeros((4, 1), int)), ("target", normal(4)), ("target", np.ones(4, bool)))),
    ("gamma", "circle_loss", {**given("circle_loss", (4, 3), (4,)), "gamma": 0.0}),
    ("m", "circle_loss", {**given("circle_loss", (4, 3), (4,)), "m": "0"}),
    ("temperature", "ntxent_loss", {**given("ntxent_loss", (4, 3), (4,)), "temperature": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("at", "name", "arguments"), [*REFUSED, *OURS], ids=lambda x: x if isinstance(x, str) else "")
def test_it_is_refused_by_name_and_in_the_same_words(at: str, name: str, arguments: Arguments) -> None:
    messages = []
    for framework in FRAMEWORKS.values():
        with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected .*, got ") as caught:
            getattr(LOSSES[name], framework.name)(**put(framework, arguments))
        words = str(caught.value).replace("torch.", "").replace("a jax.Array, a NumPy array or a number", "a Tensor")
        messages.append((caught.type, words))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(("at", "name", "arguments"), REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_functional_refuses_it_too(at: str, name: str, arguments: Arguments) -> None:
    if at == "target" and np.asarray(arguments["target"]).dtype.kind == "c":
        pytest.skip("it has a complex loss")
    with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
        getattr(functional, name)(**put(FRAMEWORKS["torch"], arguments))


@both
def test_a_distance_that_gives_no_floating_tensor_is_refused(framework: Any) -> None:
    arguments = put(framework, given("triplet_margin_with_distance_loss", (3, 4), (3, 4), (3, 4)))
    loss = getattr(LOSSES["triplet_margin_with_distance_loss"], framework.name)
    with pytest.raises(TypeError, match=r"^distance_function \(anchor to positive\): expected "):
        loss(**arguments, distance_function=lambda x, y: (x > y).sum(-1))
    with pytest.raises(TypeError, match=r"^distance_function \(anchor to positive\): expected "):
        loss(**arguments, distance_function=lambda x, y: [x, y])


# --- torch.nn.functional, in special cases --------------------------------------------------------


@pytest.mark.parametrize("shapes", [((5, 2), (5, 1), (1, 2)), ((4,), (1,), (1,)), ((), (), ()), ((2, 3, 2),) * 3,
    ((0, 3),) * 3],
                         ids=str)  # fmt: skip
def test_margin_ranking_shapes(shapes: Any) -> None:
    same("margin_ranking_loss", given("margin_ranking_loss", *shapes), ("input1", "input2", "target"), margin=0.5)


@pytest.mark.parametrize("shapes", [((4, 3), (1, 3), (4,)), ((1, 3), (4, 3), (4,)), ((4, 3), (4, 3), (1,)),
    ((1, 3), (1, 3), (4,)),
                                    ((3,), (3,), ()), ((0, 3), (0, 3), (0,)), ((4, 0), (4, 0), (4,))],
                                     ids=str)  # fmt: skip
def test_cosine_embedding_shapes(shapes: Any) -> None:
    same("cosine_embedding_loss", given("cosine_embedding_loss", *shapes), margin=0.25, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float32, np.float64])
def test_signs_of_every_dtype(dtype: Any) -> None:
    for name, rows in (("margin_ranking_loss", (4, 3)), ("cosine_embedding_loss", (4,))):
        arguments = given(name, (4, 3), (4, 3), rows)
        arguments["target"] = arguments["target"].astype(dtype)
        same(name, arguments, ("input1",), rtol=1e-7, asked=("torch", "jax") if dtype is np.int64 else ("torch",))


def test_any_other_target_has_no_cosine_loss() -> None:
    arguments = {**given("cosine_embedding_loss", (4, 3), (4, 3), (4,)), "target": np.array([0.0, 2.0, -3.0, np.nan])}
    same("cosine_embedding_loss", arguments)


TRIPLETS = [((4, 3), (1, 3), (4, 3)), ((1, 3), (4, 3), (1, 3)), ((1, 3), (1, 3), (4, 3)), ((4, 3), (4, 1), (1, 3)),
    ((2, 4, 3),) * 3,
            ((), (), ()), ((0, 3),) * 3, ((4, 0),) * 3, ((4,), (1,), (1,))]  # fmt: skip


@pytest.mark.parametrize("shapes", TRIPLETS, ids=str)
def test_triplet_shapes(shapes: Any) -> None:
    same("triplet_margin_loss", given("triplet_margin_loss", *shapes), swap=True)
    name = "triplet_margin_with_distance_loss"
    same(name, given(name, *shapes), asked=("torch",))


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 3.5, math.inf])
def test_triplet_with_every_norm(p: float) -> None:
    """Also at differences of 0, and where two greatest elements are equal."""
    arguments = given("triplet_margin_loss", (6, 4), (6, 4), (6, 4))
    same("triplet_margin_loss", arguments, p=p, swap=True, margin=2, asked=("torch",))
    anchor = np.array([[0.5, 1.0, -1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    positive = np.array([[0.5, 0.0, 1.0], [3.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
    negative = np.array([[0.5, 1.0, -2.0], [1.0, 1.0, 1.0], [1.0, -1.0, 0.0]])
    same(
        "triplet_margin_loss", {"anchor": anchor, "positive": positive, "negative": negative}, p=p, eps=0.0, margin=3.0
    )


@pytest.mark.parametrize("framework_free", ["l1", "cosine"])
def test_a_distance_of_ones_own(framework_free: str) -> None:
    def distance(x: Any, y: Any) -> Any:
        if framework_free == "l1":
            return abs(x - y).sum(-1)
        return 1 - (x * y).sum(-1) / ((x * x).sum(-1) * (y * y).sum(-1)) ** 0.5

    arguments = given("triplet_margin_with_distance_loss", (6, 4), (6, 4), (6, 4))
    same("triplet_margin_with_distance_loss", arguments, distance_function=distance, swap=True, margin=0.75)


def test_without_a_distance_it_is_the_triplet_loss() -> None:
    arguments = given("triplet_margin_loss", (6, 4), (6, 4), (6, 4))
    same("triplet_margin_with_distance_loss", arguments, there=functional.triplet_margin_loss)


@pytest.mark.parametrize("name", SHARED)
def test_pytorchs_own_samples(name: str) -> None:
    """Those that PyTorch tests its operators with."""
    pytest.importorskip("expecttest")
    from torch.testing._internal import common_methods_invocations as samples

    names = {"triplet_margin_with_distance_loss": "triplet_margin_loss"}
    draw = getattr(samples, f"sample_inputs_{names.get(name, name)}")
    asked = list(draw(None, "cpu", torch.float64, False))
    assert len(asked) >= 6
    for sample in asked:
        options = {key: value for key, value in sample.kwargs.items() if key != "reduction"}
        arrays = dict(zip(NAMES[name], (x.numpy() for x in (sample.input, *sample.args)), strict=True))
        same(name, arrays, rtol=1e-7, asked=("torch",), **options)


# --- conventions ----------------------------------------------------------------------------------


@both
def test_on_the_kink_the_gradient_passes(framework: Any) -> None:
    """As through torch's clamp_min: 1, where relu has 0 and maximum a half."""
    one, two = np.array([1.0]), np.array([0.5])
    arguments = {"input1": one, "input2": two, "target": one}
    _, grad = value_and_grads(
        framework, getattr(LOSSES["margin_ranking_loss"], framework.name), arguments, ("input1",), margin=0.5
    )
    assert grad == [-1]
    arguments = {
        "anchor": np.array([[0.0, 0.0]]),
        "positive": np.array([[1.0, 0.0]]),
        "negative": np.array([[0.0, 2.0]]),
    }
    _, grad = value_and_grads(
        framework, getattr(LOSSES["triplet_margin_loss"], framework.name), arguments, ("positive",), eps=0.0
    )
    np.testing.assert_array_equal(grad, [[1.0, 0.0]])
    arguments = {"input1": np.array([[1.0, 0.0]]), "input2": np.array([[0.0, 2.0]]), "target": np.array([-1])}
    _, grad = value_and_grads(
        framework, getattr(LOSSES["cosine_embedding_loss"], framework.name), arguments, ("input1",)
    )
    np.testing.assert_array_equal(grad, [[0.0, 1.0]])


@both
def test_a_zero_vector_has_cosine_0_and_gradient_0(framework: Any) -> None:
    x, y = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    arguments = {"input1": x, "input2": y, "target": np.ones(3)}
    loss = getattr(LOSSES["cosine_embedding_loss"], framework.name)
    value, *grads = value_and_grads(framework, loss, arguments, ("input1", "input2"))
    np.testing.assert_array_equal(value, [1, 1, 1])
    assert all(not grad.any() for grad in grads)
    value, grad = value_and_grads(
        framework,
        getattr(LOSSES["negative_cosine_stopgrad_loss"], framework.name),
        {"input": x, "target": y},
        ("input",),
    )
    assert not value.any()
    assert not grad.any()
    for name in ("ntxent_loss", "circle_loss"):
        arguments = {"input": np.concatenate([x, y, normal(2, 2)]), "target": np.array([0, 0, 1, 1, 2, 2, 0, 1])}
        value, grad = value_and_grads(framework, getattr(LOSSES[name], framework.name), arguments, ("input",))
        assert np.isfinite(value).all()
        assert np.isfinite(grad).all()
        assert not grad[~arguments["input"].any(1)].any()
        assert grad.any()


@both
def test_the_target_of_the_negative_cosine_is_held(framework: Any) -> None:
    """Whatever it depends on: of l(x, x) the gradient is 0, for x is along itself, and of l(x, f(x)) that of f(x)
    held.
    """
    loss = getattr(LOSSES["negative_cosine_stopgrad_loss"], framework.name)
    if framework.name == "jax":

        def slope(f: Any) -> np.ndarray:
            program = fast_compile_jit(jax.grad(lambda x: loss(x, f(x))))
            return np.asarray(program(jnp.asarray(normal(4, 3))))

    else:

        def slope(f: Any) -> np.ndarray:
            x = torch.tensor(normal(4, 3), requires_grad=True)
            return torch.autograd.grad(loss(x, f(x)), x)[0].numpy()

    constant = framework.put(normal(4, 3)[:, ::-1].copy(), framework.device("cpu"))
    np.testing.assert_allclose(slope(lambda x: constant + 0 * x * x * x), slope(lambda x: constant), rtol=1e-13)
    assert np.abs(slope(lambda x: constant)).max() > 0.01
    np.testing.assert_allclose(slope(lambda x: x), 0, atol=1e-15)


@both
def test_ntxent_is_cross_entropy_over_the_pairs_of_an_anchor(framework: Any) -> None:
    x = normal(6, 3)
    arguments = {"input": x, "target": np.array([0, 1, 2, 0, 1, 2])}
    got = call(framework, "ntxent_loss", arguments, temperature=0.5, reduction="none")
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    logits = torch.tensor(unit @ unit.T / 0.5).masked_fill(torch.eye(6, dtype=torch.bool), -math.inf)
    mates = torch.tensor([3, 4, 5, 0, 1, 2])
    want = functional.cross_entropy(logits, mates, reduction="none").numpy()
    np.testing.assert_allclose(got[np.arange(6), mates], want, rtol=1e-12)
    assert np.count_nonzero(got) == 6
    np.testing.assert_allclose(call(framework, "ntxent_loss", arguments, temperature=0.5), want.mean(), rtol=1e-12)


@both
@pytest.mark.parametrize("name", ["ntxent_loss", "circle_loss"])
def test_rows_without_a_positive_or_a_negative(framework: Any, name: str) -> None:
    loss = getattr(LOSSES[name], framework.name)
    for target in (np.arange(4), np.zeros(4, int)):
        value, grad = value_and_grads(framework, loss, {"input": normal(4, 3), "target": target}, ("input",))
        assert not value.any()
        assert not grad.any()
    mean = float(call(framework, name, {"input": normal(4, 3), "target": np.arange(4)}))
    assert math.isnan(mean) if name == "ntxent_loss" else mean == 0


@both
def test_circle_is_the_papers_formula(framework: Any) -> None:
    """Equation 6, with the weights of equation 5, written out for one row at a time."""
    x, y, m, gamma = normal(5, 3), np.array([0, 0, 0, 1, 1]), 0.25, 8.0
    s = (unit := x / np.linalg.norm(x, axis=1, keepdims=True)) @ unit.T
    want = []
    for i in range(5):
        p = [s[i, j] for j in range(5) if j != i and y[j] == y[i]]
        n = [s[i, j] for j in range(5) if y[j] != y[i]]
        above = sum(math.exp(gamma * max(0, one + m) * (one - m)) for one in n)
        below = sum(math.exp(-gamma * max(0, 1 + m - one) * (one - (1 - m))) for one in p)
        want.append(math.log1p(above * below))
    got = call(framework, "circle_loss", {"input": x, "target": y}, m=m, gamma=gamma, reduction="none")
    np.testing.assert_allclose(got, want, rtol=1e-12)


# --- digits ---------------------------------------------------------------------------------------


def ulps(name: str, got: np.ndarray, arrays: Arguments, **options: Any) -> float:
    """The worst error of unreduced values, in float32 ulps."""
    exact = evaluate(LOSSES[name].truth, arrays, options, (), None, 0, *DIGITS["float32"])
    truth = floats(exact.values)
    one = np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - truth) / one))


def at_small_angles(scale: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 8)) * scale
    angle = 10.0 ** -rng.uniform(0, 3, (200, 1)) * scale
    y = (x + angle * rng.normal(size=x.shape)) * rng.uniform(0.5, 2, (200, 1))
    return {"input1": x.astype(np.float32), "input2": y.astype(np.float32), "target": np.ones(200)}


@both
@pytest.mark.parametrize("scale", [1.0, 1e-15, 1e15], ids=str)
def test_the_digits_of_a_small_angle(framework: Any, scale: float) -> None:
    """1 - cos down to 1e-6, of vectors of any length."""
    arrays, name = at_small_angles(scale), "cosine_embedding_loss"
    # An ulp in the vectors is up to 1 / angle ulps of the loss.
    assert ulps(name, call(framework, name, arrays, reduction="none"), arrays) < 2000
    theirs = functional.cosine_embedding_loss(**put(FRAMEWORKS["torch"], arrays), reduction="none").numpy()
    assert ulps(name, theirs, arrays) > 1e4


@both
def test_norms_beyond_the_square_root_of_the_dtype(framework: Any) -> None:
    rng = np.random.default_rng(2)
    for scale in (1e-25, 1e25):
        arrays = {n: (rng.normal(size=(50, 4)) * scale).astype(np.float32) for n in NAMES["triplet_margin_loss"]}
        for p in (2, 3):
            options = {"p": p, "eps": 0.0, "margin": scale}
            values = call(framework, "triplet_margin_loss", arrays, **options, reduction="none")
            exact = evaluate(LOSSES["triplet_margin_loss"].truth, arrays, options, (), None, 0, *DIGITS["float32"])
            np.testing.assert_allclose(values, floats(exact.values), rtol=1e-4, atol=1e-6 * scale)


@both
def test_the_gradient_of_a_vector_that_one_element_rules(framework: Any) -> None:
    """By the greatest element it is 1e-8 of the others': the difference of two numbers that nearly cancel."""
    arrays = {"input1": np.array([[1.0, 2e-4, 1e-4]], np.float32), "input2": np.array([[2.0, 1e-4, -3e-4]], np.float32)}
    a, b = (arrays[name].astype(np.longdouble)[0] for name in ("input1", "input2"))
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    want = -(b / np.sqrt(b @ b) - cosine * a / np.sqrt(a @ a)) / np.sqrt(a @ a)
    loss = getattr(LOSSES["cosine_embedding_loss"], framework.name)
    _, grad = value_and_grads(framework, loss, {**arrays, "target": np.ones(1)}, ("input1",))
    np.testing.assert_allclose(grad[0], want.astype(np.float64), rtol=1e-5)
    if framework.name == "torch":
        _, grad = value_and_grads(
            framework, functional.cosine_embedding_loss, {**arrays, "target": np.ones(1)}, ("input1",)
        )
        assert abs(grad[0, 0] / float(want[0]) - 1) > 1e-2
