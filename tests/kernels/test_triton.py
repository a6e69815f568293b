"""The Triton kernels, interpreted on the CPU, are within the budget of truth, and faults planted in them are not."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from kernel_judge import judged  # noqa: E402

from xloss.kernels import torch as kernels  # noqa: E402
from xloss.ops import torch as ops  # noqa: E402
from xloss.parity.cells import Cell  # noqa: E402
from xloss.torch import cross_entropy, linear_cross_entropy  # noqa: E402

pytestmark = pytest.mark.usefixtures("triton_kernels", "two_blocks")
SHAPE = (3, 20)  # with blocks of 16, the second of 4 classes


@pytest.fixture(autouse=True)
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MOST_CLASSES", 16)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that were launched."""
    found: list[str] = []
    launch = kernels.Task._launch

    def counted(self: Any, kernel: Any, *args: Any, **kwargs: Any) -> None:
        found.append(kernel.__name__)
        launch(self, kernel, *args, **kwargs)

    monkeypatch.setattr(kernels.Task, "_launch", counted)
    return found


def case(variant: str, regime: str, dtype: str = "float32", loss: str = "cross_entropy",
         shape: tuple[int, ...] = SHAPE) -> Cell:  # fmt: skip
    return Cell(loss, variant, shape, regime, dtype)


CASES = [
    *(case("default", regime) for regime in ("large", "tiny", "confident", "badly_wrong", "nonfinite", "one", "empty")),
    case("weight+ignored", "typical"), case("weight+ignored", "zero_weight"), case("weight+ignored", "all_ignored"),
    case("smoothing", "ties"), case("weight+smoothing", "confident"), case("weight+smoothing", "badly_wrong"),
    case("default", "typical", shape=(2, 18, 2)), case("unbatched", "typical", shape=(20,)),
    case("weight+ignored", "confident", "bfloat16"), case("weight+smoothing", "typical", "float16"),
    case("smoothing", "typical", "float64"),
    case("default", "confident", loss="linear_cross_entropy", shape=(5, 2)),
    case("chunked", "typical", loss="linear_cross_entropy", shape=(5, 1)),
    case("chunked", "typical", "bfloat16", loss="linear_cross_entropy", shape=(5, 1)),
    case("chunked", "all_ignored", loss="linear_cross_entropy", shape=(5, 1)),
    case("unbatched", "typical", "float16", loss="linear_cross_entropy", shape=(2,)),
]  # fmt: skip


@pytest.mark.parametrize("cell", CASES, ids=lambda cell: cell.case_id)
def test_value_and_gradients_are_within_the_budget(cell: Cell, launches: list[str]) -> None:
    reductions = ("mean", "sum", "none") if cell.regime in ("typical", "confident") else ("mean",)
    assert not judged("torch", cell, reductions)
    assert ("forward" in launches) == (cell.regime != "empty")


def planted(name: str) -> Any:
    from kernel_faults import dropped_rescale, probability_minus_one, tl

    return {"rescale": dropped_rescale, "at_the_class_apart": probability_minus_one,
            "PADDING": tl.constexpr(0.0)}[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cell", "where"),
    [
        ("PADDING", case("default", "typical"), "mean/"),  # a wrong mask at the end of the last block
        ("rescale", case("default", "typical", shape=(4, 40)), "mean/"),
        ("at_the_class_apart", case("default", "confident"), "mean/input"),
        ("PADDING", case("default", "typical", loss="linear_cross_entropy", shape=(5, 2)), "mean/linear_weight"),
    ],
)
def test_a_planted_fault_is_caught(triton_kernels: Any, monkeypatch: pytest.MonkeyPatch, name: str, cell: Cell,
                                   where: str) -> None:  # fmt: skip
    assert not judged("torch", cell)
    monkeypatch.setattr(triton_kernels, name, planted(name))
    assert where in judged("torch", cell)


def draw(dtype: Any = torch.float32) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 20, generator=generator).to(dtype), torch.tensor([1, -100, 19, 3])


WEIGHT = torch.randn(20, 20, generator=torch.Generator().manual_seed(1))


def linear(x: Any, target: Any, **given: Any) -> Any:
    return linear_cross_entropy(x, WEIGHT.to(x.dtype), target, chunk_size=3, **given)


both = pytest.mark.parametrize("loss", [cross_entropy, linear], ids=["cross_entropy", "linear_cross_entropy"])


def close(ours: Any, theirs: Any) -> None:
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6, equal_nan=True)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_every_backward_pass_has_its_own_cotangent(loss: Callable[..., Any], reduction: str) -> None:
    """Of what the forward pass found for 1; also after another one, and after what was returned was changed."""
    x, y = draw()
    x.requires_grad_()
    ours, theirs = (loss(x, y, reduction=reduction, backend=backend) for backend in ("triton", None))
    for factor in (1.0, 3.0, -0.37, 1.0):
        cotangent = torch.linspace(1, 2, ours.numel()).reshape(ours.shape) * factor
        got, want = (torch.autograd.grad(v, x, cotangent, retain_graph=True)[0] for v in (ours, theirs))
        close([got], [want])
        got.mul_(2.0)


def test_a_scaled_float16_gradient_keeps_its_digits() -> None:
    """A probability of 2e-9 is 0 in float16, times 32768 it is not: gradients are rounded after they are scaled."""
    x, y = 20 * torch.eye(4, 20).half(), torch.arange(4)
    identity = torch.eye(20).half()
    for loss in (cross_entropy, lambda x, y, **given: linear_cross_entropy(x, identity, y, **given)):
        for reduction in ("sum", "none"):
            z = x.clone().requires_grad_()
            value = loss(z, y, reduction=reduction, backend="triton")
            (grad,) = torch.autograd.grad(value, z, torch.full_like(value, 32768.0))
            right = 32768 * torch.softmax(x.double(), 1)[0, 1].item()
            torch.testing.assert_close(grad[0, 1:].double(), torch.full((19,), right).double(), rtol=1e-3, atol=0)


@both
def test_what_an_ignored_row_holds_reaches_nothing(loss: Callable[..., Any]) -> None:
    x, y = draw()
    clean = torch.autograd.grad(loss(z := x.clone().requires_grad_(), y, backend="triton"), z)[0]
    x[1, ::2], x[1, 1::2] = torch.nan, torch.inf
    x.requires_grad_()
    value = loss(x, y, backend="triton")
    assert value.isfinite()
    close([torch.autograd.grad(value, x)[0]], [clean])


def test_a_label_out_of_range_is_an_error_or_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw()
    y[2] = 20
    with pytest.raises(ValueError, match=r"target: expected class indices in \[0, 20\), got label 20"):
        cross_entropy(x, y, backend="triton")
    monkeypatch.setattr(ops, "concrete", lambda *_: False)  # as on an accelerator
    for reduction in ("none", "sum"):
        z = x.clone().requires_grad_()
        value = cross_entropy(z, y, reduction=reduction, backend="triton")
        (grad,) = torch.autograd.grad(value, z, torch.ones_like(value))
        assert grad[2].isnan().all()
        assert grad[[0, 1, 3]].isfinite().all()
        assert value.isnan().tolist() == ([False, False, True, False] if reduction == "none" else True)


@both
def test_what_kernels_do_not_do_is_done_by_plain_operations(loss: Callable[..., Any], launches: list[str]) -> None:
    x, y = draw()
    run, plain = (functools.partial(loss, target=y, backend=backend) for backend in ("triton", None))
    tangent = torch.linspace(-1, 1, x.numel()).reshape(x.shape)
    close([torch.func.grad(run)(x)], [torch.func.grad(plain)(x)])
    close(torch.func.jvp(run, (x,), (tangent,)), torch.func.jvp(plain, (x,), (tangent,)))
    close([torch.compile(run, fullgraph=True, backend="eager")(x)], [plain(x)])
    assert not launches
    z = x.clone().requires_grad_()
    twice = []
    for function in (run, plain):
        (grad,) = torch.autograd.grad(function(z), z, create_graph=True)
        twice.append(torch.autograd.grad((grad * tangent).sum(), z)[0])
    close([twice[0]], [twice[1]])
    assert "forward" in launches


def test_a_derivative_by_the_class_weights_is_that_of_plain_operations(launches: list[str]) -> None:
    x, y = draw()
    grads = []
    for backend in ("triton", None):
        weight = torch.linspace(0.5, 1.5, 20, requires_grad=True)
        grads.append(torch.autograd.grad(cross_entropy(x, y, weight, backend=backend), weight)[0])
    close([grads[0]], [grads[1]])
    assert not launches


def test_logits_are_held_a_chunk_at_a_time_and_multiplied_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.kernels import linear_torch

    shapes: list[tuple[int, ...]] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(x: Any, y: Any) -> Any:
            found = function(x, y)
            shapes.append(tuple(found.shape))
            return found

        return call

    for name in ("wide_product", "product_of_parts"):
        monkeypatch.setattr(linear_torch, name, watched(getattr(linear_torch, name)))
    x, w = torch.randn(4, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True)
    loss = linear_cross_entropy(x, w, torch.arange(4), chunk_size=2, backend="triton")
    torch.autograd.grad(loss * 3, [x, w])
    assert shapes == [(2, 7), (2, 3), (7, 3)] * 2


def test_a_gradient_in_three_parts_loses_no_digit() -> None:
    from xloss.kernels.linear_torch import product_of_parts

    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 5, generator=generator)
    y = torch.eye(5).bfloat16()
    patched = pytest.MonkeyPatch()
    patched.setattr("xloss.kernels.linear_torch.wide_product", lambda a, b: torch.mm(a.float(), b.float()))
    with patched.context():
        assert torch.equal(product_of_parts(x, y), x)
        assert not torch.equal(x.bfloat16().float(), x)
    patched.undo()


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw()
    with pytest.raises(ValueError, match=r"backend: expected None or 'triton', the backend in PyTorch, got 'pallas'"):
        cross_entropy(x, y, backend="pallas")
    with pytest.raises(ValueError, match=r"target: expected class indices.*got probabilities"):
        cross_entropy(x, x.softmax(1), backend="triton")
    with pytest.raises(ValueError, match=r"linear_weight: expected shape \(C, H\)"):
        linear_cross_entropy(x, torch.randn(3, 2, 20), torch.zeros(4, 2, dtype=torch.long), backend="triton")
    with pytest.raises(TypeError, match=r"weight: expected that of input, float32, got dtype float64"):
        cross_entropy(x, y, torch.ones(20, dtype=torch.float64), backend="triton")
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "is_interpreted", lambda _: False)
        with pytest.raises(ValueError, match="backend: expected for 'triton', tensors on a GPU, got tensors on cpu"):
            cross_entropy(x, y, backend="triton")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "triton", None)
        patch.delitem(sys.modules, "xloss.kernels.triton_kernels")
        patch.delattr("xloss.kernels.triton_kernels")
        with pytest.raises(ImportError, match=r"needs the package triton.*xloss\[kernels\]"):
            cross_entropy(x, y, backend="triton")
