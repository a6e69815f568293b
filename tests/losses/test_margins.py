"""Margins, focal losses and their kin: what they refuse, where torch is odd, identities, and the digits they claim."""

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity.inputs import DIGITS, Draw, applicable
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit
from xloss.parity.reference import Reference, floats
from xloss.parity.truth import evaluate
from xloss.parity.verdict import ulp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

FRAMEWORKS = {"torch": load("torch"), "jax": load("jax")}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
CLASSES = ("softmax_focal_loss", "poly_loss", "z_loss", "sparsemax_loss")
NAMES = ("multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "sigmoid_focal_loss", *CLASSES)

rng = np.random.default_rng(2)
X, LABELS = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
SETS = np.array([[0, 2, -1], [1, 1, 2], [-1, 0, 1], [2, -1, 2]])
UNIT = rng.uniform(0.1, 0.9, (4, 3))


def put(framework: Any, given: dict[str, Any]) -> dict[str, Any]:
    device = framework.device("cpu")
    return {key: framework.put(a, device) if isinstance(a, np.ndarray) else a for key, a in given.items()}


def run(framework: Any, name: str, **given: Any) -> np.ndarray:
    function = getattr(LOSSES[name], framework.name)
    if framework.name == "torch":
        return framework.get(function(**put(framework, given)))
    arrays = {key: a for key, a in given.items() if isinstance(a, np.ndarray)}
    rest = {key: a for key, a in given.items() if key not in arrays}
    return np.asarray(fast_compile_jit(lambda arrays: function(**arrays, **rest))(arrays))


def gradient(framework: Any, name: str, **given: Any) -> np.ndarray:
    """Of the sum, by the input."""
    given = put(framework, {**given, "reduction": "sum"})
    function = getattr(LOSSES[name], framework.name)
    if framework.name == "jax":
        return np.asarray(fast_compile_jit(jax.grad(lambda x: function(**{**given, "input": x})))(given["input"]))
    leaf = given["input"].requires_grad_()
    return torch.autograd.grad(function(**given), leaf)[0].numpy()


def of_functional(name: str, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Value, and gradient of its sum."""
    tensors = put(FRAMEWORKS["torch"], given)
    leaf = tensors["input"].requires_grad_()
    value = getattr(functional, name)(**tensors)
    return value.detach().numpy(), torch.autograd.grad(value.sum(), leaf)[0].numpy()


# --- what is refused ------------------------------------------------------------------------------

REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    *(("p", "multi_margin_loss", {"p": p}) for p in (0, 3, 1.5, "1", None)),
    *(("margin", "multi_margin_loss", {"margin": margin}) for margin in (None, "1", float("nan"), True)),
    *(("target", "multi_margin_loss", {"target": t}) for t in (LABELS[:3], LABELS[:, None], LABELS[None], LABELS[0:1])),
    *(("target", "multi_margin_loss", {"target": t}) for t in (LABELS - 1, LABELS + 1, LABELS - 100)),
    *(("input", "multi_margin_loss", {"input": x}) for x in (X[:, :0], X[0, :0], X[None])),
    *(("weight", "multi_margin_loss", {"weight": np.ones(s)}) for s in ((), (1,), (2,), (4,), (1, 3), (4, 3))),
    *(("weight", "multi_margin_loss", {"weight": w}) for w in (np.ones(3, np.float32), np.ones(3, int),
     [1.0, 1.0, 1.0])),
    *(("target", "multilabel_margin_loss", {"target": t}) for t in (SETS[:3], SETS[:, :2], SETS[0], SETS[None],
     SETS[0, 0:1])),
    *(("target", "multilabel_margin_loss", {"target": t}) for t in (SETS - 1, SETS + 1)),
    *(("input", "multilabel_margin_loss", {"input": x}) for x in (X[:, :0], X[0, :0], X[None])),
    ("target", "multilabel_margin_loss", {"input": X[0], "target": np.asarray(0)}),
    *(("target", "multilabel_soft_margin_loss", {"target": t}) for t in (UNIT[:3], UNIT[:, :2], UNIT[None],
     UNIT > 0.5)),
    *(("target", "multilabel_soft_margin_loss", {"target": t}) for t in (None, UNIT.tolist(),
     UNIT.astype(np.complex64))),
    ("target", "multilabel_soft_margin_loss", {"input": X[0]}),
    *(("weight", "multilabel_soft_margin_loss", {"weight": np.ones(shape)}) for shape in ((2,), (2, 4, 3))),
    ("input", "multilabel_soft_margin_loss", {"input": np.asarray(1.0), "target": np.asarray(1.0)}),
    *(("target", "sigmoid_focal_loss", {"target": t}) for t in (UNIT[:3], UNIT[0], LABELS)),
    *(("alpha", "sigmoid_focal_loss", {"alpha": alpha}) for alpha in (1.5, None, "0", float("nan"))),
    *(("gamma", name, {"gamma": g}) for g in (-1.0, "2", None) for name in ("sigmoid_focal_loss",
     "softmax_focal_loss")),
    *(("weight", "softmax_focal_loss", {"weight": weight}) for weight in (np.ones(2), np.ones(3, np.float32))),
    *(("epsilon", "poly_loss", {"epsilon": epsilon}) for epsilon in (-1.5, "1", None)),
    *(("z_weight", "z_loss", {"z_weight": z_weight}) for z_weight in (-1.0, "1", None)),
    ("ignore_index", "poly_loss", {"target": UNIT, "ignore_index": 1}),
    *(("target", name, {"target": t}) for t in (LABELS + 1, LABELS - 1, LABELS[:3]) for name in CLASSES),
    *(("ignore_index", name, {"ignore_index": index}) for index in (None, 1.0) for name in CLASSES),
]  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    **{name: {"input": X, "target": LABELS} for name in ("multi_margin_loss", *CLASSES)},
    "multilabel_margin_loss": {"input": X, "target": SETS},
    **{name: {"input": X, "target": UNIT} for name in ("multilabel_soft_margin_loss", "sigmoid_focal_loss")},
}


def message(function: Callable[..., Any], given: dict[str, Any]) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        function(**given)
    return f"{type(caught.value).__name__} {caught.value}"


@pytest.mark.parametrize(("at", "name", "changes"), REFUSED)
def test_refusals_name_the_argument_in_the_same_words(at: str, name: str, changes: dict[str, Any]) -> None:
    given = {**GOOD[name], **changes}
    messages = [message(getattr(LOSSES[name], key), put(framework, given)) for key, framework in FRAMEWORKS.items()]
    for text in messages:
        assert re.match(rf"\w+ {at}( \([a-z ]+\))?: expected \S.*, got \S", text), text
    alike = [
        re.sub(r"a torch.Tensor|a jax.Array, a NumPy array or a number", "an array", text).replace("torch.", "")
        for text in messages
    ]
    assert alike[0] == alike[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_good_arguments_are_good(name: str) -> None:
    assert np.isfinite(run(FRAMEWORKS["torch"], name, **GOOD[name]))


BAD_ROW = np.array([False, True, False, True])


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss", *CLASSES])
def test_a_label_out_of_range_that_cannot_be_seen_is_nan_in_its_row(name: str) -> None:
    """Value and gradient, under `jit`, `compile` and `vmap`, also where no term is above 0; the other rows are
    clean.
    """
    x, y = np.array([[0.3, 0.1, -0.2], [0.0, 5.0, 0.0], [0.5, -0.5, 0.2], [9.0, 0.0, 0.0]]), LABELS.copy()
    y[BAD_ROW] = (3, -7)
    if name == "multilabel_margin_loss":
        y, y[:, 0] = np.full((4, 3), -1), y
    clean_y = np.where(BAD_ROW.reshape(4, *[1] * (y.ndim - 1)), 0, y)
    ours = functools.partial(LOSSES[name].torch, reduction="none")
    clean = ours(torch.tensor(x), torch.tensor(clean_y)).numpy()
    slopes = gradient(FRAMEWORKS["torch"], name, input=x, target=clean_y)
    twin = functools.partial(LOSSES[name].jax, reduction="none")
    torch.compiler.reset()
    leaf = torch.tensor(x, requires_grad=True)
    compiled = torch.compile(ours, fullgraph=True, backend="eager")(leaf, torch.tensor(y))
    mapped = torch.func.vmap(torch.func.grad_and_value(ours))(torch.tensor(x), torch.tensor(y))
    jitted = fast_compile_jit(jax.vmap(jax.value_and_grad(twin)))(x, y)
    for value, grad in (
        (compiled.detach(), torch.autograd.grad(compiled.sum(), leaf)[0]),
        (mapped[1], mapped[0]),
        jitted,
    ):
        value, grad = np.asarray(value), np.asarray(grad)
        np.testing.assert_array_equal(np.isnan(value), BAD_ROW)
        np.testing.assert_array_equal(np.isnan(grad).any(1), BAD_ROW)
        np.testing.assert_allclose(value[~BAD_ROW], clean[~BAD_ROW], rtol=1e-12)
        np.testing.assert_allclose(grad[~BAD_ROW], slopes[~BAD_ROW], rtol=1e-12, atol=1e-16)


# --- where torch.nn.functional is odd
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("input", "target"), [((), ()), ((), (1,)), ((1,), ()), ((3,), ()), ((3,), (1,)), ((1, 3), ()), ((1, 3), (1,)),
     ((4, 3), (4,))]
)  # fmt: skip
@both
def test_multi_margin_takes_the_shapes_that_torch_takes(input: Any, target: Any, framework: Any) -> None:
    x, labels = rng.normal(size=input), np.zeros(target, int)
    weight = np.linspace(-1, 2, input[-1]) if input else np.full(1, 2.0)
    options = itertools.product((1, 2), (0, 7, -3.14), (None, weight), ("none", "mean", "sum"))
    for number, (p, margin, w, reduction) in enumerate(options):
        if framework.name == "jax" and number % 17:
            continue  # each is a program to compile
        given = {"input": x, "target": labels, "p": p, "margin": margin, "weight": w, "reduction": reduction}
        value, _ = of_functional("multi_margin_loss", **given)
        got = run(framework, "multi_margin_loss", **given)
        assert got.shape == value.shape
        np.testing.assert_allclose(got, value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("input", "target"),
    [((), 0), ((), -1), ((), [0]), ((1,), 0), ((1,), [-1]), ((7,), [2, 0, 6, -1, 4, -1, 6]),
     ((7,), [3, 3, 3, 0, 0, 1, 2]),
     ((4, 5), [[4, -1, 0, -1, 2], [0, 0, 4, 1, 4], [-1, 3, -1, 1, 0], [4, 3, 2, 1, 0]])],
)  # fmt: skip
@both
def test_multilabel_margin_takes_the_labels_that_torch_takes(input: Any, target: Any, framework: Any) -> None:
    """Up to the first -1, one that comes twice twice."""
    given = {"input": rng.normal(size=input), "target": np.asarray(target)}
    for reduction in ("none", "mean", "sum") if framework.name == "torch" else ("none",):
        value, _ = of_functional("multilabel_margin_loss", **given, reduction=reduction)
        got = run(framework, "multilabel_margin_loss", **given, reduction=reduction)
        assert got.shape == value.shape
        np.testing.assert_allclose(got, value, rtol=1e-12)
    grad = of_functional("multilabel_margin_loss", **given, reduction="sum")[1]
    np.testing.assert_allclose(gradient(framework, "multilabel_margin_loss", **given), grad, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
@both
def test_on_the_kink_no_term_has_a_gradient(name: str, framework: Any) -> None:
    x = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    y = np.array([0, 2]) if name == "multi_margin_loss" else np.array([[0, -1, -1], [2, -1, 1]])
    assert not of_functional(name, input=x, target=y)[1].any()
    assert not gradient(framework, name, input=x, target=y).any()
    assert gradient(framework, name, input=x + np.array([0, 1e-9, 0]), target=y).any()


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
@both
def test_a_nan_is_a_nan_in_its_row_alone(name: str, framework: Any) -> None:
    x = X.copy()
    x[1, 0] = x[2, 1] = np.nan
    given = {**GOOD[name], "input": x, "reduction": "none"}
    got = run(framework, name, **given)
    # Row 2 of the label sets is empty: nothing in it is looked at.
    bad = [False, True, name == "multi_margin_loss", False]
    np.testing.assert_array_equal(np.isnan(got), bad)
    assert not np.isnan(of_functional(name, **given)[0]).any()


@both
def test_multilabel_soft_margin_takes_integers_and_broadcasts(framework: Any) -> None:
    """As torch's own tests of `nn.MultiLabelSoftMarginLoss` do; the mean is over the classes first."""
    name = "multilabel_soft_margin_loss"
    targets = ((UNIT > 0.5).astype(int), UNIT.round(), UNIT[0], UNIT[:, :1])
    for target, weight in zip(targets, (None, np.ones(3) * 2, UNIT, np.asarray(3.0)), strict=True):
        given = {"input": X, "target": target, "weight": weight, "reduction": "none"}
        np.testing.assert_allclose(run(framework, name, **given), of_functional(name, **given)[0], rtol=1e-12)
    narrow = run(framework, name, input=X.astype(np.float32), target=LABELS[:, None])
    assert narrow.dtype == np.float32


# --- identities -----------------------------------------------------------------------------------

ONEHOT = np.eye(3)[LABELS]
WEIGHT = np.array([0.5, 2.0, 1.0])
CASES: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "focal at gamma 0": (
        ("softmax_focal_loss", {"gamma": 0, "weight": WEIGHT, "ignore_index": 1}),
        ("cross_entropy", {"weight": WEIGHT, "ignore_index": 1}),
    ),
    "poly at epsilon 0": (("poly_loss", {"epsilon": 0, "ignore_index": 2}), ("cross_entropy", {"ignore_index": 2})),
    "poly of onehot": (("poly_loss", {"epsilon": -0.5}), ("poly_loss", {"epsilon": -0.5, "target": ONEHOT})),
    "z at weight 0": (("z_loss", {"z_weight": 0, "ignore_index": 2}), ("cross_entropy", {"ignore_index": 2})),
    "sigmoid focal at gamma 0": (
        ("sigmoid_focal_loss", {"gamma": 0, "alpha": -1, "target": UNIT}),
        ("binary_cross_entropy_with_logits", {"target": UNIT}),
    ),
    "one label": (
        ("multilabel_margin_loss", {"target": np.stack([LABELS, 0 * LABELS - 1, LABELS], 1)}),
        ("multi_margin_loss", {}),
    ),
    "sigmoid and softmax": (
        ("sigmoid_focal_loss", {"input": X[:, 1] - X[:, 0], "target": 1.0 * (LABELS > 0), "alpha": -1, "gamma": 1.5}),
        ("softmax_focal_loss", {"input": X[:, :2], "target": 1 * (LABELS > 0), "gamma": 1.5}),
    ),
    "two classes": (
        ("multi_margin_loss", {"input": X[:, :2], "target": 0 * LABELS}),
        ("multi_margin_loss", {"input": X[:, 1::-1], "target": 0 * LABELS + 1}),
    ),
    "sparsemax is shift-invariant": (("sparsemax_loss", {}), ("sparsemax_loss", {"input": X + 0.5})),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@both
def test_identities(case: Any, framework: Any) -> None:
    (first, one), (second, two) = case
    for reduction in ("none", "mean") if framework.name == "torch" else ("mean",):
        got, want = (
            run(framework, name, **{"input": X, "target": LABELS, **changes, "reduction": reduction})
            for name, changes in ((first, one), (second, two))
        )
        np.testing.assert_allclose(got, want, rtol=1e-12)


@both
def test_sparsemax_of_two_classes_is_a_parabola_between_lines(framework: Any) -> None:
    lead = np.array([-3.0, -1.0, -0.5, 0.0, 0.75, 1.0, 4.0])
    x = np.stack([0 * lead, lead], 1)
    want = np.where(lead <= -1, 0, np.where(lead >= 1, lead, (lead + 1) ** 2 / 4))
    given = {"input": x, "target": np.zeros(7, int)}
    np.testing.assert_allclose(run(framework, "sparsemax_loss", **given, reduction="none"), want, rtol=1e-14)
    slope = np.clip((lead + 1) / 2, 0, 1)
    np.testing.assert_allclose(gradient(framework, "sparsemax_loss", **given), np.stack([-slope, slope], 1), rtol=1e-14)


@both
@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_of_the_greatest_logits_has_a_gradient(gamma: float, framework: Any) -> None:
    """Times gamma, the loss overflows: the factor's derivative, which is 0, must not be multiplied by it."""
    logits = np.float32([2.3e38, 3.4e38, -2.3e38, -3.4e38])
    for target, slopes in ((0.0, [0.75, 0.75, 0, 0]), (1.0, [0, 0, -0.25, -0.25])):
        given = {"input": logits, "target": np.full_like(logits, target), "gamma": gamma}
        np.testing.assert_array_equal(gradient(framework, "sigmoid_focal_loss", **given), slopes)


def test_sigmoid_focal_is_its_formula_in_both_arguments() -> None:
    """As torchvision computes it, with the gradient to the targets."""
    x, t = torch.tensor(3 * X, requires_grad=True), torch.tensor(UNIT.round(1), requires_grad=True)
    t.data[0] = torch.tensor([0.0, 1.0, 1.0])
    p = torch.sigmoid(x)
    entropy = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    want = (0.25 * t + 0.75 * (1 - t)) * entropy * (1 - (p * t + (1 - p) * (1 - t))) ** 1.5
    got = LOSSES["sigmoid_focal_loss"].torch(x, t, gamma=1.5, reduction="none")
    twin = functools.partial(LOSSES["sigmoid_focal_loss"].jax, gamma=1.5, reduction="sum")
    slopes = torch.autograd.grad(want.sum(), (x, t))
    np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(got.sum(), (x, t)), slopes, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10)
    for mine, theirs in zip(
        fast_compile_jit(jax.grad(twin, (0, 1)))(x.detach().numpy(), t.detach().numpy()), slopes, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10)


@pytest.mark.parametrize("name", CLASSES)
@both
def test_a_single_class_is_always_right(name: str, framework: Any) -> None:
    given = {"input": np.array([[0.5], [-2.0]]), "target": np.zeros(2, int)}
    extra = {"gamma": 0.5} if "focal" in name else {"epsilon": -1.0} if "poly" in name else {}
    got = run(framework, name, **given, **extra, reduction="none")
    np.testing.assert_allclose(got, 1e-4 * given["input"][:, 0] ** 2 if name == "z_loss" else 0, atol=0, rtol=1e-14)
    assert np.isfinite(gradient(framework, name, **given, **extra)).all()


# --- forward mode without axes
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_forward_mode_keeps_the_dtype_of_a_single_row(name: str) -> None:
    """PyTorch gives a derivative in float64 of a float32 tensor without axes times a Python float."""
    given = put(FRAMEWORKS["torch"], {key: np.asarray(a[0]) for key, a in GOOD[name].items()})
    x = given.pop("input").float()
    given = {key: a.float() if a.is_floating_point() else a for key, a in given.items()}
    function = functools.partial(LOSSES[name].torch, **given, reduction="none")
    value, slope = torch.func.jvp(function, (x,), (torch.ones_like(x),))
    assert value.dtype == slope.dtype == torch.float32
    _, curvature = torch.func.jvp(torch.func.grad(lambda x: function(x).sum()), (x,), (torch.ones_like(x),))
    assert curvature.dtype == torch.float32


# --- digits ---------------------------------------------------------------------------------------

WORST = 32


@pytest.mark.parametrize("name", NAMES)
def test_values_are_right_to_a_few_ulps_wherever_they_are_well_conditioned(name: str) -> None:
    loss, seen = LOSSES[name], 0
    for variant in loss.variants:
        for regime in applicable(loss, variant):
            if regime in ("empty", "one", "nonfinite", "subnormal"):
                continue
            arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], regime, "float32"))
            wrt = [key for key in loss.arguments.wrt if arrays[key].dtype.kind == "f"]
            result = evaluate(
                loss.truth, arrays, variant.options, wrt, loss.arguments.class_axes, 1, *DIGITS["float32"]
            )
            want, reference = floats(result.values), Reference(result, None, 0)
            well = (reference.rel_condition(reference.abs_x) <= WORST * np.abs(want)) & (np.abs(want) > 1e-37)
            got = run(FRAMEWORKS["torch"], name, **arrays, **variant.options, reduction="none")
            assert got.dtype == np.float32
            error = np.abs(got.astype(np.float64) - want) / ulp("float32", want)
            assert error[well].max(initial=0) <= WORST, (variant.name, regime)
            seen += int(well.sum())
    assert seen > 30


@pytest.mark.parametrize(
    ("name", "options", "lead"),
    [("softmax_focal_loss", {}, 8.0), ("softmax_focal_loss", {"gamma": 0.5}, 20.0), ("poly_loss", {}, 20.0),
     ("poly_loss", {"epsilon": -1.0}, 20.0), ("z_loss", {}, 20.0)],
)  # fmt: skip
@both
def test_confident_predictions_keep_their_digits(name: str, options: Any, lead: float, framework: Any) -> None:
    """In float32, where 1 - p in the dtype has lost them all; the exact value by the first terms of its series."""
    got = run(framework, name, input=np.array([[lead, 0.0, 0.0]], np.float32), target=np.array([0]), **options)
    e = 2 * np.exp(-lead)  # the odds of the two others
    q = e / (1 + e)
    want = {
        "softmax_focal_loss": np.log1p(e) * q ** options.get("gamma", 2.0),
        "poly_loss": np.log1p(e) + q if not options else e**2 / 2 - 2 * e**3 / 3,
        "z_loss": np.log1p(e) + 1e-4 * (lead + np.log1p(e)) ** 2,
    }[name]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=5e-6)
    p = np.float32(1) / (np.float32(1) + np.float32(e))
    if name != "z_loss" and lead == 20.0:
        assert p == 1  # so that the naive form gives 0
