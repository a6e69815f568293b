"""Connectionist temporal classification: what only it has. Lengths, two layouts of targets, alignments that do not
exist.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

from xloss.losses import ctc_loss as ctc  # noqa: E402
from xloss.parity.mechanisms.jax import fast_compile_jit  # noqa: E402

functional = torch.nn.functional
pytestmark = pytest.mark.usefixtures("x64")

T, N, C = 5, 3, 4
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(T, N, C))
LOG_PROBS = LOGITS - np.log(np.exp(LOGITS).sum(2, keepdims=True))
GOOD: dict[str, Any] = {
    "log_probs": LOG_PROBS,
    "targets": np.array([[1, 1], [1, 2], [3, 2]]),
    "input_lengths": np.array([5, 4, 2]),
    "target_lengths": np.array([2, 1, 0]),
}
BOTH = {"torch": (ctc.torch_ctc_loss, torch.from_numpy), "jax": (ctc.jax_ctc_loss, jnp.asarray)}
both = pytest.mark.parametrize("framework", BOTH)


def put(framework: str, arguments: dict[str, Any]) -> dict[str, Any]:
    make = BOTH[framework][1]
    return {name: make(np.array(a)) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}


@functools.cache
def jax_program(options: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """Values and the gradient of their sum, compiled once for all arrays of the same shapes."""

    def program(x: Any, arrays: Any) -> Any:
        loss, pull = jax.vjp(lambda x: ctc.jax_ctc_loss(x, **arrays, **dict(options), reduction="none"), x)
        return loss, pull(jnp.ones_like(loss))[0]

    return fast_compile_jit(program)


def value_and_gradient(framework: str, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Unreduced values, and the gradient of their sum; in JAX under `jit`."""
    given = put(framework, {**GOOD, **changes})
    if framework == "torch":
        return in_torch(ctc.torch_ctc_loss, **given)
    x = given.pop("log_probs")
    arrays = {name: a for name, a in given.items() if isinstance(a, jax.Array)}
    options = {name: tuple(a) if isinstance(a, list) else a for name, a in given.items() if name not in arrays}
    value, slope = jax_program(tuple(sorted(options.items())))(x, arrays)
    return np.asarray(value), np.asarray(slope)


def in_torch(function: Callable[..., Any], log_probs: Any, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    x = log_probs.clone().requires_grad_()
    loss = function(x, **given, reduction="none")
    return loss.detach().numpy(), torch.autograd.grad(loss.sum(), x)[0].numpy()


# --- what is refused ------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("log_probs", {"log_probs": LOG_PROBS[:, 0, 0]}),
    ("log_probs", {"log_probs": LOG_PROBS[None]}),
    ("log_probs", {"log_probs": LOG_PROBS[:0]}),
    ("log_probs", {"log_probs": LOG_PROBS[:, :0]}),
    ("log_probs", {"log_probs": LOG_PROBS[:, :, :0]}),
    ("targets", {"targets": [[1, 1], [1, 2], [3, 2]]}),
    ("targets", {"targets": GOOD["targets"][:2]}),
    ("targets", {"targets": GOOD["targets"][:, :, None]}),
    ("targets", {"targets": np.array(1)}),
    ("blank", {"blank": 4}),
    ("blank", {"blank": -1}),
    ("blank", {"blank": 1.0}),
    ("blank", {"blank": True}),
    ("zero_infinity", {"zero_infinity": 1}),
    ("zero_infinity", {"zero_infinity": None}),
    ("input_lengths", {"input_lengths": GOOD["input_lengths"][:2]}),
    ("input_lengths", {"input_lengths": (5, 4)}),
    ("input_lengths", {"input_lengths": 5}),
    ("input_lengths", {"input_lengths": [5.0, 4.0, 2.0]}),
    ("input_lengths", {"input_lengths": GOOD["input_lengths"].astype(float)}),
    ("input_lengths", {"input_lengths": GOOD["input_lengths"] > 0}),
    ("target_lengths", {"target_lengths": np.array([2, 1, 0, 0])}),
    ("target_lengths", {"target_lengths": np.array(2)}),
    ("target_lengths", {"target_lengths": None}),
    ("reduction", {"reduction": "batchmean"}),
]
BY_VALUE: list[tuple[str, dict[str, Any]]] = [
    ("input_lengths", {"input_lengths": np.array([6, 4, 2])}),
    ("input_lengths", {"input_lengths": (5, -1, 2)}),
    ("target_lengths", {"target_lengths": np.array([3, 1, 0])}),
    ("target_lengths", {"target_lengths": [-1, 1, 0]}),
    ("targets", {"targets": np.array([1, 1])}),
    ("targets", {"targets": np.array([1, 1, 1, 2])}),
]
# torch.nn.functional reads foreign memory, or takes what is nearly an integer.
OURS_ALONE: list[tuple[str, dict[str, Any]]] = [
    ("targets", {"targets": np.array([[1, 4], [1, 2], [3, 2]])}),
    ("targets", {"targets": np.array([[1, 1], [-1, 2], [3, 2]])}),
    ("targets", {"targets": GOOD["targets"].astype(float)}),
    ("input_lengths", {"input_lengths": np.array([[5], [4], [2]])}),
]


@pytest.mark.parametrize(("at", "changes"), [*REFUSED, *BY_VALUE, *OURS_ALONE], ids=str)
def test_it_is_refused_by_name_and_in_the_same_words(at: str, changes: dict[str, Any]) -> None:
    messages = []
    for framework, (function, _) in BOTH.items():
        with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected .*, got \S") as caught:
            function(**put(framework, {**GOOD, **changes}))
        message = str(caught.value).replace("a torch.Tensor", "an array").replace("torch.", "")
        messages.append((caught.type, message.replace("a jax.Array, a NumPy array or a number", "an array")))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(("at", "changes"), [*REFUSED, *BY_VALUE], ids=str)
def test_functional_refuses_it_too(at: str, changes: dict[str, Any]) -> None:
    with pytest.raises((RuntimeError, TypeError, IndexError, ValueError, AttributeError)):
        functional.ctc_loss(**put("torch", {**GOOD, **changes}))


@pytest.mark.parametrize(("at", "changes"), REFUSED, ids=str)
def test_it_is_refused_while_tracing(at: str, changes: dict[str, Any]) -> None:
    given = put("jax", {**GOOD, **changes})
    arrays = {name: a for name, a in given.items() if isinstance(a, jax.Array)}
    rest = {name: a for name, a in given.items() if name not in arrays}
    with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected"):
        jax.eval_shape(lambda arrays: ctc.jax_ctc_loss(**arrays, **rest), arrays)


BAD_ROWS = [  # and the row, or rows
    ({"targets": np.array([[1, 4], [1, 2], [3, 2]])}, [0]),
    ({"targets": np.array([[1, 1], [-1, 2], [3, 2]])}, [1]),
    ({"input_lengths": np.array([5, 6, -1])}, [1, 2]),
    ({"target_lengths": np.array([3, 1, -1])}, [0, 2]),
]


def poisoned(value: np.ndarray, slope: np.ndarray, rows: list[int]) -> None:
    """Raise unless there is NaN in these rows, value and gradient, and the others are what they are."""
    bad = np.isin(np.arange(N), rows)
    assert np.isnan(value[bad]).all()
    assert np.isnan(slope[:, bad]).all()
    clean, clean_slope = value_and_gradient("torch")
    np.testing.assert_allclose(value[~bad], clean[~bad], rtol=1e-12)
    np.testing.assert_allclose(slope[:, ~bad], clean_slope[:, ~bad], rtol=1e-12)


@pytest.mark.parametrize(("changes", "rows"), [*BAD_ROWS, ({"targets": np.array([1, 1])}, [0, 1, 2])], ids=str)
def test_what_cannot_be_looked_at_under_jit_is_nan_in_its_row(changes: dict[str, Any], rows: list[int]) -> None:
    poisoned(*value_and_gradient("jax", **changes), rows)


def test_what_cannot_be_looked_at_under_compile_is_nan_in_its_row() -> None:
    torch.compiler.reset()
    compiled = torch.compile(ctc.torch_ctc_loss, fullgraph=True, backend="eager", dynamic=False)
    for changes, rows in BAD_ROWS:
        poisoned(*in_torch(compiled, **put("torch", {**GOOD, **changes})), rows)


def test_the_check_of_nan_sees_a_plausible_number() -> None:
    with pytest.raises(AssertionError):
        poisoned(*value_and_gradient("torch"), [0])


# --- what torch.nn.functional gives
# -------------------------------------------------------------------------------------

SPECIAL: dict[str, dict[str, Any]] = {
    "plain": {},
    "concatenated": {"targets": np.array([1, 1, 1])},
    "blank in the middle": {"targets": np.array([[0, 1], [3, 3], [0, 0]]), "blank": 2},
    "a target with a blank": {"targets": np.array([[0, 1], [1, 2], [3, 2]])},
    "empty targets": {"targets": np.zeros((3, 0), int), "target_lengths": np.array([0, 0, 0])},
    "empty targets, concatenated": {"targets": np.zeros(0, int), "target_lengths": np.array([0, 0, 0])},
    "padding that is no class": {"targets": np.array([[1, 1, -9], [1, 99, -9], [-9, -9, -9]])},
    "no frames": {"input_lengths": np.array([0, 4, 0]), "target_lengths": np.array([0, 1, 0])},
    "exactly enough frames": {"input_lengths": np.array([3, 1, 5])},
    "lengths as tuples": {"input_lengths": (5, 4, 2), "target_lengths": [2, 1, 0]},
    "narrow integers": {"targets": GOOD["targets"].astype(np.int32), "input_lengths": np.array([5, 4, 2], np.int16)},
    "unbatched": {"log_probs": LOG_PROBS[:, 0], "targets": np.array([1, 2]), "input_lengths": np.array(5),
                  "target_lengths": np.array(2)},
    "unbatched, lengths of one": {"log_probs": LOG_PROBS[:, 0], "targets": np.array([[1, 2]]), "input_lengths": (5,),
                                  "target_lengths": (2,)},
    "too few frames, zero": {"input_lengths": np.array([2, 0, 5]), "zero_infinity": True},
}  # fmt: skip


# What has a path of its own in JAX, where each compiles for a while.
TOLD_BY_SHAPE = ("concatenated", "blank in the middle", "empty targets, concatenated", "lengths as tuples", "unbatched")


def through_log_softmax(slope: np.ndarray) -> np.ndarray:
    """The gradient by logits, of that by log-probabilities."""
    p = np.exp(LOG_PROBS if slope.ndim == 3 else LOG_PROBS[:, 0])
    return slope - p * slope.sum(-1, keepdims=True)


@pytest.mark.parametrize("case", SPECIAL)
def test_it_equals_functional_through_log_softmax(case: str) -> None:
    """Values and gradients: upstream of the log_softmax, where torch's are those of the formula."""
    given = put("torch", {**GOOD, **SPECIAL[case]})
    x = given.pop("log_probs").clone().requires_grad_()
    want = functional.ctc_loss(x.log_softmax(-1), **given, reduction="none")
    (slope,) = torch.autograd.grad(want.sum(), x)
    for framework in BOTH if case in TOLD_BY_SHAPE else ("torch",):
        got, own = value_and_gradient(framework, **SPECIAL[case])
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(through_log_softmax(own), slope.numpy(), rtol=1e-10, atol=1e-14)
    for reduction in ("mean", "sum"):
        reduced = functional.ctc_loss(x.log_softmax(-1), **given, reduction=reduction)
        got = ctc.torch_ctc_loss(x.log_softmax(-1), **given, reduction=reduction)
        np.testing.assert_allclose(got.item(), reduced.item(), rtol=1e-12)


ODD = {
    "a class ruled out": ((1, 0, 0), -np.inf),
    "a frame ruled out": ((1, 0), -np.inf),
    "an infinity": ((1, 0, 0), np.inf),
    "an infinity at the end": ((4, 0, 0), np.inf),
    "an infinity that nothing uses": ((1, 0, 2), np.inf),
    "NaN": ((1, 0, 1), np.nan),
    "NaN that nothing uses": ((1, 0, 2), np.nan),
    "NaN beyond the length": ((4, 1), np.nan),
}


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize(("place", "what"), ODD.values(), ids=ODD)
def test_what_is_not_finite_is_as_in_functional(place: Any, what: float, zero_infinity: bool) -> None:
    x = LOG_PROBS.copy()
    x[place] = what
    options = {"zero_infinity": zero_infinity}
    want = functional.ctc_loss(**put("torch", {**GOOD, "log_probs": x}), **options, reduction="none").numpy()
    for framework in BOTH:
        value, slope = value_and_gradient(framework, log_probs=x, **options)
        np.testing.assert_allclose(value, want, rtol=1e-12)
        assert np.isfinite(slope[:, np.isfinite(want)]).all()
        assert not slope[x == -np.inf].any() or not np.isfinite(want).all()


@both
def test_no_alignment(framework: str) -> None:
    """Infinite with gradient NaN, or 0 with gradient 0, and the other rows as they are."""
    few = {"input_lengths": np.array([2, 4, 2])}
    value, slope = value_and_gradient(framework, **few)
    assert value[0] == np.inf
    assert np.isnan(slope[:2, 0, [0, 1]]).all()
    zero, flat = value_and_gradient(framework, **few, zero_infinity=True)
    assert zero[0] == 0
    assert not flat[:, 0].any()
    np.testing.assert_array_equal(zero[1:], value[1:])
    np.testing.assert_array_equal(flat[:, 1:], slope[:, 1:])
    assert np.isfinite(flat).all()


# --- what the gradient is
# -----------------------------------------------------------------------------------------------


@both
def test_the_gradient_is_minus_a_probability(framework: str) -> None:
    """Of each frame it sums to -1, to 0 beyond the length; torch's sums to 0."""
    _, slope = value_and_gradient(framework)
    used = np.arange(T)[:, None] < GOOD["input_lengths"]
    np.testing.assert_allclose(slope.sum(2), -used.astype(float), rtol=1e-12)
    assert (slope <= 0).all()
    _, native = in_torch(functional.ctc_loss, **put("torch", GOOD))
    np.testing.assert_allclose(native.sum(2), 0, atol=1e-12)


@both
def test_vmap_over_padded_targets(framework: str) -> None:
    """Each sample without a batch: its target is padded still."""
    function = BOTH[framework][0]
    one = lambda x, *rest: function(x, *rest, reduction="sum")  # noqa: E731
    value, slope = value_and_gradient(framework)
    given = put(framework, GOOD).values()
    if framework == "torch":
        got = torch.func.vmap(torch.func.grad_and_value(one), in_dims=(1, 0, 0, 0), out_dims=(1, 0))(*given)
    else:
        mapped = jax.vmap(jax.value_and_grad(one), in_axes=(1, 0, 0, 0), out_axes=(0, 1))
        got = fast_compile_jit(mapped)(*given)[::-1]
    np.testing.assert_allclose(got[0], slope, rtol=1e-12)
    np.testing.assert_allclose(got[1], value, rtol=1e-12)


def test_second_derivatives_where_nothing_can_be_aligned() -> None:
    given = put("torch", {**GOOD, "input_lengths": np.array([2, 0, 2])})
    x = given.pop("log_probs").requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: ctc.torch_ctc_loss(x, **given, zero_infinity=True), x)


def test_one_graph_with_lengths_as_numbers_and_concatenated_targets() -> None:
    given = put("torch", {**GOOD, "log_probs": LOG_PROBS[:2, :2], "targets": np.array([1]), "input_lengths": (2, 1),
                          "target_lengths": [1, 0]})  # fmt: skip
    torch.compiler.reset()
    compiled = torch.compile(ctc.torch_ctc_loss, fullgraph=True, backend="eager", dynamic=False)
    np.testing.assert_allclose(compiled(**given), functional.ctc_loss(**given), rtol=1e-12)


# --- digits ---------------------------------------------------------------------------------------


def long_batch() -> dict[str, np.ndarray]:
    """200 frames, and up to 40 labels."""
    draw = np.random.default_rng(1)
    logits = 2 * draw.normal(size=(200, 4, 20))
    x = (logits - np.log(np.exp(logits).sum(2, keepdims=True))).astype(np.float32)
    return {"log_probs": x, "targets": draw.integers(1, 20, (4, 40)), "input_lengths": np.array([200, 200, 150, 120]),
            "target_lengths": np.array([40, 30, 20, 5])}  # fmt: skip


def ulps(got: Any, want: np.ndarray) -> float:
    return float((np.abs(np.asarray(got, np.float64) - want) / np.spacing(np.abs(want).astype(np.float32))).max())


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_no_digit_is_lost_over_200_frames(framework: str) -> None:
    """In float32, against float64; to far less than the 32 ulps of the promise, where plain recursions lose several."""
    arrays = long_batch()
    want, slope = value_and_gradient("torch", **{**arrays, "log_probs": arrays["log_probs"].astype(np.float64)})
    got, own = value_and_gradient(framework, **arrays)
    assert got.dtype == np.float32
    assert ulps(got, want) < 1
    likely = slope < -1e-6
    assert ulps(own[likely], slope[likely]) < 64
    plain = functional.ctc_loss(**put("torch", arrays), reduction="none")
    assert ulps(plain, want) > 1, "the measure is no measure"


@both
def test_what_nearly_rules_a_class_out_costs_no_digits(framework: str) -> None:
    """A loss of 1e8, which an alignment cannot avoid: its other frames count in the gradient as before."""
    arrays = long_batch()
    arrays["log_probs"][50, 0] -= 1e8
    arrays["log_probs"][20, 1, ::2] = -1e30
    want, slope = value_and_gradient("torch", **{**arrays, "log_probs": arrays["log_probs"].astype(np.float64)})
    got, own = value_and_gradient(framework, **arrays)
    assert ulps(got, want) < 1
    likely = slope < -1e-6
    assert ulps(own[likely], slope[likely]) < 64


def test_a_confident_loss_keeps_its_digits() -> None:
    """One alignment of probability 1 - 1e-6: the loss is some 1e-6, in float32, to a few ulps."""
    x = np.log(np.full((6, 1, 3), 1e-7, np.float64))
    path = [0, 1, 0, 2, 2, 0]
    for frame, state in enumerate(path):
        x[frame, 0, state] = np.log1p(-2e-7)
    arrays = {"log_probs": x.astype(np.float32), "targets": np.array([[1, 2]]), "input_lengths": np.array([6]),
              "target_lengths": np.array([2])}  # fmt: skip
    want, _ = value_and_gradient("torch", **{**arrays, "log_probs": arrays["log_probs"].astype(np.float64)})
    assert 1e-7 < want[0] < 2e-6
    for framework in BOTH:
        assert ulps(value_and_gradient(framework, **arrays)[0], want) < 32
