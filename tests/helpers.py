"""What tests that run over the catalogue share: a loss run in both frameworks, and results compared."""

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from packaging.version import Version

from xloss.catalog import LOSSES, Loss, Variant
from xloss.ops.reductions import sum_and_denominator
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

TORCH, JAX = load("torch"), load("jax")
FRAMEWORKS = {"torch": TORCH, "jax": JAX}
SHARED = [loss for loss in LOSSES.values() if hasattr(functional, loss.name)]
VARIANTS = [(loss, variant) for loss in LOSSES.values() for variant in loss.variants]
SHARED_VARIANTS = [(loss, variant) for loss, variant in VARIANTS if loss in SHARED]
Results = dict[str, np.ndarray]
# What 2.6 lacks and 2.13 has; the tests did not run between them.
OLD_TORCH = Version(torch.__version__) < Version("2.9")


def compiler_says(words: str) -> str:
    """A pattern of what `torch.compile` with `fullgraph` raises for an error of these words; 2.6 does not say which."""
    return f"{words}|Observed exception" if OLD_TORCH else words


def ids(pairs: Sequence[tuple[Loss, Variant]]) -> list[str]:
    return [f"{loss.name}-{variant.name}" for loss, variant in pairs]


every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_variant = pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=ids(VARIANTS))
#: In a default run, the first variant of each loss.
first_variants = pytest.mark.parametrize(
    ("loss", "variant"),
    [pytest.param(*pair, id=name, marks=() if pair[1] is pair[0].variants[0] else pytest.mark.slow)
     for pair, name in zip(VARIANTS, ids(VARIANTS), strict=True)],
)  # fmt: skip
every_shared = pytest.mark.parametrize(("loss", "variant"), SHARED_VARIANTS, ids=ids(SHARED_VARIANTS))
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)


def floating(loss: Loss, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The arguments to differentiate by."""
    return tuple(name for name in loss.arguments.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


def cotangent(loss: Loss, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> np.ndarray:
    """Sixteenths, exact in every dtype, in the shape of the unreduced loss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        shape = loss.implementation("torch")(**put(TORCH, arrays), **options, reduction="none").shape
    return np.asarray(np.random.default_rng(5).integers(-24, 25, tuple(shape)) / 16)


def put(framework: Any, arrays: Mapping[str, np.ndarray], contiguous: bool = True) -> dict[str, Any]:
    device = framework.device("cpu")
    return {name: framework.put(np.asarray(array), device, contiguous) for name, array in arrays.items()}


def torch_results(function: Callable[..., Any], arrays: Mapping[str, np.ndarray], options: Mapping[str, Any],
                  reductions: Sequence[str], wrt: Sequence[str], v: np.ndarray,
                      contiguous: bool = True) -> Results:  # fmt: skip
    """Value and gradients for each reduction, as "mean", "mean/input", ..."""
    out = {}
    tensors = put(TORCH, arrays, contiguous)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting, and of kl_div's 'mean': meant
        for reduction in reductions:
            leaves = {name: tensors[name].detach().requires_grad_() for name in wrt}
            loss = function(**{**tensors, **leaves}, **options, reduction=reduction)
            direction = TORCH.put(np.asarray(v, TORCH.get(loss).dtype), "cpu") if reduction == "none" else None
            grads = torch.autograd.grad(loss, list(leaves.values()), direction)
            out[reduction] = TORCH.get(loss)
            out |= {f"{reduction}/{name}": TORCH.get(grad) for name, grad in zip(wrt, grads, strict=True)}
    return out


@functools.cache
def jax_program(function: Callable[..., Any], options: tuple[tuple[str, Any], ...], reductions: tuple[str, ...],
                wrt: tuple[str, ...], quick: bool) -> Callable[..., Any]:  # fmt: skip
    """All that `jax_results` gives as one compiled function: it costs once for each shape and dtype."""

    def program(arrays: Any, v: Any) -> Any:
        out = {}
        for reduction in reductions:

            def call(*leaves: Any, reduction: str = reduction) -> Any:
                return function(
                    **{**arrays, **dict(zip(wrt, leaves, strict=True))}, **dict(options), reduction=reduction
                )

            loss, pull = jax.vjp(call, *(arrays[name] for name in wrt))
            out[reduction] = loss
            grads = pull(v.astype(loss.dtype) if reduction == "none" else jnp.ones((), loss.dtype))
            out |= {f"{reduction}/{name}": grad for name, grad in zip(wrt, grads, strict=True)}
        return out

    return (fast_compile_jit if quick else jax.jit)(program)


def jax_results(function: Callable[..., Any], arrays: Mapping[str, np.ndarray], options: Mapping[str, Any],
                reductions: Sequence[str], wrt: Sequence[str], v: np.ndarray,
                    quick: bool = True) -> Results:  # fmt: skip
    program = jax_program(function, tuple(sorted(options.items())), tuple(reductions), tuple(wrt), quick)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        out = program(put(JAX, arrays), jnp.asarray(v))
    return {key: np.asarray(value) for key, value in out.items()}


def call(framework: Any, function: Callable[..., Any], arrays: Mapping[str, np.ndarray], **options: Any) -> Any:
    """One evaluation, compiled as a whole in JAX, where each operation on its own would be compiled, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        if framework is JAX:
            program = fast_compile_jit(lambda tensors: function(**tensors, **options))
            return jax.tree.map(np.asarray, program(put(JAX, arrays)))
        out = function(**put(TORCH, arrays), **options)
        return tuple(map(TORCH.get, out)) if isinstance(out, tuple) else TORCH.get(out)


def scale_of(arrays: Mapping[str, np.ndarray]) -> float:
    """The greatest finite number among the inputs, 1 at least."""
    wide = [np.ravel(a).astype(np.float64) for a in arrays.values()]
    return float(max(1.0, max((np.abs(a[np.isfinite(a)]).max(initial=0) for a in wide), default=0)))


def close(got: Results, want: Results, scale: float = 1.0, relative: float = 1e-9) -> None:
    """Raise unless all results are the same to `relative`, or to 1e-13 of the scale; NaN and infinities included."""
    assert got.keys() == want.keys()
    for key, expected in want.items():
        assert got[key].shape == expected.shape, f"{key}: shape {got[key].shape}, expected {expected.shape}"
        assert got[key].dtype == expected.dtype, f"{key}: dtype {got[key].dtype}, expected {expected.dtype}"
        np.testing.assert_allclose(got[key], expected, rtol=relative, atol=1e-13 * scale, equal_nan=True, err_msg=key)


def same_bits(got: Results, want: Results) -> None:
    """Raise unless all results are the same numbers (two zeros, and two NaN, being the same)."""
    assert got.keys() == want.keys()
    for key, expected in want.items():
        assert got[key].dtype == expected.dtype, f"{key}: dtype {got[key].dtype}, expected {expected.dtype}"
        np.testing.assert_array_equal(got[key].astype(np.float64), expected.astype(np.float64), err_msg=key)


def defined(loss: Loss, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any], reduction: str) -> bool:
    """Whether the reduction exists: smoothing over weights that sum to 0 is c/0 here, 0/0 + c/0 in
    torch.nn.functional.
    """
    if reduction != "mean" or not options.get("label_smoothing"):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        return float(sum_and_denominator(loss.torch, **put(TORCH, arrays), **options)[1]) != 0


def no_slope_in_torch(loss: Loss) -> bool:
    """Tell whether the installed torch gives a term that is exactly 0 no slope, where xloss does."""
    return any(d.id == f"{loss.name}/kink" and d.holds_here() for d in loss.differences)


def with_slope_on_the_kink(function: Callable[..., Any], loss: Loss) -> Callable[..., Any]:
    """Move the margin by an ulp or some: a term that is exactly 0 has its slope then, as before torch 2.14."""
    away = -np.inf if loss.name == "cosine_embedding_loss" else np.inf
    ulps = 64 if "triplet" in loss.name else 1  # not lost beside distances of several margins
    default = inspect.signature(function).parameters["margin"].default

    def moved(*args: Any, margin: float = default, **kwargs: Any) -> Any:
        for _ in range(ulps):
            margin = float(np.nextafter(margin, away))
        return function(*args, margin=margin, **kwargs)

    return moved


@functools.cache
def _reference(name: str) -> Callable[..., Any]:
    loss = LOSSES[name]
    function = getattr(functional, name)
    if no_slope_in_torch(loss):
        function = with_slope_on_the_kink(function, loss)
    function = function if loss.wrap_call is None else loss.wrap_call(function, "torch")
    return function if loss.patched_torch is None else loss.patched_torch(function)


def reference(loss: Loss) -> Callable[..., Any]:
    """What is in torch.nn.functional, called as the harness calls ours."""
    return _reference(loss.name)


def alike(message: str) -> str:
    """A message without what is the framework's own: its array type, the spelling of dtypes, the label dtypes it
    has.
    """
    message = message.replace("a torch.Tensor", "an array").replace(
        "a jax.Array, a NumPy array or a number", "an array"
    )
    message = re.sub(r"class indices of (an integer dtype|dtype torch.int64 or torch.uint8)", "class indices", message)
    return message.replace("torch.", "")


def well_put(error: Exception, at: str) -> None:
    """Raise unless the message starts with the argument's name and tells what was expected and what came."""
    message = str(error)
    assert re.match(rf"{at}( \([a-z ]+\))?: expected ", message), message
    assert re.search(r", got \S", message), message
