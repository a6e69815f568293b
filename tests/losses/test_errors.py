"""What torch.nn.functional refuses, both modules refuse: by the argument's name, in the same words, while tracing, too.

Labels are values: where these cannot be looked at, the row of a bad one becomes NaN, in the value and in the gradient.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import OLD_TORCH, alike, compiler_says, well_put

from xloss.catalog import LOSSES, Loss
from xloss.ops import arguments
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import load

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
FRAMEWORKS = {"torch": TORCH, "jax": JAX}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)

rng = np.random.default_rng(0)
X, Y, P, Q = (
    rng.normal(size=(4, 3)),
    rng.normal(size=(4, 3)),
    rng.uniform(0.1, 0.9, (4, 3)),
    rng.uniform(0.1, 0.9, (4, 3)),
)
SIMPLEX = np.full((4, 3), 0.25)
LABELS = np.array([0, 1, 2, 1])
# Two that fit, for each loss: a new loss is asked with what its own `inputs` draws.
GOOD: dict[str, dict[str, Any]] = {
    loss.name: loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "typical", "float64"))
    for loss in LOSSES.values()
}


class Case:
    """A bad call: `changes` to good arguments; `at` the argument the message is to name.

    `functional` is False where torch.nn.functional lets it pass (what it then does, the reason says).
    """

    def __init__(self, at: str, loss: str, reason: str = "", /, **changes: Any):
        self.at, self.loss, self.reason, self.changes = at, loss, reason, changes

    def arguments(self) -> dict[str, Any]:
        return {**GOOD[self.loss], **self.changes}

    def __repr__(self) -> str:
        def shown(value: Any) -> str:
            if isinstance(value, np.ndarray):
                return f"{value.dtype}{list(value.shape)}"
            return "list" if isinstance(value, list) else repr(value)

        return f"{self.loss}({', '.join(f'{name}={shown(value)}' for name, value in self.changes.items())})"


def generic() -> Iterator[Case]:
    """For every loss and each of its tensors."""
    for loss in LOSSES.values():
        if loss.wrap_call is not None:
            continue  # its own call is another: it has tests of its own
        yield Case("reduction", loss.name, reduction="average")
        yield Case("reduction", loss.name, reduction=None)
        for name, array in GOOD[loss.name].items():
            if name in loss.arguments.untyped:
                continue
            yield Case(name, loss.name, **{name: array.tolist()})
            yield Case(name, loss.name, **{name: None})
            yield Case(name, loss.name, "l1_loss has a complex loss", **{name: array.astype(np.complex64)})
            yield Case(name, loss.name, "promotes some", **{name: array.astype(bool)})
            if array.dtype.kind == "f":
                yield Case(name, loss.name, "promotes some", **{name: array.astype(np.int64)})
            if array.dtype.kind == "i":
                yield Case(name, loss.name, **{name: array.astype(np.float64)})
        if "batchmean" not in loss.reductions:
            yield Case("reduction", loss.name, reduction="batchmean")


def shapes() -> Iterator[Case]:
    """Of targets and weights."""
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "detached_squared_error"):
        yield Case("target", name, input=X, target=Y[:3])
        yield Case("target", name, input=X, target=Y[:, :2])
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        for weight in (np.ones(3), np.ones((4, 1)), np.ones((2, 4, 3)), np.ones(2)):
            yield Case("weight", name, input=X, target=Y, weight=weight)
        yield Case("weight", name, input=X[0], target=Y, weight=np.ones((4, 3)))
    for name, x, y in (("binary_cross_entropy", P, Q), ("binary_cross_entropy_with_logits", X, Q)):
        for target in (y[:3], y[:, :1], y[0]):
            yield Case("target", name, input=x, target=target)
        for weight in (np.ones(2), np.ones((2, 4, 3)), np.ones((3, 1))):
            yield Case("weight", name, input=x, target=y, weight=weight)
    for weight in (np.ones(2), np.ones((2, 4, 3)), np.ones((3, 1))):
        yield Case("pos_weight", "binary_cross_entropy_with_logits", input=X, target=Q, pos_weight=weight)
    yield Case("weight", "binary_cross_entropy_with_logits", input=X[:1], target=Q[:1], weight=np.ones((4, 3)))
    for name in ("nll_loss", "cross_entropy"):
        yield Case("target", name, input=X, target=LABELS[:3])
        yield Case("target", name, input=X[None], target=LABELS[None])
        yield Case("target", name, input=X, target=np.zeros((4, 3), int))
        yield Case("input", name, input=np.asarray(1.0), target=np.asarray(0))
        for weight in (np.ones(2), np.ones((1, 3)), np.ones((4, 3))):
            yield Case("weight", name, input=X, target=LABELS, weight=weight)
    for target in (SIMPLEX[:3], SIMPLEX[:, :2], SIMPLEX[0]):
        yield Case("target", "cross_entropy", input=X, target=target)
    yield Case("weight", "cross_entropy", input=X, target=SIMPLEX, weight=np.ones(2))


def options() -> Iterator[Case]:
    for delta in (0.0, -1.0, float("nan"), "1"):
        yield Case("delta", "huber_loss", delta=delta)
    for beta in (-1.0, float("nan"), "1"):
        yield Case("beta", "smooth_l1_loss", beta=beta)
    yield Case("delta", "huber_loss", "takes True for 1", delta=True)
    yield Case("label_smoothing", "cross_entropy", label_smoothing=1.5)
    yield Case("label_smoothing", "cross_entropy", label_smoothing="0")
    yield Case("label_smoothing", "cross_entropy", "ignores it", label_smoothing=-0.1)
    yield Case("label_smoothing", "cross_entropy", "ignores it", label_smoothing=float("nan"))
    for name in ("nll_loss", "cross_entropy"):
        yield Case("ignore_index", name, ignore_index=1.0)
        yield Case("ignore_index", name, ignore_index=None)
    yield Case("ignore_index", "cross_entropy", input=X, target=SIMPLEX, ignore_index=1)


def dtypes() -> Iterator[Case]:
    for name in ("nll_loss", "cross_entropy"):
        yield Case("weight", name, input=X.astype(np.float32), target=LABELS, weight=np.ones(3))
        yield Case("weight", name, input=X, target=LABELS, weight=[1.0, 1.0, 1.0])
        yield Case("weight", name, input=X, target=LABELS, weight=np.ones(3, int))
    yield Case("weight", "cross_entropy", input=X, target=SIMPLEX, weight=[1.0, 1.0, 1.0])
    yield Case("target", "binary_cross_entropy", input=P, target=Q.astype(np.float32))
    yield Case("input", "binary_cross_entropy", input=P > 0.5, target=Q)
    for name in ("mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        yield Case("weight", name, input=X, target=Q, weight=np.ones((4, 3)).tolist())
        yield Case("weight", name, "promotes it", input=X, target=Q, weight=np.ones((4, 3), int))
    yield Case("pos_weight", "binary_cross_entropy_with_logits", input=X, target=Q, pos_weight=[1.0, 1.0, 1.0])


def values() -> Iterator[Case]:
    """What only a look at the values tells."""
    for name in ("nll_loss", "cross_entropy"):
        for label in (-1, 3, -99, 1000):
            yield Case("target", name, input=X, target=np.where(LABELS == 2, label, LABELS))
        yield Case("target", name, input=X, target=LABELS - 100, ignore_index=-100)
        yield Case("input", name, input=X[:, :0], target=LABELS)
    for name, bad in (
        ("input", P + 0.5),
        ("input", P - 0.5),
        ("target", Q + 0.5),
        ("target", -Q),
        ("input", P * np.nan),
        ("target", Q * np.nan),
    ):
        yield Case(name, "binary_cross_entropy", **{"input": P, "target": Q, name: bad})


TRACED = [*generic(), *shapes(), *options(), *dtypes()]
CASES = [*TRACED, *values()]
every_case = pytest.mark.parametrize("case", CASES, ids=repr)


def put(framework: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: framework.put(a, framework.device("cpu")) if isinstance(a, np.ndarray) else a
        for name, a in arguments.items()
    }


def refusal(function: Callable[..., Any], arguments: dict[str, Any]) -> Exception:
    """The `ValueError` or `TypeError` that a call raises; anything else is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting, before the weight is refused
        with pytest.raises((ValueError, TypeError)) as caught:
            function(**arguments)
    return caught.value


@every_case
def test_it_is_refused_by_name_and_in_the_same_words(case: Case) -> None:
    loss = LOSSES[case.loss]
    errors = [
        refusal(loss.implementation(name), put(framework, case.arguments())) for name, framework in FRAMEWORKS.items()
    ]
    for error in errors:
        well_put(error, case.at)
    assert type(errors[0]) is type(errors[1])
    assert alike(str(errors[0])) == alike(str(errors[1]))


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.reason and hasattr(functional, case.loss)], ids=repr
)
def test_functional_refuses_it_too(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
            getattr(functional, case.loss)(**put(TORCH, case.arguments()))


@every_loss
@both
def test_the_good_arguments_are_good(loss: Loss, framework: Any) -> None:
    """Else all of the above would be for nothing."""
    function = loss.implementation(framework.name)
    arguments = put(framework, GOOD[loss.name])
    loss_shape = jax.eval_shape(function, **arguments).shape if framework is JAX else function(**arguments).shape
    assert tuple(loss_shape) == ()
    assert set(GOOD[loss.name]) == {
        p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty
    }


def test_the_checks_of_messages_see_bad_ones() -> None:
    well_put(ValueError("target: expected shape (3,), got shape (4,)"), "target")
    for message in (
        "Target 3 is out of bounds.",
        "input: expected shape (3,), got shape (4,)",
        "target: wrong",
        "target: expected x",
    ):
        with pytest.raises(AssertionError):
            well_put(ValueError(message), "target")
    assert alike("input: expected one, got dtype torch.int64") == alike("input: expected one, got dtype int64")
    assert alike("input: expected one, got dtype torch.int64") != alike("target: expected one, got dtype int64")


def arrays_and_rest(case: Case) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    given = case.arguments()
    arrays = {name: a for name, a in given.items() if isinstance(a, np.ndarray)}
    return arrays, {name: a for name, a in given.items() if name not in arrays}


@pytest.mark.parametrize("case", TRACED, ids=repr)
def test_it_is_refused_under_jit_and_vmap(case: Case) -> None:
    arrays, rest = arrays_and_rest(case)
    function = LOSSES[case.loss].jax
    for traced in (jax.jit(lambda given: function(**given, **rest)),
                   lambda given: jax.vmap(lambda one: function(**one, **rest))({k: v[None] for k,
                       v in given.items()})):  # fmt: skip
        well_put(refusal(lambda **given: traced(given), put(JAX, arrays)), case.at)  # noqa: B023


# Some of each kind: the compiler takes its time.
@pytest.mark.parametrize("case", [*TRACED[::9], *list(options())[::2]], ids=repr)
def test_it_is_refused_under_compile(case: Case) -> None:
    """With the very message; `fullgraph=True` wraps it into an error of the compiler's own."""
    function = LOSSES[case.loss].torch
    error = refusal(function, put(TORCH, case.arguments()))
    arrays, rest = arrays_and_rest(case)
    torch.compiler.reset()
    compiled = torch.compile(lambda given: function(**given, **rest), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=compiler_says(re.escape(str(error)[:60]))) as caught:
        compiled(put(TORCH, arrays))
    if OLD_TORCH and "Observed exception" in str(caught.value):
        return
    assert type(error).__name__ in f"{type(caught.value)} {caught.value}"


# --- out-of-range labels where they cannot be looked at -------------------------------------------

BAD_LABELS = np.array([0, -1, 2, 3, -100, 1000])
ROWS = np.array([False, True, False, True, False, True])
LOGITS = rng.normal(size=(6, 3))
label_losses = pytest.mark.parametrize(
    ("name", "rest"),
    [("nll_loss", {}), ("cross_entropy", {}), ("cross_entropy", {"label_smoothing": 0.25}),
     ("nll_loss", {"weight": np.array([1.0, 2.0, 0.5])}),
     ("cross_entropy", {"weight": np.array([1.0, 2.0, 0.5]), "label_smoothing": 0.25})],
    ids=str,
)  # fmt: skip


def poisoned(value: Any, grad: Any, clean_value: np.ndarray, clean_grad: np.ndarray) -> None:
    """Raise unless there is NaN in the bad rows, and the others are what they are without bad ones."""
    value, grad = np.asarray(value), np.asarray(grad)
    assert np.isnan(value[ROWS]).all()
    assert np.isnan(grad[ROWS]).any(axis=1).all()
    np.testing.assert_allclose(value[~ROWS], clean_value[~ROWS], rtol=1e-12)
    np.testing.assert_allclose(grad[~ROWS], clean_grad[~ROWS], rtol=1e-12, atol=1e-16)


def clean(name: str, rest: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    x = torch.tensor(LOGITS, requires_grad=True)
    labels = torch.tensor(np.where(ROWS, 0, BAD_LABELS))
    loss = getattr(functional, name)(x, labels, **put(TORCH, rest), reduction="none")
    return loss.detach().numpy(), torch.autograd.grad(loss.sum(), x)[0].numpy()


@label_losses
def test_a_bad_label_under_jit_is_nan_in_its_row(name: str, rest: dict[str, Any]) -> None:
    given = put(JAX, rest)

    @jax.jit
    def program(x: Any, labels: Any) -> Any:
        loss = lambda x: LOSSES[name].jax(x, labels, **given, reduction="none")  # noqa: E731
        value, pull = jax.vjp(loss, x)
        mean = LOSSES[name].jax(x, labels, **given)
        return value, pull(jnp.ones_like(value))[0], mean

    value, grad, mean = program(jnp.asarray(LOGITS), jnp.asarray(BAD_LABELS))
    poisoned(value, grad, *clean(name, rest))
    assert np.isnan(mean)


@label_losses
def test_a_bad_label_under_compile_is_nan_in_its_row(name: str, rest: dict[str, Any]) -> None:
    given = put(TORCH, rest)
    torch.compiler.reset()
    function = torch.compile(
        lambda x, y: LOSSES[name].torch(x, y, **given, reduction="none"), fullgraph=True, backend="eager"
    )
    x = torch.tensor(LOGITS, requires_grad=True)
    value = function(x, torch.tensor(BAD_LABELS))
    (grad,) = torch.autograd.grad(value.sum(), x)
    poisoned(value.detach(), grad, *clean(name, rest))


@label_losses
@both
def test_a_bad_label_under_vmap_is_nan_in_its_row(name: str, rest: dict[str, Any], framework: Any) -> None:
    given = put(framework, rest)
    function = LOSSES[name].implementation(framework.name)
    if framework is JAX:
        one = jax.jit(jax.vmap(jax.grad(lambda x, y: function(x, y, **given, reduction="sum"))))
        values = jax.jit(jax.vmap(lambda x, y: function(x, y, **given, reduction="none")))
        x, y = jnp.asarray(LOGITS), jnp.asarray(BAD_LABELS)
    else:
        one = torch.func.vmap(torch.func.grad(lambda x, y: function(x, y, **given, reduction="sum")))
        values = torch.func.vmap(lambda x, y: function(x, y, **given, reduction="none"))
        x, y = torch.tensor(LOGITS), torch.tensor(BAD_LABELS)
    poisoned(values(x, y), one(x, y), *clean(name, rest))


def test_a_plausible_number_for_a_bad_label_is_seen() -> None:
    """As JAX gathers without a check: -1 is the last class."""
    value, grad = clean("nll_loss", {})
    wrapped = -LOGITS[np.arange(6), np.where(ROWS, -1, BAD_LABELS % 3)]
    with pytest.raises(AssertionError):
        poisoned(wrapped, grad, value, grad)
    masked = np.where(ROWS, np.nan, value)
    with pytest.raises(AssertionError):  # the value alone is not enough
        poisoned(masked, grad, value, grad)
    poisoned(masked, np.where(ROWS[:, None], np.nan, grad), value, grad)


@both
def test_a_bad_probability_where_it_cannot_be_seen_is_nan(framework: Any) -> None:
    function = LOSSES["binary_cross_entropy"].implementation(framework.name)
    p, t = np.array([0.5, 1.5, 0.25, -0.5, np.nan, 0.5, 0.5]), np.array([0.5, 0.5, 1.0, 0.0, 0.5, 2.0, np.nan])
    if framework is JAX:
        value, pull = jax.jit(lambda p, t: jax.vjp(lambda p: function(p, t, reduction="none"), p))(
            jnp.asarray(p), jnp.asarray(t)
        )
        grad = pull(jnp.ones(7))[0]
    else:
        torch.compiler.reset()
        leaf = torch.tensor(p, requires_grad=True)
        compiled = torch.compile(lambda p, t: function(p, t, reduction="none"), fullgraph=True, backend="eager")
        value = compiled(leaf, torch.tensor(t))
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        value = value.detach()
    bad = np.array([False, True, False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(np.asarray(value)), bad)
    np.testing.assert_array_equal(np.isnan(np.asarray(grad)), bad)


# --- the checks themselves ------------------------------------------------------------------------


def test_a_number_is_a_number_within_its_bounds() -> None:
    for value in (1, 0.5, np.float64(0.5)):
        arguments.check_number("x", value, above=0, most=1)
    for value in (True, "1", None, [1.0], 1j):
        with pytest.raises(TypeError, match=r"^x: expected a number > 0"):
            arguments.check_number("x", value, above=0)
    for value in (0, -1, 2, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^x: expected a number > 0 and <= 1"):
            arguments.check_number("x", value, above=0, most=1)


@pytest.mark.parametrize(
    ("names", "widest"),
    [(["float32"], "float32"), (["float64", "float16"], "float64"), (["bfloat16", "bfloat16"], "bfloat16"),
     (["bfloat16", "float16"], "float32"), (["float16", "float32"], "float32")],
)  # fmt: skip
def test_promotion(names: list[str], widest: str) -> None:
    assert arguments.promote(names) == widest
    assert arguments.promote(names[::-1]) == widest


def test_broadcast_shapes_are_numpys() -> None:
    for shapes in (((3, 1), (4,)), ((), (2, 1)), ((0, 3), (1,)), ((2, 1, 4), (3, 1)), ((1,), (1, 1))):
        named = {f"a{i}": shape for i, shape in enumerate(shapes)}
        assert arguments.broadcast_shape(**named) == np.broadcast_shapes(*shapes)
    with pytest.raises(
        ValueError, match=r"^c: expected a shape that broadcasts with a and b, \(4, 3\), got shape \(2,\)"
    ):
        arguments.broadcast_shape(a=(4, 1), b=(3,), c=(2,))
