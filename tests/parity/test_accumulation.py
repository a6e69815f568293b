"""The budget's term for a sum's roundings grows as a pairwise sum's do: asked at 2^20 elements.

There balls would take a quarter of an hour; the exact sum is `math.fsum`'s of float64, in which each term is right to
2^-50, far below float32's 2^-24.
"""

import math

import numpy as np
import pytest
from helpers import put

from xloss.catalog import LOSSES, get
from xloss.parity.expected import Expected
from xloss.parity.mechanisms import load
from xloss.parity.verdict import judge

SIZE = 2**20
# Unreduced values and their slopes by input and target in float64.
FORMULAS = {
    "mse_loss": (lambda e: e * e, lambda e: 2 * e),
    "l1_loss": (np.abs, np.sign),
    "log_cosh_loss": (lambda e: np.logaddexp(e, -e) - math.log(2), np.tanh),
    "charbonnier_loss": (lambda e: np.hypot(e, 1e-3), lambda e: e / np.hypot(e, 1e-3)),
}
DRAWN = {"one for all": np.full, "normal": lambda size, value: value * np.random.default_rng(5).normal(size=size)}


def arrays_of(drawn):
    """Return input and target in float32; where all terms are the same, a running sum rounds all one way."""
    return {"input": DRAWN[drawn](SIZE, 0.3).astype(np.float32), "target": np.zeros(SIZE, np.float32)}


def expected(name, arrays, by):
    value, slope = FORMULAS[name]
    x, y = (arrays[key].astype(np.float64) for key in ("input", "target"))
    total = math.fsum(value(x - y)) / by
    spread = math.fsum(np.abs(slope(x - y)) * (np.abs(x) + np.abs(y))) / by
    roundings = 1 + math.log2(SIZE)
    return Expected(np.array(total), np.zeros(()), np.array(spread + 2 * roundings * total), np.zeros(()))


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("name", FORMULAS)
def test_sums_of_a_million_elements_are_within_the_budget(name, framework, drawn):
    pytest.importorskip(framework)
    arrays = arrays_of(drawn)
    f = load(framework)
    for reduction, by in (("sum", 1), ("mean", SIZE)):
        got = f.get(get(name).implementation(framework)(**put(f, arrays), reduction=reduction))
        verdict = judge(got, expected(name, arrays, by), "float32", "value")
        assert verdict.ok, (reduction, verdict.reason)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_running_sum_of_a_million_elements_is_not(name):
    assert name in LOSSES
    arrays = arrays_of("one for all")
    terms = FORMULAS[name][0](arrays["input"] - arrays["target"]).astype(np.float32)
    running = np.add.accumulate(terms)[-1:].reshape(())
    assert running.dtype == np.float32
    verdict = judge(running, expected(name, arrays, 1), "float32", "value")
    assert not verdict.ok
    assert verdict.max_ulp > 100
