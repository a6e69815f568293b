"""On a kink the derivative is ours, whatever the convention of the framework's kernels: these differ between versions.

Both frameworks' kernels get another convention at their own kinks and ties (0.3 more of one side than they have), and
the gradients of the losses must stay what they are. Planted: a loss that is built on such a kernel.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import JAX, TORCH, VARIANTS, every_variant, put

from xloss.catalog import LOSSES, Loss, Variant
from xloss.parity.inputs import Draw, applicable

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
ad = pytest.importorskip("jax.interpreters.ad")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

# Where kinks and ties are met: drawn on purpose, and by numbers of a coarse grid.
REGIMES = ("on_kink", "ties", "all_ignored")
TILT = 0.3


class OtherConvention(torch.overrides.TorchFunctionMode):
    """Give the functions of PyTorch that have a kink another derivative there; the values stay. `met` names them."""

    def __init__(self) -> None:
        super().__init__()
        self.met: set[str] = set()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        name = getattr(function, "__name__", "").strip("_")
        kink = KINKS.get(name)
        x = args[0] if args else kwargs.get("input")
        if kink is None or not isinstance(x, torch.Tensor) or not x.requires_grad:
            return out
        value = out[0] if isinstance(out, tuple) else out
        tilt = kink(x, value, *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
        if tilt is None or not isinstance(value, torch.Tensor) or not tilt.requires_grad:
            return out
        self.met.add(name)
        return type(out)((value + tilt, *out[1:])) if isinstance(out, tuple) else value + tilt


def nothing(x: Any, mask: Any) -> Any:
    """0 in value, `TILT` in its derivative under the mask."""
    return torch.where(mask, TILT * (x - x.detach()), 0.0)


def at_bounds(x: Any, out: Any, *bounds: Any, **named: Any) -> Any:
    given = [*bounds, *(bound for name, bound in named.items() if name != "inplace")]
    numbers = [bound for bound in given if isinstance(bound, (int, float, torch.Tensor))] or [0.0]
    mask = torch.zeros_like(x, dtype=torch.bool)
    for bound in numbers:
        mask = mask | (x == bound)
    return nothing(x, mask)


def at_threshold(x: Any, out: Any, threshold: float, *_: Any, **__: Any) -> Any:
    return nothing(x, x == threshold)


def at_zero(x: Any, out: Any, *_: Any, **__: Any) -> Any:
    return nothing(x, x == 0)


def at_ties(x: Any, out: Any, *others: Any, dim: Any = None, keepdim: bool = False, **named: Any) -> Any:
    if others and isinstance(others[0], torch.Tensor):
        return nothing(x, x == others[0])
    dim = others[0] if others else dim
    keepdim = others[1] if len(others) > 1 else keepdim
    axes = tuple(range(x.ndim)) if dim is None else dim
    like = out if keepdim or dim is None or isinstance(dim, tuple) else out.unsqueeze(dim)
    return nothing(x, x == like).sum(axes, keepdim=keepdim)


def at_zero_vector(x: Any, out: Any, *_: Any, **named: Any) -> Any:
    return nothing(x, x == 0).sum() if not out.ndim else None


KINKS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("abs", "absolute", "relu", "leaky_relu"), at_zero),
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max", "hardtanh"), at_bounds),
    **dict.fromkeys(("threshold", "threshold_"), at_threshold),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "max", "min", "amax", "amin"), at_ties),
    **dict.fromkeys(("norm", "vector_norm"), at_zero_vector),
}  # fmt: skip


def cases(loss: Loss, variant: Variant) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for regime in REGIMES:
        if regime in applicable(loss, variant):
            yield regime, loss.inputs(Draw(loss, variant, variant.shapes[0], regime, "float64"))


def torch_gradients(function: Callable[..., Any], loss: Loss, arrays: dict[str, np.ndarray], options: Any) -> list[Any]:
    tensors = put(TORCH, arrays)
    leaves = {name: tensors[name].requires_grad_() for name in loss.arguments.differentiable(arrays)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        value = function(**{**tensors, **leaves}, **options, reduction="sum")
    grads = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
    # The second derivative, too, where there is one: it tells which side of a kink was taken.
    slopes = [grad for grad in grads if grad.requires_grad]
    total = sum(grad.sum() for grad in slopes)
    again = torch.autograd.grad(total, list(leaves.values()), allow_unused=True) if slopes else ()
    return [TORCH.get(x) for x in (*grads, *(x for x in again if x is not None))]


@every_variant
def test_torch_gradients_do_not_depend_on_the_convention_of_kernels(loss: Loss, variant: Variant) -> None:
    function = loss.implementation("torch")
    for regime, arrays in cases(loss, variant):
        want = torch_gradients(function, loss, arrays, variant.options)
        with OtherConvention():
            got = torch_gradients(function, loss, arrays, variant.options)
        for ours, theirs in zip(want, got, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=regime)


@contextlib.contextmanager
def other_rules() -> Iterator[set[str]]:
    """Give the primitives of JAX that have a kink another derivative there; yield the names of those met."""
    met: set[str] = set()

    def pair(x: Any, y: Any, tangents: Any, out: Any) -> Any:
        return jnp.where(x == y, TILT * (tangents[0] - tangents[1]), 0.0)

    def zero(x: Any, tangents: Any, out: Any) -> Any:
        return jnp.where(x == 0, TILT * tangents[0], 0.0)

    def bounds(low: Any, x: Any, high: Any, tangents: Any, out: Any) -> Any:
        return jnp.where((x == low) | (x == high), TILT * tangents[1], 0.0)

    def ties(x: Any, tangents: Any, out: Any, axes: Any = (), **_: Any) -> Any:
        return jnp.where(x == jnp.expand_dims(out, axes), TILT * tangents[0], 0.0).sum(axes)

    table = {"max": pair, "min": pair, "abs": zero, "clamp": bounds, "reduce_max": ties, "reduce_min": ties}
    before = dict(ad.primitive_jvps)

    def tilted(name: str, rule: Any, extra: Any) -> Any:
        def new(primals: Any, tangents: Any, **params: Any) -> Any:
            out, tangent = rule(primals, tangents, **params)
            if not jnp.issubdtype(out.dtype, jnp.floating) or type(tangent) is ad.Zero:
                return out, tangent
            met.add(name)
            more = {"axes": params["axes"]} if "axes" in params else {}
            full = [ad.instantiate_zeros(t) for t in tangents]
            return out, ad.add_tangents(tangent, extra(*primals, full, out, **more))

        return new

    # relu has a rule of its own.
    relu = jax.nn.relu
    for primitive, rule in before.items():
        if primitive.name in table:
            ad.primitive_jvps[primitive] = tilted(primitive.name, rule, table[primitive.name])
    jax.nn.relu = lambda x: relu(x) + jnp.where(x == 0, TILT * (x - jax.lax.stop_gradient(x)), 0.0)
    jax.clear_caches()  # they hold differentiated programs
    try:
        yield met
    finally:
        ad.primitive_jvps.update(before)
        jax.nn.relu = relu
        jax.clear_caches()


def jax_program(function: Callable[..., Any], loss: Loss, arrays: Any, options: Any) -> str:
    """The gradient as the program that JAX makes of it; that is traced, not compiled."""
    tensors = put(JAX, arrays)
    names = loss.arguments.differentiable(arrays)

    def total(leaves: Any) -> Any:
        return function(**{**tensors, **leaves}, **options, reduction="sum")

    def both(leaves: Any) -> Any:
        grads, again = jax.jvp(jax.grad(total), (leaves,), (leaves,))
        return grads, again

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        return str(jax.make_jaxpr(both)({name: tensors[name] for name in names}))


@pytest.fixture(scope="module")
def jax_programs() -> dict[tuple[str, str], tuple[str, str]]:
    """Of every variant both programs, the second with other rules: one change of the rules for all, it empties caches.

    Where no rule of a kernel with a kink takes part, the program is the same, whatever the numbers.
    """

    def programs() -> list[str]:
        out = []
        for loss, variant in VARIANTS:
            arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))
            out.append(jax_program(loss.implementation("jax"), loss, arrays, variant.options))
        return out

    before = programs()
    with other_rules():
        after = programs()
    return {
        (loss.name, v.name): both for (loss, v), both in zip(VARIANTS, zip(before, after, strict=True), strict=True)
    }


@every_variant
def test_jax_gradients_do_not_depend_on_the_rules_of_kernels(loss: Loss, variant: Variant, jax_programs: Any) -> None:
    before, after = jax_programs[loss.name, variant.name]
    assert before == after


# --- the comparisons see faults
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [
    lambda x: torch.clamp_min(x, 0), lambda x: x.clamp(min=0), torch.relu, torch.nn.functional.relu,
    lambda x: torch.maximum(x, torch.zeros_like(x)), lambda x: 0.5 * (x + torch.abs(x)),
    lambda x: torch.nn.functional.threshold(x, 0.0, 0.0), lambda x: torch.nn.functional.hardtanh(x, 0.0, 1e9),
    lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0), lambda x: torch.stack([x, 0 * x]).max(0).values,
])  # fmt: skip
def test_a_kernel_in_place_of_our_positive_part_is_seen(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import torch as ops

    monkeypatch.setattr(ops, "positive_part", kernel)
    seen = set()
    for name in ("hinge_embedding_loss", "hinge_loss", "margin_ranking_loss"):
        loss = LOSSES[name]
        arrays = loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "on_kink", "float64"))
        want = torch_gradients(loss.torch, loss, arrays, {})
        with OtherConvention() as mode:
            got = torch_gradients(loss.torch, loss, arrays, {})
        assert mode.met
        if any(not np.array_equal(a, b) for a, b in zip(want, got, strict=True)):
            seen.add(name)
    assert seen == {"hinge_embedding_loss", "hinge_loss", "margin_ranking_loss"}


@pytest.mark.parametrize("kernel", [
    lambda x: jnp.maximum(x, 0.0), lambda x: jax.nn.relu(x), lambda x: x.clip(min=0.0),
    lambda x: 0.5 * (x + jnp.abs(x)), lambda x: jnp.stack([x, 0 * x]).max(0),
    lambda x: jax.lax.clamp(jnp.zeros_like(x), x, jnp.full_like(x, 1e9)),
])  # fmt: skip
def test_a_rule_in_place_of_our_positive_part_is_seen(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import jax as ops

    monkeypatch.setattr(ops, "positive_part", kernel)
    loss = LOSSES["hinge_loss"]
    arrays = loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "on_kink", "float64"))
    want = jax_program(loss.jax, loss, arrays, {})
    with other_rules():
        got = jax_program(loss.jax, loss, arrays, {})
    assert want != got
