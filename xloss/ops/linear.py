"""Checks of losses whose logits are a linear map of the input, for both frameworks, and how many rows make a chunk."""

from __future__ import annotations

from typing import Any

import numpy as np

from xloss.ops import arguments


def rows_per_chunk(
    rows: int, columns: int, chunk_size: int | None = None, options: Any = None, divisor: int = 1
) -> int:
    """Return `chunk_size`, checked, or the rows of chunks of equal size, of at most 2^23 logits or 256 rows.

    That limit is divided by `divisor`, for a computation that holds many times the size of a chunk.
    """
    if options is not None and not hasattr(options, "batch_chunk_size"):
        arguments.raise_type_error("options", type(options).__name__, "None or torch.nn.LinearCrossEntropyOptions")
    chunk_size = chunk_size if chunk_size is not None or options is None else options.batch_chunk_size
    if chunk_size is None:
        most = max(max(2**23 // max(columns, 1), 256) // divisor, 1)
        return max(-(-rows // max(-(-rows // most), 1)), 1)
    chunk_size = arguments.check_integer("chunk_size", chunk_size)
    if chunk_size < 1:
        arguments.raise_value_error("chunk_size", repr(chunk_size), "a number of rows >= 1")
    return chunk_size


def shape_of_logits(input: Any, linear_weight: Any, linear_bias: Any) -> tuple[int, ...]:
    """Check the shapes of input (N, H) or (H), weight (C, ..., H) and bias (C, ...); return that of the logits."""
    shape, given = tuple(input.shape), tuple(linear_weight.shape)
    if len(shape) not in (1, 2):
        arguments.raise_value_error("input", f"shape {shape}", "shape (H) or (N, H)")
    if len(given) < 2 or given[-1] != shape[-1]:
        arguments.raise_value_error(
            "linear_weight", f"shape {given}", f"shape (C, {shape[-1]}) or (C, d1, ..., dK, {shape[-1]})"
        )
    if given[0] == 0:
        arguments.raise_value_error("linear_weight", f"shape {given}", "one class or more")
    if len(given) > 2 and len(shape) == 1:
        arguments.raise_value_error("input", f"shape {shape}", f"shape (N, {shape[0]}), for linear_weight is {given}")
    if linear_bias is not None and tuple(linear_bias.shape) != given[:-1]:
        arguments.raise_value_error(
            "linear_bias", f"shape {tuple(linear_bias.shape)}", f"shape {given[:-1]}, by linear_weight, {given}"
        )
    return (*shape[:-1], *given[:-1])


def check_target(
    target: Any,
    shape: tuple[int, ...],
    probabilities: bool,
    weight: Any,
    ignore_index: int | None,
) -> int:
    """Refuse a target, class weights or an index that do not fit logits of that shape; return the class axis."""
    axis = len(shape[:2]) - 1
    expected = shape if probabilities else shape[:axis] + shape[axis + 1 :]
    if tuple(target.shape) != expected:
        kind, like = ("probabilities", "that") if probabilities else ("indices", "without the classes, that")
        got = f"shape {tuple(target.shape)}"
        arguments.raise_value_error(f"target (class {kind})", got, f"shape {expected}, {like} of the logits, {shape}")
    if probabilities and ignore_index is not None:
        arguments.raise_value_error(
            "ignore_index", repr(ignore_index), "None: it goes with class indices, and target is floating"
        )
    if weight is not None and tuple(weight.shape) != (shape[axis],):
        each = f"one for each of the {shape[axis]} classes, ({shape[axis]},)"
        arguments.raise_value_error("weight", f"shape {tuple(weight.shape)}", each)
    return axis


def check_index(ignore_index: int | None) -> int | None:
    """Refuse an `ignore_index` that is neither None nor an integer; return it as Python's."""
    return None if ignore_index is None else arguments.check_integer("ignore_index", ignore_index)


def check_options(ignore_index: int | None, label_smoothing: Any) -> None:
    """Refuse an `ignore_index` that is neither None nor an integer, and a number that is no smoothing."""
    check_index(ignore_index)
    if not hasattr(label_smoothing, "shape") or isinstance(label_smoothing, np.generic):
        arguments.check_number("label_smoothing", label_smoothing, least=0, most=1)


def check_cutoffs(cutoffs: Any) -> None:
    """Refuse cutoffs that are not increasing positive integers."""
    if not isinstance(cutoffs, (list, tuple)):
        arguments.raise_type_error("cutoffs", type(cutoffs).__name__, "a list or tuple of integers")
    for cutoff in cutoffs:
        arguments.check_integer("cutoffs", cutoff)
    increasing = all(a < b for a, b in zip([0, *cutoffs][: len(cutoffs)], cutoffs, strict=True))
    if len(cutoffs) < 2 or not increasing:
        arguments.raise_value_error(
            "cutoffs", repr(list(cutoffs)), "positive integers in increasing order, two at least"
        )


def name_tensors(input: Any, target: Any, head_weight: Any, tail_weights: Any, head_bias: Any) -> dict[str, Any]:
    """Return all tensors by name, those of cluster i as `tail_weights[i][0]` and `tail_weights[i][1]`."""
    pairs = isinstance(tail_weights, (list, tuple)) and all(isinstance(p, (list, tuple)) for p in tail_weights)
    if not pairs or any(len(pair) != 2 for pair in tail_weights):
        arguments.raise_type_error("tail_weights", type(tail_weights).__name__, "a list of pairs (projection, weight)")
    tails = {f"tail_weights[{i}][{j}]": x for i, pair in enumerate(tail_weights) for j, x in enumerate(pair)}
    return {"input": input, "head_weight": head_weight, **tails, "head_bias": head_bias, "target": target}


def check_projections(tensors: dict[str, Any], cutoffs: Any) -> None:
    """Check the shapes of the tensors of `name_tensors` against each other and the cutoffs."""
    shape = {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor is not None}
    check_cutoffs(cutoffs)
    if len(shape["input"]) not in (1, 2):
        arguments.raise_value_error("input", f"shape {shape['input']}", "shape (H) or (N, H)")
    features, clusters = shape["input"][-1], len(cutoffs) - 1
    expected = {"target": shape["input"][:-1], "head_weight": (cutoffs[0] + clusters, features)}
    if "head_bias" in shape:
        expected["head_bias"] = (cutoffs[0] + clusters,)
    if f"tail_weights[{clusters - 1}][1]" not in shape or f"tail_weights[{clusters}][1]" in shape:
        given = sum(name.endswith("[0]") for name in shape)
        arguments.raise_value_error(
            "tail_weights", f"{given}", f"a pair for each of the {clusters} clusters of cutoffs"
        )
    for i in range(clusters):
        hidden = shape[f"tail_weights[{i}][0]"][:1]
        expected[f"tail_weights[{i}][0]"] = (*hidden, features)
        expected[f"tail_weights[{i}][1]"] = (cutoffs[i + 1] - cutoffs[i], *hidden)
    for name, want in expected.items():
        if shape[name] != want:
            arguments.raise_value_error(
                name, f"shape {shape[name]}", f"shape {want}, by input, {shape['input']}, and cutoffs"
            )
