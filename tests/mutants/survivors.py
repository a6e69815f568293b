"""Why some mutants are not seen by a default sweep: what it would have to ask."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

#: What a sweep would have to ask, and patterns of the ids of what is not seen until then. The first that fits counts.
REASONS: Mapping[str, tuple[str, ...]] = {
    "NaN or infinity where a mask or a zero leaves it out, in value and gradient": (
        "*/source/done-times-nan", "*/source/zero-times-infinity", "*/source/infinite-logit",
        "*/source/ignored-not-cleared", "*/source/all-others-ruled-out", "*/source/absent-not-left-out",
        "*/source/infinite-logit-is-certain",
    ),
    "derivatives at an edge that `differentiable_mask` takes out, against a convention stated in the record": (
        "*-at-edge", "*/source/no-entropy-at-zero", "*/source/no-gradient-below-eps",
    ),
    "first derivatives by every floating argument (weights, too), and zeros by those that a loss holds constant": (
        "*/gradient(weight)*", "*/gradient(pos_weight)*", "*/gradient(reward)*", "*/gradient(next_value)*",
        "*/gradient(target)+*", "*/source/gradient-not-stopped", "*/gradient(target_*",
    ),
    "second derivatives by every argument, and mixed ones of two": (
        "*/second(target)*", "*/second(weight)*", "*/second(var)*", "*/second(negative)*", "*/second(linear_weight)*",
        "*/second(next_value)*", "*/mixed(*",
    ),
    "third derivatives": ("*/third(*",),
    "second derivatives in other dtypes, with other reductions and of unreduced values": (
        "*/second(*/dtype=*", "*/second(*/reduction=*", "*/second(*/beta=0",
    ),
    "forward mode in other dtypes, with other reductions, and in all variants": ("*/tangent(*",),
    "shapes of more elements, rows and classes than a few, and of one and of two classes": (
        "*/numel>*", "*/rows>*", "*/classes>*", "*/classes=*", "*/odd-rows>1",
    ),
    "shapes of more axes than three": ("*/rank=4", "*/rank=5"),
    "labels of other integer dtypes, and integers where floats are drawn": ("*/dtype(target)=*",),
    "other reductions than the main one in other dtypes, shapes and variants": (
        "*/reduction=*+dtype=*", "*/reduction=*+rank=*", "*/with-weight+dtype=float16",
    ),
    "an option together with another option or with an optional tensor": (
        "*/label_smoothing>0+*", "*/ignore_index>=0+*", "*/p=2+*", "*/p:2 taken for 1/*", "*/delta-dropped/*",
        "*/swap-dropped/*", "*/from_logits+*", "*/chunk_size>2+*", "*/full-dropped/*", "*/weight-dropped/*",
        "*/zero_infinity+*", "*/log_target+*", "*/eps-dropped/full",
    ),
    "values of an option beyond its default and those of the variants, its bounds among them": (
        "*/label_smoothing*", "*/ignore_index*", "*/beta*", "*/delta*", "*/p=*", "*/margin*", "*/gamma*", "*/alpha*",
        "*/temperature*", "*/quantile<*", "*/quantile=*", "*/smooth>*", "*/eps=0", "*/blank>0", "*/discount=0",
        "*/source/alpha-zero-is-none", "*/source/infinite-delta", "*/source/subnormal-beta",
        "*/source/half-beta-forgotten",
    ),
    "values that no regime draws: some weights of zero, labels of one class, masks of zeros and ones, 0 as a label": (
        "*/some=0(*", "*/all=0(*", "*/all=1(*", "*/all-the-same(*", "*/some>*", "*/some<*", "*/some-*",
        "*/source/zero-is-dissimilar", "*/source/empty-is-one", "*/source/squared-before-divided",
        "*/ties(*", "*/some=1(*",
    ),
    "`torch.compile` in every dtype, variant and with every reduction": ("*/torch.compile*",),
    "transformations within transformations and without a gradient; `vmap` with what rows share held fixed": (
        "*/func.*", "*/vmap*", "*/reads-a-value/*",
    ),
    "JAX outside of `jit`": ("*/not-under-jit",),
    "PyTorch's modes: without gradients, inference, autocast, another default dtype, threads": (
        "*/no-grad", "*/inference-mode", "*/autocast", "*/default-dtype-*", "*/threads>1", "*/deterministic-algorithms",
        "*/only-*-requires-grad", "*/not-a-leaf", "*/nothing-requires-grad",
    ),
    "memory that is expanded, a view with an offset, channels last; parameters": (
        "*/expanded(*", "*/offset-view(*", "*/channels-last(*", "*/parameter(*", "*/noncontiguous(*",
    ),
    "NumPy arrays and weak types in JAX; 64-bit dtypes that are not used; JAX's standard promotion": (
        "*/numpy(*", "*/weak-type(*", "*/x64*", "*/standard-promotion",
    ),
    "what a loss prints, warns of, or leaves in its arguments beside numbers": (
        "*/prints/*", "*/warns/*", "*/asks-gradient-*", "*/hooks-*",
    ),
}  # fmt: skip


def reason_of(id: str) -> str:
    """Return why a mutant is not seen, or "" where nobody has said."""
    return next((why for why, patterns in REASONS.items() if any(fnmatchcase(id, one) for one in patterns)), "")
