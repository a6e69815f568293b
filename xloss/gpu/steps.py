"""What is asked of an accelerator, in the order of its worth.

A step is a list of cells, each a small dictionary with an `id`, and the name of the work that a child does with it
(`xloss.gpu.work`). A step that is asked in one framework needs that one; `seconds` is its share of ten minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from xloss.catalog import FRAMEWORKS, LOSSES, Contestant, Unsupported, get

Cell = dict[str, Any]

#: The dtypes that are asked on an accelerator.
DTYPES = ("float32", "bfloat16")
#: Seconds of the nominal budget, of which the first steps take all.
NOMINAL = 540.0
#: How much longer a cell may take in a rehearsal.
SLOW = 4
#: JAX compiles on the host: so many children do so at once.
LANES = 3


@dataclass(frozen=True)
class Step:
    """A part of a run.

    `patience` is what one cell may take, `lanes` how many children work at once; `truth` says that exact results are
    needed; `rehearsal` and `real` tell in which kind of run it is asked.
    """

    name: str
    title: str
    work: str
    seconds: float
    cells: Callable[[Sequence[str], str], list[Cell]]
    framework: str = ""
    patience: float = 60.0
    lanes: int = 1
    truth: bool = False
    real: bool = True
    rehearsal: bool = True


def _parity_cell(cell: Any, framework: str, mechanisms: Sequence[str] | None, peers: bool) -> Cell:
    return {"id": f"{cell.case_id}#{framework}", "at": asdict(cell), "framework": framework, "peers": peers,
            "mechanisms": mechanisms}  # fmt: skip


def _values(losses: Sequence[str], device: str, framework: str) -> list[Cell]:
    """Value and gradient of each loss, at typical inputs."""
    from xloss.parity.cells import Cell as Point

    out = []
    for name in losses:
        variant = get(name).variants[0]
        point = Point(name, variant.name, variant.shapes[0], "typical", "float32", device)
        out.append(_parity_cell(point, framework, ("value", "backward"), False))
    return out


def _slow_last(losses: Sequence[str], device: str) -> list[Cell]:
    """JAX's values and gradients, the programs that are long to compile last."""
    from xloss.gpu.lowering import lengths

    known = lengths()
    ordered = sorted(losses, key=lambda name: known.get(name, 0))
    return _values(ordered, device, "jax")


def _parity(losses: Sequence[str], device: str, dtype: str) -> list[Cell]:
    """All regimes and mechanisms of a dtype in PyTorch, the typical inputs first."""
    from xloss.parity import cells

    found = [cell for cell in cells(list(losses), DTYPES, None, device) if cell.dtype == dtype]
    found.sort(key=lambda cell: cell.regime != "typical")
    return [_parity_cell(cell, "torch", None, False) for cell in found]


def _timed_cell(loss: str, who: Contestant, size: str, dtype: str = "float32", cold: bool = False,
                quantity: str = "value_and_grad", **more: Any) -> Cell:  # fmt: skip
    caches = "cold" if cold else "warm"
    shape = "x".join(map(str, (*more["shape"], *more.get("extra", ())))) if "shape" in more else size
    return {"id": f"{loss} {who} {quantity} {shape} {dtype} {caches}", "loss": loss, "who": str(who), "size": size,
            "dtype": dtype, "cold": cold, "quantity": quantity, **more}  # fmt: skip


def _timed(losses: Sequence[str], _device: str) -> list[Cell]:
    """Return about two hundred cells that tell: ours in three modes, then peers, named sizes, cold caches, 16 bits."""
    from xloss.bench.session import contestants

    ours: list[Cell] = []
    peers: list[Cell] = []
    named: list[Cell] = []
    for name in losses:
        record = get(name)
        for who in contestants(record):
            own = who.implementation == "xloss"
            (ours if own else peers).append(_timed_cell(name, who, "large"))
            if own and who.mode != "compile":
                for size in sorted({"published", "vocabulary"} & set(record.workloads)):
                    named += [_timed_cell(name, who, size, cold=True), _timed_cell(name, who, size, "bfloat16")]
    order = ("eager", "jit", "compile")  # the slower a compiler, the later
    ours.sort(key=lambda cell: order.index(Contestant.parse(cell["who"]).mode))
    return [*named, *ours, *peers]


def _each(losses: Sequence[str], _device: str, size: str, whos: Sequence[Contestant]) -> list[Cell]:
    return [_timed_cell(name, who, size) for who in whos for name in losses]


_OURS = tuple(Contestant(name, mode, "xloss") for name, mode in zip(FRAMEWORKS, ("eager", "jit"), strict=True))


def _products(losses: Sequence[str], _device: str) -> list[Cell]:
    """All implementations of the losses that multiply matrices, with and without 19-bit products."""
    from xloss.bench.session import contestants

    names = [name for name in losses if _multiplies(name)]
    return [
        {**_timed_cell(name, who, "small"), "id": f"{name} {who} products {precision}", "precision": precision}
        for name in names
        for who in contestants(get(name))
        if who.mode != "compile"
        for precision in ("usual", "highest", "tensorfloat32")
    ]


def _multiplies(name: str) -> bool:
    """Tell whether a loss has products of matrices: it has weights of a layer, or compares all rows."""
    from xloss.bench import roofline
    from xloss.bench.workload import CONTESTANTS, Workload, draw

    record = get(name)
    if record.arguments.class_axes is None:
        return True
    try:
        inputs = draw(record, Workload(name, CONTESTANTS[0], size="small"))
    except Unsupported:
        return False
    return bool(roofline.flops(inputs, "value"))


def _published(losses: Sequence[str], _device: str) -> list[Cell]:
    from xloss.gpu.published import FIGURES

    found: dict[str, Cell] = {}
    for figure in FIGURES:
        if figure.loss in losses:
            for who in _OURS:
                cell = _timed_cell(figure.loss, who, "published", figure.dtype, quantity=figure.quantity,
                                   shape=figure.shape, extra=figure.extra)  # fmt: skip
                found.setdefault(cell["id"], cell)
    return list(found.values())


def _frameworks(_losses: Sequence[str], _device: str) -> list[Cell]:
    return [{"id": name, "framework": name} for name in FRAMEWORKS]


def _planted(_losses: Sequence[str], _device: str) -> list[Cell]:
    from xloss.gpu.planted import FAULTS

    return [{"id": name} for name in FAULTS]


def _losses(losses: Sequence[str], _device: str, framework: str) -> list[Cell]:
    return [{"id": name, "loss": name, "framework": framework} for name in losses]


def _steps() -> Iterator[Step]:
    from xloss.gpu.planted import PATIENCE

    of, values = functools.partial, "value and gradient of every loss, float32"
    yield Step("planted", "planted faults", "planted", 60, _planted, patience=PATIENCE, real=False)
    yield Step("torch-values", f"PyTorch: {values}", "parity", 60, of(_values, framework="torch"), "torch", truth=True)
    yield Step("torch-fake", "PyTorch: every loss on a device without values", "fake", 120,
               of(_losses, framework="torch"), "torch", real=False)  # fmt: skip
    for dtype, seconds in zip(DTYPES, (160, 80), strict=True):
        yield Step(f"torch-{dtype}", f"PyTorch: every mechanism and regime, {dtype}", "parity", seconds,
                   of(_parity, dtype=dtype), "torch", truth=True, rehearsal=False)  # fmt: skip
    yield Step("jax-values", f"JAX: {values}", "parity", 180, _slow_last, "jax", lanes=LANES, truth=True)
    yield Step("jax-lowered", "JAX: programs for cuda", "lowered", 120, of(_losses, framework="jax"), "jax",
               real=False)  # fmt: skip
    yield Step("bandwidth", "bandwidth of a copy", "bandwidth", 20, _frameworks, patience=60)
    yield Step("published", "shapes for which others published figures", "timed", 240, _published, patience=90)
    yield Step("device-time", "time of the device and of the host", "timed", 600, _timed, patience=60)
    yield Step("memory", "peak memory", "memory", 180, of(_each, size="large", whos=_OURS), patience=60)
    yield Step("repeats", "the same bits in every repeat", "repeats", 60, of(_each, size="medium", whos=_OURS))
    yield Step("products", "precision of matrix products", "products", 40, _products)


def steps(rehearse: bool) -> list[Step]:
    """Return the steps of a run, in order."""
    if not rehearse:
        return [step for step in _steps() if step.real]
    return [_rehearsed(step) for step in _steps() if step.rehearsal]


def _rehearsed(step: Step) -> Step:
    """Return a step as it is rehearsed: a busy CPU is slow, and one program shows how `torch.compile` is called.

    A planted hang is to be given up soon.
    """
    if step.name == "planted":
        return step

    def cells(losses: Sequence[str], device: str) -> list[Cell]:
        found = step.cells(losses, device)
        compiled = [cell for cell in found if "/compile/" in cell.get("who", "")]
        return [cell for cell in found if cell not in compiled[1:]]

    return replace(step, patience=SLOW * step.patience, seconds=SLOW * step.seconds, cells=cells)


def every_loss() -> list[str]:
    """Return the names of all losses."""
    return list(LOSSES)
