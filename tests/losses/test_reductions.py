"""Sums, means and what they are divided by; batches of none, labels that are all ignored, and other edges."""

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import (
    JAX,
    TORCH,
    both,
    call,
    close,
    cotangent,
    every_loss,
    every_variant,
    first_variants,
    functional,
    jax,
    jax_results,
    put,
    reference,
    torch,
    torch_results,
)

from xloss import modules
from xloss.catalog import LOSSES, Loss, Variant
from xloss.modules import signatures
from xloss.ops.reductions import sum_and_denominator
from xloss.parity.inputs import Draw
from xloss.parity.truth import evaluate

pytestmark = pytest.mark.usefixtures("x64")

# --- denominators ---------------------------------------------------------------------------------


def test_a_count_is_not_copied_from_the_host() -> None:
    """A copy would be waited for; that of a plain number is refused here."""
    from xloss.ops import jax as ops
    from xloss.ops.arguments import PARTS

    loss = jax.numpy.ones((3, 4))
    with jax.transfer_guard("disallow"):
        total, denominator = ops.reduce(loss, PARTS, loss.dtype)
        with pytest.raises(Exception, match="host-to-device transfer"):
            jax.numpy.asarray(12.0, loss.dtype)
    assert (float(total), float(denominator), denominator.dtype) == (12.0, 12.0, loss.dtype)


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
    if evaluate(loss.truth, arrays, variant.options, (), loss.arguments.class_axes, 0).factors is None:
        np.testing.assert_allclose(total, plain_sum, rtol=1e-15)


def made(loss: Loss, framework: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class form, and what it is called with, of the arguments of a call of the function."""
    taken = {option.name for option in signatures.options_of(loss)}
    form = modules.attribute(framework.name, signatures.class_name(loss))
    return form(**{k: v for k, v in given.items() if k in taken}), {k: v for k, v in given.items() if k not in taken}


@first_variants
@both
def test_class_forms_have_the_parts_of_their_functions(loss: Loss, variant: Variant, framework: Any) -> None:
    """Whatever their own reduction."""
    given = put(framework, loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64")))
    given |= variant.options
    if loss.class_form.parametric:
        pytest.skip("owns parameters: below")
    if loss.wrap_call is not None:  # what the function itself is called with
        seen: dict[str, Any] = {}
        loss.wrap_call(lambda **kwargs: seen.update(kwargs), framework.name)(**given)
        given = seen
    form, called = made(loss, framework, {**given, "reduction": loss.reductions[-1]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        parts, want = sum_and_denominator(form, **called), sum_and_denominator(getattr(loss, framework.name), **given)
    for got, expected in zip(parts, want, strict=True):
        np.testing.assert_array_equal(framework.get(got), framework.get(expected))


@both
def test_class_forms_with_parameters_have_parts(framework: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = put(framework, {"input": rng.normal(size=(6, 4)), "target": np.array([0, 4, 2, 1, 3, 4])})
    key = {} if framework is TORCH else {"key": jax.random.key(0)}
    dtype = {"dtype": torch.float64 if framework is TORCH else "float64"}
    make = functools.partial(modules.attribute, framework.name)
    linear = make("LinearCrossEntropyLoss")(4, 5, bias=True, ignore_index=4, **key, **dtype)
    total, count = sum_and_denominator(linear, **arrays)
    assert framework.get(count) == 4
    np.testing.assert_allclose(framework.get(total) / 4, framework.get(linear(**arrays)), rtol=1e-14)
    adaptive = make("AdaptiveLogSoftmaxWithLoss")(4, 5, [2, 3], 1.5, **key, **dtype)
    total, count = sum_and_denominator(adaptive, **arrays)
    assert framework.get(count) == 6
    np.testing.assert_allclose(framework.get(total) / 6, framework.get(adaptive(**arrays).loss), rtol=1e-14)


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
    with pytest.raises(TypeError, match=r"^loss: expected"):
        sum_and_denominator(modules.attribute("torch", "MSELoss"), x, x)
    with pytest.raises(TypeError, match=r"^reduction: "):
        sum_and_denominator(LOSSES["mse_loss"].torch, x, x, reduction="mean")


# --- edges ----------------------------------------------------------------------------------------


@every_loss
@both
def test_an_empty_batch_sums_to_0_and_means_nan(loss: Loss, framework: Any) -> None:
    variant = loss.variants[0]
    if "empty" in loss.domain.skip_regimes:
        pytest.skip(loss.domain.skip_regimes["empty"])
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


@pytest.mark.parametrize("beta", [1e-30, 1e-7, 1e-3, 1e3, 1e7, 1e30])
def test_a_threshold_of_any_size_keeps_the_digits(beta: float) -> None:
    """The square of the error may be beyond float32, where e^2 / (2 beta) is not (torch's own is 0 at beta = 1e-30)."""
    arrays = {"input": (beta * np.array([0.01, -0.4, 1.5, -30])).astype(np.float32), "target": np.zeros(4, np.float32)}
    error = arrays["input"].astype(np.float64)
    value = np.where(abs(error) < beta, error**2 / (2 * beta), abs(error) - beta / 2)
    given_ = (arrays, {"beta": beta}, ("none",), ("input",), np.ones(4))
    for results in (
        torch_results(LOSSES["smooth_l1_loss"].torch, *given_),
        jax_results(LOSSES["smooth_l1_loss"].jax, *given_),
    ):
        np.testing.assert_allclose(results["none"], value, rtol=1e-6)
        np.testing.assert_allclose(results["none/input"], np.clip(error / beta, -1, 1), rtol=1e-6)
    given_ = (arrays, {"delta": beta}, ("none",), ("input",), np.ones(4))
    for results in (torch_results(LOSSES["huber_loss"].torch, *given_), jax_results(LOSSES["huber_loss"].jax, *given_)):
        within_reach = (beta * value > 1e-37) & (beta * value < 1e37)
        np.testing.assert_allclose(results["none"][within_reach], (beta * value)[within_reach], rtol=1e-6)
        np.testing.assert_allclose(results["none/input"], np.clip(error, -beta, beta), rtol=1e-6)


def test_huge_errors_have_a_finite_gradient() -> None:
    """Beyond the threshold nothing is squared: no overflow, no 0 * inf."""
    arrays = {"input": np.array([1e200, -1e200, 1.0]), "target": np.array([-1e200, 1e200, 0.5])}
    for name in ("huber_loss", "smooth_l1_loss", "l1_loss"):
        given_ = (arrays, {}, ("none",), ("input", "target"), np.ones(3))
        want = torch_results(getattr(functional, name), *given_)
        assert np.isfinite(want["none/input"]).all()
        close(torch_results(LOSSES[name].torch, *given_), want)
        close(jax_results(LOSSES[name].jax, *given_), want)
