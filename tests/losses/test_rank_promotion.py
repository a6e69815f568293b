"""No loss broadcasts ranks implicitly: `jax_numpy_rank_promotion="raise"` passes, at every documented shape.

Value and gradient.
JAX asks while tracing, so that nothing need be compiled.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from helpers import LOSSES, Loss, Variant, first_variants, jax, jnp

from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x32")

rng = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return rng.uniform(0.1, 0.9, shape).astype(np.float32)


# Shapes that a loss documents beyond those of its variants.
BROADCAST: list[tuple[str, dict[str, np.ndarray]]] = [
    *(
        (name, {"input": real(4, 3), "target": real(4, 3), weight: real(*shape)})
        for name, weight in (
            ("binary_cross_entropy", "weight"),
            ("binary_cross_entropy_with_logits", "weight"),
            ("binary_cross_entropy_with_logits", "pos_weight"),
            ("multilabel_soft_margin_loss", "weight"),
        )
        for shape in ((), (3,), (1, 3), (4, 1))
    ),
    *(
        (name, {"input": real(2, 4, 3), "target": real(*shape)})
        for name in (
            "soft_margin_loss", "multilabel_soft_margin_loss", "hinge_embedding_loss", "hinge_loss", "mse_loss",
            "squared_hinge_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "charbonnier_loss", "log_cosh_loss",
            "quantile_loss", "wing_loss", "detached_squared_error", "kl_div", "jensen_shannon_loss", "poisson_nll_loss",
        )
        for shape in ((), (3,), (4, 3), (1, 4, 1))
    ),
    *(("gaussian_nll_loss", {"input": real(4, 3), "target": real(*t), "var": real(*v)})
      for t, v in (((), (4,)), ((3,), (4, 1)), ((4, 1), (4, 3)))),
    ("margin_ranking_loss", {"input1": real(4, 3), "input2": real(1, 3), "target": real(4, 1)}),
    ("cosine_embedding_loss", {"input1": real(4, 3), "input2": real(1, 3), "target": np.ones(4, np.float32)}),
    ("triplet_margin_loss", {"anchor": real(4, 3), "positive": real(1, 3), "negative": real(4, 1)}),
    ("linear_cross_entropy", {"input": real(4, 2), "linear_weight": real(3, 5, 2), "linear_bias": real(3, 5),
                              "weight": real(3), "target": rng.integers(0, 3, (4, 5))}),
    *(("cross_entropy", {"input": real(2, 3, 4), "target": target, "weight": real(3)})
      for target in (real(2, 3, 4), rng.integers(0, 3, (2, 4)))),
]  # fmt: skip


def trace(call: Callable[..., Any], arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...]) -> None:
    """Trace the value and the gradients, without compiling or running them; first in NumPy, then as arguments."""

    def total(leaves: dict[str, Any], rest: Mapping[str, Any]) -> Any:
        return jnp.sum(call(**{**rest, **leaves}))

    leaves = {name: jnp.asarray(arrays[name]) for name in wrt}
    rest = {name: array for name, array in arrays.items() if name not in wrt}
    with jax.numpy_rank_promotion("raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        jax.eval_shape(jax.value_and_grad(lambda leaves: total(leaves, rest)), leaves)
        jax.eval_shape(jax.value_and_grad(total), leaves, {name: jnp.asarray(array) for name, array in rest.items()})


@first_variants
def test_every_variant_at_every_shape(loss: Loss, variant: Variant) -> None:
    function = loss.implementation("jax")
    for shape in variant.shapes:
        arrays = loss.inputs(Draw(loss, variant, shape, "typical", "float32"))
        wrt = loss.arguments.differentiable(arrays)
        for reduction in loss.reductions:
            trace(lambda reduction=reduction, **a: function(**a, **variant.options, reduction=reduction), arrays, wrt)


@pytest.mark.parametrize(("name", "arrays"), BROADCAST, ids=[
    f"{name}-{'-'.join('x'.join(map(str, a.shape)) or 'scalar' for a in arrays.values())}" for name, arrays in BROADCAST
])  # fmt: skip
def test_every_documented_broadcast(name: str, arrays: dict[str, np.ndarray]) -> None:
    loss = LOSSES[name]
    trace(loss.jax, arrays, loss.arguments.differentiable(arrays))


def test_an_implicit_promotion_is_seen() -> None:
    def careless(input: Any, target: Any) -> Any:
        return jnp.square(input - target)

    with pytest.raises(ValueError, match="rank_promotion"):
        trace(careless, {"input": real(4, 3), "target": real(3)}, ("input",))
    trace(careless, {"input": real(4, 3), "target": real(4, 3)}, ("input",))
