"""Losses of preferences, and losses that hold a term constant: what they hold, whom they equal, what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import alike

from xloss.catalog import LOSSES

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

rng = np.random.default_rng(0)
A, B, D, E = (rng.normal(size=(4, 3)) for _ in range(4))
DONE = np.array([[True, False, False]] * 4)
DPO = dict(zip(LOSSES["dpo_loss"].arguments.wrt, (A, B, D, E), strict=True))
TD = {"input": A, "reward": B, "next_value": D}
VQ = {"input": A, "quantized": B}
GOOD = {"dpo_loss": DPO, "td_semi_gradient_loss": TD, "vq_commitment_loss": VQ}
MAKE: dict[str, Callable[..., Any]] = {"torch": torch.from_numpy, "jax": jnp.asarray}
both = pytest.mark.parametrize("framework", MAKE)


def put(framework: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: MAKE[framework](a) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}


def value_and_gradients(framework: str, name: str, **changes: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The unreduced loss, and the gradients of its sum by every floating argument."""
    given = put(framework, {**GOOD[name], **changes})
    function = getattr(LOSSES[name], framework)
    leaves = [key for key, a in {**GOOD[name], **changes}.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if framework == "torch":
        for key in leaves:
            given[key] = given[key].clone().requires_grad_()
        loss = function(**given, reduction="none")
        grads = torch.autograd.grad(loss.sum(), [given[key] for key in leaves], allow_unused=True)
        none = [torch.zeros_like(given[key]) if g is None else g for key, g in zip(leaves, grads, strict=True)]
        return loss.detach().numpy(), {key: g.numpy() for key, g in zip(leaves, none, strict=True)}
    loss, pull = jax.vjp(
        lambda some: function(**{**given, **some}, reduction="none"), {key: given[key] for key in leaves}
    )
    return np.asarray(loss), {key: np.asarray(g) for key, g in pull(jnp.ones_like(loss))[0].items()}


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("policy_rejected_logps", "dpo_loss", {"policy_rejected_logps": B[:, :2]}),
    ("reference_chosen_logps", "dpo_loss", {"reference_chosen_logps": B[:, :1]}),
    ("reference_rejected_logps", "dpo_loss", {"reference_rejected_logps": B[0]}),
    ("beta", "dpo_loss", {"beta": 0.0}),
    ("beta", "dpo_loss", {"beta": "0.1"}),
    ("label_smoothing", "dpo_loss", {"label_smoothing": 1.5}),
    ("reward", "td_semi_gradient_loss", {"reward": B[0]}),
    ("next_value", "td_semi_gradient_loss", {"next_value": B[:, :1]}),
    ("done", "td_semi_gradient_loss", {"done": DONE[0]}),
    ("done", "td_semi_gradient_loss", {"done": DONE.astype(float)}),
    ("done", "td_semi_gradient_loss", {"done": DONE.tolist()}),
    ("discount", "td_semi_gradient_loss", {"discount": 1.01}),
    ("discount", "td_semi_gradient_loss", {"discount": float("nan")}),
    ("quantized", "vq_commitment_loss", {"quantized": B[0]}),
    ("beta", "vq_commitment_loss", {"beta": -0.25}),
]


@pytest.mark.parametrize(("at", "name", "changes"), CASES, ids=str)
def test_it_is_refused_by_name_and_in_the_same_words(at: str, name: str, changes: dict[str, Any]) -> None:
    messages = []
    for framework in MAKE:
        given = put(framework, {**GOOD[name], **changes})
        with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected .*, got \S") as caught:
            getattr(LOSSES[name], framework)(**given)
        messages.append((caught.type, alike(str(caught.value))))
        if framework == "jax":
            arrays = {key: a for key, a in given.items() if isinstance(a, jax.Array)}
            rest = {key: a for key, a in given.items() if key not in arrays}
            with pytest.raises((ValueError, TypeError), match=rf"^{at}: expected"):
                jax.eval_shape(lambda a, rest=rest: LOSSES[name].jax(**a, **rest), arrays)
    assert messages[0] == messages[1]


# --- preferences ----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.25, 1.0])
def test_dpo_is_a_binary_cross_entropy(framework: str, smoothing: float) -> None:
    z = 0.5 * ((A - B) - (D - E))
    leaf = torch.tensor(z, requires_grad=True)
    want = functional.binary_cross_entropy_with_logits(leaf, torch.full_like(leaf, 1 - smoothing), reduction="none")
    (slope,) = torch.autograd.grad(want.sum(), leaf)
    value, grads = value_and_gradients(framework, "dpo_loss", beta=0.5, label_smoothing=smoothing)
    np.testing.assert_allclose(value, want.detach().numpy(), rtol=1e-12)
    for name, sign in zip(grads, (1, -1, -1, 1), strict=True):
        np.testing.assert_allclose(grads[name], sign * 0.5 * slope.numpy(), rtol=1e-12, err_msg=name)


@both
def test_dpo_keeps_its_digits_where_the_loss_is_an_exponential(framework: str) -> None:
    """In float32, where z is 30: each rounding of z would cost up to 15 ulps, and plainly there are four."""
    draw = np.random.default_rng(1)
    wide = (draw.uniform(-30, -10, 200), draw.uniform(-330, -280, 200), draw.normal(size=200), draw.normal(size=200))
    arrays = dict(zip(DPO, (x.astype(np.float32) for x in wide), strict=True))
    p_c, p_r, q_c, q_r = (x.astype(np.longdouble) for x in arrays.values())
    want = np.log1p(np.exp(-np.longdouble(0.1) * ((p_c - p_r) - (q_c - q_r))))
    got, _ = value_and_gradients(framework, "dpo_loss", **arrays)
    assert got.dtype == np.float32

    def worst(x: np.ndarray) -> float:
        return float((np.abs(x - want) / np.spacing(want.astype(np.float32))).max())

    assert worst(got) < 8
    plain = functional.softplus(-torch.tensor(0.1) * sum(s * torch.tensor(x) for s,
        x in zip((1, -1, -1, 1), arrays.values(), strict=True)))  # fmt: skip
    assert worst(plain.numpy()) > 16, "the measure is no measure"


@both
def test_dpo_of_infinities(framework: str) -> None:
    """An answer that is impossible: the loss is 0, or infinite, and not NaN."""
    low = np.full_like(A, -np.inf)
    assert (value_and_gradients(framework, "dpo_loss", policy_rejected_logps=low)[0] == 0).all()
    assert (value_and_gradients(framework, "dpo_loss", policy_chosen_logps=low)[0] == np.inf).all()


# --- terms held constant
# ------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("done", [None, DONE], ids=["never", "done"])
def test_td_holds_its_target(framework: str, done: Any) -> None:
    following = D.copy()
    if done is not None:
        following[DONE] = np.nan  # of a state that is none: not looked at
    changes = {"next_value": following} if done is None else {"next_value": following, "done": done}
    value, grads = value_and_gradients(framework, "td_semi_gradient_loss", discount=0.9, **changes)
    target = B + 0.9 * (D if done is None else np.where(DONE, 0, D))
    np.testing.assert_allclose(value, (target - A) ** 2 / 2, rtol=1e-12)
    np.testing.assert_allclose(grads["input"], A - target, rtol=1e-12)
    assert not grads["reward"].any()
    assert not grads["next_value"].any()


@both
def test_vq_holds_either_side_in_turn(framework: str) -> None:
    value, grads = value_and_gradients(framework, "vq_commitment_loss", beta=0.5)
    np.testing.assert_allclose(value, 1.5 * (A - B) ** 2, rtol=1e-12)
    np.testing.assert_allclose(grads["input"], 2 * 0.5 * (A - B), rtol=1e-12)
    np.testing.assert_allclose(grads["quantized"], 2 * (B - A), rtol=1e-12)


@both
@pytest.mark.parametrize(("name", "want"), [("td_semi_gradient_loss", 1.0), ("vq_commitment_loss", 0.5)])
def test_the_second_derivative_is_that_of_what_is_not_held(framework: str, name: str, want: float) -> None:
    given = put(framework, GOOD[name])
    function = getattr(LOSSES[name], framework)
    call = lambda x: function(**{**given, "input": x}, reduction="sum")  # noqa: E731
    if framework == "torch":
        leaf = given["input"].clone().requires_grad_()
        (slope,) = torch.autograd.grad(call(leaf), leaf, create_graph=True)
        got = torch.autograd.grad(slope.sum(), leaf)[0].numpy()
    else:
        got = np.asarray(jax.grad(lambda x: jax.grad(call)(x).sum())(given["input"]))
    np.testing.assert_allclose(got, np.full(A.shape, want), rtol=1e-12)
