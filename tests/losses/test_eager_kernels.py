"""What eager PyTorch on a CPU computes by kernels, or by blocks, equals the plain operations that others see.

In value and gradient, also of vectors that need rescaling; and wherever more than plain autograd is at work, the plain
operations are taken.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xloss.ops import distances_torch, margins_torch  # noqa: E402
from xloss.ops import torch as ops  # noqa: E402
from xloss.torch import (  # noqa: E402
    cosine_embedding_loss,
    huber_loss,
    mse_loss,
    multi_margin_loss,
    negative_cosine_stopgrad_loss,
    smooth_l1_loss,
    triplet_margin_loss,
)

ROWS, COLUMNS = 12, 7
Call = Callable[..., Any]


def draw(count: int, shape: tuple[int, ...] = (ROWS, COLUMNS), seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def labels() -> Any:
    return torch.arange(ROWS) % COLUMNS


def signs() -> Any:
    return torch.tensor([1, -1, 0] * (ROWS // 3))


CASES: dict[str, tuple[Call, int]] = {
    "mse": (mse_loss, 2),
    "huber": (huber_loss, 2),
    "huber-delta": (lambda x, y, **given: huber_loss(x, y, delta=0.3, **given), 2),
    "smooth_l1": (lambda x, y, **given: smooth_l1_loss(x, y, beta=0.5, **given), 2),
    "cosine": (lambda x, y, **given: cosine_embedding_loss(x, y, signs(), margin=0.1, **given), 2),
    "negative-cosine": (negative_cosine_stopgrad_loss, 2),
    "triplet": (lambda *given, **named: triplet_margin_loss(*given, swap=True, **named), 3),
    "triplet-no-eps": (lambda *given, **named: triplet_margin_loss(*given, eps=0.0, **named), 3),
    "multi_margin": (lambda x, **given: multi_margin_loss(x, labels(), **given), 1),
    "multi_margin-p2": (lambda x, **given: multi_margin_loss(x, labels(), p=2, margin=0.5, **given), 1),
}
each = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Compute by plain operations, as if something were being transformed."""

    def run(function: Call, *tensors: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(ops, "is_transformed", lambda *_: True)
            return function(*tensors)

    return run


def value_and_gradients(function: Call, *tensors: Any) -> list[Any]:
    leaves = [x.clone().requires_grad_() for x in tensors]
    value = function(*leaves)
    weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    grads = torch.autograd.grad((value * weights).sum(), leaves, allow_unused=True)
    return [value.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True))]


def nearly_equal(ours: list[Any], theirs: list[Any]) -> None:
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13, equal_nan=True)


def made(kind: str, count: int) -> list[Any]:
    """Draw vectors: near each other, opposite, of one large element, zero, of sizes whose squares overflow."""
    tensors = draw(count)
    for other in tensors[1:]:
        if kind == "near":
            other.mul_(1e-3).add_(tensors[0])
        elif kind == "opposite":
            other.mul_(1e-3).sub_(tensors[0])
    for number, x in enumerate(tensors):
        if kind == "one-large":
            x[::2, number] *= 1e6
        elif kind == "zeros":
            x[::3] = 0
        elif kind == "huge":
            x[::4] *= 1e200
        elif kind == "nan":
            x[1, 2] = torch.nan
    return tensors


@each
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("kind", ["typical", "near", "opposite", "one-large", "zeros", "huge", "nan"])
def test_value_and_gradient_equal_those_of_plain_operations(name: str, reduction: str, kind: str, plain: Call) -> None:
    function, count = CASES[name]
    tensors = made(kind, count)
    run = lambda *given: value_and_gradients(lambda *xs: function(*xs, reduction=reduction), *given)  # noqa: E731
    ours, theirs = run(*tensors), plain(run, *tensors)
    if kind in ("huge", "nan"):  # what is finite, where
        for got, want in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(torch.isfinite(got), torch.isfinite(want))
            fine = torch.isfinite(want)
            torch.testing.assert_close(got[fine], want[fine], rtol=1e-12, atol=1e-13)
    else:
        nearly_equal(ours, theirs)


@each
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_of_several_blocks_equal_those_of_one(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    function, count = CASES[name]
    tensors = made("near", count)
    tensors[0][: ROWS // 2] = draw(1, (ROWS // 2, COLUMNS), seed=1)[0]
    run = lambda: value_and_gradients(lambda *xs: function(*xs, reduction="none"), *tensors)  # noqa: E731
    whole = run()
    monkeypatch.setattr(ops, "rows_per_block", lambda _columns: 5)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        nearly_equal(run(), whole)
    finally:
        torch.set_num_threads(before)


@each
def test_higher_derivatives_are_those_of_plain_operations(name: str, plain: Call) -> None:
    function, count = CASES[name]

    def derivatives(*tensors: Any) -> list[Any]:
        leaves = [x.clone().requires_grad_() for x in tensors]
        found, total = [], function(*leaves)
        for _ in range(3):
            if not total.requires_grad:
                break
            grads = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
            found += [grad.detach() for grad in grads if grad is not None]
            total = sum((grad.sin().sum() for grad in grads if grad is not None), torch.zeros(()))
        return found

    tensors = draw(count)
    nearly_equal(derivatives(*tensors), plain(derivatives, *tensors))


@each
def test_forward_mode_and_mapping_agree_with_backward(name: str) -> None:
    function, count = CASES[name]
    tensors, tangents = draw(count), draw(count, seed=1)
    value, *grads = value_and_gradients(function, *tensors)
    _, along = torch.func.jvp(function, tuple(tensors), tuple(tangents))
    want = sum((g * t).sum() for g, t in zip(grads, tangents, strict=True))
    torch.testing.assert_close(along, want, rtol=1e-9, atol=1e-12)
    mapped = torch.func.vmap(function)(*(torch.stack([x, x]) for x in tensors))
    torch.testing.assert_close(mapped, torch.stack([value, value]), rtol=1e-12, atol=1e-13)
    by_func = torch.func.grad(function, argnums=tuple(range(count)))(*tensors)
    nearly_equal(list(by_func), grads)


def test_gradients_of_a_batch_of_cotangents() -> None:
    for function, count in CASES.values():
        leaves = [x.requires_grad_() for x in draw(count)]
        value = function(*leaves, reduction="none")
        cotangents = torch.stack([torch.ones_like(value), 2 * torch.ones_like(value)])
        grads = torch.autograd.grad(value, leaves[:1], cotangents, is_grads_batched=True, retain_graph=True)
        one = torch.autograd.grad(value, leaves[:1], torch.ones_like(value))
        nearly_equal([grads[0]], [torch.stack([one[0], 2 * one[0]])])


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of the fast ways that are taken."""
    found: list[str] = []

    def watch(owner: Any, name: str) -> None:
        apply = getattr(owner, name).apply

        def seen(*args: Any) -> Any:
            found.append(name)
            return apply(*args)

        monkeypatch.setattr(getattr(owner, name), "apply", seen)

    watch(distances_torch, "_Distance")
    watch(distances_torch, "_CosineMinus")
    watch(margins_torch, "_MeanHinge")
    kernel = ops._kernel_reduction

    def seen_kernel(*args: Any) -> Any:
        number = kernel(*args)
        found.extend(["kernel"] if number is not None else [])
        return number

    monkeypatch.setattr(ops, "_kernel_reduction", seen_kernel)
    return found


class Wrapped(torch.Tensor):
    """A subclass that changes nothing."""


def contexts() -> Iterator[tuple[str, Call]]:
    yield "vmap", lambda f, *xs: torch.func.vmap(f)(*(x.unsqueeze(0) for x in xs))
    yield "grad", lambda f, *xs: torch.func.grad(f)(*xs)
    yield "jvp", lambda f, *xs: torch.func.jvp(f, xs, xs)
    yield "make_fx", lambda f, *xs: torch.fx.experimental.proxy_tensor.make_fx(lambda *given: f(*given))(*xs)
    yield "subclass", lambda f, *xs: f(*(x.as_subclass(Wrapped) for x in xs))


@each
@pytest.mark.parametrize(("context", "run"), [pytest.param(*one, id=one[0]) for one in contexts()])
def test_plain_operations_take_over(name: str, context: str, run: Call, taken: list[str]) -> None:
    import torch.fx.experimental.proxy_tensor  # noqa: F401 - what `make_fx` is in

    function, count = CASES[name]
    function(*draw(count))
    assert taken, "in eager mode the fast way is taken"
    taken.clear()
    run(function, *draw(count))
    assert not taken, context


@pytest.mark.parametrize("name", ["cosine", "triplet", "multi_margin"])
def test_a_learned_option_keeps_its_gradient(name: str) -> None:
    x, y, z = draw(3)
    margin = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    value = {
        "cosine": lambda: cosine_embedding_loss(x, y, signs(), margin=margin),
        "triplet": lambda: triplet_margin_loss(x, y, z, margin=margin),
        "multi_margin": lambda: multi_margin_loss(x, labels(), margin=margin),
    }[name]()
    assert torch.autograd.grad(value, margin)[0].isfinite()


def test_arguments_changed_in_place_before_backward_are_refused() -> None:
    x, y = (z.requires_grad_() for z in draw(2))
    value = cosine_embedding_loss(x * 1, changed := y * 1, signs())
    changed.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_broadcast_and_views_are_right() -> None:
    x, y = draw(2)
    one = y[:1]
    ours = value_and_gradients(lambda a, b: cosine_embedding_loss(a, b, signs()), x, one)
    theirs = value_and_gradients(lambda a, b: cosine_embedding_loss(a, b.expand(ROWS, -1), signs()), x, one)
    nearly_equal(ours, theirs)
    wide = draw(3, (COLUMNS, ROWS))
    ours = value_and_gradients(lambda *xs: triplet_margin_loss(*(z.T for z in xs)), *wide)
    theirs = value_and_gradients(lambda *xs: triplet_margin_loss(*(z.T.contiguous() for z in xs)), *wide)
    nearly_equal(ours, theirs)
