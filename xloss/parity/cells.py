"""The cells of a sweep: which loss, which variant, what shape, which regime, which dtype, on which device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xloss.catalog import LOSSES, get
from xloss.parity.inputs import DTYPES, REGIMES, applicable

# What a sweep that is not full asks of this dtype only: the slower mechanisms, the rarer shapes.
MAIN_DTYPE = "float32"


@dataclass(frozen=True, order=True)
class Cell:
    """One point at which all implementations of a loss are checked by all mechanisms that apply.

    A `light` one, in a sweep that is not full, is not compiled by JAX: another variant in another dtype.

    `full` asks for every mechanism with every reduction; otherwise the slower ones run in a few telling regimes. Its
    `case_id`, given to `Cell.parse` or to `xloss parity --case`, makes the very same cell again.
    """

    loss: str
    variant: str
    shape: tuple[int, ...]
    regime: str
    dtype: str
    device: str = "cpu"
    seed: int = 0
    full: bool = False
    light: bool = field(default=False, compare=False)  # no part of the question: PyTorch alone answers

    @property
    def case_id(self) -> str:
        """The cell in one word."""
        shape = "x".join(map(str, self.shape)) or "scalar"
        parts = [self.loss, self.variant, shape, self.regime, self.dtype, self.device, str(self.seed)]
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
        check_names("regime", [regime], REGIMES)
        check_names("dtype", [dtype], DTYPES)
        return cell


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known, with the list of those that are."""
    known = list(known)
    for name in given:
        if name not in known:
            raise ValueError(f"{what}: expected one of {', '.join(known)}, got {name!r}")


def cells(
    losses: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    regimes: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    full: bool = False,
) -> list[Cell]:
    """All cells of the losses, dtypes and regimes named; all there are where none is named.

    Raises `ValueError` for an unknown name. The first shape of a variant is asked in all regimes that apply, its other
    shapes in the typical one.
    """
    check_names("dtype", dtypes or (), DTYPES)
    check_names("regime", regimes or (), REGIMES)
    chosen = list(dtypes or DTYPES)
    out = []
    for loss in [get(name) for name in losses] if losses else LOSSES.values():
        for variant in loss.variants:
            for dtype in chosen:
                for shape in variant.shapes:
                    for regime in applicable(loss, variant) if shape == variant.shapes[0] else ("typical",):
                        # Another shape is another program to compile. Unless all is asked for, other shapes are asked in
                        # the main dtype only, and the batches of none and of one with the first variant.
                        small = regime in ("empty", "one")
                        rare = small or shape != variant.shapes[0]
                        main = dtype == MAIN_DTYPE or len(chosen) == 1
                        if rare and not full and not (main and (not small or variant is loss.variants[0])):
                            continue
                        light = dtype != MAIN_DTYPE and variant is not loss.variants[0]
                        light = light and not full and len(chosen) > 1
                        if not regimes or regime in regimes:
                            out.append(Cell(loss.name, variant.name, shape, regime, dtype, device, seed, full, light))
    return out
