"""Derivatives by every floating argument, of a mean whose denominator moves, of second and third order: exact ones."""

import dataclasses

import flint
import numpy as np
import pytest

from xloss.catalog import LOSSES, Variant
from xloss.parity import Cell
from xloss.parity.evaluate import evaluate, exact
from xloss.parity.reference import floats
from xloss.parity.truth import balls, third
from xloss.parity.truth import evaluate as evaluate_truth

WEIGHTED = [("mse_loss", "weight"), ("cross_entropy", "weight+ignored"), ("nll_loss", "weight+ignored")]


def mean_at(loss, variant, arrays):
    """Return the weighted mean in float64, by the formula."""
    changed = {name: balls(array) for name, array in arrays.items()}

    class Plain:
        where = staticmethod(lambda condition, yes, no: np.where(condition, yes, no))
        sum = staticmethod(lambda x, axis, keepdims=False: np.sum(x, axis=axis, keepdims=keepdims))
        const = staticmethod(flint.arb)

    values, weights = loss.truth(Plain, **changed, **variant.options)
    return float(np.sum(values) / np.sum(weights))


@pytest.mark.parametrize(("name", "variant"), WEIGHTED)
def test_a_gradient_by_weights_takes_the_denominator_with_it(name, variant):
    loss = LOSSES[name]
    shape = loss.variant(variant).shapes[0]
    arrays, reference = exact(loss, Cell(name, variant, shape, "typical", "float64"))
    want = reference.gradient(balls(np.ones(())), "mean")["weight"].high
    assert "weight" in loss.arguments.floating(arrays)
    for index in list(np.ndindex(want.shape))[:4]:
        there = []
        for sign in (1, -1):
            moved = {**arrays, "weight": arrays["weight"].copy()}
            moved["weight"][index] += sign * 2.0**-17
            there.append(mean_at(loss, loss.variant(variant), moved))
        np.testing.assert_allclose((there[0] - there[1]) * 2.0**16, want[index], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "variant"), WEIGHTED)
def test_second_derivatives_are_differences_of_first_ones(name, variant):
    loss = LOSSES[name]
    cell = Cell(name, variant, loss.variant(variant).shapes[0], "typical", "float64")
    arrays, reference = exact(loss, cell)
    rng = np.random.default_rng(3)
    directions = {n: rng.integers(-16, 17, arrays[n].shape) / 16 for n in loss.arguments.floating(arrays)}
    got = reference.curvatures(directions, "mean")
    step, there = 2.0**-20, []
    for sign in (1, -1):
        moved = {n: a + sign * step * directions[n] if n in directions else a for n, a in arrays.items()}
        shifted = dataclasses.replace(loss, inputs=lambda _, moved=moved: moved)
        there.append(exact(shifted, cell)[1].gradient(balls(np.ones(())), "mean"))
    for n in directions:
        np.testing.assert_allclose(
            (there[0][n].high - there[1][n].high) / (2 * step), got[n].high, rtol=1e-6, atol=1e-9
        )


def test_the_third_derivative_of_an_exponential_is_itself():
    x = np.array([0.5, -1.0])
    arrays = {"x": x}
    reference = evaluate_truth(lambda t, x: np.exp(x), arrays, {}, ("x",), lambda *_: None)
    found = third(lambda t, x: np.exp(x), arrays, {}, {"x": np.array([2.0, 0.5])}, reference)
    np.testing.assert_allclose(floats(found), np.exp(x) * np.array([8.0, 0.125]), rtol=1e-14)


def test_of_many_columns_a_few_are_known_and_the_labels_among_them():
    arrays, reference = exact(
        LOSSES["cross_entropy"], Cell("cross_entropy", "default", (2, 1030), "typical", "float32")
    )
    known = ~np.isnan(reference.gradient(balls(np.ones(())), "mean")["input"].high)
    assert known[0].sum() == known[1].sum() <= 6
    assert all(known[row, label] for row, label in enumerate(arrays["target"]))
    assert known[:, 0].all()
    assert known[:, -1].all()


def wrong(change):
    """Return the statuses and reasons of a record whose PyTorch side is changed."""
    right = LOSSES["mse_loss"]
    planted = dataclasses.replace(
        right, name="planted", peers=(), torch=lambda input, target, reduction="mean": change(input, target, reduction),
        variants=(Variant(shapes=((4, 2),)),), large=(), crossed=(),
    )  # fmt: skip
    rows = evaluate(planted, Cell("planted", "default", (4, 2), "typical", "float32"), ("torch",))
    return [row for row in rows if row["status"] not in ("ok", "unsupported")]


def square(input, target, reduction):
    return LOSSES["mse_loss"].torch(input, target, reduction=reduction)


CALLS = []


def prints(input, target, reduction):
    print("here")  # noqa: T201
    return square(input, target, reduction)


def warns(input, target, reduction):
    import warnings

    warnings.warn("careful", stacklevel=1)
    return square(input, target, reduction)


def remembers(input, target, reduction):
    CALLS.append(1)
    return square(input, target, reduction) * (1 + 1e-7 * len(CALLS))


def aliases(input, target, reduction):
    loss = square(input, target, reduction)
    return input.detach().set_(input) if reduction == "none" and not input.requires_grad else loss


@pytest.mark.parametrize(
    ("fault", "says"),
    [(prints, "printed 'here"), (warns, "warned: careful"), (remembers, "other bits the second time"),
     (aliases, "returned memory of its argument input")],
)  # fmt: skip
def test_what_a_loss_does_beside_its_numbers_is_found(fault, says):
    assert not wrong(square)
    assert any(says in row["reason"] for row in wrong(fault)), says


@pytest.mark.parametrize("regime", ["expanded", "overlapping", "noncontiguous"])
def test_arguments_lie_in_memory_as_the_regime_says(regime):
    pytest.importorskip("torch")
    strides = []

    def looking(input, target, reduction):
        strides.append(input.stride())
        return square(input, target, reduction)

    right = LOSSES["mse_loss"]
    seen = dataclasses.replace(
        right, peers=(), torch=lambda input, target, reduction="mean": looking(input, target, reduction)
    )
    rows = evaluate(seen, Cell("mse_loss", "default", (6, 3), regime, "float32"), ("torch",))
    assert {row["status"] for row in rows if row["mechanism"] in ("value", "backward", "vjp")} == {"ok"}
    want = {"expanded": (0, 1), "overlapping": (1, 1), "noncontiguous": (2, 12)}[regime]
    assert strides[0] == want
    assert strides.count(want) > 3  # in gradients, too
