"""The losses of a linear map's logits: never all logits in memory, every transformation, what torch refuses, the
classes.
"""

import copy
import inspect
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
functional = torch.nn.functional
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

FRAMEWORKS = {"torch": load("torch"), "jax": load("jax")}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
LINEAR, ADAPTIVE = (LOSSES[f"{name}"] for name in ("linear_cross_entropy", "adaptive_log_softmax_with_loss"))

rng = np.random.default_rng(0)
X, W, B, C = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.normal(size=4), np.array([0.5, 1.0, 2.0, 0.25])
W2, B2 = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2))
Y, Y2 = np.array([0, 3, -100, 1, 2]), rng.integers(0, 4, (5, 2))
SOFT = rng.uniform(size=(5, 4))
HARD = {"input": X, "linear_weight": W, "target": Y}
CUTOFFS = (2, 4, 7)
TAILS = [(rng.normal(size=(2, 3)), rng.normal(size=(2, 2))), (rng.normal(size=(1, 3)), rng.normal(size=(3, 1)))]
WORDS = {"input": X, "target": np.array([0, 6, 3, 1, 4]), "head_weight": rng.normal(size=(4, 3)),
         "tail_weights": TAILS, "cutoffs": CUTOFFS}  # fmt: skip


def put(framework: Any, value: Any) -> Any:
    """Arrays to the framework's, in lists and tuples, too."""
    if isinstance(value, dict):
        return {name: put(framework, one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(put(framework, one) for one in value)
    return framework.put(value, framework.device("cpu")) if isinstance(value, np.ndarray) else value


def close(got: Any, want: Any, relative: float = 1e-11) -> None:
    """Raise unless two trees hold the same numbers, but for rounding."""
    got, want = (torch.utils._pytree.tree_leaves(tree) for tree in (got, want))
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        a, b = (x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=relative, atol=relative * np.abs(b).max(initial=1e-3))


# --- what is refused ------------------------------------------------------------------------------

LINEAR_CASES: list[tuple[str, dict[str, Any]]] = [
    ("input", {"input": X[None]}),
    ("input", {"input": np.asarray(1.0)}),
    ("input", {"input": X[0], "linear_weight": W2, "target": Y2[0]}),
    ("linear_weight", {"linear_weight": W[:, :2]}),
    ("linear_weight", {"linear_weight": W[0]}),
    ("linear_weight", {"linear_weight": W.astype(np.float32)}),
    ("linear_bias", {"linear_bias": B[:3]}),
    ("linear_bias", {"linear_bias": B, "linear_weight": W2, "target": Y2}),
    ("linear_bias", {"linear_bias": B.astype(np.float32)}),
    ("linear_bias", {"linear_bias": B.tolist()}),
    ("weight", {"weight": C[:3]}),
    ("weight", {"weight": C.astype(np.float32)}),
    ("target", {"target": Y[:4]}),
    ("target", {"target": SOFT.astype(np.int64)}),
    ("target", {"target": SOFT[:, :3]}),
    ("ignore_index", {"target": SOFT, "ignore_index": 1}),
    ("ignore_index", {"ignore_index": 1.0}),
    ("label_smoothing", {"label_smoothing": 2.0}),
    ("reduction", {"reduction": "batchmean"}),
    ("target", {"target": np.array([0, 1, 2, 3, 4])}),
]
OURS = [("chunk_size", {"chunk_size": 0}), ("chunk_size", {"chunk_size": 2.0}), ("options", {"options": 3})]
ADAPTIVE_CASES: list[tuple[str, dict[str, Any]]] = [
    ("input", {"input": X[None]}),
    ("input", {"input": X.tolist()}),
    ("input", {"input": X.astype(np.int64)}),
    ("target", {"target": WORDS["target"][:4]}),
    ("target", {"target": WORDS["target"][:, None]}),
    ("target", {"target": WORDS["target"].astype(np.float64)}),
    ("target", {"target": WORDS["target"] + 1}),
    ("target", {"target": WORDS["target"] - 1}),
    ("head_weight", {"head_weight": W[:3]}),
    ("head_weight", {"head_weight": None}),
    ("head_bias", {"head_bias": B[:3]}),
    ("tail_weights", {"tail_weights": TAILS[:1]}),
    ("tail_weights", {"tail_weights": [*TAILS, TAILS[0]]}),
    ("tail_weights", {"tail_weights": 3}),
    ("tail_weights[1][0]", {"tail_weights": [TAILS[0], (TAILS[1][0][:, :2], TAILS[1][1])]}),
    ("tail_weights[0][1]", {"tail_weights": [(TAILS[0][0], TAILS[0][1][:1]), TAILS[1]]}),
    ("tail_weights[0][1]", {"tail_weights": [(TAILS[0][0], TAILS[0][1].astype(np.float32)), TAILS[1]]}),
    ("cutoffs", {"cutoffs": (4, 2, 7)}),
    ("cutoffs", {"cutoffs": (0, 4, 7)}),
    ("cutoffs", {"cutoffs": (2, 2, 7)}),
    ("cutoffs", {"cutoffs": (7,)}),
    ("cutoffs", {"cutoffs": (2.0, 4, 7)}),
    ("cutoffs", {"cutoffs": 7}),
]
CASES = [("linear_cross_entropy", HARD, *case) for case in (*LINEAR_CASES, *OURS)]
CASES += [("adaptive_log_softmax_with_loss", WORDS, *case) for case in ADAPTIVE_CASES]


@pytest.mark.parametrize(("name", "good", "at", "changes"), CASES)
def test_it_is_refused_by_name_and_in_the_same_words(name: str, good: Any, at: str, changes: Any) -> None:
    words = []
    for framework in FRAMEWORKS.values():
        function = getattr(LOSSES[name], framework.name)
        with pytest.raises(
            (ValueError, TypeError), match=rf"^{re.escape(at)}( \([a-z ]+\))?: expected .*, got "
        ) as caught:
            function(**put(framework, {**good, **changes}))
        message = re.sub("a jax.Array, a NumPy array or a number|a torch.Tensor", "an array", str(caught.value))
        message = re.sub("class indices of (an integer dtype|dtype torch.int64 or torch.uint8)", "indices", message)
        words.append((caught.type, message.replace("torch.", "")))
    assert words[0] == words[1]


@pytest.mark.parametrize(("at", "changes"), LINEAR_CASES)
def test_functional_refuses_it_too(at: str, changes: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
        functional.linear_cross_entropy(**put(FRAMEWORKS["torch"], {**HARD, **changes}))


# Where torch has the loss to compare with: from 2.13 on.
beside_torchs = pytest.mark.skipif(not hasattr(functional, "linear_cross_entropy"), reason="torch has no such loss")

# --- equal to torch's -----------------------------------------------------------------------------


def samples(variant: str) -> list[Any]:
    """What PyTorch tests its own with."""
    from torch.testing._internal.common_methods_invocations import op_db

    name = "nn.functional.linear_cross_entropy"
    (op,) = (op for op in op_db if op.name == name and op.variant_test_name == variant)
    return list(op.sample_inputs("cpu", torch.float64, requires_grad=True))


def grads_of(loss: Any, *tensors: Any) -> list[Any]:
    leaves = [tensor for tensor in tensors if isinstance(tensor, torch.Tensor) and tensor.requires_grad]
    return [loss, *torch.autograd.grad(loss.sum(), leaves)]


@beside_torchs
@pytest.mark.parametrize("variant", ["", "chunked", "chunked_none"])
def test_it_equals_functional_on_torchs_own_samples(variant: str) -> None:
    given = samples(variant)
    assert len(given) > 20
    for sample in given:
        args, kwargs = (sample.input, *sample.args), sample.kwargs
        tensors = (*args, *kwargs.values())
        want = functional.linear_cross_entropy(*args, **{**kwargs, "options": None})
        close(grads_of(LINEAR.torch(*args, **kwargs), *tensors), grads_of(want, *tensors))


MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias, weight": {"linear_bias": B, "weight": C},
    "ignored": {"ignore_index": 1},
    "smoothing": {"linear_bias": B, "weight": C, "label_smoothing": 0.25},
    "soft": {"target": SOFT, "weight": C, "label_smoothing": 0.25},
    "dimensional": {"linear_weight": W2, "linear_bias": B2, "target": Y2, "weight": C},
}
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@beside_torchs
@every_mode
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_it_is_functional_whatever_the_chunk(mode: dict[str, Any], reduction: str) -> None:
    """Value and gradients, in chunks that divide the rows, that do not, and in one."""
    given = {**HARD, "target": np.abs(Y) % 4, **mode, "reduction": reduction}
    wrt = [name for name in ("input", "linear_weight", "linear_bias") if name in given]
    v = np.arange(1.0, 11.0)

    def torch_grads(function: Callable[..., Any]) -> Any:
        tensors = put(FRAMEWORKS["torch"], given)
        leaves = {name: tensors[name].requires_grad_() for name in wrt}
        loss = function(**tensors)
        cotangent = torch.from_numpy(v[: loss.numel()]).reshape(loss.shape)
        return [loss, *torch.autograd.grad(loss, list(leaves.values()), cotangent)]

    want = torch_grads(functional.linear_cross_entropy)
    for chunk in (1, 2, 5, 100):
        close(torch_grads(lambda chunk=chunk, **tensors: LINEAR.torch(**tensors, chunk_size=chunk)), want)

    if reduction != "none":
        return  # which is the same in JAX, and compiling takes its time

    @fast_compile_jit
    def twin(leaves: Any, rest: Any, v: Any) -> Any:
        loss, pull = jax.vjp(lambda leaves: LINEAR.jax(**leaves, **rest, **options, chunk_size=2), leaves)
        grads = pull(v[: loss.size].reshape(loss.shape))[0]
        return [loss, *(grads[name] for name in wrt)]

    arrays = {name: x for name, x in given.items() if isinstance(x, np.ndarray)}
    options = {name: x for name, x in given.items() if name not in arrays}
    rest = {name: x for name, x in arrays.items() if name not in wrt}
    close(twin({name: arrays[name] for name in wrt}, rest, v), want)


def test_an_ignored_row_takes_no_part_and_a_batch_is_the_sum_of_its_rows() -> None:
    """Not even with a NaN in it; torch.nn.functional's gradient of the weight is NaN then, recorded as a difference."""
    x = X.copy()
    x[2] = np.nan
    given = {**HARD, "input": x, "linear_bias": B}
    w, rest = put(FRAMEWORKS["torch"], (W, {name: value for name, value in given.items() if name != "linear_weight"}))
    for chunk in (2, 5):
        slope = torch.func.grad(lambda w, chunk=chunk: LINEAR.torch(linear_weight=w, **rest, chunk_size=chunk))(w)
        leaf = w.clone().requires_grad_()
        LINEAR.torch(linear_weight=leaf, **rest, chunk_size=chunk).backward()
        assert slope.isfinite().all()
        close(leaf.grad, slope)
    w, twins = put(FRAMEWORKS["jax"], (W, {name: value for name, value in given.items() if name != "linear_weight"}))
    close(
        fast_compile_jit(jax.grad(lambda w, rest: LINEAR.jax(linear_weight=w, **rest, chunk_size=2)))(w, twins), slope
    )
    rows = [{**rest, "input": rest["input"][i], "target": rest["target"][i]} for i in (0, 1, 3, 4)]
    ones = [LINEAR.torch(linear_weight=torch.tensor(W), **row, reduction="sum") for row in rows]
    close(sum(ones) / 4, LINEAR.torch(linear_weight=torch.tensor(W), **rest))


@pytest.mark.parametrize("weight", [None, C], ids=["plain", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["typical", "confident"])
def test_soft_targets_in_place_equal_plain_operations(weight: Any, smoothing: float, scale: float) -> None:
    leaves = [torch.tensor(a * s, requires_grad=True) for a, s in ((X, scale), (W, 1.0), (B, 1.0))]
    rest = {
        "weight": None if weight is None else torch.tensor(weight),
        "label_smoothing": smoothing,
        "reduction": "none",
    }
    target, got = torch.tensor(SOFT), []
    chunked = LINEAR.torch(leaves[0], leaves[1], target, linear_bias=leaves[2], chunk_size=2, **rest)
    plain = LOSSES["cross_entropy"].torch(functional.linear(*leaves), target, **rest)
    assert "SoftNll" in type(chunked.grad_fn).__name__
    v = torch.linspace(-1, 2, len(plain), dtype=plain.dtype)
    for loss in (chunked, plain):
        slopes = torch.autograd.grad(loss, leaves, v, retain_graph=True)
        bend = torch.autograd.grad(loss, leaves[0], v, create_graph=True)[0].square().sum()
        got.append([loss.detach(), *slopes, *torch.autograd.grad(bend, leaves)])
    close(*got)


# --- every transformation, of several chunks
# ------------------------------------------------------------------------------


def chunked(x: Any, w: Any, b: Any, y: Any, smoothing: float) -> Any:
    return LINEAR.torch(x, w, y, linear_bias=b, chunk_size=2, label_smoothing=smoothing)


def dense(x: Any, w: Any, b: Any, y: Any, smoothing: float) -> Any:
    return LOSSES["cross_entropy"].torch(functional.linear(x, w, b), y, label_smoothing=smoothing)


def double_backward(function: Callable[..., Any], x: Any, w: Any, b: Any) -> Any:
    leaves = [tensor.clone().requires_grad_() for tensor in (x, w, b)]
    first = torch.autograd.grad(function(*leaves), leaves, create_graph=True)
    second = torch.autograd.grad(sum((g * g).sum() for g in first), leaves, create_graph=True)
    return [*second, *torch.autograd.grad(sum((g * g).sum() for g in second), leaves)]


def many_cotangents(function: Callable[..., Any], x: Any, w: Any, b: Any) -> Any:
    leaf = x.clone().requires_grad_()
    loss = function(leaf, w, b)
    return torch.autograd.grad(torch.stack([loss, 2 * loss]), leaf, torch.eye(2, dtype=x.dtype), is_grads_batched=True)


func = torch.func
TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": lambda f, *at: func.grad(f, argnums=(0, 1, 2))(*at),
    "jvp": lambda f, *at: func.jvp(f, at, at),
    "hessian": lambda f, *at: func.hessian(f, argnums=1)(*at),
    "jacfwd twice": lambda f, *at: func.jacfwd(func.jacfwd(f))(*at),
    "jacfwd twice of jacrev": lambda f, x, w, b: func.jacfwd(func.jacfwd(func.jacrev(f, 2), 2), 2)(x, w, b),
    "jacrev of jacfwd": lambda f, *at: func.jacrev(func.jacfwd(f))(*at),
    "jacrev twice": lambda f, *at: func.jacrev(func.jacrev(f, 1), 1)(*at),
    "vmap of grad": lambda f, x, w, b: func.vmap(func.grad(f, 1), (0, None, None))(torch.stack([x, 2 * x]), w, b),
    "double backward": double_backward,
    "many cotangents": many_cotangents,
}


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_torch_transforms_pass_through_chunks(transform: Callable[..., Any], smoothing: float) -> None:
    y = torch.tensor(np.abs(Y) % 4)
    at = tuple(map(torch.tensor, (X, W, B)))
    got, want = (transform(lambda *at, f=f: f(*at, y, smoothing), *at) for f in (chunked, dense))
    close(got, want, 1e-9)


@pytest.mark.parametrize("transform", ["grad", "jvp", "vmap of grad", None], ids=str)
def test_torch_compiles_chunks(transform: str | None) -> None:
    """One graph, alone and under torch.func."""
    y = torch.tensor(np.abs(Y) % 4)
    at = tuple(torch.tensor(array, requires_grad=transform is None) for array in (X, W, B))
    call = lambda *at: chunked(*at, y, 0.0)  # noqa: E731
    program = call if transform is None else lambda *at: TRANSFORMS[transform](call, *at)
    torch.compiler.reset()
    got = torch.compile(program, fullgraph=True, backend="aot_eager" if transform is None else "eager")(*at)
    want = program(*at)
    if transform is None:
        got, want = (torch.autograd.grad(loss, at) for loss in (got, want))
    close(got, want)


def test_jax_transforms_pass_through_chunks() -> None:
    y = np.abs(Y) % 4

    @fast_compile_jit
    def everything(x: Any, w: Any) -> Any:
        out = []
        for loss in (
            lambda x, w: LINEAR.jax(x, w, y, chunk_size=2),
            lambda x, w: LOSSES["cross_entropy"].jax(x @ w.T, y),
        ):
            hessian = jax.hessian(loss, 1)(x, w)
            mapped = jax.vmap(jax.grad(loss, 1), (0, None))(jnp.stack([x, 2 * x]), w)
            twice = jax.jacrev(jax.jacrev(loss))(x, w)
            out.append((jax.grad(loss)(x, w), jax.jvp(loss, (x, w), (x, w)), hessian, mapped, twice))
        return out

    close(*everything(jnp.asarray(X), jnp.asarray(W)), 1e-9)


# --- accuracy and memory
# --------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_a_confident_prediction_keeps_its_digits(framework: Any, smoothing: float) -> None:
    """In float32, in value and gradients; that torch.nn.functional's does not, is recorded as a difference."""
    x, w = np.array([[20.0], [12.0], [-20.0]], np.float32), np.array([[1.0], [0.25], [0.0]], np.float32)
    y = np.array([0, 0, 2])

    def run(function: Callable[..., Any], dtype: Any) -> Any:
        options = {"chunk_size": 2, "label_smoothing": smoothing, "reduction": "none"}
        arrays = put(framework, (x.astype(dtype), w.astype(dtype), y))
        if framework.name == "jax":
            loss = lambda x, w, y: function(x, w, y, **options)  # noqa: E731
            return [
                fast_compile_jit(loss)(*arrays),
                *fast_compile_jit(jax.grad(lambda *at: loss(*at).sum(), (0, 1)))(*arrays),
            ]
        leaves = [array.requires_grad_() for array in arrays[:2]]
        loss = function(*leaves, arrays[2], **options)
        return [loss, *torch.autograd.grad(loss.sum(), leaves)]

    function = getattr(LINEAR, framework.name)
    for got, want in zip(run(function, np.float32), run(function, np.float64), strict=True):
        got, want = (np.asarray(a.detach() if framework.name == "torch" else a) for a in (got, want))
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=4e-6)


N, CLASSES = 64, 1000


def kept(function: Callable[..., Any]) -> int:
    """How many numbers autograd keeps for the backward pass."""
    x, w = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n)).requires_grad_() for n in (N, CLASSES))
    seen: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.update({t.data_ptr(): t.numel()}) or t, lambda t: t):
        loss = function(x, w, torch.zeros(N, dtype=torch.int64))
    assert loss.requires_grad
    return sum(seen.values())


@beside_torchs
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.25}], ids=str)
def test_the_logits_are_not_kept(options: dict[str, Any]) -> None:
    """In PyTorch less than a third of them, in JAX of all memory in use; torch.nn.functional's dense loss fails."""
    assert kept(lambda *at: functional.linear_cross_entropy(*at, **options)) > N * CLASSES
    assert kept(lambda *at: LINEAR.torch(*at, chunk_size=8, **options)) < N * CLASSES / 3

    def bytes_of(chunk: int) -> int:
        loss = jax.grad(lambda x, w: LINEAR.jax(x, w, jnp.zeros(N, int), chunk_size=chunk, **options), (0, 1))
        shapes = (jax.ShapeDtypeStruct((n, 3), np.float32) for n in (N, CLASSES))
        return int(jax.jit(loss).lower(*shapes).compile().memory_analysis().temp_size_in_bytes)

    assert bytes_of(N) > 4 * N * CLASSES
    assert bytes_of(2) < 4 * N * CLASSES / 3  # a chunk's gradients are found beside its logits


# --- adaptive softmax -----------------------------------------------------------------------------


def test_it_equals_torch_nn() -> None:
    """Output, loss and gradients; with clusters nobody is in, and unbatched."""
    import xloss.jax
    import xloss.torch

    torch.manual_seed(0)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], div_value=2.0, head_bias=True).double()
    ours = xloss.torch.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], div_value=2.0, head_bias=True).double()
    ours.load_state_dict(theirs.state_dict())
    twin = xloss.jax.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], 2.0, head_bias=True, key=jax.random.key(0))
    leaves, tree = jax.tree.flatten(twin)
    in_order = [theirs.head.weight, *(layer.weight for pair in theirs.tail for layer in pair), theirs.head.bias]
    assert [leaf.shape for leaf in leaves] == [tuple(x.shape) for x in in_order]
    twin = jax.tree.unflatten(tree, [jnp.asarray(x.detach().numpy()) for x in in_order])
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    program = fast_compile_jit(jax.value_and_grad(lambda m, x, y: m(x, y).loss))
    for row, labels in ((x, [0, 8, 3, 1]), (x, [0, 1, 1, 0]), (x, [6, 5, 8, 7]), (x[0], 3), (x[1], 0)):
        y = torch.tensor(labels)
        got, want = ours(row, y), theirs(row, y)
        assert (got._fields, type(got.loss)) == (want._fields, torch.Tensor)
        grads = [torch.autograd.grad(out.loss, list(m.parameters()), allow_unused=True)
                 for out, m in ((got, ours), (want, theirs))]  # fmt: skip
        grads = [[torch.zeros_like(p) if g is None else g for g, p in zip(gs, ours.parameters(), strict=True)]
                 for gs in grads]  # fmt: skip
        close([*got, *grads[0]], [*want, *grads[1]])
        array = jnp.asarray(row.numpy())
        loss, slope = program(twin, array, jnp.asarray(y.numpy()))
        by_name = dict(zip((name for name, _ in ours.named_parameters()), grads[0], strict=True))
        order = ["head.weight", "tail.0.0.weight", "tail.0.1.weight", "tail.1.0.weight", "tail.1.1.weight", "head.bias"]
        close([loss, *jax.tree.leaves(slope)], [want.loss, *(by_name[name] for name in order)])
    close(ours.log_prob(x), theirs.log_prob(x))
    log_prob, best = fast_compile_jit(lambda m, x: (m.log_prob(x), m.predict(x)))(twin, jnp.asarray(x.numpy()))
    close([log_prob, best], [theirs.log_prob(x), theirs.predict(x)])
    close(np.exp(log_prob).sum(1), np.ones(4))


@both
def test_output_over_all_targets_sums_to_1_and_a_bad_label_where_it_cannot_be_seen_is_nan(framework: Any) -> None:
    given = put(framework, {**WORDS, "input": np.repeat(X[:1], 8, 0), "target": np.array([0, 1, 2, 3, 4, 5, 6, 7])})
    function = getattr(ADAPTIVE, framework.name)
    rest = {name: value for name, value in given.items() if name not in ("input", "target")}
    mapped = torch.func.vmap if framework.name == "torch" else jax.vmap
    slope = torch.func.grad if framework.name == "torch" else jax.grad
    one = lambda x, y: function(x[None], y[None], **rest).loss  # noqa: E731
    compiled = fast_compile_jit if framework.name == "jax" else lambda f: f
    loss, grads = (np.asarray(compiled(mapped(f))(given["input"], given["target"])) for f in (one, slope(one)))
    np.testing.assert_allclose(np.exp(-loss[:7]).sum(), 1)
    assert np.isfinite(grads[:7]).all()
    assert np.isnan(loss[7])
    assert np.isnan(grads[7]).all()


@pytest.mark.parametrize("readable", [True, False])
def test_rows_are_chosen_by_value_only_where_values_are_at_hand(
    readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an accelerator `nonzero` waits, and no graph of kernels can be captured: all rows, to the same digits."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from xloss.ops import torch as ops

    called = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(str(function))
            return function(*args, **(kwargs or {}))

    def run() -> list[Any]:
        given = put(FRAMEWORKS["torch"], WORDS)
        leaves = [given["input"].requires_grad_(), given["tail_weights"][0][1].requires_grad_()]
        loss = ADAPTIVE.torch(**given).loss
        return [loss, *torch.autograd.grad(loss, leaves)]

    want = run()
    if not readable:
        monkeypatch.setattr(ops, "_has_values", lambda _: False)
    with Record():
        close(run(), want)
    reads = [name for name in called if "nonzero" in name or "_local_scalar_dense" in name]
    assert bool(reads) == readable


# --- the classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param("LinearCrossEntropyLoss", marks=beside_torchs), "AdaptiveLogSoftmaxWithLoss"]
)
def test_the_constructors_are_those_of_torch_nn(name: str) -> None:
    import xloss.jax
    import xloss.torch

    theirs = [(p.name, p.default, p.kind) for p in inspect.signature(getattr(torch.nn, name)).parameters.values()]
    more = {"torch": ["chunk_size", "backend"], "jax": ["key", "chunk_size", "backend"]}
    for face in (xloss.torch, xloss.jax):
        ours = inspect.signature(getattr(face, name)).parameters.values()
        own = more[face.__name__.split(".")[1]]
        assert [(p.name, p.default, p.kind) for p in ours if p.name not in own] == theirs
        assert (getattr(face, name).__name__, getattr(face, name).__module__) == (name, face.__name__)


@beside_torchs
def test_a_linear_module_is_torchs_with_our_loss() -> None:
    import xloss.torch

    torch.manual_seed(0)
    options = {"out_features": (2,), "bias": True, "weight": torch.tensor(C), "dtype": torch.float64, "ignore_index": 1}
    theirs, ours = (m.LinearCrossEntropyLoss(3, 4, **options) for m in (torch.nn, xloss.torch))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x, y = torch.tensor(X), torch.tensor(Y2)
    close(ours(x, y), theirs(x, y))
    assert "chunk_size=None" in repr(ours)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        close(twin(x, y), theirs(x, y))
    for changes in ({"label_smoothing": 2.0}, {"reduction": "batchmean"}, {"weight": torch.ones(3)}):
        with pytest.raises(ValueError, match=rf"^{next(iter(changes))}: expected"):
            xloss.torch.LinearCrossEntropyLoss(3, 4, **changes)
    with pytest.raises(ValueError, match=r"^cutoffs: expected"):
        xloss.torch.AdaptiveLogSoftmaxWithLoss(3, 4, [4])


@beside_torchs
def test_a_linear_pytree_owns_its_parameters() -> None:
    import xloss.jax

    form = xloss.jax.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True, key=jax.random.key(0), dtype=np.float64)
    assert [leaf.shape for leaf in jax.tree.leaves(form)] == [(4, 2, 3), (4, 2)]
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(form)) <= 3**-0.5
    x, y = jnp.asarray(X), jnp.asarray(Y2)
    want = functional.linear_cross_entropy(*map(torch.tensor, (X, np.array(form.linear_weight), Y2)),
                                           linear_bias=torch.tensor(np.array(form.linear_bias)))  # fmt: skip
    value, slope = fast_compile_jit(jax.value_and_grad(lambda form: form(x, y)))(form)
    close(value, want)
    assert isinstance(slope, xloss.jax.LinearCrossEntropyLoss)
    assert slope.linear_weight.shape == (4, 2, 3)
    other = form.reset_parameters(jax.random.key(1))
    assert not np.allclose(other.linear_weight, form.linear_weight)
    close(pickle.loads(pickle.dumps(form))(x, y), want)
    assert "reduction='mean'" in repr(form)
    with pytest.raises(AttributeError, match="immutable"):
        form.reduction = "sum"
    with pytest.raises(ValueError, match=r"^reduction: expected"):
        xloss.jax.LinearCrossEntropyLoss(3, 4, key=jax.random.key(0), reduction="batchmean")
    with pytest.raises(ValueError, match=r"^cutoffs: expected"):
        xloss.jax.AdaptiveLogSoftmaxWithLoss(3, 4, [2, 2], key=jax.random.key(0))


@beside_torchs
def test_no_warning_is_given() -> None:
    """Not even with options, where torch.nn.functional warns that it ignores them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
        given = put(FRAMEWORKS["torch"], {**HARD, "linear_weight": W2, "target": Y2})
        close(LINEAR.torch(**given, options=options), functional.linear_cross_entropy(**given))
