"""What each check catches of the gallery: xloss.compare, and the usual ones; and what it says of healthy pairs.

`python -m tests.gallery.oracles` prints the table; `--json` prints it with the cases missed, `--write` writes
reports/gallery.md and gallery.json.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tests.gallery import Case
from tests.gallery.verdicts import Verdict
from xloss.parity.mechanisms.jax import x64


def cast(case: Case, dtype: str) -> dict[str, np.ndarray]:
    """Return the inputs, the floating ones in the dtype."""
    return {n: np.array(a, dtype) if a.dtype.kind == "f" else np.array(a) for n, a in case.inputs().items()}


def run_torch(case: Case, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the value and the gradients of its sum on the torch side."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = {n: torch.tensor(a).requires_grad_(n in case.wrt) for n, a in arrays.items()}
        value = case.torch(*args.values())
        leaves = [args[n] for n in case.wrt]
        grads = torch.autograd.grad(value.sum(), leaves, materialize_grads=True) if leaves else ()
    return value.detach().numpy(), {n: g.numpy() for n, g in zip(case.wrt, grads, strict=True)}


def run_jax(case: Case, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the value and the gradients of its sum on the JAX side."""
    import jax

    with x64(any(a.dtype == np.float64 for a in arrays.values())):
        args = {n: jax.numpy.asarray(a) for n, a in arrays.items()}
        value = case.jax(*args.values())
        leaves = {n: args[n] for n in case.wrt}
        grads = jax.grad(lambda x: case.jax(*{**args, **x}.values()).sum())(leaves) if leaves else {}
        return np.asarray(value), {n: np.asarray(g) for n, g in grads.items()}


RUN = {"torch": run_torch, "jax": run_jax}


def numerical(function: Callable[..., Any], arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the derivative of the sum of a function of float64 arrays, by central differences; inf is not moved."""
    grad, step = np.zeros(arrays[name].shape), 1e-5
    for index in np.ndindex(grad.shape):
        at = arrays[name][index]
        if np.isfinite(at):
            ends = []
            for sign in (1, -1):
                moved = {n: np.array(a) for n, a in arrays.items()}
                moved[name][index] = at + sign * step
                ends.append(np.asarray(function(*moved.values())))
            moving = ends[0] != ends[1]  # an output that stays infinite does not move
            grad[index] = np.sum((ends[0][moving] - ends[1][moving]) / (2 * step))
    return grad


SECONDS = 300.0  # for a cause: far more than it takes, so that the table does not depend on how busy the machine was


def xloss(case: Case) -> Verdict:
    """Compare the two sides by xloss.compare, with the right value as truth, on two sets of inputs."""
    from xloss.compare.diagnosis import Evidence, diagnose
    from xloss.compare.pair import compare
    from xloss.compare.reference import CatalogueTruth, FormulaTruth
    from xloss.compare.run import Case as Inputs
    from xloss.compare.sides import side

    both = {"typical": case.inputs(), "more_rows": case.second_inputs()}
    truth = case.truth if isinstance(case.truth, CatalogueTruth) else FormulaTruth(case.truth)
    sides = (side(case.torch, framework="torch"), side(case.jax, framework="jax"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = compare(
            *sides,
            [Inputs(name, arrays, case.options, wrt=case.wrt) for name, arrays in both.items()],
            dtypes=case.dtypes,
            truth=truth,
            per_sample=False,  # many of the losses are not a mean over samples
            diagnoser=lambda cases, names, rows, _: diagnose(
                Evidence(sides, cases, names, lambda case: truth(case).result(), rows), SECONDS
            ),
        )
    named = found.diagnoses[0].side if found.diagnoses else ""
    guilty = {row["framework"] for row in found.failures}
    return Verdict(
        bool(found.failures),
        bool(found.failures) and (guilty == {case.wrong} or named == case.wrong),
        bool(found.diagnoses) and found.diagnoses[0].cause == case.cause,
    )


def gradcheck(case: Case) -> Verdict:
    """Ask torch.autograd.gradcheck about the torch side in float64."""
    import torch

    if not case.wrt:
        return Verdict(False)
    args = [torch.tensor(a).requires_grad_(n in case.wrt) for n, a in cast(case, "float64").items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = not torch.autograd.gradcheck(case.torch, args, raise_exception=False)
    return Verdict(failed, failed and case.wrong == "torch")


def check_grads(case: Case) -> Verdict:
    """Ask jax.test_util.check_grads about the JAX side in float64."""
    import jax
    from jax.test_util import check_grads as check

    if not case.wrt:
        return Verdict(False)
    failed = False
    with x64(True):
        args = {n: jax.numpy.asarray(a) for n, a in cast(case, "float64").items()}
        try:
            check(lambda x: case.jax(*{**args, **x}.values()), ({n: args[n] for n in case.wrt},), 1, ["rev"])
        except AssertionError:
            failed = True
    return Verdict(failed, failed and case.wrong == "jax")


def _differs(a: Any, b: Any) -> bool:
    import torch

    try:
        torch.testing.assert_close(torch.tensor(np.asarray(a)), torch.tensor(np.asarray(b)), check_dtype=False)
    except AssertionError:
        return True
    return False


def close_values(case: Case) -> Verdict:
    """Ask torch.testing.assert_close about the two values."""
    arrays = cast(case, case.dtypes[0])
    return Verdict(_differs(run_torch(case, arrays)[0], run_jax(case, arrays)[0]))


def close_gradients(case: Case) -> Verdict:
    """Ask torch.testing.assert_close about the two gradients."""
    arrays = cast(case, case.dtypes[0])
    ours, theirs = run_torch(case, arrays)[1], run_jax(case, arrays)[1]
    return Verdict(any(_differs(ours[n], theirs[n]) for n in case.wrt))


def allclose(case: Case) -> Verdict:
    """Ask np.allclose about the two values."""
    arrays = cast(case, case.dtypes[0])
    a, b = run_torch(case, arrays)[0], run_jax(case, arrays)[0]
    return Verdict(a.shape != b.shape or not np.allclose(a, b))


def outputs_and_numerical(case: Case) -> Verdict:
    """Compare the outputs in float64, and each gradient with the numerical one of its own side."""
    arrays = cast(case, "float64")
    sides = {name: run(case, arrays) for name, run in RUN.items()}
    apart = not np.allclose(sides["torch"][0], sides["jax"][0])
    guilty = set()
    for name, run in RUN.items():
        value_only = replace(case, wrt=())

        def value(*a: Any, run: Any = run, case: Case = value_only) -> Any:
            return run(case, dict(zip(arrays, a, strict=True)))[0]

        if any(not np.allclose(sides[name][1][n], numerical(value, arrays, n), atol=1e-4) for n in case.wrt):
            guilty.add(name)
    return Verdict(apart or bool(guilty), guilty == {case.wrong})


XLOSS = "xloss"
ORACLES: dict[str, Callable[[Case], Verdict]] = {
    XLOSS: xloss,
    "torch.autograd.gradcheck": gradcheck,
    "jax.test_util.check_grads": check_grads,
    "torch.testing.assert_close on values": close_values,
    "torch.testing.assert_close on gradients": close_gradients,
    "np.allclose on values": allclose,
    "values and numerical gradients in float64": outputs_and_numerical,
}

if __name__ == "__main__":
    import sys

    from tests.gallery.report import main

    sys.exit(main(sys.argv[1:]))
