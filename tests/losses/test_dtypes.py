"""What dtype a loss has, and in which one it is computed: 16 bits are rounded once."""

import functools
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from helpers import (
    JAX,
    TORCH,
    Results,
    both,
    call,
    cotangent,
    every_loss,
    first_variants,
    floating,
    functional,
    jax,
    jax_results,
    put,
    same_bits,
    torch_results,
)

from xloss.catalog import LOSSES, Loss, Variant
from xloss.ops.reductions import sum_and_denominator
from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x64")

HALF = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}


def cast(arrays: Mapping[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    return {name: a if a.dtype.kind in "iub" else np.asarray(a, dtype) for name, a in arrays.items()}


def rounded(results: Results, dtype: Any) -> Results:
    with np.errstate(over="ignore"):
        return {key: np.asarray(value, dtype) for key, value in results.items()}


@first_variants
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
    axis, shape = next(iter(loss.arguments.batch_axes.values()), 0), variant.shapes[0]
    # Where each sample meets every other, hundreds do.
    shape = (*shape[:axis], 5000 if loss.arguments.class_axes is not None else 300, *shape[axis + 1 :])
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
