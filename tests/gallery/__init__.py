"""Real bugs of losses and gradients from public trackers, one file each: the faulty function beside the right one.

Each case names the public report it comes from; the models are written for this gallery.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
        "wrong_formula",
    )
)


@dataclass(frozen=True)
class Case:
    """Describe one public bug as a pair of functions, one of them faulty.

    Attributes:
        reference: "owner/repo#number" of the report, and its address in `url`.
        title: one line, in our words.
        wrong: the faulty side, "torch" or "jax".
        cause: one of `CAUSES`.
        torch, jax: the two functions, called with the arrays in order; each imports its framework inside.
        inputs: returns the arrays by name.
        wrt: the arguments to differentiate by; () where only the value is at stake.
        truth: returns the right value from float64 NumPy arrays, in plain NumPy.
        dtypes: the dtypes in which the bug shows.
        per_sample: whether the functions return one value a sample.
        second_inputs: another draw, of other sizes.
    """

    reference: str
    url: str
    title: str
    wrong: str
    cause: str
    torch: Callable[..., Any]
    jax: Callable[..., Any]
    inputs: Callable[[], Mapping[str, np.ndarray]]
    wrt: tuple[str, ...]
    truth: Callable[..., Any] | None = None
    dtypes: tuple[str, ...] = ("float32",)
    per_sample: bool = False
    second_inputs: Callable[[], Mapping[str, np.ndarray]] | None = None


@functools.cache
def cases() -> dict[str, Case]:
    """Return the cases by the names of their files: every file beside this one that has a `CASE`."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem in {"__init__", "oracles", "conftest"} or path.stem.startswith("test_"):
            continue
        spec = importlib.util.spec_from_file_location(f"tests.gallery.{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path}: expected a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[path.stem] = module.CASE
    return found
