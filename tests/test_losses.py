"""Every loss is torch.nn.functional's loss: signature, value, gradient, dtypes, reductions; in both frameworks.

Catalogue-wide: a new file in `xloss/losses` is tested here as it is. The comparison is with torch.nn.functional in
float64, which loses digits where predictions are confident; there the scale is that of the inputs, and
`test_accuracy.py` holds the digits.
"""

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xloss.catalog import LOSSES, Loss, Variant
from xloss.frameworks import load
from xloss.inputs import Draw, applicable
from xloss.reductions import sum_and_denominator
from xloss.truth import evaluate

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
FRAMEWORKS = {"torch": TORCH, "jax": JAX}
SHARED = [loss for loss in LOSSES.values() if hasattr(functional, loss.name)]
VARIANTS = [(loss, variant) for loss in LOSSES.values() for variant in loss.variants]
SHARED_VARIANTS = [(loss, variant) for loss, variant in VARIANTS if loss in SHARED]
Results = dict[str, np.ndarray]


def ids(pairs: Sequence[tuple[Loss, Variant]]) -> list[str]:
    return [f"{loss.name}-{variant.name}" for loss, variant in pairs]


every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_variant = pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=ids(VARIANTS))
every_shared = pytest.mark.parametrize(("loss", "variant"), SHARED_VARIANTS, ids=ids(SHARED_VARIANTS))
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)


# --- running a loss, and comparing ----------------------------------------------------------------------------------


def floating(loss: Loss, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The arguments to differentiate by."""
    return tuple(name for name in loss.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


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
                  reductions: Sequence[str], wrt: Sequence[str], v: np.ndarray, contiguous: bool = True) -> Results:  # fmt: skip
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


# Half of the time goes into XLA's optimizations; what they do to the digits, the sweep judges.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


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

    return jax.jit(program, compiler_options=QUICK if quick else None)


def jax_results(function: Callable[..., Any], arrays: Mapping[str, np.ndarray], options: Mapping[str, Any],
                reductions: Sequence[str], wrt: Sequence[str], v: np.ndarray, quick: bool = True) -> Results:  # fmt: skip
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
            program = jax.jit(lambda tensors: function(**tensors, **options), compiler_options=QUICK)
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
    """Whether the reduction exists: smoothing over weights that sum to 0 is c/0 here, 0/0 + c/0 in torch.nn.functional."""
    if reduction != "mean" or not options.get("label_smoothing"):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        return float(sum_and_denominator(loss.torch, **put(TORCH, arrays), **options)[1]) != 0


@functools.cache
def _reference(name: str) -> Callable[..., Any]:
    loss = LOSSES[name]
    function = getattr(functional, name)
    function = function if loss.adapt is None else loss.adapt(function, "torch")
    return function if loss.reference is None else loss.reference(function)


def reference(loss: Loss) -> Callable[..., Any]:
    """What is in torch.nn.functional, called as the harness calls ours."""
    return _reference(loss.name)


# --- what hypothesis draws ------------------------------------------------------------------------------------------

GRID = [-2.0, -1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0]


def reals() -> st.SearchStrategy[float]:
    """Any moderate number, or one of a grid whose differences are 0, or a kink, often enough."""
    # XLA takes subnormal numbers for 0: the sweep judges those.
    return st.sampled_from(GRID) | st.floats(-8, 8, allow_subnormal=False)


def units() -> st.SearchStrategy[float]:
    """Any number in [0, 1], the ends included."""
    return st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, allow_subnormal=False)


class Drawn(Draw):
    """A `Draw` whose numbers hypothesis chooses, so that it shrinks them."""

    def __init__(self, data: st.DataObject, loss: Loss, variant: Variant, shape: tuple[int, ...]):
        super().__init__(loss, variant, shape, "typical", "float64")
        self.data = data
        self.rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))

    def _array(self, shape: tuple[int, ...], elements: st.SearchStrategy[Any], dtype: Any = np.float64) -> np.ndarray:
        return self.data.draw(hnp.arrays(dtype, shape, elements=elements))

    def real(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._array(shape, reals())

    def unit(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._array(shape, units())

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._array(shape, st.sampled_from([0.0, 0.5, 1.0, 2.0]) | st.floats(0.01, 4))

    def labels(self, shape: tuple[int, ...], classes: int, ignore_index: int | None = None) -> np.ndarray:
        labels = st.integers(0, classes - 1)
        if ignore_index is not None and self.has("ignored"):
            labels |= st.just(ignore_index)
        return self._array(shape, labels, np.int64)

    def simplex(self, shape: tuple[int, ...], axis: int) -> np.ndarray:
        raw = self._array(shape, units())
        return raw / np.maximum(raw.sum(axis, keepdims=True), 0.125)


# Numbers that an option may be, by its name; an option that is not here keeps the variant's.
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "delta": st.sampled_from([0.25, 0.5, 1.0, 1.5]) | st.floats(0.01, 10),
    "beta": st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5]) | st.floats(0.01, 10),
    "label_smoothing": st.sampled_from([0.0, 1.0]) | st.floats(0.001, 0.999),
}


@every_shared
@given(data=st.data())
def test_torch_equals_functional_whatever_the_shape_and_options(
    loss: Loss, variant: Variant, data: st.DataObject
) -> None:
    ranks = sorted({len(shape) for shape in variant.shapes})
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=len(ranks) and ranks[0], max_size=ranks[-1])))
    if len(shape) not in ranks:
        shape = shape[: ranks[0]]
    arrays = loss.inputs(Drawn(data, loss, variant, shape))
    options = dict(variant.options)
    for name, strategy in OPTIONS.items():
        if name in inspect.signature(loss.torch).parameters and data.draw(st.booleans()):
            options[name] = data.draw(strategy)
    wrt, v = floating(loss, arrays), cotangent(loss, arrays, options)
    reductions = [reduction for reduction in loss.reductions if defined(loss, arrays, options, reduction)]
    got = torch_results(loss.implementation("torch"), arrays, options, reductions, wrt, v)
    want = torch_results(reference(loss), arrays, options, reductions, wrt, v)
    close(got, want, scale_of(arrays))


@every_shared
@given(data=st.data())
def test_jax_equals_functional(loss: Loss, variant: Variant, data: st.DataObject) -> None:
    arrays = loss.inputs(Drawn(data, loss, variant, variant.shapes[0]))
    wrt, v = floating(loss, arrays), cotangent(loss, arrays, variant.options)
    got = jax_results(loss.implementation("jax"), arrays, variant.options, loss.reductions, wrt, v)
    want = torch_results(reference(loss), arrays, variant.options, loss.reductions, wrt, v)
    kept = [reduction for reduction in loss.reductions if defined(loss, arrays, variant.options, reduction)]
    got, want = ({k: x for k, x in out.items() if k.split("/")[0] in kept} for out in (got, want))
    close(got, want, scale_of(arrays))


# XLA takes subnormal numbers for 0, where torch does not: `xloss.parity` judges that regime, by truth.
@every_shared
def test_every_regime_equals_functional(loss: Loss, variant: Variant) -> None:
    """On kinks, too: there the subgradient is torch's; with nothing but ignored labels or zero weights: NaN and 0."""
    for regime in applicable(loss, variant):
        if regime in ("subnormal", "nonfinite"):
            continue
        for seed in range(3):
            arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], regime, "float64", seed))
            wrt, v = floating(loss, arrays), cotangent(loss, arrays, variant.options)
            want = torch_results(reference(loss), arrays, variant.options, loss.reductions, wrt, v)
            given_ = (arrays, variant.options, loss.reductions, wrt, v)
            try:
                strided = regime == "noncontiguous"
                close(
                    torch_results(loss.implementation("torch"), *given_, contiguous=not strided), want, scale_of(arrays)
                )
                close(jax_results(loss.implementation("jax"), *given_), want, scale_of(arrays))
            except AssertionError as error:
                error.add_note(f"regime {regime}, seed {seed}: {arrays}")
                raise


@every_shared
def test_every_documented_shape_equals_functional(loss: Loss, variant: Variant) -> None:
    """Unbatched, K-dimensional, scalar."""
    for shape in variant.shapes[1:]:
        arrays = loss.inputs(Draw(loss, variant, shape, "typical", "float64"))
        wrt, v = floating(loss, arrays), cotangent(loss, arrays, variant.options)
        given_ = (arrays, variant.options, loss.reductions, wrt, v)
        want = torch_results(reference(loss), *given_)
        close(torch_results(loss.implementation("torch"), *given_), want, scale_of(arrays))
        close(torch_results(loss.implementation("torch"), *given_, contiguous=False), want, scale_of(arrays))
        close(jax_results(loss.implementation("jax"), *given_), want, scale_of(arrays))


@every_shared
def test_what_is_not_finite_is_so_where_it_is_in_functional(loss: Loss, variant: Variant) -> None:
    """The unreduced value: the same NaN and the same infinities, and rows without any stay what they are."""
    if "nonfinite" not in applicable(loss, variant):
        pytest.skip(loss.without["nonfinite"])
    for seed in range(3):
        arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "nonfinite", "float64", seed))
        wrt, v = floating(loss, arrays), cotangent(loss, arrays, variant.options)
        want = torch_results(reference(loss), arrays, variant.options, ["none"], wrt, v)
        for got in (torch_results(loss.implementation("torch"), arrays, variant.options, ["none"], wrt, v),
                    jax_results(loss.implementation("jax"), arrays, variant.options, ["none"], wrt, v)):  # fmt: skip
            # An infinite loss, where torch says 0 * inf, is right as well; a number never is.
            both_bad = np.isnan(want["none"]) & ~np.isfinite(got["none"])
            close({"none": np.where(both_bad, np.nan, got["none"])}, {"none": want["none"]})


def test_the_drawn_numbers_hit_kinks_and_ties() -> None:
    for kink in (0.0, 0.5, -0.5, 1.0, -1.0):
        x, y = find(st.tuples(reals(), reals()), lambda pair, kink=kink: pair[0] - pair[1] == kink)
        assert x - y == kink
    find(units(), lambda p: p == 1.0)
    find(reals(), lambda x: x not in GRID)


# --- the comparison sees faults -------------------------------------------------------------------------------------

FAULTS: dict[str, Callable[..., Any]] = {
    "wrong sign": lambda input, target, reduction: -functional.mse_loss(input, target, reduction=reduction),
    "half the gradient": lambda input, target, reduction: LOSSES["detached_squared_error"].torch(
        input, target, reduction
    ),
    "swapped reduction": lambda input, target, reduction: functional.mse_loss(
        input, target, reduction={"mean": "sum", "sum": "mean"}.get(reduction, reduction)
    ),
    "detached term": lambda input, target, reduction: functional.mse_loss(
        input, target.detach() + 0 * target, reduction=reduction
    ),
    "NaN": lambda input, target, reduction: functional.mse_loss(input, target, reduction=reduction) * math.nan,
    "misshapen": lambda input, target, reduction: functional.mse_loss(input, target, reduction=reduction)[None],
    "float32": lambda input, target, reduction: functional.mse_loss(
        input.float(), target.float(), reduction=reduction
    ).double(),
    "other dtype": lambda input, target, reduction: functional.mse_loss(input, target, reduction=reduction).float(),
    "1e-8 off": lambda input, target, reduction: functional.mse_loss(input, target, reduction=reduction) * (1 + 1e-8),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_comparison_sees(fault: Callable[..., Any]) -> None:
    loss = LOSSES["mse_loss"]
    arrays = loss.inputs(Draw(loss, loss.variants[0], (6, 3), "typical", "float64"))
    given_ = (arrays, {}, loss.reductions, ("input", "target"), cotangent(loss, arrays, {}))
    want = torch_results(functional.mse_loss, *given_)
    close(torch_results(loss.implementation("torch"), *given_), want)
    with pytest.raises((AssertionError, RuntimeError)):
        close(torch_results(fault, *given_), want)


def test_the_comparison_sees_the_other_subgradient() -> None:
    loss = LOSSES["l1_loss"]
    arrays = loss.inputs(Draw(loss, loss.variants[0], (6, 3), "on_kink", "float64"))
    given_ = (arrays, {}, ("none",), ("input", "target"), cotangent(loss, arrays, {}))
    want = torch_results(functional.l1_loss, *given_)
    close(jax_results(loss.implementation("jax"), *given_), want)
    with pytest.raises(AssertionError):
        close(jax_results(lambda input, target, reduction: jnp.abs(input - target), *given_), want)


# --- signatures, faces, warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", SHARED, ids=lambda loss: loss.name)
def test_the_signature_is_that_of_functional(loss: Loss) -> None:
    """Ours may have more options, at the end and by keyword only."""
    theirs = inspect.signature(getattr(functional, loss.name)).parameters.values()
    kept = [(p.name, p.default) for p in theirs if p.name not in ("size_average", "reduce")]
    ours = list(inspect.signature(loss.torch).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(kept)]] == kept
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in ours[len(kept) :])


@every_loss
def test_both_frameworks_have_one_signature(loss: Loss) -> None:
    assert inspect.signature(loss.torch) == inspect.signature(loss.jax)
    if loss.adapt is None or "reduction" in inspect.signature(loss.torch).parameters:
        assert inspect.signature(loss.torch).parameters["reduction"].default == "mean"


@every_loss
def test_the_faces_show_it_under_its_name(loss: Loss) -> None:
    import xloss.jax
    import xloss.torch

    for face, function in ((xloss.torch, loss.torch), (xloss.jax, loss.jax)):
        assert getattr(face, loss.name) is function
        assert loss.name in dir(face)
        assert loss.name in face.__all__
        assert (function.__name__, function.__module__) == (loss.name, face.__name__)
        assert "Formula" in function.__doc__
        assert "Source" in function.__doc__


@both
def test_a_face_has_no_other_loss(framework: Any) -> None:
    import importlib

    face = importlib.import_module(f"xloss.{framework.name}")
    with pytest.raises(AttributeError, match="no_such_loss"):
        face.no_such_loss  # noqa: B018


def warns(function: Callable[[], Any]) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return any("broadcast" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("loss", SHARED, ids=lambda loss: loss.name)
def test_broadcasting_warns_where_it_does_in_functional(loss: Loss) -> None:
    if not any("broadcast" in variant.flags for variant in loss.variants):
        pytest.skip("refuses, or takes broadcasting for granted")
    x, y = np.ones((4, 1)), np.zeros(4)
    assert warns(lambda: reference(loss)(*put(TORCH, {"x": x, "y": y}).values()))
    assert warns(lambda: loss.torch(*put(TORCH, {"x": x, "y": y}).values()))
    assert warns(lambda: loss.jax(x, y))
    assert not warns(lambda: loss.torch(*put(TORCH, {"x": x, "y": x}).values()))
    assert not warns(lambda: loss.jax(x, x))


# --- dtypes ---------------------------------------------------------------------------------------------------------

HALF = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}


def cast(arrays: Mapping[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    return {name: a if a.dtype.kind in "iub" else np.asarray(a, dtype) for name, a in arrays.items()}


def rounded(results: Results, dtype: Any) -> Results:
    with np.errstate(over="ignore"):
        return {key: np.asarray(value, dtype) for key, value in results.items()}


@every_variant
@pytest.mark.parametrize("dtype", HALF.values(), ids=HALF)
def test_16_bit_is_float32_rounded_once(loss: Loss, variant: Variant, dtype: np.dtype) -> None:
    """Bit for bit, values and gradients: nothing is rounded in between."""
    for regime in ("typical", "ties", "confident"):
        narrow = loss.inputs(Draw(loss, variant, variant.shapes[0], regime, dtype.name))
        wide = cast(narrow, np.float32)
        wrt, v = floating(loss, narrow), cotangent(loss, wide, variant.options)
        options = (variant.options, loss.reductions, wrt, v)
        same_bits(
            torch_results(loss.implementation("torch"), narrow, *options),
            rounded(torch_results(loss.implementation("torch"), wide, *options), dtype),
        )
        if dtype.name == "bfloat16" and variant is loss.variants[0]:
            options = (variant.options, ("none", "mean"), wrt, v, False)
            same_bits(
                jax_results(loss.implementation("jax"), narrow, *options),
                rounded(jax_results(loss.implementation("jax"), wide, *options), dtype),
            )


def test_the_comparison_of_16_bit_sees_a_rounding_in_between() -> None:
    loss = LOSSES["mse_loss"]
    narrow = loss.inputs(Draw(loss, loss.variants[0], (6, 3), "typical", "bfloat16"))
    wide = cast(narrow, np.float32)
    options = ({}, ("none",), ("input",), cotangent(loss, wide, {}))
    want = rounded(torch_results(functional.mse_loss, wide, *options), HALF["bfloat16"])
    same_bits(torch_results(loss.implementation("torch"), narrow, *options), want)
    with pytest.raises(AssertionError):
        same_bits(torch_results(lambda input, target, reduction: (input - target) ** 2, narrow, *options), want)


@every_loss
@both
def test_no_reduction_accumulates_in_16_bit(loss: Loss, framework: Any) -> None:
    """Of thousands of bfloat16 numbers, where a bfloat16 sum stands still from 256 on."""
    variant = loss.variants[0]
    axis, shape = next(iter(loss.batch_axes.values()), 0), variant.shapes[0]
    # Where each sample meets every other, hundreds do.
    shape = (*shape[:axis], 5000 if loss.row_axis is not None else 300, *shape[axis + 1 :])
    narrow = loss.inputs(Draw(loss, variant, shape, "typical", "bfloat16"))
    wide = cast(narrow, np.float64)
    for reduction in loss.reductions[1:]:
        got = call(framework, loss.implementation(framework.name), narrow, **variant.options, reduction=reduction)
        want = call(TORCH, loss.implementation("torch"), wide, **variant.options, reduction=reduction)
        assert got.dtype == HALF["bfloat16"]
        np.testing.assert_allclose(got.astype(np.float64), want, rtol=2**-8)


@both
def test_5000_ones_are_5000(framework: Any) -> None:
    loss = LOSSES["mse_loss"].implementation(framework.name)
    ones = put(framework, {"input": np.ones(5000, HALF["bfloat16"]), "target": np.zeros(5000, HALF["bfloat16"])})
    assert float(loss(**ones, reduction="sum")) == 4992  # the nearest bfloat16
    assert float(loss(**ones, reduction="mean")) == 1
    total, denominator = sum_and_denominator(loss, **ones)
    assert (float(total), float(denominator)) == (5000, 5000)
    naive = np.zeros((), HALF["bfloat16"])
    for _ in range(5000):
        naive = (naive + np.ones((), HALF["bfloat16"])).astype(HALF["bfloat16"])
    assert naive == 256


@every_loss
@both
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_loss_has_the_dtype_of_its_inputs(loss: Loss, framework: Any, dtype: str) -> None:
    variant = loss.variants[0]
    arrays = put(framework, loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", dtype)))
    for reduction in ("none", "mean"):
        function = functools.partial(loss.implementation(framework.name), **variant.options, reduction=reduction)
        got = jax.eval_shape(function, **arrays) if framework is JAX else function(**arrays)
        assert str(got.dtype).removeprefix("torch.") == dtype


@both
@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [("float32", "float64", "float64"), ("bfloat16", "float32", "float32"), ("bfloat16", "float16", "float32"),
     ("float16", "float16", "float16")],
)  # fmt: skip
def test_dtypes_meet_in_the_wider_one(framework: Any, first: str, second: str, meet: str) -> None:
    rng = np.random.default_rng(0)
    dtype = {**HALF, "float32": np.float32, "float64": np.float64}
    unit = 4 * float(ml_dtypes.finfo(dtype[meet]).eps)
    x, y = (rng.normal(size=(4, 3)).astype(dtype[name]) for name in (first, second))
    for name in ("mse_loss", "binary_cross_entropy_with_logits", "kl_div"):
        loss = LOSSES[name].implementation(framework.name)
        for a, b in ((x, abs(y)), (y, abs(x))):
            got = framework.get(loss(**put(framework, {"input": a, "target": b}), reduction="none"))
            assert got.dtype.name == meet
            wide = framework.get(loss(**put(framework, cast({"input": a, "target": b}, np.float64)), reduction="none"))
            np.testing.assert_allclose(got.astype(np.float64), wide, rtol=unit, atol=unit)


# --- denominators ---------------------------------------------------------------------------------------------------


@every_variant
@both
def test_sum_over_denominator_is_the_mean(loss: Loss, variant: Variant, framework: Any) -> None:
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64"))
    function = loss.implementation(framework.name)
    parts = functools.partial(sum_and_denominator, function)
    plain = lambda **tensors: (function(**tensors, reduction="sum"), function(**tensors, reduction="mean"))  # noqa: E731
    total, denominator = call(framework, parts, arrays, **variant.options)
    plain_sum, mean = call(framework, plain, arrays, **variant.options)
    np.testing.assert_allclose(total / denominator, mean, rtol=1e-14)
    if evaluate(loss.truth, arrays, variant.options, (), loss.row_axis, 0).factors is None:
        np.testing.assert_allclose(total, plain_sum, rtol=1e-15)


MICRO = (slice(0, 1), slice(1, 6), slice(6, 8))  # uneven, and the last all ignored


def weighted_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    target = np.array([0, 1, -100, 2, -100, 3, -100, -100])
    return {"input": rng.normal(size=(8, 4)), "target": target, "weight": np.array([0.25, 1.0, 3.0, 0.5])}


def micro_losses(framework: Any, function: Any, arrays: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The mean over the batch, sums over denominators, the mean of means."""
    parts = [{**arrays, "input": arrays["input"][part], "target": arrays["target"][part]} for part in MICRO]
    sums, denominators = zip(*(sum_and_denominator(function, **part) for part in parts), strict=True)
    counted = parts[:-1]  # the mean of the last is 0/0
    means = [function(**part) for part in counted]
    return function(**arrays), sum(sums) / sum(denominators), sum(means) / len(means)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_micro_batches_equal_the_batch_given_the_denominator(name: str) -> None:
    """Value and gradient, uneven, with ignored labels and class weights; the mean of means does not."""
    arrays = put(TORCH, weighted_batch())
    grads = []
    for number in range(3):
        x = arrays["input"].clone().requires_grad_()
        losses = micro_losses(TORCH, LOSSES[name].torch, {**arrays, "input": x})
        (grad,) = torch.autograd.grad(losses[number], x)
        grads.append(grad.numpy())
    values = [float(value.detach()) for value in losses]
    want = functional.nll_loss if name == "nll_loss" else functional.cross_entropy
    np.testing.assert_allclose(values[0], float(want(**arrays)), rtol=1e-14)
    np.testing.assert_allclose(values[1], values[0], rtol=1e-14)
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-13, atol=1e-16)
    assert abs(values[2] - values[0]) > 0.01
    assert np.abs(grads[2] - grads[0]).max() > 0.01

    twin = put(JAX, weighted_batch())

    @jax.jit
    def program(x: Any) -> Any:
        pick = lambda number: lambda x: micro_losses(JAX, LOSSES[name].jax, {**twin, "input": x})[number]  # noqa: E731
        return [jax.value_and_grad(pick(number))(x) for number in range(3)]

    for (value, grad), torch_value, torch_grad in zip(program(twin["input"]), values, grads, strict=True):
        np.testing.assert_allclose(value, torch_value, rtol=1e-13)
        np.testing.assert_allclose(grad, torch_grad, rtol=1e-12, atol=1e-16)


def test_sum_and_denominator_refuses_what_is_no_loss_and_a_reduction() -> None:
    x = torch.zeros(2)
    with pytest.raises(TypeError, match=r"^loss: expected"):
        sum_and_denominator(functional.mse_loss, x, x)
    with pytest.raises(TypeError, match=r"^reduction: "):
        sum_and_denominator(LOSSES["mse_loss"].torch, x, x, reduction="mean")


# --- edges ----------------------------------------------------------------------------------------------------------


@every_loss
@both
def test_an_empty_batch_sums_to_0_and_means_nan(loss: Loss, framework: Any) -> None:
    variant = loss.variants[0]
    if "empty" in loss.without:
        pytest.skip(loss.without["empty"])
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "empty", "float64"))
    run = functools.partial(call, framework, loss.implementation(framework.name), arrays, **variant.options)
    assert run(reduction="sum") == 0
    assert math.isnan(run(reduction="mean"))
    assert run(reduction="none").size == 0


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_all_ignored_is_nan_with_gradient_0(name: str) -> None:
    arrays = {"input": np.random.default_rng(0).normal(size=(4, 3)), "target": np.full(4, -100)}
    v = np.ones(4)
    for got in (torch_results(LOSSES[name].torch, arrays, {}, ("none", "mean", "sum"), ("input",), v),
                jax_results(LOSSES[name].jax, arrays, {}, ("none", "mean", "sum"), ("input",), v)):  # fmt: skip
        assert math.isnan(got["mean"])
        assert got["sum"] == 0
        assert not got["none"].any()
        for reduction in ("mean", "sum", "none"):
            assert not got[f"{reduction}/input"].any()


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_nan_in_an_ignored_row_stays_there(name: str) -> None:
    """The value is finite, and so is the gradient of every other row."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[1] = np.nan
    arrays = {"input": x, "target": np.array([0, -100, 1, 2])}
    for got in (torch_results(LOSSES[name].torch, arrays, {}, ("none", "mean"), ("input",), np.ones(4)),
                jax_results(LOSSES[name].jax, arrays, {}, ("none", "mean"), ("input",), np.ones(4))):  # fmt: skip
        assert np.isfinite(got["none"]).all()
        assert np.isfinite(got["mean"])
        assert np.isfinite(np.delete(got["mean/input"], 1, 0)).all()


@pytest.mark.parametrize("classes", [1, 2])
def test_cross_entropy_with_hardly_any_classes(classes: int) -> None:
    arrays = {"input": np.array([[-3.0, 1.0], [0.5, 0.5]])[:, :classes], "target": np.array([0, classes - 1])}
    given_ = (arrays, {}, ("none", "mean"), ("input",), np.array([1.0, -2.0]))
    want = torch_results(functional.cross_entropy, *given_)
    close(torch_results(LOSSES["cross_entropy"].torch, *given_), want)
    close(jax_results(LOSSES["cross_entropy"].jax, *given_), want)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_class_ruled_out_by_minus_infinity(reduction: str) -> None:
    """Mask by -inf: the value is that of the other classes, the gradient there is 0, as in torch."""
    x = np.array([[0.5, -np.inf, 1.0], [0.0, 2.0, -np.inf], [-np.inf, 0.0, -np.inf]])
    arrays = {"input": x, "target": np.array([0, 1, 1])}
    given_ = (arrays, {}, (reduction,), ("input",), np.array([1.0, -2.0, 0.5]))
    want = torch_results(functional.cross_entropy, *given_)
    assert all(np.isfinite(value).all() for value in want.values())
    close(torch_results(LOSSES["cross_entropy"].torch, *given_), want)
    close(jax_results(LOSSES["cross_entropy"].jax, *given_), want)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_labels_of_both_dtypes_that_torch_takes(dtype: Any) -> None:
    arrays = {"input": np.random.default_rng(0).normal(size=(4, 3)), "target": np.array([0, 2, 1, 1], dtype)}
    for name in ("cross_entropy", "nll_loss"):
        given_ = (arrays, {"ignore_index": 1}, ("none", "mean"), ("input",), np.array([1.0, -2.0, 0.5, 1.0]))
        want = torch_results(getattr(functional, name), *given_)
        close(torch_results(LOSSES[name].torch, *given_), want)
        close(jax_results(LOSSES[name].jax, *given_), want)


@pytest.mark.parametrize(
    ("name", "options"), [("huber_loss", {"delta": math.inf}), ("smooth_l1_loss", {"beta": math.inf})]
)
def test_a_threshold_at_infinity(name: str, options: dict[str, float]) -> None:
    """A delta beyond all errors, taken at its word: half the squared error."""
    loss = LOSSES[name]
    arrays = loss.inputs(Draw(loss, loss.variants[0], (6, 3), "typical", "float64"))
    given_ = (arrays, options, ("none", "mean"), ("input", "target"), cotangent(loss, arrays, options))
    want = torch_results(reference(loss), *given_)
    close(torch_results(loss.implementation("torch"), *given_), want)
    close(jax_results(loss.implementation("jax"), *given_), want)


def test_huge_errors_have_a_finite_gradient() -> None:
    """Beyond the threshold nothing is squared: no overflow, no 0 * inf."""
    arrays = {"input": np.array([1e200, -1e200, 1.0]), "target": np.array([-1e200, 1e200, 0.5])}
    for name in ("huber_loss", "smooth_l1_loss", "l1_loss"):
        given_ = (arrays, {}, ("none",), ("input", "target"), np.ones(3))
        want = torch_results(getattr(functional, name), *given_)
        assert np.isfinite(want["none/input"]).all()
        close(torch_results(LOSSES[name].torch, *given_), want)
        close(jax_results(LOSSES[name].jax, *given_), want)
