"""Each regime is what it says, for every loss, variant and dtype; and none of it is proven by constants."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from xloss.catalog import LOSSES, Loss, Variant
from xloss.parity.inputs import COMMON, DTYPES, KINKS, REGIMES, Draw, applicable

CASES = [(loss, variant) for loss in LOSSES.values() for variant in loss.variants]
every_variant = pytest.mark.parametrize(
    ("loss", "variant"), CASES, ids=[f"{loss.name}-{variant.name}" for loss, variant in CASES]
)
Arrays = dict[str, np.ndarray]


def draw(loss: Loss, variant: Variant, regime: str, dtype: str = "float32", seed: int = 0, shape: Any = None) -> Arrays:
    return loss.inputs(Draw(loss, variant, variant.shapes[0] if shape is None else shape, regime, dtype, seed))


def wide(arrays: Arrays) -> Arrays:
    """The floating ones, in float64."""
    return {name: np.asarray(a, np.float64) for name, a in arrays.items() if a.dtype.kind not in "iub"}


def main_of(arrays: Arrays) -> np.ndarray:
    """What is predicted: the first argument."""
    return np.asarray(next(iter(arrays.values())), np.float64)


def values(loss: Loss, variant: Variant, arrays: Arrays) -> np.ndarray:
    """The unreduced loss, by torch, in float64: good enough for its order of magnitude."""
    torch = pytest.importorskip("torch")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        tensors = {
            name: torch.from_numpy(np.asarray(a, a.dtype if a.dtype.kind in "ib" else np.float64))
            for name, a in arrays.items()
        }
        return loss.implementation("torch")(**tensors, **variant.options, reduction="none").numpy()


# --- properties; each raises, and each is shown to fail below
# ----------------------------------------------------------


def in_dtype(arrays: Arrays, dtype: str) -> None:
    assert arrays
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray), name
        fits = array.dtype in (np.int64, np.bool_) if array.dtype.kind in "ib" else array.dtype == DTYPES[dtype]
        assert fits, f"{name}: {array.dtype}"


def spread(arrays: Arrays) -> None:
    """Many different numbers, on both sides of the middle."""
    for name, array in wide(arrays).items():
        finite = array[np.isfinite(array)]
        signs = np.isin(np.abs(finite), 1).all() and {-1, 1} <= {*finite}
        if finite.size > 4 and "weight" not in name and not signs:
            assert len(np.unique(finite)) > 0.4 * finite.size, f"{name}: {np.unique(finite)}"
            assert finite.std() > 0, name


def on_kinks(loss: Loss, difference: np.ndarray) -> None:
    assert np.isin(difference, loss.domain.kinks).all(), difference
    assert len(np.unique(difference)) == len(set(loss.domain.kinks)) or difference.size < 20


def near_kinks(loss: Loss, arrays: Arrays, dtype: str) -> None:
    """Beside a kink: not on it, and no further than three ulps of the target (half of one for its rounding)."""
    info = ml_dtypes.finfo(DTYPES[dtype])
    x, y = (np.asarray(arrays[name], np.float64) for name in ("input", "target"))
    x, y = np.broadcast_arrays(x, y)
    # In fractions: in float64 the difference of two of its numbers is rounded, on the kink as often as not.
    pairs = zip(x.ravel(), y.ravel(), strict=True)
    distance = np.array(
        [float(min(abs(Fraction(a) - Fraction(b) - Fraction(k)) for k in loss.domain.kinks)) for a, b in pairs]
    )
    y = y.ravel()
    ulp = np.maximum(np.abs(y) * float(info.eps), float(info.smallest_normal))
    assert (distance > 0).any()
    assert (distance <= 3.5 * ulp).all(), (distance / ulp).max()
    assert (distance > 0).mean() > 0.5, "most of them on the kink"


def below_normal(array: np.ndarray, dtype: str) -> None:
    least = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
    assert (np.abs(array) <= least).all()
    assert ((np.abs(array) > 0) & (np.abs(array) < least)).any()


def has_ties(arrays: Arrays) -> None:
    array = main_of(arrays)
    if array.size > 5:
        assert len(np.unique(array)) < array.size


def spoiled(arrays: Arrays) -> None:
    """NaN and infinities somewhere, and clean rows beside them."""
    array = main_of(arrays)
    rows = array.reshape(array.shape[0], -1) if array.ndim else array.reshape(1, 1)
    bad = ~np.isfinite(rows).all(1)
    assert bad.any()
    if len(rows) > 1 and array.ndim > 1:
        assert (~bad).any()
        assert np.isnan(rows).any()
        assert np.isinf(rows).any()


# --- the properties hold
# --------------------------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_regime_is_exact_in_the_dtype_and_not_constant(loss: Loss, variant: Variant, dtype: str) -> None:
    for regime in applicable(loss, variant):
        arrays = draw(loss, variant, regime, dtype)
        in_dtype(arrays, dtype)
        finite = all(np.isfinite(array).all() for array in wide(arrays).values())
        assert finite or regime == "nonfinite", regime
        if regime in ("typical", "noncontiguous", "large") and dtype in ("float32", "float64"):
            spread({name: a for name, a in arrays.items() if not (regime == "large" and name == "target")})


@every_variant
def test_draws_are_the_same_each_time_and_others_with_another_seed(loss: Loss, variant: Variant) -> None:
    for regime in applicable(loss, variant):
        first, again, other = (draw(loss, variant, regime, seed=seed) for seed in (0, 0, 1))
        assert first.keys() == again.keys() == other.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], again[name])
        fixed = regime in ("empty", "all_ignored")
        if not fixed and main_of(first).size > 2:
            assert any(not np.array_equal(first[name], other[name], equal_nan=False) for name in first), regime


@every_variant
def test_a_regime_differs_from_the_typical_one(loss: Loss, variant: Variant) -> None:
    typical = draw(loss, variant, "typical")
    for regime in applicable(loss, variant):
        if regime not in ("typical", "empty", "one"):
            arrays = draw(loss, variant, regime)
            assert any(not np.array_equal(arrays[name], typical[name]) for name in arrays), regime


@every_variant
def test_dtypes_draw_alike_up_to_rounding(loss: Loss, variant: Variant) -> None:
    double, single = (wide(draw(loss, variant, "typical", dtype)) for dtype in ("float64", "float32"))
    for name in double:
        np.testing.assert_allclose(single[name], double[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES.values() if loss.domain.kinks], ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kinks_are_hit_exactly_and_missed_narrowly(loss: Loss, dtype: str) -> None:
    for variant in loss.variants:
        if {"input", "target"} <= set(arrays := draw(loss, variant, "on_kink", dtype)) and not variant.broadcast:
            on_kinks(loss, np.asarray(arrays["input"], np.float64) - np.asarray(arrays["target"], np.float64))
            near_kinks(loss, draw(loss, variant, "near_kink", dtype), dtype)


@every_variant
def test_confident_is_near_0_and_badly_wrong_is_huge(loss: Loss, variant: Variant) -> None:
    if variant.ignored or any("weight" in name for name in variant.tensors):
        pytest.skip("the plain variants show it; a row that is ignored has no loss, a weight blurs it")
    if variant.broadcast or variant.options.get("label_smoothing") or variant.probabilities:
        pytest.skip("the target is shared by the rows, or no prediction is right about it")
    typical, confident, badly_wrong = (
        np.mean(
            np.concatenate(
                [
                    np.ravel(np.abs(values(loss, variant, draw(loss, variant, regime, "float64", seed))))
                    for seed in range(8)
                ]
            )
        )
        for regime in ("typical", "confident", "badly_wrong")
    )
    if not {"confident", "badly_wrong"} & set(loss.domain.skip_regimes):
        assert confident <= typical
        assert badly_wrong >= typical
    if loss.name in (
        "mse_loss",
        "huber_loss",
        "smooth_l1_loss",
        "l1_loss",
        "cross_entropy",
        "binary_cross_entropy_with_logits",
    ):
        assert confident < 0.01 * typical
        assert badly_wrong > 50 * typical


@every_variant
def test_special_regimes(loss: Loss, variant: Variant) -> None:
    regimes = applicable(loss, variant)
    if "empty" in regimes:
        arrays = draw(loss, variant, "empty")
        assert main_of(arrays).size == 0 or main_of(arrays).ndim == 0
    if "one" in regimes and len(variant.shapes[0]):
        assert main_of(draw(loss, variant, "one")).shape[next(iter(loss.arguments.batch_axes.values()), 0)] == 1
    if "ties" in regimes and not variant.probabilities:
        has_ties(draw(loss, variant, "ties"))
    if "all_ignored" in regimes:
        ignored = variant.options.get("ignore_index", -100)
        assert (draw(loss, variant, "all_ignored")["target"] == ignored).all()
    if "zero_weight" in regimes:
        arrays = draw(loss, variant, "zero_weight")
        weights = [arrays[name] for name in loss.arguments.weights if name in arrays]
        assert weights
        assert not np.concatenate([np.ravel(w) for w in weights]).any()
    if "nonfinite" in regimes:
        spoiled(draw(loss, variant, "nonfinite"))
    if variant.ignored:
        target = draw(loss, variant, "typical")["target"]
        kept = target != variant.options.get("ignore_index", -100)
        assert kept.any()
        assert not kept.all()


@every_variant
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_numbers_are_so(loss: Loss, variant: Variant, dtype: str) -> None:
    if "subnormal" not in applicable(loss, variant):
        pytest.skip(loss.domain.skip_regimes["subnormal"])
    arrays = draw(loss, variant, "subnormal", dtype)
    below_normal(main_of(arrays), dtype)


def test_a_loss_has_all_common_regimes_but_those_it_says_why() -> None:
    for loss, variant in CASES:
        regimes = applicable(loss, variant)
        assert list(regimes) == [name for name in REGIMES if name in regimes]
        for name in COMMON:
            batchless = (variant.unbatched or not variant.per_sample) and name in ("empty", "one")
            assert name in regimes or loss.domain.skip_regimes.get(name) or batchless, (loss.name, name)
        for name, reason in loss.domain.skip_regimes.items():
            assert name in REGIMES
            assert len(reason) > 10
        assert set(loss.domain.regimes) <= set(REGIMES)
        if loss.domain.kinks:
            assert set(KINKS) - set(loss.domain.skip_regimes) <= set(regimes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_methods(dtype: str) -> None:
    """What a loss's `inputs` is built from."""
    loss = LOSSES["mse_loss"]
    make = lambda regime: Draw(loss, loss.variants[0], (40, 3), regime, dtype)  # noqa: E731
    real = lambda regime: np.asarray(make(regime).real((40, 3)), np.float64)  # noqa: E731
    assert np.abs(real("large")).max() > 30
    assert np.median(np.abs(real("tiny"))) < 0.01 * np.median(np.abs(real("typical")))
    assert len(np.unique(real("ties"))) == 4
    p = {regime: np.asarray(make(regime).unit((40, 3)), np.float64) for regime in ("typical", "tiny", "large")}
    assert all(((q >= 0) & (q <= 1)).all() for q in p.values())
    assert p["tiny"].max() <= 0.0101
    assert (p["large"] < 0.02).any()
    assert (p["large"] > 0.98).any()
    assert (p["large"] < 1).all()
    q = np.asarray(make("typical").simplex((40, 3), 1), np.float64)
    np.testing.assert_allclose(q.sum(1), 1, atol=3 * float(ml_dtypes.finfo(DTYPES[dtype]).eps))
    labels = make("typical").labels((200,), 3)
    assert set(labels) == {0, 1, 2}
    assert (np.asarray(make("typical").weights((40,)), np.float64) > 0).all()
    start = np.asarray([1.0, -0.5, 0.0] * 30).astype(DTYPES[dtype])
    moved = make("typical").nudge(start)
    assert (moved != start).all()
    assert (np.sign(np.asarray(moved - start, np.float64)) > 0).any()
    assert (np.sign(np.asarray(moved - start, np.float64)) < 0).any()


# --- the properties fail where they should
# ----------------------------------------------------------------------------------


def constant(fill: float) -> Arrays:
    return {"input": np.full((6, 3), fill, np.float32), "target": np.full((6, 3), 0.25, np.float32)}


PLANTED: dict[str, Callable[[], None]] = {
    "a constant generator": lambda: spread(constant(0.5)),
    "another dtype": lambda: in_dtype({"input": np.zeros(3)}, "float32"),
    "no array": lambda: in_dtype({}, "float32"),
    "constants on no kink": lambda: on_kinks(LOSSES["huber_loss"], np.full(30, 0.3)),
    "constants on one kink": lambda: on_kinks(LOSSES["huber_loss"], np.full(30, 0.5)),
    "on the kink, not near it": lambda: near_kinks(LOSSES["l1_loss"], constant(0.25), "float32"),
    "far from the kink": lambda: near_kinks(LOSSES["l1_loss"], constant(0.26), "float32"),
    "normal numbers": lambda: below_normal(np.full(3, 1.0), "float32"),
    "zeros for subnormal ones": lambda: below_normal(np.zeros(3), "float32"),
    "no ties": lambda: has_ties({"input": np.arange(18.0)}),
    "nothing spoiled": lambda: spoiled(constant(0.5)),
    "all spoiled": lambda: spoiled(constant(np.nan)),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_the_checks_see(planted: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        planted()
