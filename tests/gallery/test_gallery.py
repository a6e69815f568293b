import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.gallery import CAUSES, Case, cases
from tests.gallery.oracles import RUN, cast, numerical

pytest.importorskip("torch")
pytest.importorskip("jax")

CASES = cases()
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def agrees(case: Case, side: str, rtol: float, atol: float, dtype: str) -> bool:
    """Whether a side's value, gradients and arguments afterwards are those of truth."""
    arrays = cast(case, dtype)
    exact = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in arrays.items()}
    value, grads = RUN[side](case, arrays)
    with np.errstate(all="ignore"):
        right = np.asarray(case.truth(*exact.values()))
        slopes = {n: numerical(case.truth, exact, n) for n in case.wrt}
    return (
        value.shape == right.shape
        and np.allclose(value, right, rtol, atol, equal_nan=True)
        and all(np.allclose(grads[n], slopes[n], max(rtol, 1e-4), 1e-4) for n in case.wrt)
    )


@every_case
def test_the_right_functions_are_right(case):
    assert agrees(case.mended(), "torch", 1e-7, 1e-9, "float64")
    assert agrees(case.mended(), "jax", 1e-7, 1e-9, "float64")


@every_case
def test_the_wrong_side_is_wrong(case):
    if case.cause == "argument_mutated":
        import torch

        args = {n: torch.tensor(a) for n, a in cast(case, case.dtypes[0]).items()}
        before = {n: a.clone() for n, a in args.items()}
        case.torch(*args.values())
        assert any(not torch.equal(before[n], args[n]) for n in args)
    elif case.cause in ("lost_digits", "low_precision_accumulation"):
        value, _ = RUN[case.wrong](case, arrays := cast(case, case.dtypes[0]))
        exact = case.truth(*(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays.values()))
        assert not np.allclose(value, exact, 1e-3, 0)
    else:
        assert not agrees(case, case.wrong, 1e-4, 1e-6, case.dtypes[0])


@every_case
def test_the_second_inputs_are_larger(case):
    first, second = case.inputs(), case.second_inputs()
    assert list(first) == list(second)
    assert {n: a.dtype for n, a in first.items()} == {n: a.dtype for n, a in second.items()}
    assert sum(a.size for a in second.values()) > sum(a.size for a in first.values())


def test_references_are_unique_and_causes_known():
    references = [case.reference for case in CASES.values()]
    assert len(set(references)) == len(references) >= 42
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", reference) for reference in references)
    assert sum(case.wrong == "jax" for case in CASES.values()) >= 12
    for case in CASES.values():
        repository, number = case.reference.split("#")
        assert case.url in {f"https://github.com/{repository}/{kind}/{number}" for kind in ("issues", "pull")}
        assert case.title
        assert case.cause in CAUSES
        assert case.wrong in ("torch", "jax")


def test_a_case_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="doc: expected a line 'Reference: owner/repo#number, address'"):
        _ = replace(CASES["mse_outer"], doc="A bug.").reference


def test_files_are_small():
    assert all(len((Path(__file__).parent / f"{slug}.py").read_text().splitlines()) <= 60 for slug in CASES)
