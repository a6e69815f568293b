"""Faults planted in the frameworks themselves: a verdict must change, or refuse to be given, when the code does."""

from collections.abc import Callable
from typing import Any

import pytest

from xloss.claims import CLAIMS, Result, run, settle
from xloss.parity.mechanisms.jax import x64

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


def outcome(id: str) -> str:
    """The verdict of a claim measured now, or why there is none."""
    result = settle(CLAIMS[id])
    return result.verdict.kind if result.verdict else result.status


def identity(x: Any, *args: Any, **options: Any) -> Any:
    return x


@pytest.fixture
def no_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detaching does nothing, in either framework."""
    monkeypatch.setattr(torch.Tensor, "detach", identity)
    monkeypatch.setattr(jax.lax, "stop_gradient", identity)


@pytest.mark.usefixtures("no_detach")
@pytest.mark.parametrize(
    ("id", "becomes"),
    [
        ("detached-error/half-gradient", "fails"),
        ("detached-error/detached-is-constant", "fails"),
        ("detached-error/is-not-mse", "fails"),
        ("detached-error/division-by-two", "fails"),
        ("detached-error/signs-of-variants", "fails"),
    ],
)
def test_a_detach_that_does_nothing(id: str, becomes: str) -> None:
    assert outcome(id) == becomes != CLAIMS[id].expected


def test_a_detach_that_does_nothing_in_one_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "detach", identity)
    result = settle(CLAIMS["detached-error/half-gradient"])
    assert result.status == "undecided"
    assert "contradict each other (torch: fails, jax: holds)" in result.error


def test_zeroing_that_is_never_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    zero_grad = torch.optim.Optimizer.zero_grad
    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", lambda self, set_to_none=True: zero_grad(self))
    assert outcome("four-averages/as-run") == "fails"
    assert outcome("four-averages/first-is-overwritten") == "fails"
    assert outcome("four-averages/jax-immutable") == "fails"


def test_zeroing_that_is_always_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    zero_grad = torch.optim.Optimizer.zero_grad
    monkeypatch.setattr(
        torch.optim.Optimizer, "zero_grad", lambda self, set_to_none=True: zero_grad(self, set_to_none=False)
    )
    assert outcome("four-averages/as-run") == "holds"


def test_a_clone_that_is_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "clone", identity)
    assert outcome("four-averages/as-run") == "holds"


def swapped(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss with sum and mean exchanged."""
    other = {"sum": "mean", "mean": "sum", "none": "none"}
    return lambda *args, reduction="mean", **options: loss(*args, reduction=other[reduction], **options)


def test_swapped_reductions(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax.numpy as jnp

    functional, mean, total = torch.nn.functional, jnp.mean, jnp.sum
    monkeypatch.setattr(functional, "mse_loss", swapped(functional.mse_loss))
    assert outcome("four-averages/mean-ignores-batch-size") == "undecided"
    monkeypatch.setattr(jnp, "mean", total)
    monkeypatch.setattr(jnp, "sum", mean)
    assert outcome("four-averages/mean-ignores-batch-size") == "fails"
    monkeypatch.setattr(functional, "cross_entropy", swapped(functional.cross_entropy))
    assert outcome("four-averages/sum-is-n-means") == "undecided"


def test_a_norm_that_is_the_l1_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax.numpy as jnp

    monkeypatch.setattr(torch.Tensor, "norm", lambda x: x.abs().sum())
    monkeypatch.setattr(jnp.linalg, "norm", lambda x: jnp.abs(x).sum())
    assert outcome("notebook-backward/l1-loss") == "holds"
    assert outcome("notebook-backward/printed-values") == "fails"


def test_a_weighted_mean_over_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax.numpy as jnp

    functional = torch.nn.functional
    nll_loss = functional.nll_loss
    monkeypatch.setattr(functional, "nll_loss", lambda *a, **k: nll_loss(*a, **k, reduction="none").mean())
    monkeypatch.setattr(jnp, "average", lambda x, weights: (x * weights).mean())
    assert outcome("notes-on-losses/nll-weighted-mean") == "fails"


def test_a_crash_is_told_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(torch.nn.functional, "l1_loss", broken)
    seen: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, result: Result) -> None:
        seen.append((done, total, result.status))

    first, second = run(["notes-on-losses/l1-not-differentiable", "typical-gradients/square-root"], progress)
    assert (first.status, first.error, first.verdict) == ("crashed", "RuntimeError: no kernel for this", None)
    assert second.status == "as expected"
    assert seen == [(1, 2, "crashed"), (2, 2, "as expected")]
    assert first.to_dict()["verdict"] is None
    assert first.to_dict()["explanation"] == first.error


def test_settings_of_the_caller_do_not_matter() -> None:
    """64 bits, strict promotion or a random state are neither felt by the experiments nor changed by them."""
    state = torch.random.get_rng_state()
    with x64(True):
        assert outcome("notebook-backward/loss-delta") == "holds"
        assert outcome("four-averages/as-run") == "holds only if"
        assert jax.numpy.zeros(1).dtype == "float64"
    with jax.numpy_dtype_promotion("strict"):
        assert outcome("notes-on-losses/exclude-classes") == "holds only if"
    assert torch.equal(state, torch.random.get_rng_state())
