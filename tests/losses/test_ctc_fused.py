"""ctc_loss in eager PyTorch: the recursion in NumPy against plain operations, and what neither may pad to."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

CTC = LOSSES["ctc_loss"]
rng = np.random.default_rng(0)


def batch(frames: int, samples: int, classes: int, longest: int) -> tuple[Any, ...]:
    """Log-probabilities in float32, targets (the blank among them, too), and lengths that an alignment exists for."""
    x = 2 * rng.normal(size=(frames, samples, classes))
    x = (x - np.log(np.exp(x).sum(2, keepdims=True))).astype(np.float32)
    lengths = rng.integers(0, longest + 1, samples)
    times = np.minimum(rng.integers(2 * lengths, frames + 2), frames)
    return tuple(map(torch.from_numpy, (x, rng.integers(0, classes, (samples, longest)), times, lengths)))


SIZES = [(1, 1, 2, 0), (6, 3, 4, 3), (7, 1, 2, 2), (41, 6, 5, 9)]


def fused(x: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
    """The loss and its gradient for cotangents of both signs, which must come from the recursion in NumPy."""
    x = x.clone().requires_grad_()
    loss = CTC.torch(x, *rest, reduction="none", **options)
    assert ("Ctc" in type(loss.grad_fn).__name__) == (x.dtype is torch.float32 and rest[0].shape[1] > 0)
    return loss.detach(), torch.autograd.grad(loss, x, torch.linspace(-1, 2, len(loss), dtype=x.dtype))[0]


def agree(given: tuple[Any, ...], **options: Any) -> None:
    """Raise unless float32 has what plain operations have in float64, to its own rounding."""
    got = fused(*given, **options)
    want = fused(given[0].double(), *given[1:], **options)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("blank", [0, 1])
def test_it_equals_plain_operations(size: tuple[int, ...], blank: int) -> None:
    for _ in range(3):
        agree(batch(*size), blank=blank)


FAULTS: dict[str, Callable[[Any], Any]] = {
    "a skip": lambda found: dataclasses.replace(found, skip=np.zeros_like(found.skip)),
    "the meeting": lambda found: dataclasses.replace(found, meeting=found.meeting[::-1]),
    "the half": lambda found: dataclasses.replace(found, frames_used=np.maximum(found.frames_used - 1, 0)),
    "an emission": lambda found: dataclasses.replace(found, index=found.index[::-1]),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_wrong_gradient_is_seen(fault: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import ctc_fused_torch

    right = ctc_fused_torch._Halves.of
    monkeypatch.setattr(ctc_fused_torch._Halves, "of", lambda *given, **blank: fault(right(*given, **blank)))
    given = batch(*SIZES[-1])
    with pytest.raises(AssertionError):
        agree(given)


def test_what_is_done_with_the_gradient() -> None:
    """Two backward passes, cotangents that are not 1, second derivatives."""
    x, *rest = batch(*SIZES[1])
    x = x.requires_grad_()
    loss = CTC.torch(x, *rest)
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (scaled,) = torch.autograd.grad(-65536 * loss, x, retain_graph=True)
    torch.testing.assert_close(scaled, -65536 * once)
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    torch.testing.assert_close(slope, once, rtol=1e-5, atol=1e-6)
    (bend,) = torch.autograd.grad(slope.square().sum(), x)
    wide = x.detach().double().requires_grad_()
    (slope,) = torch.autograd.grad(CTC.torch(wide, *rest), wide, create_graph=True)
    (want,) = torch.autograd.grad(slope.square().sum(), wide)
    torch.testing.assert_close(bend.double(), want, rtol=1e-4, atol=1e-5)


# --- concatenated targets whose lengths are not at hand -------------------------------------------

FRAMES, SAMPLES, CLASSES = 5, 4, 4
LENGTHS = np.array([2, 9, 0, 3])  # the second has no alignment
X = np.log(rng.dirichlet(np.ones(CLASSES), (FRAMES, SAMPLES))).astype(np.float32)
Y = rng.integers(1, CLASSES, LENGTHS.sum())
Y[:2], Y[-3:] = (1, 2), (1, 2, 3)


def traced(framework: str, y: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Unreduced, where no value is at hand."""
    times = np.full(SAMPLES, FRAMES)
    if framework == "jax":
        return np.asarray(jax.jit(lambda *given: CTC.jax(*given, reduction="none"))(X, y, times, lengths))
    torch.compiler.reset()
    compiled = torch.compile(CTC.torch, fullgraph=True, backend="eager", dynamic=False)
    return compiled(*map(torch.from_numpy, (X, y, times, lengths)), reduction="none").numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_concatenated_targets_longer_than_the_frames(framework: str) -> None:
    given = map(torch.from_numpy, (X, Y, np.full(SAMPLES, FRAMES), LENGTHS))
    want = CTC.torch(*given, reduction="none").numpy()
    assert np.isinf(want).tolist() == [False, True, False, False]
    np.testing.assert_allclose(traced(framework, Y, LENGTHS), want, rtol=1e-6)
    bad = Y.copy()
    bad[10] = CLASSES  # the last label of the second, beyond all frames
    np.testing.assert_array_equal(np.isnan(traced(framework, bad, LENGTHS)), [False, True, False, False])


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_they_are_not_padded_to_the_sum_of_all(framework: str) -> None:
    """The states do not grow with the number of samples."""
    if framework == "torch":
        from xloss.ops import ctc_torch as ctc

        labels, *_ = ctc._validate_labels(torch.ones(300, dtype=torch.int64), torch.full((100,), 3), 5, 2, False)
    else:
        from xloss.ops import ctc_jax  # type: ignore[no-redef]

        labels, *_ = ctc_jax._validate_labels(
            jax.numpy.ones(300, "int32"), jax.numpy.full(100, 3, "int32"), 5, 2, False
        )
    assert labels.shape == (100, 6)
