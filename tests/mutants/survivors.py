"""Why some mutants are not seen by a default sweep: what it would have to ask."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

#: What a sweep would have to ask, and patterns of the ids of what is not seen until then. The first that fits counts.
REASONS: Mapping[str, tuple[str, ...]] = {
    "an infinite logit with the label that it says, and a weight of 0 times a log-probability of minus infinity": (
        "*/source/infinite-logit", "*/source/infinite-logit-is-certain", "*/nll_loss/source/zero-times-infinity",
    ),
    "NaN where nothing is looked at, in JAX outside of `jit`: XLA makes a selection of a product with a mask": (
        "jax/td_semi_gradient_loss/source/done-times-nan",
    ),
    "derivatives at an edge that `differentiable_mask` takes out, against a convention stated in the record": (
        "*-at-edge", "*/source/no-entropy-at-zero",
    ),
    "derivatives by an argument whose exact derivative is singular at labels, which the record leaves out": (
        "*/sigmoid_focal_loss/gradient(target)*",
    ),
    "every variant in every dtype in JAX, which compiles each: of those but the first it is asked in one other dtype": (
        "jax/*/with-weight+dtype=float16", "jax/mse_loss/gradient(weight)*", "jax/*/dtype(target)=int64",
    ),
    "an option below the smallest normal number, which the loss takes for 0": ("*/source/subnormal-beta",),
    "values that no regime draws: an empty mask where nothing is predicted, 0 for a label of -1 or 1, errors whose "
    "squares overflow where their loss does not": (
        "jax/dice_loss/source/empty-is-one", "*/source/zero-is-dissimilar", "*/source/squared-before-divided",
    ),
    "weights of the classes in memory of stride 0": ("*/expanded(pos_weight)",),
    "more frames than ten": ("*/ctc_loss/*/rows>10",),
    "the filters of warnings while a loss is traced: they are put back behind it": ("*/ignores-warnings/*",),
}  # fmt: skip


def reason_of(id: str) -> str:
    """Return why a mutant is not seen, or "" where nobody has said."""
    return next((why for why, patterns in REASONS.items() if any(fnmatchcase(id, one) for one in patterns)), "")
