"""The kernels of `xloss.ops.fused_torch` give what plain operations give, and give way to them where they must."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import xloss.torch as losses  # noqa: E402
from xloss.ops import fused_torch as fused  # noqa: E402
from xloss.ops.arguments import PARTS  # noqa: E402
from xloss.ops.autocast_torch import in_functorch  # noqa: E402

REDUCTIONS = ("none", "mean", "sum")


def cases() -> Iterator[tuple[str, Callable[..., Any], Any, dict[str, Any]]]:
    """Yield a name, a loss, its input and its other arguments: confident rows, and wrong ones, among them."""
    random = torch.Generator().manual_seed(0)
    normal = functools.partial(torch.randn, generator=random, dtype=torch.float64)
    for scale, (shape, axis) in itertools.product((1.0, 30.0), (((6, 5), 1), ((5,), 0), ((2, 3, 4), 1))):
        x = scale * normal(shape)
        classes, rows = shape[axis], shape[:axis] + shape[axis + 1 :]
        weight = torch.rand(classes, generator=random, dtype=torch.float64)
        weights = {"": None, "weight": weight, "weight 0": weight * (torch.arange(classes) > 0)}
        # One weight is nearly the sum of all: what is left of that without it is no difference.
        weights["great weight"] = weight + 1e6 * (torch.arange(classes) == 1)
        labels = torch.randint(0, classes, rows, generator=random)
        ignored = labels.masked_fill(labels == 1, -100) if rows else labels
        one_hot = torch.nn.functional.one_hot(x.argmax(axis), classes).movedim(-1, axis).double()
        targets = {"labels": labels, "right": x.argmax(axis), "ignored": ignored}
        targets |= {"soft": torch.softmax(normal(shape), axis), "one-hot": one_hot}
        for (kind, target), (given, w), smoothing in itertools.product(targets.items(), weights.items(), (0.0, 0.1, 1)):
            name = f"{shape}, scale {scale}, {kind}, {given}"
            options = {"target": target, "weight": w}
            yield (
                f"cross_entropy {name}, {smoothing}",
                losses.cross_entropy,
                x,
                {**options, "label_smoothing": smoothing},
            )
            if not target.is_floating_point():
                yield f"nll_loss {name}", losses.nll_loss, x, options
        rand = functools.partial(torch.rand, generator=random, dtype=torch.float64)
        per_class = {"": None, "weighted": 3 * rand(shape[-1])}
        for target, (_, w), (_, p) in itertools.product((one_hot, rand(shape)), per_class.items(), per_class.items()):
            options = {"target": target, "weight": w, "pos_weight": p}
            yield f"bce {shape}, {scale}", losses.binary_cross_entropy_with_logits, x, options
        for target in (2 * one_hot - 1, (2 * one_hot - 1).long(), normal(shape[-1:])):
            yield f"soft_margin {shape}, {scale}", losses.soft_margin_loss, x, {"target": target}
    zeros = torch.tensor([0.0, -0.0], dtype=torch.float64)
    for target in (torch.zeros(2), torch.ones(2), torch.full((2,), 0.25)):
        yield "bce at 0", losses.binary_cross_entropy_with_logits, zeros, {"target": target.double()}


CASES = list(cases())


def derivatives(loss: Callable[..., Any], x: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """Return the value, the gradient as such and as one that is differentiated, and its derivative."""
    x = x.clone().requires_grad_()
    value = loss(x, **options)
    cotangent = torch.linspace(0.5, 1.5, max(value.numel(), 1), dtype=value.dtype).reshape(value.shape)
    (gradient,) = torch.autograd.grad(value, x, cotangent, retain_graph=True)
    (same,) = torch.autograd.grad(value, x, cotangent, create_graph=True)
    direction = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)
    second = (
        torch.autograd.grad((same * direction).sum(), x)[0] if same.requires_grad else torch.zeros_like(x)
    )  # nll_loss has none
    return value.detach(), gradient, same.detach(), second


def disagreements(monkeypatch: pytest.MonkeyPatch, step: int = 1) -> list[str]:
    """Return the cases in which kernels and plain operations differ by more than rounding, or have other dtypes."""
    found = []
    for (name, loss, x, options), reduction in zip(CASES[::step], itertools.cycle(REDUCTIONS), strict=False):
        options = {**options, "reduction": reduction}
        ours = derivatives(loss, x, options)
        with monkeypatch.context() as patch:
            patch.setattr(fused, "_may_fuse", lambda *_: False)
            plain = derivatives(loss, x, options)
        for what, one, other in zip(("value", "gradient", "graph", "second"), ours, plain, strict=True):
            scale = float(other[other.isfinite()].abs().max()) if other.isfinite().any() else 0.0
            same = torch.allclose(one, other, rtol=1e-9, atol=1e-14 * scale, equal_nan=True)
            if not same or one.dtype != other.dtype:
                found.append(f"{what} of {name}, {reduction}")
    return found


def test_kernels_give_what_plain_operations_give(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = spy(monkeypatch)
    assert not disagreements(monkeypatch)
    assert taken
    assert all(taken)


@pytest.mark.parametrize("name", ["_times_rows", "_nll_backward", "_BCE", "_SOFT_MARGIN"])
def test_a_wrong_backward_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: 2 * function(*args)

    right = getattr(fused, name)
    wrong = right._replace(backward=doubled(right.backward)) if isinstance(right, fused.Kernel) else doubled(right)
    monkeypatch.setattr(fused, name, wrong)
    found = disagreements(monkeypatch, step=7)
    assert found
    assert {line.split()[0] for line in found} == {"gradient"}


def spy(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that is told, at each call of a loss, whether its kernel is taken."""
    taken: list[bool] = []
    right = fused._may_fuse

    def told(*args: Any) -> bool:
        taken.append(right(*args))
        return taken[-1]

    monkeypatch.setattr(fused, "_may_fuse", told)
    return taken


LOSSES = {
    "cross_entropy": (losses.cross_entropy, torch.tensor([0, 2])),
    "smoothed": (functools.partial(losses.cross_entropy, label_smoothing=0.1), torch.tensor([0, 2])),
    "soft": (losses.cross_entropy, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])),
    "nll_loss": (losses.nll_loss, torch.tensor([0, 2])),
    "bce": (losses.binary_cross_entropy_with_logits, torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])),
    "soft_margin": (losses.soft_margin_loss, torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])),
}


def logits() -> Any:
    """Return new ones: `make_fx` and `jit.trace` change those that they are given."""
    return torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -20.0]])


every_loss = pytest.mark.parametrize(("loss", "target"), LOSSES.values(), ids=LOSSES)


class Special(torch.Tensor):
    """A tensor subclass."""


def under_vmap(loss: Any, target: Any) -> Any:
    return torch.func.vmap(torch.func.grad(lambda x, y: loss(x[None], y[None])))(logits(), target)


def under_forward_mode(loss: Any, target: Any) -> Any:
    with torch.autograd.forward_ad.dual_level():
        x = torch.autograd.forward_ad.make_dual(logits(), torch.ones_like(logits()))
        assert torch.autograd.forward_ad.unpack_dual(loss(x, target)).tangent is not None


def under_make_fx(loss: Any, target: Any) -> Any:
    from torch.fx.experimental.proxy_tensor import make_fx

    make_fx(lambda x: loss(x, target))(logits())


CONTEXTS: dict[str, Callable[..., Any]] = {
    "grad": lambda loss, target: torch.func.grad(loss)(logits(), target),
    "vmap": under_vmap,
    "jvp": lambda loss, target: torch.func.jvp(lambda x: loss(x, target), (logits(),), (logits(),)),
    "dual tensors": under_forward_mode,
    "compile": lambda loss, target: torch.compile(loss, backend="eager", fullgraph=True)(logits(), target),
    "make_fx": under_make_fx,
    "jit.trace": lambda loss, target: torch.jit.trace(lambda x: loss(x, target), logits(), check_trace=False),
    "subclass": lambda loss, target: loss(logits().as_subclass(Special), target),
    "meta": lambda loss, target: loss(logits().to("meta"), target.to("meta")),
    "parts": lambda loss, target: loss(logits(), target, reduction=PARTS),
    "no rows": lambda loss, target: loss(logits()[:0], target[:0]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@every_loss
def test_plain_operations_take_over(monkeypatch: pytest.MonkeyPatch, loss: Any, target: Any, context: Any) -> None:
    def forbidden(*_: Any) -> Any:
        raise AssertionError("the kernel was taken")

    for name in ("_cross_entropy_forward", "_smoothed_cross_entropy_forward", "_soft_cross_entropy_forward"):
        monkeypatch.setattr(fused, name, forbidden)
    monkeypatch.setattr(fused, "_nll_forward", forbidden)
    monkeypatch.setattr(fused, "_BCE", fused.Kernel(forbidden, forbidden))
    monkeypatch.setattr(fused, "_SOFT_MARGIN", fused.Kernel(forbidden, forbidden))
    with pytest.raises(AssertionError, match="was taken"):
        loss(logits(), target)
    context(loss, target)


def test_a_constant_that_requires_a_gradient_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = spy(monkeypatch)
    weight = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    soft = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], requires_grad=True)
    labels, x = torch.tensor([0, 2]), logits()
    for value in (
        losses.cross_entropy(x, labels, weight), losses.cross_entropy(x, soft), losses.nll_loss(x, labels, weight),
        losses.binary_cross_entropy_with_logits(x, soft), losses.soft_margin_loss(x, soft),
        losses.binary_cross_entropy_with_logits(x, soft.detach(), pos_weight=weight),
        losses.binary_cross_entropy_with_logits(x, soft.detach(), weight=weight),
    ):  # fmt: skip
        weight.grad = soft.grad = None
        value.backward()
        assert (weight.grad is None) != (soft.grad is None)
    assert taken == [False] * 7
    smoothing = torch.tensor(0.25, requires_grad=True)
    for target in (labels, soft.detach()):
        losses.cross_entropy(logits(), target, label_smoothing=smoothing).backward()
    assert smoothing.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_loss
def test_values_and_gradients_have_the_dtype_of_the_input(loss: Any, target: Any, dtype: Any) -> None:
    x = logits().to(dtype).requires_grad_()
    value = loss(x, target.to(dtype) if target.is_floating_point() else target)
    value.backward()
    assert value.dtype == x.grad.dtype == dtype


@every_loss
def test_a_value_may_be_changed_in_place_and_differentiated_twice(loss: Any, target: Any) -> None:
    x = logits().requires_grad_()
    value = loss(x, target)
    value.backward(retain_graph=True)
    once = x.grad.clone()
    value += 1
    value.backward()
    assert torch.equal(x.grad, 2 * once)


@every_loss
def test_no_more_is_kept_than_the_input_and_one_tensor_of_its_size(loss: Any, target: Any) -> None:
    kept: list[Any] = []
    x = logits().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        loss(x, target)
    large = [tensor for tensor in kept if tensor.numel() == x.numel() and tensor.data_ptr() != target.data_ptr()]
    assert len(large) <= 2


@every_loss
def test_cotangents_may_be_a_batch(loss: Any, target: Any) -> None:
    x = logits().requires_grad_()
    value = loss(x, target, reduction="none")
    basis = torch.eye(value.numel()).reshape(value.numel(), *value.shape)
    (batched,) = torch.autograd.grad(value, x, basis, is_grads_batched=True, retain_graph=True)
    rows = [torch.autograd.grad(value, x, one, retain_graph=True)[0] for one in basis]
    torch.testing.assert_close(batched, torch.stack(rows))


def test_digits_of_a_confident_prediction_are_kept() -> None:
    x = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    for options in ({"target": torch.tensor([0])}, {"target": torch.tensor([[1.0, 0.0, 0.0]])}):
        value = losses.cross_entropy(x, **options)
        assert float(value.detach()) == pytest.approx(4.12230723e-09, rel=1e-6)
        assert float(torch.autograd.grad(value, x)[0][0, 0]) == pytest.approx(-4.12230723e-09, rel=1e-6)


def test_what_is_asked_of_functorch_is_there() -> None:
    """Names that PyTorch does not promise; where they change, a kernel would be taken that must not be."""
    assert not in_functorch()
    assert torch.autograd.forward_ad._current_level < 0
    with torch.autograd.forward_ad.dual_level():
        assert torch.autograd.forward_ad._current_level >= 0
    assert torch.func.vmap(lambda x: x * torch._C._functorch.is_functorch_wrapped_tensor(x))(torch.ones(1)) == 1
