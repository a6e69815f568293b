"""The cells of a sweep: which loss, which variant, what shape, which regime, which dtype, on which device."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xloss import crossed
from xloss.catalog import LOSSES, Loss, Variant, get
from xloss.ops.arguments import check_choice
from xloss.parity import policy
from xloss.parity.inputs import DTYPES, REGIMES, Draw, applicable

OURS = "xloss"  # the name of xloss's own implementations in the rows
DEVICES = ("cpu", "cuda")
MOST_SEED = 2**32 - 1
#: Truth takes about a millisecond for an element.
MOST_ELEMENTS = 2**20
MOST_RANK = 8  # of an elementwise loss, at which it is asked at any rank
NUMBERS = ("max_abs", "max_rel", "max_ulp", "p99_ulp", "budget")


@dataclass(frozen=True, order=True)
class Cell:
    """One point at which all implementations of a loss are checked by all mechanisms that apply.

    `full` asks for every mechanism with every reduction; otherwise `xloss.parity.policy` says what is asked. Its
    `case_id`, given to `Cell.parse` or to `xloss parity --case`, makes the very same cell again. `torch_only` is how a
    default sweep spares JAX the compiling of rarer cells; it is no part of the question.
    """

    loss: str
    variant: str
    shape: tuple[int, ...]
    regime: str
    dtype: str
    device: str = "cpu"
    seed: int = 0
    full: bool = False
    torch_only: bool = field(default=False, compare=False)

    @property
    def shape_text(self) -> str:
        """The shape in one word: "6x3", or "scalar"."""
        return shape_text(self.shape)

    @property
    def columns(self) -> dict[str, str]:
        """What every row of the cell says of it."""
        return {"loss": self.loss, "variant": self.variant, "dtype": self.dtype, "device": self.device,
                "regime": self.regime, "shape": self.shape_text}  # fmt: skip

    @property
    def case_id(self) -> str:
        """The cell in one word."""
        parts = [self.loss, self.variant, self.shape_text, self.regime, self.dtype, self.device, str(self.seed)]
        return ":".join(parts + (["full"] if self.full else []))

    @classmethod
    def parse(cls, case_id: str) -> Cell:
        """Read a `case_id` (what follows a `#`, the check within the cell, is left out).

        Raises `ValueError` for what is no cell of the loss: an unknown name, a shape of another rank than the variant
        takes or of a size that truth is not computed for, a regime that does not apply, a seed out of range.
        """
        point, sharp, check = case_id.partition("#")
        if sharp and check.count("/") != 4:
            raise ValueError(f"case: expected implementation/framework/mechanism/reduction/argument, or nothing, after "
                             f"the # of {case_id!r}, got {check!r}")  # fmt: skip
        parts = point.split(":")
        full = parts[-1] == "full"
        parts = parts[:-1] if full else parts
        if len(parts) != 7:
            raise ValueError(f"case: expected loss:variant:shape:regime:dtype:device:seed, got {case_id!r}")
        loss, variant, shape, regime, dtype, device, seed = parts
        if not re.fullmatch(r"scalar|[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", shape):
            expected = "positive sizes such as 6x3, or scalar"
            empty = " (the regime `empty` asks a batch of none)" if re.fullmatch(r"[0-9x]*", shape) else ""
            raise ValueError(f"case: the shape of {case_id!r}: expected {expected}, got {shape!r}{empty}")
        check_seed(seed, f"case: the seed of {case_id!r}")
        sizes = () if shape == "scalar" else tuple(map(int, shape.split("x")))
        cell = cls(loss, variant, sizes, regime, dtype, device, int(seed), full)
        try:
            record = get(loss)
            record.variant(variant)
        except KeyError as error:
            raise ValueError(f"case: {error.args[0]}") from None
        check_choice("case: regime", [regime], REGIMES)
        check_choice("case: dtype", [dtype], DTYPES)
        check_choice("case: device", [device], DEVICES)
        _check_fits(record, cell)
        return cell


def check_seed(seed: int | str, name: str = "seed") -> None:
    """Refuse a seed, a number or its text, that is not a whole number from 0 to 2**32 - 1."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", str(seed)[:20]) or int(seed) > MOST_SEED:
        raise ValueError(f"{name}: expected a whole number from 0 to {MOST_SEED}, got {str(seed)[:60]}")


def _check_fits(loss: Loss, cell: Cell) -> None:
    """Refuse a shape or a regime that the loss is not asked at; its inputs are drawn to see that."""
    variant = loss.variant(cell.variant)
    where = f"case: {loss.name}, variant {variant.name}"
    regimes = applicable(loss, variant)
    if cell.regime not in regimes:
        reason = loss.domain.skip_regimes.get(cell.regime)
        why = f" ({reason})" if reason else ""
        raise ValueError(f"{where}: regime {cell.regime!r} does not apply{why}; expected one of {', '.join(regimes)}")
    axes = loss.arguments.class_axes
    elementwise = axes is not None and axes(loss.arguments.wrt[0], len(cell.shape)) is None
    ranks = {len(shape) for shape in variant.shapes}
    if (
        cell.shape not in large_shapes(loss)
        and len(cell.shape) not in ranks
        and not (elementwise and min(ranks) <= len(cell.shape) <= MOST_RANK)
    ):
        known = " or ".join(map(shape_text, variant.shapes))
        raise ValueError(f"{where}: expected a shape like {known}, got {cell.shape_text}")
    if math.prod(cell.shape) > MOST_ELEMENTS:
        raise ValueError(f"{where}: expected a shape of at most {MOST_ELEMENTS} elements, for which truth is computed "
                         f"in balls, got {cell.shape_text}")  # fmt: skip
    try:
        loss.inputs(Draw(loss, variant, cell.shape, cell.regime, cell.dtype, cell.seed))
    except (ValueError, IndexError, TypeError) as error:
        known = " or ".join(map(shape_text, variant.shapes))
        raise ValueError(f"{where}: expected a shape like {known}, got {cell.shape_text} ({error})") from None


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape in one word: "6x3", or "scalar"."""
    return "x".join(map(str, shape)) or "scalar"


def cells(
    losses: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    regimes: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    full: bool = False,
) -> list[Cell]:
    """Return all cells of the losses, dtypes and regimes named; all there are where none is named.

    Raises `ValueError` for an unknown name. The first shape of a variant is asked in all regimes that apply, its other
    shapes in the typical one.
    """
    check_choice("device", [device], DEVICES)
    check_choice("dtype", dtypes or (), DTYPES)
    check_choice("regime", regimes or (), REGIMES)
    check_seed(seed)
    records = [get(name) for name in losses] if losses else LOSSES.values()
    return [
        cell
        for loss in records
        for cell in _cells_of(loss, list(dtypes or DTYPES), device, seed, full)
        if not regimes or cell.regime in regimes
    ]


def _cells_of(loss: Loss, dtypes: list[str], device: str, seed: int, full: bool) -> list[Cell]:
    out = []
    for variant in loss.variants:
        for dtype in dtypes:
            for shape in variant.shapes:
                for regime in applicable(loss, variant) if shape == variant.shapes[0] else ("typical",):
                    torch_only = policy.torch_only(loss, variant, dtype, dtypes, full, regime)
                    if policy.shape_is_asked(loss, variant, shape, regime, dtype, dtypes, full):
                        out.append(Cell(loss.name, variant.name, shape, regime, dtype, device, seed, full, torch_only))
    for shape in large_shapes(loss):
        dtype = policy.MAIN_DTYPE if policy.MAIN_DTYPE in dtypes else dtypes[0]
        out.append(Cell(loss.name, loss.variants[0].name, shape, "typical", dtype, device, seed, full))
    return out + _crossed(loss, dtypes, device, seed, full)


def _crossed(loss: Loss, dtypes: list[str], device: str, seed: int, full: bool) -> list[Cell]:
    """Return the cells of a design in which all pairs of options, shapes, regimes and dtypes meet."""

    def fits(variant: Variant, partial: Mapping[str, Any]) -> bool:
        shape, regime = partial.get("shape"), partial.get("regime")
        if shape is not None and not policy.shape_is_crossed(loss, variant, shape):
            return False
        return regime is None or regime in applicable(loss, variant)

    regimes = [regime for regime in policy.CROSSED_REGIMES if regime in applicable(loss, loss.variants[0])]
    others = {"shape": loss.variants[0].shapes, "regime": regimes, "dtype": dtypes}
    designs = crossed.pairs(loss, others, seed, fits)
    if full:  # a second and a third design
        designs += crossed.pairs(loss, others, seed + 1, fits) + crossed.pairs(loss, others, seed + 2, fits)
    spares = not full and len(dtypes) > 1
    designs.sort(key=lambda design: design[1]["dtype"] not in policy.CROSSED_DTYPES)  # stable: those come first
    cells, met = [], set[tuple[str, ...]]()
    for variant, row in designs:
        # JAX, spared most cells of other dtypes, is to meet each pair of options in some dtype.
        pairs = set(itertools.combinations(sorted(variant.name.split(",")[1:]), 2)) - met
        torch_only = spares and row["dtype"] not in policy.CROSSED_DTYPES and not pairs
        met |= set() if torch_only else pairs
        cells.append(
            Cell(loss.name, variant.name, row["shape"], row["regime"], row["dtype"], device, seed, full, torch_only)
        )
    return list(dict.fromkeys(cells))


def large_shapes(loss: Loss) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of many elements, rows and classes, of one and two classes, and of rank 5, that are asked."""
    if loss.large is not None:
        return loss.large
    axes, first = loss.arguments.class_axes, loss.variants[0].shapes[0]
    if axes is None:
        return ()
    name = loss.arguments.wrt[0]
    if axes(name, 2) is None:
        return ((70, 60), (2, 3, 1, 2), (2, 1, 2, 1, 3))
    many = tuple(1100 if a == 0 else size for a, size in enumerate(first))
    axis = axes(name, len(first))
    wide = tuple(1030 if a == axis else 2 for a in range(len(first)))
    few = tuple(tuple(classes if a == axis else 3 for a in range(len(first))) for classes in (1, 2))
    ranks = {len(shape) for variant in loss.variants for shape in variant.shapes}
    high = [shape for shape in ((2, 3, 1, 2), (2, 3, 1, 2, 2)) if max(ranks) > 2 and len(shape) not in ranks]
    return (many, wide, *few, *high)
