"""The inputs of a comparison: from a file, from shapes, from a catalogue loss, or guessed from the signature."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xloss.compare.run import Case
from xloss.compare.sides import Side
from xloss.ops.arguments import check_choice

ROWS, CLASSES = 8, 5
# Another batch size, so that what is counted (rows, elements, labels) shows apart from a constant; many rows for sums.
OTHER_ROWS, MANY_ROWS = 13, 4096

KINDS = {
    "real": "any real number: logits, predictions",
    "labels": "class indices, int64",
    "unit": "probabilities, each in (0, 1)",
    "binary": "targets of 0 and 1, floating",
    "simplex": "probabilities that sum to 1 along the last axis",
    "log_simplex": "log-probabilities along the last axis",
    "onehot": "one 1 along the last axis",
    "signs": "-1 or +1, floating",
    "positive": "positive numbers: variances, rates",
    "weights": "positive weights",
    "mask": "0 or 1, floating, at least one 1",
}
DIFFERENTIABLE = ("real", "unit", "simplex", "log_simplex", "positive")

REGIMES = {
    "typical": "of the order of 1",
    "more_rows": f"typical, {OTHER_ROWS} rows",
    "large": "some tens to hundreds: saturated",
    "tiny": "1e-2 to 1e-6",
    "ties": "few distinct values: exact ties and zeros",
    "zeros": "all real numbers 0",
    "equal": "predictions equal to the targets",
    "one_row": "a batch of one",
    "many_rows": f"typical, {MANY_ROWS} rows (float32 and 16 bits)",
}

# What the name of a parameter says of what it holds; tried in this order.
NAMED: dict[str, tuple[str, ...]] = {
    "labels": ("labels", "binary", "onehot", "real"),
    "label": ("labels", "binary", "onehot", "real"),
    "target": ("labels", "real", "binary", "simplex"),
    "targets": ("labels", "real", "binary", "simplex"),
    "y": ("labels", "real", "binary", "simplex"),
    "y_true": ("labels", "real", "binary", "simplex"),
    "truth": ("labels", "real", "binary", "simplex"),
    "input_ids": ("labels",),
    "ids": ("labels",),
    "tokens": ("labels",),
    "classes": ("labels",),
    "p": ("simplex", "unit"),
    "q": ("simplex", "unit"),
    "prob": ("unit", "simplex"),
    "probs": ("simplex", "unit"),
    "probabilities": ("simplex", "unit"),
    "log_p": ("log_simplex",),
    "log_q": ("log_simplex",),
    "logp": ("log_simplex",),
    "logprobs": ("log_simplex",),
    "log_probs": ("log_simplex",),
    "mask": ("mask",),
    "valid": ("mask",),
    "weight": ("weights",),
    "weights": ("weights",),
    "sample_weight": ("weights",),
    "var": ("positive",),
    "variance": ("positive",),
    "sigma": ("positive",),
    "scale": ("positive",),
    "rate": ("positive",),
    "sign": ("signs",),
}
# Parameters that are numbers, where they have no default.
NUMBERS = {"gamma": 2.0, "alpha": 0.25, "beta": 0.5, "delta": 1.0, "margin": 0.5, "temperature": 0.5, "tau": 0.5,
           "eps": 1e-6, "epsilon": 0.1, "smoothing": 0.1, "label_smoothing": 0.1, "ignore_index": -100}  # fmt: skip


@dataclass(frozen=True)
class Argument:
    """One array argument: its name, what it holds (a key of `KINDS`), its shape, the number of classes of labels."""

    name: str
    kind: str
    shape: tuple[int, ...]
    classes: int = CLASSES
    ignore: int | None = None
    keyword: bool = False

    def __str__(self) -> str:
        """Return it as a user reads it: "target: labels 0 to 4, (8,)"."""
        what = f"labels 0 to {self.classes - 1}" if self.kind == "labels" else self.kind
        ignored = f", a third of them {self.ignore}" if self.ignore is not None else ""
        return f"{self.name}: {what}{ignored}, {self.shape}"


@dataclass(frozen=True)
class Inputs:
    """The arguments of both functions, in order, with options as keywords; `assumed` says what was guessed."""

    arguments: tuple[Argument, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    assumed: str = ""

    def cases(self, regimes: Sequence[str] = tuple(REGIMES), seed: int = 0) -> list[Case]:
        """Draw one case a regime; `zeros` and `equal` are left out where no argument can be so."""
        out = []
        for regime in regimes:
            if regime == "equal" and not self._pairs():
                continue
            rows = {"more_rows": OTHER_ROWS, "one_row": 1, "many_rows": MANY_ROWS}.get(regime)
            rng = np.random.default_rng([seed, list(REGIMES).index(regime)])
            arrays = {a.name: _draw(self._resized(a, rows), regime, rng) for a in self.arguments}
            if regime == "equal":
                arrays.update({name: arrays[first].copy() for first, name in self._pairs()})
            out.append(
                Case(
                    regime,
                    arrays,
                    self.options,
                    tuple(a.name for a in self.arguments if a.keyword),
                    tuple(a.name for a in self.arguments if a.kind in DIFFERENTIABLE),
                    bool(self.arguments[0].shape),
                )
            )
        return out

    def _resized(self, argument: Argument, rows: int | None) -> Argument:
        """Return an argument that carries the batch with another number of rows."""
        first = self.arguments[0].shape
        if rows is None or not first or not argument.shape or argument.shape[0] != first[0] or argument.keyword:
            return argument
        return replace(argument, shape=(rows, *argument.shape[1:]))

    def _pairs(self) -> list[tuple[str, str]]:
        first, *others = self.arguments
        return [(first.name, a.name) for a in others if a.kind == first.kind and a.shape == first.shape]


def _draw(argument: Argument, regime: str, rng: np.random.Generator) -> np.ndarray:
    shape, kind = argument.shape, argument.kind
    if kind == "labels":
        labels = rng.integers(0, argument.classes, shape)
        if argument.ignore is not None and labels.size > 1:
            ignored = rng.random(shape) < 1 / 3
            ignored.flat[0], ignored.flat[-1] = False, True
            labels = np.where(ignored, argument.ignore, labels)
        return np.asarray(labels, dtype=np.int64)
    if kind == "mask":
        mask = (rng.random(shape) < 0.6).astype(np.float64)
        mask.flat[0] = 1.0
        return mask
    x = rng.normal(size=shape)
    if kind == "signs":
        return np.where(x < 0, -1.0, 1.0)
    if kind == "binary":
        return (x > 0).astype(np.float64)
    if kind == "weights":
        return rng.uniform(0.25, 2.0, shape)
    if regime == "large":
        x = x * 40 * 4 ** rng.uniform(0, 1, shape)
    elif regime == "tiny":
        x = x * 10.0 ** -rng.uniform(2, 6, shape)
    elif regime == "ties":
        x = rng.choice([-0.5, 0.0, 0.5, 1.0], shape)
    elif regime == "zeros":
        x = np.zeros(shape)
    if kind in ("unit", "positive"):
        return np.asarray(1 / (1 + np.exp(-np.clip(x, -12, 12)))) if kind == "unit" else np.exp(np.clip(x, -5, 5))
    if kind in ("simplex", "log_simplex", "onehot"):
        x = np.asarray(x - x.max(-1, keepdims=True)) if x.size else x
        if kind == "onehot":
            return np.asarray(np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])])
        log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
        return np.asarray(np.exp(log_p) if kind == "simplex" else log_p)
    return np.asarray(x)


def from_shapes(names: Sequence[str], shape: tuple[int, ...], labels: int | None, ignore: int | None = None) -> Inputs:
    """Return inputs of one shape: a real first argument, and a second of labels below `labels`, or of real numbers."""
    names = list(names) if len(names) >= 2 else ["input", "target"]
    first = Argument(names[0], "real", shape)
    if labels is None:
        return Inputs((first, Argument(names[1], "real", shape)))
    # Labels take the place of the classes: of the axis that has as many, the last one where several have.
    fitting = [axis for axis, size in enumerate(shape) if size == labels and (axis or len(shape) == 1)]
    if not fitting:
        raise ValueError(f"labels: expected the size of an axis of shape {shape} after the first, got {labels}")
    axis = 1 if 1 in fitting and len(shape) > 2 else fitting[-1]
    rest = shape[:axis] + shape[axis + 1 :]
    return Inputs((first, Argument(names[1], "labels", rest, labels, ignore)))


def from_toml(path: Path) -> Inputs:
    """Read inputs from a TOML file: a table `inputs.NAME` an argument, with `kind` and `shape`, and `options`.

    For labels `classes` and, if some shall be ignored, `ignore`; `keyword = true` passes an array by name.

    Raises:
        ValueError: it is no TOML, or a field is missing or wrong; the message names it.
    """
    try:
        spec = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"inputs: {path}: {error}") from None
    unknown = set(spec) - {"inputs", "options"}
    if unknown or not isinstance(spec.get("inputs"), dict) or not spec["inputs"]:
        raise ValueError(f"inputs: {path}: expected tables [inputs.NAME] and [options], got {sorted(spec)}")
    options = spec.get("options", {})
    if not isinstance(options, dict):
        raise ValueError(f"inputs: {path}: options: expected a table, got {options!r}")
    return Inputs(tuple(_argument(path, name, given) for name, given in spec["inputs"].items()), options)


def _argument(path: Path, name: str, given: Any) -> Argument:
    if not isinstance(given, dict):
        raise ValueError(f"inputs: {path}: {name}: expected a table with kind and shape, got {given!r}")
    known = {"kind", "shape", "classes", "ignore", "keyword"}
    if extra := sorted(set(given) - known):
        raise ValueError(f"inputs: {path}: {name}: unknown field {extra[0]!r}; known are {', '.join(sorted(known))}")
    kind, shape = given.get("kind", "real"), given.get("shape", [])
    check_choice(f"inputs: {path}: {name}: kind", [kind], KINDS)
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"inputs: {path}: {name}: shape: expected a list of sizes, got {shape!r}")
    classes = given.get("classes", CLASSES)
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"inputs: {path}: {name}: classes: expected a positive integer, got {classes!r}")
    return Argument(name, kind, tuple(shape), classes, given.get("ignore"), bool(given.get("keyword", False)))


def guesses(sides: Sequence[Side]) -> Iterator[Inputs]:
    """Yield inputs that fit the names of the parameters, the likeliest first; the caller takes the first that runs."""
    longest = max((side.required for side in sides), key=len)
    names = [name for name in longest if name not in NUMBERS] or ["input", "target"]
    if len(names) == 1 and not any(side.required for side in sides):
        names = ["input", "target"]
    options = {name: NUMBERS[name] for name in longest if name in NUMBERS}
    first, *others = names
    firsts = [kind for kind in NAMED.get(first.lower(), ("real",)) if kind != "labels"] or ["real"]
    kinds = [NAMED.get(name.lower(), ("real", "labels", "binary", "weights")) for name in others]
    ignore = -100 if all(side.keywords and "ignore_index" in side.keywords for side in sides) else None
    seen = 0
    for shape in ((ROWS, CLASSES), (ROWS,)):
        for chosen in itertools.product(firsts, *kinds):
            arguments = [Argument(first, chosen[0], shape)]
            for name, kind in zip(others, chosen[1:], strict=True):
                rowwise = kind == "labels" or kind in ("mask", "weights", "signs")
                arguments.append(
                    Argument(name, kind, shape[:1] if rowwise else shape, ignore=ignore if kind == "labels" else None)
                )
            made = tuple(arguments)
            said = "; ".join(map(str, made)) + "".join(f"; {n}={v}" for n, v in options.items())
            yield Inputs(made, options, f"assumed from the signature: {said}")
            seen += 1
            if seen >= 24:
                return


def like(name: str, variant: str = "", seed: int = 0, shape: tuple[int, ...] | None = None) -> list[Case]:
    """Return the cases of a catalogue loss: its inputs, in the regimes that apply to it.

    Optional tensors and options are passed by name.
    """
    from xloss.catalog import get
    from xloss.parity.inputs import Draw, applicable

    loss = get(name)
    chosen = loss.variant(variant) if variant else loss.variants[0]
    optional = set(chosen.tensors)
    out = []
    sizes = [shape] if shape else list(chosen.shapes[:1])
    regimes = [r for r in applicable(loss, chosen) if r not in ("nonfinite", "subnormal", "empty", "noncontiguous")]
    first = sizes[0]
    axis = next(iter(loss.arguments.batch_axes.values()), 0)
    bigger = (*first[:axis], first[axis] + 5, *first[axis + 1 :]) if len(first) > axis else first
    asked = [("typical", first), ("more_rows", bigger), *((r, first) for r in regimes if r != "typical")]
    for regime, size in asked:
        draw = Draw(loss, chosen, size, "typical" if regime == "more_rows" else regime, "float64", seed)
        arrays = dict(loss.inputs(draw))
        batched = not (chosen.unbatched or chosen.broadcast or not chosen.per_sample) and axis == 0
        wrt = loss.arguments.differentiable(arrays)
        out.append(Case(regime, arrays, chosen.options, tuple(n for n in arrays if n in optional), wrt, batched))
    return out
