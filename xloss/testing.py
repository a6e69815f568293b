"""For tests: assert that two losses, one in PyTorch and one in JAX, are the same.

    from xloss.testing import assert_parity

    def test_focal():
        assert_parity(torch_focal, jax_focal, {"input": logits, "target": labels})

The pytest plugin gives the same as a fixture, `parity`, with a report: ``pytest --xloss-report out.html``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xloss.compare.comparison import Comparison
    from xloss.compare.run import Case

__all__ = ["assert_parity", "compare"]

Inputs = Mapping[str, Any] | Sequence[Any] | str


def assert_parity(
    torch_fn: Callable[..., Any],
    jax_fn: Callable[..., Any],
    inputs: Inputs,
    *,
    wrt: Sequence[str] | None = None,
    per_sample: bool = False,
    dtypes: Sequence[str] = ("float32",),
    truth: Callable[..., Any] | str | None = None,
    options: Mapping[str, Any] | None = None,
    microbatches: int = 0,
    strict: bool = False,
    device: str = "cpu",
) -> None:
    """Raise `AssertionError` where two functions differ in value or gradient, or where one of them is wrong.

    Both are run in float64, too: where they agree there, that judges the other dtypes; where they do not, they compute
    different functions, and the message names the cause, if it is a known one.

    Args:
        torch_fn, jax_fn: the functions (either may also be of the other framework). Arrays are passed by position, in
            the order of `inputs`; options by name, to a function that takes them.
        inputs: NumPy arrays by name, or in a sequence; several such mappings in a list are several cases; the name of a
            loss of the catalogue takes that loss's inputs.
        wrt: names of the arrays to differentiate by; all floating ones by default.
        per_sample: compare the gradients of each sample alone, by one call a sample and by `vmap`.
        dtypes: those to judge: "float64", "float32", "bfloat16", "float16".
        truth: the right value as a function of the arrays in plain arithmetic, or the name of a loss of the catalogue.
        options: keyword arguments for both functions.
        microbatches: into how many micro-batches to cut the first case, to see whether their gradients, each divided by
            that number, add up to the batch's; 0 does not.
        strict: count digits lost where the result is small as a fault (see `xloss.parity.verdict`).
        device: "cpu" or "cuda".

    Raises:
        AssertionError: they differ; the message gives the worst element, ulps, the cause.
        TypeError, ValueError: an argument is wrong.

    Example:
        >>> import numpy as np
        >>> from xloss.torch import mse_loss
        >>> from xloss.jax import mse_loss as mse_loss_jax
        >>> assert_parity(mse_loss, mse_loss_jax, {"input": np.zeros((4, 3)), "target": np.ones((4, 3))})
    """
    __tracebackhide__ = True
    found = compare(torch_fn, jax_fn, inputs, wrt=wrt, per_sample=per_sample, dtypes=dtypes, truth=truth,
                    options=options, microbatches=microbatches, strict=strict, device=device)  # fmt: skip
    if not found.ok:
        raise AssertionError(message(found))


def compare(
    torch_fn: Callable[..., Any],
    jax_fn: Callable[..., Any],
    inputs: Inputs,
    *,
    wrt: Sequence[str] | None = None,
    per_sample: bool = False,
    dtypes: Sequence[str] = ("float32",),
    truth: Callable[..., Any] | str | None = None,
    options: Mapping[str, Any] | None = None,
    microbatches: int = 0,
    strict: bool = False,
    device: str = "cpu",
) -> Comparison:
    """Compare two functions, and return what was found; see `assert_parity`. In a notebook it shows as tables."""
    from xloss.compare import pair
    from xloss.compare.reference import CatalogueTruth, FormulaTruth
    from xloss.compare.sides import side
    from xloss.ops.arguments import check_choice
    from xloss.parity.inputs import DTYPES

    check_choice("dtypes", dtypes, DTYPES)
    check_choice("device", [device], ("cpu", "cuda"))
    if isinstance(microbatches, bool) or not isinstance(microbatches, int) or microbatches < 0:
        raise ValueError(f"microbatches: expected a number of at least 0, got {microbatches!r}")
    sides = []
    for function, framework, name in ((torch_fn, "torch", "torch_fn"), (jax_fn, "jax", "jax_fn")):
        if not callable(function):
            raise TypeError(f"{name}: expected a function, got {type(function).__name__}")
        sides.append(side(function, default=framework))
    right: Any = None
    if isinstance(truth, str):
        right = CatalogueTruth(truth)
    elif truth is not None:
        if not callable(truth):
            raise TypeError(f"truth: expected a function or the name of a loss, got {type(truth).__name__}")
        right = FormulaTruth(truth)
    elif isinstance(inputs, str):
        right = CatalogueTruth(inputs)
    cases = _cases(inputs, wrt, options or {}, sides)
    return pair.compare(sides[0], sides[1], cases, dtypes=tuple(dtypes), truth=right,
                        per_sample=per_sample, microbatches=microbatches, strict=strict, device=device)  # fmt: skip


def message(found: Comparison) -> str:
    """Return what an assertion says: the verdict, the first failures, the cause, how many checks passed."""
    from xloss.compare import show
    from xloss.compare.script import script

    lines = [f"{show.verdict(found)}", ""]
    for row in show.first_failures(found)[:4]:
        lines += [f"{row['status']}: {show.where(row)}", f"    {row['reason']}"]
        if np.isfinite(row["max_abs"]):
            lines.append(f"    greatest absolute difference {row['max_abs']:.6g} ({row['max_ulp']:.3g} ulps)")
    lines += [f"cause: {d.sentence}" for d in found.diagnoses[:2]] or ["cause: none of the known ones fits"]
    lines += [f"note: {note}" for note in found.notes[:2]]
    if code := script(found):
        lines += ["", "to reproduce:", "", code]
    return "\n".join(lines)


def _cases(inputs: Inputs, wrt: Sequence[str] | None, options: Mapping[str, Any], sides: Sequence[Any]) -> list[Case]:
    """Return the cases that the inputs describe."""
    from xloss.compare import cases

    if isinstance(inputs, str):
        from xloss.catalog import get

        try:
            return cases.like(get(inputs).name)
        except KeyError as error:
            raise ValueError(f"inputs: {error.args[0]}") from None
    if isinstance(inputs, Mapping):
        return [_case("inputs", inputs, wrt, options)]
    if not isinstance(inputs, Sequence) or not inputs:
        raise TypeError(f"inputs: expected arrays by name or in a sequence, got {type(inputs).__name__}")
    if all(isinstance(one, Mapping) for one in inputs):
        return [_case(f"inputs[{i}]", one, wrt, options) for i, one in enumerate(inputs)]
    names = max((one.required for one in sides), key=len)
    names = names if len(names) >= len(inputs) else tuple(f"argument_{i}" for i in range(len(inputs)))
    return [_case("inputs", dict(zip(names, inputs, strict=False)), wrt, options)]


def _case(name: str, arrays: Mapping[str, Any], wrt: Sequence[str] | None, options: Mapping[str, Any]) -> Case:
    from xloss.compare.run import Case

    out: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        if hasattr(array, "detach"):
            array = array.detach().cpu().double().numpy() if array.is_floating_point() else array.cpu().numpy()
        made = np.asarray(array)
        if made.dtype.kind not in "iubf" and made.dtype.name not in ("bfloat16",):
            raise TypeError(f"inputs: {key}: expected an array of numbers, got {made.dtype}")
        out[key] = made.astype(np.float64) if made.dtype.kind not in "iub" else made
    floating = tuple(key for key, array in out.items() if array.dtype.kind == "f")
    for key in wrt or ():
        if key not in floating:
            raise ValueError(f"wrt: expected names among {', '.join(floating) or 'none'}, got {key!r}")
    batched = bool(out) and next(iter(out.values())).ndim > 0
    return Case(name, out, options, (), floating if wrt is None else tuple(wrt), batched)
