"""The documentation of each loss is complete, its example runs, and both implementations are annotated."""

import doctest
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import every_loss

from xloss.catalog import Loss

pytestmark = pytest.mark.usefixtures("x32")

SECTIONS = ("Formula", "Args:\n", "Returns:", "Errors:", "Source:")


def check_sections(function: Callable[..., Any]) -> None:
    """Raise unless the docstring has all sections and an entry for each parameter, in lines of at most 120."""
    doc = inspect.getdoc(function) or ""
    missing = [section for section in SECTIONS if not re.search(f"^{section}", doc, re.MULTILINE)]
    missing += [name for name in inspect.signature(function).parameters if f"\n    {name}: " not in doc]
    assert not missing, f"the docstring of {function.__name__} lacks {', '.join(missing)}"
    assert max(map(len, doc.splitlines())) <= 120


def run_example(function: Callable[..., Any]) -> None:
    """Raise unless the docstring has an example, and it prints what it says."""
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(function) or "", {}, function.__name__, None, None)
    assert example.examples, f"the docstring of {function.__name__} has no example"
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not failed, "".join(report)


def check_annotations(function: Callable[..., Any]) -> None:
    """Raise unless every parameter and the return value have an annotation, of names that exist."""
    bare = {*inspect.signature(function).parameters, "return"} - typing.get_type_hints(function).keys()
    assert not bare, f"{function.__name__} has no annotation of {', '.join(sorted(bare))}"


@every_loss
def test_docstring_is_complete_and_its_example_runs(loss: Loss) -> None:
    assert inspect.getdoc(loss.torch) == inspect.getdoc(loss.jax)
    check_sections(loss.jax)
    run_example(loss.jax)


@every_loss
def test_both_implementations_are_annotated(loss: Loss) -> None:
    check_annotations(loss.torch)
    check_annotations(loss.jax)


def documented(x: np.ndarray) -> np.ndarray:
    """Twice x.

    Formula: 2 x.

    Args:
        x: any shape.

    Returns: the shape and dtype of x.

    Errors: none.

    >>> print(2 * 2.0)
    4.0

    Source: a test.
    """
    return 2 * x


def with_docstring(doc: str) -> Callable[..., Any]:
    """Make a function like `documented` with another docstring."""

    def function(x):
        return documented(x)

    function.__doc__ = doc
    return function


def test_a_good_function_passes() -> None:
    check_sections(documented)
    run_example(documented)
    check_annotations(documented)


@pytest.mark.parametrize(
    "line", ["Formula: 2 x.", "Returns: the shape and dtype of x.", "    x: any shape.", "Source: a test."]
)
def test_a_missing_section_is_found(line):
    doc = inspect.getdoc(documented)
    assert doc.count(line) == 1
    with pytest.raises(AssertionError, match=rf"lacks {line.strip().split(':')[0]}"):
        check_sections(with_docstring(doc.replace(line, "")))


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (">>> print(2 * 2.0)\n4.5\n", "4.5"),
        (">>> print(undefined)\n4.0\n", "NameError"),
        (">>> import warnings; warnings.warn('planted')\n", "planted"),
        ("", "has no example"),
    ],
    ids=["wrong", "raises", "warns", "absent"],
)
def test_a_failing_example_is_found(example, reason):
    doc = inspect.getdoc(documented)
    with pytest.raises(AssertionError, match=reason):
        run_example(with_docstring(doc.replace(">>> print(2 * 2.0)\n4.0\n", example)))


def test_a_missing_annotation_is_found():
    with pytest.raises(AssertionError, match="return, x"):
        check_annotations(with_docstring(""))
