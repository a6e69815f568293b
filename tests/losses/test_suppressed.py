"""A class that is ruled out (probability 0, logit minus infinity) is left out: value and gradients are the limit.

Not 0 * inf = NaN. The limit is what the same call gives with a logit of -1e4 for minus infinity, of which the
exponential is 0 in float64. By a target or a weight of 0 itself the derivative is 0 at such an element, as
`torch.xlogy` has it.
Over the catalogue: a loss is among `RULED_OUT` or among `WITHOUT`, with the reason.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from helpers import JAX, LOSSES, TORCH, VARIANTS, Loss, Variant, fast_compile_jit, floating, ids, jax, jnp, put, torch

from xloss.ops.arguments import class_axis
from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x64")

Arrays = dict[str, np.ndarray]
FAR = 1e4


def one_class(loss: Loss, variant: Variant, arrays: Arrays) -> Arrays:
    """Rule out a class in each row: logit -inf; its probability is 0, and no label is it."""
    x = arrays["input"].copy()
    axis = x.ndim - 1 if loss.name == "multi_margin_loss" else class_axis(x.shape)
    target = arrays["target"].copy()
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    labels = np.moveaxis(target, axis, -1).reshape(rows.shape).argmax(-1) if variant.probabilities else target.ravel()
    out = np.array([(label + 1 + number) % rows.shape[1] for number, label in enumerate(np.maximum(labels, 0))])
    out = np.where(out == labels, (out + 1) % rows.shape[1], out)
    mask = np.arange(rows.shape[1]) == out[:, None]
    mask = np.moveaxis(mask.reshape(np.moveaxis(x, axis, -1).shape), -1, axis)
    x[mask] = -np.inf
    if variant.probabilities:
        target[mask] = 0
    return {**arrays, "input": x, "target": target}


def one_bias(loss: Loss, variant: Variant, arrays: Arrays) -> Arrays:
    """Rule out the last class by its bias."""
    target, outputs = arrays["target"].copy(), arrays["linear_weight"].shape[:-1]
    if variant.probabilities:
        target[(slice(None),) * (arrays["input"].ndim - 1) + (-1,)] = 0
    else:
        target = np.where(target == outputs[0] - 1, 0, target)
    bias = arrays.get("linear_bias", np.zeros(outputs)).copy()
    bias[-1] = -np.inf
    return {**arrays, "linear_bias": bias, "target": target}


def both_distributions(loss: Loss, variant: Variant, arrays: Arrays) -> Arrays:
    """Rule out every third element, in the student and in the teacher."""
    x, target = arrays["input"].copy(), arrays["target"].copy()
    x[..., ::3] = -np.inf
    logarithms = variant.options.get("log_target") or loss.name == "self_distillation_loss"
    target[..., ::3] = -np.inf if logarithms else 0
    return {**arrays, "input": x, "target": target}


def one_sided(loss: Loss, variant: Variant, arrays: Arrays) -> Arrays:
    """A certain logit, of both signs, with the label that it says."""
    x, target = arrays["input"].copy(), arrays["target"].copy()
    x.flat[::3], target.flat[::3] = -np.inf, 0
    x.flat[1::3], target.flat[1::3] = np.inf, 1
    return {**arrays, "input": x, "target": target}


def no_counts(loss: Loss, variant: Variant, arrays: Arrays) -> Arrays:
    """Rate 0 and count 0: by the logarithm of the rate, or (then there must be no eps) by the rate."""
    x, target = arrays["input"].copy(), arrays["target"].copy()
    x.flat[::3], target.flat[::3] = (-np.inf if variant.options.get("log_input", True) else 0), 0
    return {**arrays, "input": x, "target": target}


RULED_OUT: Mapping[str, Callable[[Loss, Variant, Arrays], Arrays]] = {
    **dict.fromkeys(("cross_entropy", "nll_loss", "poly_loss", "softmax_focal_loss", "sparsemax_loss", "z_loss",
                     "multi_margin_loss"), one_class),
    **dict.fromkeys(("kl_div", "jensen_shannon_loss", "self_distillation_loss"), both_distributions),
    **dict.fromkeys(("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "sigmoid_focal_loss"),
                    one_sided),
    "linear_cross_entropy": one_bias,
    "poisson_nll_loss": no_counts,
}  # fmt: skip
MARGINS = "no term is a weight times a logarithm"
WITHOUT = {
    **dict.fromkeys(("hinge_embedding_loss", "hinge_loss", "squared_hinge_loss", "margin_ranking_loss",
                     "multilabel_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
                     "soft_margin_loss", "cosine_embedding_loss", "circle_loss", "ntxent_loss", "dpo_loss"), MARGINS),
    **dict.fromkeys(("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "charbonnier_loss", "log_cosh_loss",
                     "quantile_loss", "wing_loss", "detached_squared_error", "td_semi_gradient_loss",
                     "vq_commitment_loss", "negative_cosine_stopgrad_loss", "gaussian_nll_loss"), MARGINS),
    **dict.fromkeys(("dice_loss", "tversky_loss"), "probabilities, whose logarithm is not taken"),
    "binary_cross_entropy": "torch's bound of the logarithm: never infinite",
    "ctc_loss": "sums over paths: a path of probability 0 adds nothing (tests/losses/test_ctc.py)",
    "adaptive_log_softmax_with_loss": "labels only, and no logit comes from the caller",
}  # fmt: skip
CASES = [
    (loss, variant)
    for loss, variant in VARIANTS
    if loss.name in RULED_OUT and not (variant.options.get("label_smoothing") or variant.shapes[0] == ())
]
# Smoothing gives a class that is ruled out a probability: infinity is right there.
SMOOTHED = [
    (loss, variant) for loss, variant in VARIANTS if loss.name in RULED_OUT and variant.options.get("label_smoothing")
]
every_case = pytest.mark.parametrize(("loss", "variant"), CASES, ids=ids(CASES))


def test_every_loss_is_asked_or_has_a_reason() -> None:
    assert set(RULED_OUT) | set(WITHOUT) == set(LOSSES)
    assert not set(RULED_OUT) & set(WITHOUT)


def prepare(loss: Loss, variant: Variant) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """The arrays with infinities, those with large numbers instead, and the options."""
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64"))
    arrays = RULED_OUT[loss.name](loss, variant, {name: np.asarray(array) for name, array in arrays.items()})
    options = dict(variant.options)
    if loss.name == "poisson_nll_loss" and not options.get("log_input", True):
        options["eps"] = 0.0
    far = {name: np.nan_to_num(a, posinf=FAR, neginf=-FAR) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    if loss.name == "poisson_nll_loss" and not options.get("log_input", True):
        far["input"] = np.where(arrays["input"] == 0, 1e-100, arrays["input"])
    return arrays, far, options


def compare(got: Mapping[str, Any], want: Mapping[str, Any], arrays: Arrays, loss: Loss) -> None:
    """Raise unless equal; where the target's derivative is one of 0 * inf, it must be 0."""
    assert got.keys() == want.keys()
    changed = ~np.isfinite(arrays["input"]) if loss.name != "poisson_nll_loss" else arrays["target"] == 0
    for key, value in want.items():
        given, expected = np.asarray(got[key]), np.array(value)
        assert np.isfinite(given).all(), f"{key}: {given}"
        if key.endswith("/target") and given.shape == changed.shape:
            assert (given[changed] == 0).all(), f"{key}: {given[changed]}"
            expected[changed] = 0
        elif key.endswith("/target"):  # of a linear map
            assert (given[expected >= 100] == 0).all(), key
            expected = np.where(expected >= 100, 0, expected)
        np.testing.assert_allclose(given, expected, rtol=1e-12, atol=1e-13, err_msg=key)


def torch_numbers(function: Callable[..., Any], loss: Loss, arrays: Arrays, second: bool = True) -> Arrays:
    """Value, gradients, per-sample gradient by `vmap(grad)` and a Hessian-vector product."""
    wrt = floating(loss, arrays)
    tensors = put(TORCH, arrays)
    out: Arrays = {}
    leaves = {name: tensors[name].clone().requires_grad_() for name in wrt}
    value = function(**{**tensors, **leaves})
    grads = torch.autograd.grad(value.sum(), list(leaves.values()), create_graph=second, materialize_grads=True)
    out["value"] = value.detach().numpy()
    out |= {f"grad/{name}": grad.detach().numpy() for name, grad in zip(wrt, grads, strict=True)}
    if second and grads[0].requires_grad:
        direction = torch.linspace(-1, 1, grads[0].numel(), dtype=torch.float64).reshape(grads[0].shape)
        (hvp,) = torch.autograd.grad((grads[0] * direction).sum(), leaves[wrt[0]], materialize_grads=True)
        out["second"] = hvp.detach().numpy()
    return out


def torch_per_sample(loss: Loss, variant: Variant, arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
    tensors, first = put(TORCH, arrays), floating(loss, arrays)[0]
    axes = {name: loss.arguments.batch_axes.get(name) for name in tensors}

    def single(x: Any, rest: Any) -> Any:
        given = {name: t.unsqueeze(axes[name]) if axes[name] is not None else t for name, t in rest.items()}
        return loss.torch(**{**given, first: x.unsqueeze(0)}, **options, reduction="sum")

    rest = {name: tensor for name, tensor in tensors.items() if name != first}
    batched = torch.func.vmap(torch.func.grad(single), (0, {name: axes[name] for name in rest}))
    return {"per_sample": batched(tensors[first], rest).numpy()}


@every_case
def test_the_limit_in_torch(loss: Loss, variant: Variant) -> None:
    arrays, far, options = prepare(loss, variant)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of kl_div's 'mean', and of broadcasting: meant
        for reduction in loss.reductions:
            function = lambda reduction=reduction, **given: loss.torch(**given, **options, reduction=reduction)  # noqa: E731
            compare(torch_numbers(function, loss, arrays), torch_numbers(function, loss, far), arrays, loss)
        if not variant.unbatched and variant.per_sample:
            want = torch_per_sample(loss, variant, far, options)
            compare(torch_per_sample(loss, variant, arrays, options), want, arrays, loss)
        # The compiler records the plain operations, without a look at the values.
        torch._dynamo.reset()
        function = lambda **given: loss.torch(**given, **options, reduction="sum")  # noqa: E731
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        want = torch_numbers(function, loss, far, second=False)
        compare(torch_numbers(compiled, loss, arrays, second=False), want, arrays, loss)


def jax_program(loss: Loss, variant: Variant, options: Mapping[str, Any], wrt: tuple[str, ...]) -> Callable[..., Any]:
    def program(arrays: Any) -> Any:
        out = {}

        def call(leaves: Any, reduction: str) -> Any:
            return loss.jax(**{**arrays, **leaves}, **options, reduction=reduction)

        leaves = {name: arrays[name] for name in wrt}
        for reduction in loss.reductions:
            value, pull = jax.vjp(lambda leaves, reduction=reduction: call(leaves, reduction), leaves)
            (grads,) = pull(jnp.ones_like(value))
            out[reduction] = value
            out |= {f"{reduction}/{name}": grad for name, grad in grads.items()}
        first = wrt[0]
        direction = jnp.linspace(-1, 1, arrays[first].size).reshape(arrays[first].shape)
        slope = jax.grad(lambda x: call({first: x}, "sum"))
        out["second"] = jax.jvp(slope, (arrays[first],), (direction,))[1]
        if not variant.unbatched and variant.per_sample:
            axes = {name: loss.arguments.batch_axes.get(name) for name in arrays}

            def single(x: Any, rest: Any) -> Any:
                given = {name: jnp.expand_dims(a, axes[name]) if axes[name] is not None else a
                         for name, a in rest.items()}  # fmt: skip
                return loss.jax(**{**given, first: x[None]}, **options, reduction="sum")

            rest = {name: array for name, array in arrays.items() if name != first}
            batched = jax.vmap(jax.grad(single), (0, {name: axes[name] for name in rest}))
            out["per_sample"] = batched(arrays[first], rest)
        return out

    return fast_compile_jit(program)


@every_case
def test_the_limit_in_jax(loss: Loss, variant: Variant) -> None:
    arrays, far, options = prepare(loss, variant)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        program = jax_program(loss, variant, options, floating(loss, arrays))
        compare(program(put(JAX, arrays)), program(put(JAX, far)), arrays, loss)


@pytest.mark.parametrize(("loss", "variant"), SMOOTHED, ids=ids(SMOOTHED))
def test_smoothing_makes_it_infinite(loss: Loss, variant: Variant) -> None:
    """A class that is ruled out and has a part of the smoothing's probability: the loss is infinite, not NaN."""
    arrays, _, options = prepare(loss, variant)
    counted = arrays["target"] != -100 if not variant.probabilities else np.ones(arrays["input"].shape[0], bool)
    for framework, function in ((TORCH, loss.torch), (JAX, loss.jax)):
        value = framework.get(function(**put(framework, arrays), **options, reduction="none"))
        assert (value[counted] == np.inf).all()


WEIGHTED = {
    "cross_entropy": {"input": [[-np.inf, 1.0], [0.5, 1.0]], "target": [0, 1], "weight": [0.0, 2.0]},
    "nll_loss": {"input": [[-np.inf, -1.0], [-0.5, -1.0]], "target": [0, 1], "weight": [0.0, 2.0]},
    "softmax_focal_loss": {"input": [[-np.inf, 1.0], [0.5, 1.0]], "target": [0, 1], "weight": [0.0, 2.0]},
    "linear_cross_entropy": {"input": [[1.0], [2.0]], "linear_weight": [[1.0], [0.5]], "linear_bias": [-np.inf, 0.0],
                             "target": [0, 1], "weight": [0.0, 2.0]},
    "binary_cross_entropy_with_logits": {"input": [-np.inf, 1.0], "target": [1.0, 0.0], "weight": [0.0, 1.0]},
    "multilabel_soft_margin_loss": {"input": [-np.inf, 1.0], "target": [1.0, 0.0], "weight": [0.0, 1.0]},
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_of_0_silences_an_infinite_loss(name: str) -> None:
    loss, arrays = LOSSES[name], {key: np.asarray(value) for key, value in WEIGHTED[name].items()}
    far = {key: np.nan_to_num(a, neginf=-FAR) if a.dtype.kind == "f" else a for key, a in arrays.items()}
    wrt = tuple(key for key in ("input", "linear_weight", "linear_bias") if key in arrays)
    found = []
    for given in (arrays, far):
        leaves = {key: torch.tensor(given[key], requires_grad=True) for key in wrt}
        value = loss.torch(**{**put(TORCH, given), **leaves})
        value.backward()
        numbers = {"value": value.detach().numpy(), **{key: leaf.grad.numpy() for key, leaf in leaves.items()}}
        call = lambda leaves, given=given: loss.jax(**{**put(JAX, given), **leaves})  # noqa: E731
        value, grads = jax.value_and_grad(call)({key: jnp.asarray(given[key]) for key in wrt})
        found.append(numbers | {"jax": value, **{f"jax/{key}": grad for key, grad in grads.items()}})
    for key, want in found[1].items():
        assert np.isfinite(found[0][key]).all()
        np.testing.assert_allclose(np.asarray(found[0][key]), np.asarray(want), rtol=1e-12, atol=1e-13, err_msg=key)


def test_an_unmasked_product_is_seen() -> None:
    """The plain formula fails this test's comparison, in value or in gradient."""
    loss, variant = LOSSES["kl_div"], LOSSES["kl_div"].variants[0]
    arrays, far, _ = prepare(loss, variant)
    plain = lambda input, target: torch.nn.functional.kl_div(input, target, reduction="sum")  # noqa: E731
    with pytest.raises(AssertionError):
        compare(torch_numbers(plain, loss, arrays, second=False), torch_numbers(plain, loss, far, second=False), arrays,
                loss)  # fmt: skip
