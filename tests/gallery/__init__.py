"""Real bugs of losses and gradients from public trackers, one file each: the faulty function beside the right one.

Each case names the public report it comes from; the models are written for this gallery.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

CAUSES = frozenset(
    (
        "factor",
        "swapped_arguments",
        "sign",
        "logits_as_probabilities",
        "log_probabilities_as_probabilities",
        "probabilities_as_log_probabilities",
        "probabilities_as_logits",
        "smoothing_convention",
        "labels_off_by_one",
        "labels_wrapped",
        "labels_clamped",
        "ignored_in_denominator",
        "weights_in_denominator",
        "axis_transposed",
        "detached",
        "not_detached",
        "mean_of_means",
        "mean_against_batchmean",
        "sum_against_mean",
        "eps_placement",
        "biased_variance",
        "float32_inside_float64",
        "low_matmul_precision",
        "low_precision_accumulation",
        "kink_convention",
        "nan_at_zero_norm",
        "zero_times_log_zero",
        "inf_minus_inf",
        "overflow_without_max_shift",
        "clipped_gradient",
        "clipped_value",
        "argument_mutated",
        "nondeterministic",
        "missing_term",
        "lost_digits",
        "wrong_shape",
        "gradient_factor",
        "additive_constant",
        "option_convention",
        "class_weights",
        "labels_shifted",
        "outside_domain",
        "wrong_formula",
    )
)


@dataclass(frozen=True)
class Case:
    """Describe one public bug as a pair of functions, one of them faulty.

    Attributes:
        doc: the docstring of the file: a title, what goes wrong, and "Reference: owner/repo#number, address".
        torch, jax: the two functions, called with the arrays in order; each imports its framework inside.
        truth: returns the right value from float64 NumPy arrays, in plain NumPy.
        healthy: the right function in the framework of the wrong side.
        inputs: returns the arrays by name; takes the number of rows and a seed where they are drawn.
        wrong: the faulty side, "torch" or "jax".
        cause: one of `CAUSES`.
        wrt: the arguments to differentiate by; () where only the value is at stake.
        dtypes: the dtypes in which the bug shows.
        options: the options of a catalogue loss, for its truth; its functions have them.
        second: further inputs, where `inputs` cannot draw them.
    """

    doc: str | None
    torch: Callable[..., Any]
    jax: Callable[..., Any]
    truth: Callable[..., Any]
    healthy: Callable[..., Any]
    inputs: Callable[..., Mapping[str, np.ndarray]]
    wrong: str
    cause: str
    wrt: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32",)
    options: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[str, np.ndarray] | None = None

    def second_inputs(self) -> Mapping[str, np.ndarray]:
        """Return another draw with four rows more; where the inputs are fixed, the first row of each once more."""
        if self.second is not None:
            return self.second
        parameters = inspect.signature(self.inputs).parameters
        if "rows" in parameters:
            return self.inputs(parameters["rows"].default + 4, 1)
        return {name: np.concatenate([array, array[:1]]) for name, array in self.inputs().items()}

    @property
    def title(self) -> str:
        """Return the first line, without its full stop."""
        return (self.doc or "").partition("\n")[0].rstrip(".")

    @property
    def reference(self) -> str:
        """Return "owner/repo#number" of the report."""
        return self._reference[0]

    @property
    def url(self) -> str:
        """Return the address of the report."""
        return self._reference[1]

    @property
    def _reference(self) -> tuple[str, str]:
        found = re.search(r"^Reference: (\S+),\s+(\S+)$", self.doc or "", re.MULTILINE)
        if found is None:
            raise ValueError(f"doc: expected a line 'Reference: owner/repo#number, address', got {self.doc!r}")
        return found[1], found[2]

    @property
    def right(self) -> str:
        """Return the framework of the right side."""
        return "jax" if self.wrong == "torch" else "torch"

    def mended(self) -> Case:
        """Return the case with the right function on both sides."""
        return replace(self, **{self.wrong: self.healthy})


@functools.cache
def cases() -> dict[str, Case]:
    """Return the cases by the names of their files: every file beside this one that has a `CASE`."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem in {"__init__", "oracles", "right", "verdicts", "healthy", "report"} or path.stem.startswith(
            "test_"
        ):
            continue
        spec = importlib.util.spec_from_file_location(f"tests.gallery.{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path}: expected a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[path.stem] = module.CASE
    return found
