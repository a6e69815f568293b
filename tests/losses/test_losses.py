"""Every loss is torch.nn.functional's loss: value and gradient, over shapes, options and regimes; in both frameworks.

Catalogue-wide: a new file in `xloss/losses` is tested here as it is. The comparison is with torch.nn.functional in
float64, which loses digits where predictions are confident; there the scale is that of the inputs, and
`test_accuracy.py` holds the digits.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import (
    close,
    cotangent,
    defined,
    every_shared,
    floating,
    functional,
    jax,
    jax_results,
    jnp,
    no_slope_in_torch,
    reference,
    scale_of,
    torch_results,
)
from hypothesis import find, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xloss.catalog import LOSSES, Loss, Variant
from xloss.parity.inputs import Draw, applicable

pytestmark = pytest.mark.usefixtures("x64")

# --- what hypothesis draws ------------------------------------------------------------------------

GRID = [-2.0, -1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0]


def reals() -> st.SearchStrategy[float]:
    """Any moderate number, or one of a grid whose differences are 0, or a kink, often enough."""
    # XLA takes subnormal numbers for 0: the sweep judges those.
    return st.sampled_from(GRID) | st.floats(-8, 8, allow_subnormal=False)


def units() -> st.SearchStrategy[float]:
    """Any number in [0, 1], the ends included; in jax 0.6 none whose products with others XLA may take for 0."""
    least = 2.0**-900 if jax.__version_info__ < (0, 7) else 0
    return st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(least, 1, allow_subnormal=False)


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
        if ignore_index is not None and self.variant.ignored:
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
        if regime == "near_kink" and "triplet" in loss.name and no_slope_in_torch(loss):
            continue  # `reference` moves the margin by more than that
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
        pytest.skip(loss.domain.skip_regimes["nonfinite"])
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


# --- the comparison sees faults -------------------------------------------------------------------

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
