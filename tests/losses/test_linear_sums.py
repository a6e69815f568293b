"""Sums and means of `linear_cross_entropy`: their gradients, found in the forward pass, whatever is done with them."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity.mechanisms.jax import fast_compile_jit

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

pytestmark = pytest.mark.usefixtures("x64")

LINEAR, DENSE = LOSSES["linear_cross_entropy"], LOSSES["cross_entropy"]
rng = np.random.default_rng(0)
X, W, B, C = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)), rng.normal(size=5), rng.uniform(0.1, 1, 5)
Y, SOFT = np.array([0, 3, -100, 1, 2, 4, 4]), rng.uniform(size=(7, 5))
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "labels": (Y, {}),
    "smoothing": (Y, {"label_smoothing": 0.25}),
    "probabilities": (SOFT, {"label_smoothing": 0.25}),
}
every_kind = pytest.mark.parametrize(("target", "options"), KINDS.values(), ids=KINDS)
reduced = pytest.mark.parametrize("reduction", ["mean", "sum"])


def leaves() -> list[Any]:
    return [torch.tensor(array, requires_grad=True) for array in (X, W, B)]


def losses(target: np.ndarray, **options: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The loss by chunks, and that of all logits."""
    y, weight = torch.tensor(target), torch.tensor(C)
    chunked = lambda x, w, b: LINEAR.torch(x, w, y, linear_bias=b, weight=weight, chunk_size=2, **options)  # noqa: E731
    dense = lambda x, w, b: DENSE.torch(torch.nn.functional.linear(x, w, b), y, weight=weight, **options)  # noqa: E731
    return chunked, dense


def close(got: Any, want: Any) -> None:
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def with_cotangents(function: Callable[..., Any]) -> list[Any]:
    """Gradients for several cotangents, of one forward pass, and of a loss that goes on with the result."""
    given, found = leaves(), []
    loss = function(*given)
    for cotangent in (1.0, 65536.0, -0.5, 0.0, 1.0):
        grads = torch.autograd.grad(loss, given, torch.tensor(cotangent, dtype=loss.dtype), retain_graph=True)
        found += [grad.clone() for grad in grads]
        for grad in grads:
            grad.mul_(3)  # as clipping would: what the graph keeps must not change
    loss.square().backward()
    return [*found, *(leaf.grad for leaf in given)]


def accumulated(function: Callable[..., Any]) -> list[Any]:
    """Gradients that two backward passes add up in the leaves, an optimizer's step between two forward passes."""
    given = leaves()
    loss = function(*given)
    loss.backward(retain_graph=True)
    loss.backward()
    with torch.no_grad():
        for leaf in given:
            leaf -= 0.1 * leaf.grad
    (2 * function(*given)).backward()
    return [leaf.grad for leaf in given]


def second(function: Callable[..., Any]) -> list[Any]:
    """Second derivatives, by a cotangent that is not 1."""
    given = leaves()
    grads = torch.autograd.grad(-2 * function(*given), given, create_graph=True)
    return [*grads, *torch.autograd.grad(sum((g * g).sum() for g in grads), given)]


def of_some(function: Callable[..., Any]) -> list[Any]:
    """The gradient by each leaf where no other has one."""
    found = []
    for number in range(3):
        given = [leaf.requires_grad_(number == other) for other, leaf in enumerate(leaves())]
        found += torch.autograd.grad(function(*given), given[number])
    return found


USES = [with_cotangents, accumulated, second, of_some]


@every_kind
@reduced
@pytest.mark.parametrize("use", USES)
def test_gradients_are_those_of_all_logits(
    target: np.ndarray, options: dict[str, Any], reduction: str, use: Callable[..., Any]
) -> None:
    chunked, dense = losses(target, reduction=reduction, **options)
    assert "Sum" in str(graph(chunked(*leaves()))), "the gradients are not found in the forward pass"
    close(use(chunked), use(dense))


def graph(loss: Any) -> list[str]:
    """The names of the nodes behind a loss."""
    names, nodes = [], [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        names.append(type(node).__name__)
        nodes += [following for following, _ in node.next_functions if following is not None]
    return names


@pytest.mark.parametrize("fault", ["ignored", "in place"])
def test_the_uses_see_a_cotangent_that_is_lost(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One taken for 1, and one that is multiplied into what the graph keeps."""
    from xloss.ops import linear_sum_torch as sums

    backward = sums._Sum.backward

    def wrong(ctx: Any, cotangent: Any) -> Any:
        if fault == "ignored":
            return backward(ctx, torch.ones_like(cotangent))
        found = backward(ctx, cotangent)
        with torch.no_grad():
            for kept in ctx.saved_tensors[1:4]:
                kept.detach().mul_(cotangent)
        return found

    monkeypatch.setattr(sums._Sum, "backward", staticmethod(wrong))
    chunked, dense = losses(Y, reduction="mean")
    with pytest.raises((AssertionError, RuntimeError)):
        close(with_cotangents(chunked), with_cotangents(dense))


@reduced
def test_class_weights_have_a_gradient(reduction: str) -> None:
    found = []
    for function in (LINEAR.torch, lambda x, w, y, **rest: DENSE.torch(x @ w.T, y, **rest)):
        x, w, c = (torch.tensor(array, requires_grad=True) for array in (X, W, C))
        loss = function(x, w, torch.tensor(Y), weight=c, reduction=reduction)
        found.append([loss, *torch.autograd.grad(3 * loss, (x, w, c))])
    close(*found)


@pytest.mark.parametrize("weight", [None, np.zeros(5)], ids=["ignored", "weightless"])
def test_a_mean_of_nothing_is_nan(weight: Any) -> None:
    """As in `cross_entropy`: with gradients 0 where all is ignored, and NaN where the weights are 0."""
    found = []
    y = torch.full((7,), -100) if weight is None else torch.tensor(np.abs(Y) % 5)
    c = None if weight is None else torch.tensor(weight)
    for function in (LINEAR.torch, lambda x, w, y, **rest: DENSE.torch(x @ w.T, y, **rest)):
        x, w, _ = leaves()
        loss = function(x, w, y, weight=c)
        found.append([loss, *torch.autograd.grad(loss, (x, w))])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True)
    assert found[0][0].isnan()


def test_an_input_changed_in_place_is_refused() -> None:
    """As with plain operations: the backward pass may need it."""
    x, w, _ = leaves()
    loss = LINEAR.torch(x * 1.0, v := w * 1.0, torch.tensor(Y))
    v.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_three_products_of_matrices() -> None:
    """Of the size of all logits, in value and gradient of a mean; four of unreduced losses."""
    counted = functools.partial(products, *leaves()[:2])
    assert counted("mean") == 3
    assert counted("none") == 4


def products(x: Any, w: Any, reduction: str) -> int:
    """How many products of a loss, and its gradients, of one chunk."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        """Count calls of products."""

        found = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.found += str(function).startswith(("aten.mm", "aten.addmm"))
            return function(*args, **(kwargs or {}))

    with Count() as count:
        LINEAR.torch(x, w, torch.tensor(Y), reduction=reduction).sum().backward()
    return count.found


def test_jax_has_one_rule_for_both_modes() -> None:
    """Gradients, forward mode and Hessian-vector products for several cotangents, of labels with class weights."""
    y = jax.numpy.asarray(Y)

    def everything(function: Callable[..., Any]) -> Any:
        v = (X, W, C)
        scaled = lambda *at: -3 * function(*at)  # noqa: E731
        slopes = jax.grad(scaled, (0, 1, 2))
        return jax.value_and_grad(scaled, 1)(*v), slopes(*v), jax.jvp(scaled, v, v), jax.jvp(slopes, v, v)

    chunked = lambda x, w, c: LINEAR.jax(x, w, y, weight=c, chunk_size=2)  # noqa: E731
    dense = lambda x, w, c: DENSE.jax(x @ w.T, y, weight=c)  # noqa: E731
    got, want = (jax.tree.leaves(fast_compile_jit(lambda f=f: everything(f))()) for f in (chunked, dense))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    text = str(jax.make_jaxpr(jax.grad(chunked, (0, 1)))(X, W, C))
    assert text.count("dot_general") == 2 * 3, "a product more than three, for the chunks and for the last of them"
