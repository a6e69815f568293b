"""The cells of a sweep: which loss, which variant, what shape, which regime, which dtype, on which device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xloss.catalog import LOSSES, Loss, get
from xloss.ops.arguments import check_choice
from xloss.parity import policy
from xloss.parity.inputs import DTYPES, REGIMES, applicable

OURS = "xloss"  # the name of xloss's own implementations in the rows
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
    def case_id(self) -> str:
        """The cell in one word."""
        parts = [self.loss, self.variant, self.shape_text, self.regime, self.dtype, self.device, str(self.seed)]
        return ":".join(parts + (["full"] if self.full else []))

    @classmethod
    def parse(cls, case_id: str) -> Cell:
        """Read a `case_id` (what follows a `#`, the check within the cell, is left out)."""
        parts = case_id.split("#")[0].split(":")
        full = parts[-1] == "full"
        parts = parts[:-1] if full else parts
        if len(parts) != 7:
            raise ValueError(f"case: expected loss:variant:shape:regime:dtype:device:seed, got {case_id!r}")
        loss, variant, shape, regime, dtype, device, seed = parts
        try:
            sizes = () if shape == "scalar" else tuple(map(int, shape.split("x")))
            cell = cls(loss, variant, sizes, regime, dtype, device, int(seed), full)
        except ValueError as error:
            raise ValueError(f"case: {case_id!r} has no such shape or seed ({error})") from error
        get(loss).variant(variant)
        check_choice("regime", [regime], REGIMES)
        check_choice("dtype", [dtype], DTYPES)
        return cell


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
    check_choice("dtype", dtypes or (), DTYPES)
    check_choice("regime", regimes or (), REGIMES)
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
            torch_only = policy.torch_only(loss, variant, dtype, dtypes, full)
            for shape in variant.shapes:
                for regime in applicable(loss, variant) if shape == variant.shapes[0] else ("typical",):
                    if policy.shape_is_asked(loss, variant, shape, regime, dtype, dtypes, full):
                        out.append(Cell(loss.name, variant.name, shape, regime, dtype, device, seed, full, torch_only))
    return out
