"""Under torch.autocast a loss computes in float32, its gradients too, whatever is of 16 bits and however it is run."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import SHARED, TORCH, every_loss, every_variant, put, reference

from xloss.catalog import LOSSES, Loss, Variant
from xloss.modules import signatures
from xloss.parity.inputs import Draw

torch = pytest.importorskip("torch")
dispatch = pytest.importorskip("torch.utils._python_dispatch")

HALF = (torch.bfloat16, torch.float16)
halves = pytest.mark.parametrize(
    "half",
    [pytest.param(HALF[0], id="bfloat16"), pytest.param(HALF[1], id="float16", marks=pytest.mark.slow)],
)
KNOWN_ON_CPU = ("mse_loss", "nll_loss", "hinge_embedding_loss", "poisson_nll_loss", "l1_loss", "cross_entropy",
                "smooth_l1_loss", "triplet_margin_loss", "multi_margin_loss", "huber_loss")  # fmt: skip
# What CUDA's autocast refuses, by the names of the dispatcher.
BANNED = ("binary_cross_entropy", "binary_cross_entropy_backward")


@contextlib.contextmanager
def autocast(half: Any) -> Iterator[None]:
    with torch.autocast("cpu", half):
        yield


class Watch(dispatch.TorchDispatchMode):
    """Note operations that take or give a 16-bit tensor, and those that CUDA's autocast refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[str] = []
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.count += 1
        seen = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        name = function._schema.name.removeprefix("aten::")
        if name in BANNED or any(x.dtype in HALF for x in seen):
            self.met.append(name)
        return out


def drawn(loss: Loss, variant: Variant, dtype: str = "float32") -> dict[str, Any]:
    """Numbers that float16 and bfloat16 both hold, in `dtype`: then nothing but the computation can differ."""
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "bfloat16"))
    kept = {name: a if a.dtype.kind in "iub" else a.astype(np.float32) for name, a in arrays.items()}
    return {name: x.to(getattr(torch, dtype)) if x.is_floating_point() else x for name, x in put(TORCH, kept).items()}


def results(function: Callable[..., Any], loss: Loss, tensors: dict[str, Any], options: Any, scale: float = 1.0,
            inside: Any = None, reduction: str | None = None) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Value, and gradients; under the context `inside`, the backward pass as well."""
    wrt = [name for name in loss.arguments.wrt if name in tensors and tensors[name].is_floating_point()]
    leaves = {name: tensors[name].detach().clone().requires_grad_() for name in wrt}
    with warnings.catch_warnings(), inside or contextlib.nullcontext():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        value = function(**{**tensors, **leaves}, **options, reduction=reduction or loss.main_reduction)
        grads = torch.autograd.grad((value * scale).sum(), list(leaves.values()))
    return value.detach(), dict(zip(wrt, grads, strict=True))


def equal(got: Any, want: Any) -> None:
    """The same numbers to the roundings of sums in another order (of matrix products)."""
    torch.testing.assert_close(
        got, want, rtol=3e-6, atol=1e-7 * float(want.abs().nan_to_num(0, 0, 0).max()), equal_nan=True
    )


@halves
@every_variant
def test_float32_is_not_touched(loss: Loss, variant: Variant, half: Any) -> None:
    """Value and gradients, the backward pass under autocast as well: no operation sees 16 bits or is a banned one."""
    function, tensors = loss.implementation("torch"), drawn(loss, variant)
    value, grads = results(function, loss, tensors, variant.options)
    with autocast(half):
        got, slopes = results(function, loss, tensors, variant.options)
    equal(got, value)
    for name, grad in grads.items():
        equal(slopes[name], grad)
    with Watch() as watch, autocast(half):
        results(function, loss, tensors, variant.options)
    assert not watch.met
    assert watch.count > 1


@halves
@every_variant
def test_16_bits_become_float32(loss: Loss, variant: Variant, half: Any) -> None:
    """Value in float32, that of float32 arguments; gradients in the arguments' dtype, rounded once."""
    function = loss.implementation("torch")
    name = str(half).removeprefix("torch.")
    tensors, wide = drawn(loss, variant, name), drawn(loss, variant)
    with autocast(half):
        got, slopes = results(function, loss, tensors, variant.options)
        unreduced, _ = results(function, loss, tensors, variant.options, reduction="none")
    want, grads = results(function, loss, wide, variant.options)
    assert got.dtype == unreduced.dtype == torch.float32
    equal(got, want)
    for argument, grad in slopes.items():
        assert grad.dtype == half
        step = torch.finfo(half).eps
        torch.testing.assert_close(grad.float(), grads[argument], rtol=step, atol=step * 1e-3, equal_nan=True)
    outside, _ = results(function, loss, tensors, variant.options)
    assert outside.dtype == half  # an explicit 16-bit call stays what it is


@every_variant
def test_scaled_gradients_are_finite(loss: Loss, variant: Variant) -> None:
    """float16 with GradScaler's first scale, 65536: the value must not be rounded to float16 before it is scaled."""
    function, tensors = loss.implementation("torch"), drawn(loss, variant, "float16")
    want, wide = results(function, loss, drawn(loss, variant), variant.options)
    with autocast(torch.float16):
        value, slopes = results(function, loss, tensors, variant.options, scale=65536.0)
    assert (value * 65536.0).isfinite().all() == want.isfinite().all()
    for name, grad in wide.items():
        scaled = 65536 * grad
        fits = scaled.abs() < 65504  # beyond is infinite in float16, whoever computes it: the scaler lowers its scale
        assert slopes[name][fits].isfinite().all(), name
        torch.testing.assert_close(slopes[name][fits].float(), scaled[fits], rtol=2e-3, atol=1e-7)


@halves
@pytest.mark.parametrize("loss", SHARED, ids=lambda loss: loss.name)
def test_it_is_what_functional_gives(loss: Loss, half: Any) -> None:
    """Where CPU's autocast knows the loss; a few it leaves in 16 bits, or has no kernel for, which CUDA's computes."""
    variant = loss.variants[0]
    tensors = drawn(loss, variant, str(half).removeprefix("torch."))
    with autocast(half):
        try:
            theirs, grads = results(reference(loss), loss, tensors, variant.options)
        except RuntimeError as error:
            pytest.skip(f"torch.nn.functional: {str(error)[:60]}")
        ours, slopes = results(loss.implementation("torch"), loss, tensors, variant.options)
    if theirs.dtype != torch.float32:
        assert loss.name not in KNOWN_ON_CPU
        pytest.skip(f"torch.nn.functional gives {theirs.dtype} on a CPU")
    # Where theirs has a product in 16 bits, or rounds parts, it has fewer digits.
    if theirs.isfinite().all():  # theirs: an epsilon of 1e-12 is 0 in float16
        torch.testing.assert_close(ours, theirs, rtol=1e-5 if loss.name in KNOWN_ON_CPU else 2e-2, atol=1e-6)
    for name, grad in grads.items():
        assert grad.dtype == slopes[name].dtype


@halves
@pytest.mark.parametrize("name", ["linear_cross_entropy", "adaptive_log_softmax_with_loss"])
def test_a_16_bit_hidden_state_goes_with_float32_weights(name: str, half: Any) -> None:
    loss = LOSSES[name]
    function = loss.implementation("torch")
    for variant in loss.variants:
        wide = drawn(loss, variant)
        mixed = {k: x.to(half) if k == "input" else x for k, x in wide.items()}
        with autocast(half):
            got, slopes = results(function, loss, mixed, variant.options)
        want, grads = results(function, loss, wide, variant.options)
        equal(got, want)
        for argument, grad in slopes.items():
            assert grad.dtype == mixed[argument].dtype
            step = torch.finfo(grad.dtype).eps
            torch.testing.assert_close(grad.float(), grads[argument], rtol=max(step, 3e-6), atol=1e-6)


def gradient(loss: Loss, variant: Variant, tensors: dict[str, Any]) -> tuple[Callable[[Any], Any], Any]:
    """The sum as a function of the first argument, and where that is."""
    function, first = loss.implementation("torch"), loss.arguments.wrt[0]

    def total(x: Any) -> Any:
        return function(**{**tensors, first: x}, **variant.options, reduction=loss.reductions[-1])

    return total, tensors[first]


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": lambda f, x, v: torch.func.grad(f)(x),
    "jvp": lambda f, x, v: torch.func.jvp(f, (x,), (v,))[1],
    "grad of grad": lambda f, x, v: torch.func.grad(lambda x: (torch.func.grad(f)(x) * v).sum())(x),
    "jvp of grad": lambda f, x, v: torch.func.jvp(torch.func.grad(f), (x,), (v,))[1],
    "grad of jvp": lambda f, x, v: torch.func.grad(lambda x: torch.func.jvp(f, (x,), (v,))[1])(x),
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(f))(torch.stack([x, x + v / 64])),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@every_loss
def test_torch_func(loss: Loss, transform: Callable[..., Any]) -> None:
    variant = loss.variants[0]
    f, x = gradient(loss, variant, drawn(loss, variant))
    v = torch.from_numpy(np.random.default_rng(3).integers(-8, 9, tuple(x.shape)) / 8).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        want = transform(f, x, v)
        with autocast(torch.bfloat16):
            got = transform(f, x, v)
    scale = float(want.abs().nan_to_num(0, 0, 0).max())
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * max(scale, 1e-3), equal_nan=True)


# Those with a matrix product inside, and one of each family without.
COMPILED = ("linear_cross_entropy", "adaptive_log_softmax_with_loss", "ntxent_loss", "circle_loss", "cross_entropy",
            "binary_cross_entropy", "triplet_margin_loss", "dice_loss", "mse_loss")  # fmt: skip
compiled = [pytest.param(loss, marks=() if loss.name in COMPILED else pytest.mark.slow) for loss in LOSSES.values()]


@pytest.mark.parametrize("functional", [False, True], ids=["backward", "torch.func"])
@pytest.mark.parametrize("loss", compiled, ids=lambda loss: loss.name)
def test_compiled(loss: Loss, functional: bool) -> None:
    variant = loss.variants[-1] if loss.name == "linear_cross_entropy" else loss.variants[0]
    f, x = gradient(loss, variant, drawn(loss, variant))
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        want = torch.func.grad(f)(x)
        with autocast(torch.bfloat16):
            if functional:
                got = torch.compile(torch.func.grad(f), backend="aot_eager", fullgraph=True)(x)
            else:
                leaf = x.clone().requires_grad_()
                (got,) = torch.autograd.grad(torch.compile(f, backend="aot_eager", fullgraph=True)(leaf), leaf)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6, equal_nan=True)


@every_loss
def test_class_forms(loss: Loss) -> None:
    """A module and its buffers in a trained model: the same float32."""
    import xloss.torch

    if loss.wrap_call is not None or loss.class_form.parametric:
        pytest.skip("its call is another one: the tests above have it")
    variant = max(loss.variants, key=lambda v: len(v.tensors))
    tensors = drawn(loss, variant, "bfloat16")
    taken = {option.name for option in signatures.options_of(loss)}
    given = {**tensors, **variant.options}
    module = getattr(xloss.torch, signatures.class_name(loss))(**{k: v for k, v in given.items() if k in taken})
    with autocast(torch.bfloat16), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        value = module(**{k: v for k, v in given.items() if k not in taken})
    assert value.dtype == torch.float32


# --- the comparisons see faults
# ---------------------------------------------------------------------------------------------


def test_a_plain_matrix_product_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import distances_torch

    monkeypatch.setattr(distances_torch, "product", lambda x, y: x @ y)
    for name in ("ntxent_loss", "circle_loss"):
        with pytest.raises(AssertionError):
            test_float32_is_not_touched(LOSSES[name], LOSSES[name].variants[0], torch.bfloat16)
        with pytest.raises(AssertionError):
            test_torch_func(LOSSES[name], TRANSFORMS["grad"])


def test_a_product_that_is_right_in_the_forward_pass_only_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import distances_torch

    def forward_only(x: Any, y: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return x @ y

    monkeypatch.setattr(distances_torch, "product", forward_only)
    loss = LOSSES["ntxent_loss"]
    with pytest.raises(AssertionError):
        test_float32_is_not_touched(loss, loss.variants[0], torch.bfloat16)
    for functional in (False, True):
        with pytest.raises(AssertionError):
            test_compiled(loss, functional)


def test_16_bits_that_stay_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import torch as ops

    monkeypatch.setattr(ops, "in_autocast", lambda _: False)
    with pytest.raises(AssertionError):
        test_16_bits_become_float32(LOSSES["mse_loss"], LOSSES["mse_loss"].variants[0], torch.float16)
    with pytest.raises(TypeError, match="linear_weight"):
        test_a_16_bit_hidden_state_goes_with_float32_weights("linear_cross_entropy", torch.bfloat16)


def test_a_banned_operation_is_seen() -> None:
    with Watch() as watch:
        torch.nn.functional.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([0.5]))
    assert watch.met == ["binary_cross_entropy"]
