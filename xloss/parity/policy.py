"""What a sweep asks, and what it leaves out: one table of mechanisms, and the rules for cells, peers and compilers.

Compiling is what costs. A default sweep therefore asks the slower mechanisms of the main cells only (float32, the first
shape of a variant, more than one row), and of JAX, which compiles each of them, for the first variant of a loss only.
Everything is asked by ``--full``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xloss import crossed
from xloss.catalog import FRAMEWORKS, Loss, Variant
from xloss.parity.inputs import SHARED

if TYPE_CHECKING:
    from xloss.parity.cells import Cell

MAIN_DTYPE = "float32"
# Batches of none and of one: another program to compile, and little to see.
SMALL_BATCHES = ("empty", "one")
# The regimes in which a default sweep runs torch.compile.
COMPILED_REGIMES = ("typical", "confident", "on_kink", "near_kink", "ties", "large")

# Of a design that crosses options with them; JAX, which compiles each combination, is asked in the dtypes named.
CROSSED_REGIMES = ("typical", "confident", "large", "tiny")
CROSSED_DTYPES = ("float32",)

FEW_ELEMENTS = 1000
# In which JAX is asked derivatives of other kinds than the gradient, at the typical inputs of first variants.
OTHER_DTYPES = ("float64", "bfloat16")

# What a cell must be for a mechanism to be asked in a default sweep: one of several sets of facts. A full sweep asks
# all but NEVER.
Facts = tuple[frozenset[str], ...]


def _when(*facts: str) -> Facts:
    return (frozenset(facts),)


ANY = _when()
MAIN = _when("main cell")  # float32, the variant's first shape, more than one row
MAIN_FIRST = _when("main cell", "first variant")
TYPICAL = _when("typical cell")  # the regime "typical", the variant's first shape, more than one row; any dtype
MAIN_TYPICAL = _when("main cell", "typical cell")
FIRST_TYPICAL = _when("main cell", "first variant", "typical cell")
FIRST = _when("first variant")
CROSSED = _when("crossed")  # a combination of options, in any regime
THIRD_CROSSED = tuple(_when(f"crossed {number}") for number in range(3))  # of three mechanisms, each in a third of them
LARGE = _when("large")  # a shape of thousands of elements
ANOTHER_RANK = _when("another rank")  # a shape of rank 4 or 5
NUMBER = _when("number", "first variant")  # the shape ()
FULL = _when("full")
NEVER = _when("never")  # the framework has no such mechanism
COMPILED = _when("main cell", "first variant", "compiled regime")


@dataclass(frozen=True)
class Rule:
    """Say in which cells, and with which reductions, each framework is asked a mechanism.

    `reductions` is one of the keys of `_REDUCTIONS`; `full_reductions` is its value in a full sweep, if another.
    `peers` says whether other libraries are asked as well; `not_in` names regimes in which the question has no answer,
    `only_in` those alone in which it has one; `dtypes` the only dtypes in which it is asked; `not_in_torch` further
    regimes in which PyTorch has none.
    """

    mechanism: str
    reductions: str
    torch: Facts
    jax: Facts
    full_reductions: str = ""
    peers: bool = False
    not_in: tuple[str, ...] = ()
    only_in: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    not_in_torch: tuple[str, ...] = ()

    def requires(self, framework: str) -> Facts:
        """Return what a cell must be for that framework to be asked in a default sweep."""
        return self.torch if framework == "torch" else self.jax

    def has_answer(self, cell: Cell, framework: str) -> bool:
        """Tell whether the mechanism can be asked in a cell at all."""
        not_in = (*self.not_in, *(self.not_in_torch if framework == "torch" else ()))
        fits = cell.regime not in not_in and (not self.only_in or cell.regime in self.only_in)
        return fits and (not self.dtypes or cell.dtype in self.dtypes)


def _context(mechanism: str, torch: Facts, jax: Facts, reductions: str = "main", full_reductions: str = "reduced",
             dtypes: tuple[str, ...] = ()) -> Rule:  # fmt: skip
    """Make the rule of a context in which a loss is called; it is asked at typical inputs, for these do not matter."""
    return Rule(mechanism, reductions, torch, jax, full_reductions, only_in=("typical",), dtypes=dtypes)


TORCH_USUAL = MAIN + TYPICAL + CROSSED
TORCH_ALIKE = MAIN_FIRST + TYPICAL + CROSSED  # of what gives the gradient of `backward` in another way
JAX_USUAL = MAIN_FIRST + MAIN_TYPICAL
OTHER_DTYPE = _when("typical cell", "first variant", "float64 or bfloat16")

RULES = (
    Rule("value", "none, main", ANY, ANY, peers=True),
    Rule("value", "others", ANY, FIRST + CROSSED + LARGE + TYPICAL, peers=True),
    Rule("backward", "main", ANY, ANY, peers=True),
    Rule("backward", "others", TORCH_USUAL, MAIN_FIRST + TYPICAL + THIRD_CROSSED[0], peers=True),
    Rule("vjp", "none", TORCH_USUAL + LARGE + ANOTHER_RANK, JAX_USUAL + OTHER_DTYPE + THIRD_CROSSED[2] + LARGE),
    Rule("func.vjp", "none", TORCH_USUAL + LARGE + ANOTHER_RANK, NEVER),
    Rule("eager", "main", TORCH_ALIKE + LARGE, FULL),
    Rule("compiled", "main", COMPILED, NEVER, "reduced"),
    Rule("grad", "main", TORCH_ALIKE, FULL, "reduced"),
    Rule("func.grad", "main", TORCH_ALIKE, NEVER, "reduced"),
    # An ulp beside a kink, a second derivative is that of either side. PyTorch's forward mode gives a tangent the
    # strides of its primal: wrong by itself where elements share memory.
    Rule(
        "hvp",
        "main",
        TORCH_USUAL,
        JAX_USUAL + OTHER_DTYPE + THIRD_CROSSED[1],
        not_in=("near_kink",),
        not_in_torch=SHARED,
    ),
    Rule("hvp", "others", TYPICAL, FIRST_TYPICAL, not_in=("near_kink",), not_in_torch=SHARED),
    Rule("hvp", "unreduced", MAIN_TYPICAL, FIRST_TYPICAL, not_in=("near_kink",), not_in_torch=SHARED),
    Rule("double_backward", "main", TORCH_ALIKE, FULL, "reduced", not_in=("near_kink",)),
    Rule("func.double", "main", TYPICAL, NEVER, "reduced", only_in=("typical",)),
    Rule("detach", "main", MAIN_FIRST + MAIN_TYPICAL, MAIN_FIRST, "reduced"),
    Rule("per_sample.vmap", "main", TORCH_USUAL, MAIN + THIRD_CROSSED[0], "reduced"),
    Rule("per_sample.loop", "main", MAIN_FIRST + TYPICAL, FULL, "reduced"),
    Rule("accumulate", "main", TORCH_ALIKE, MAIN_FIRST, "reduced"),
    Rule("jvp", "reduced", TYPICAL, FIRST_TYPICAL, not_in_torch=SHARED),
    Rule("jvp", "none", TORCH_USUAL, MAIN_FIRST + OTHER_DTYPE + THIRD_CROSSED[2], not_in_torch=SHARED),
    Rule("third", "none", MAIN_TYPICAL, FIRST_TYPICAL, only_in=("typical",)),
    _context("value.eager", NEVER, FIRST_TYPICAL),
    _context("value.numpy", NEVER, FIRST_TYPICAL),
    _context("deterministic", MAIN_TYPICAL, NEVER),
    Rule("vmap.jvp", "none", TYPICAL, FIRST_TYPICAL, only_in=("typical",)),
    Rule("vmap.hvp", "main", MAIN_TYPICAL, FIRST_TYPICAL, only_in=("typical",)),
    _context("no_grad", TYPICAL + LARGE, NEVER),
    _context("inference_mode", TYPICAL + LARGE, NEVER),
    _context("autocast", MAIN_TYPICAL, NEVER, dtypes=("float32",)),
    _context("parameters", TYPICAL, NEVER),
    _context("offset_views", TYPICAL, NEVER),
    _context("channels_last", ANOTHER_RANK, NEVER),
    _context("threads", MAIN_TYPICAL + LARGE, NEVER),
    _context("checkpoint", MAIN_TYPICAL, FIRST_TYPICAL),
    _context("nested_vmap", MAIN_TYPICAL, FIRST_TYPICAL),
    _context("compiled.dynamic", FULL, NEVER),
    _context("numpy", NEVER, FIRST_TYPICAL),
    _context("x64", NEVER, FIRST_TYPICAL + OTHER_DTYPE, dtypes=("float32", "bfloat16", "float16")),
    _context("donated", NEVER, FULL),
    _context("by_position", TYPICAL, FIRST_TYPICAL),
    _context("default_float64", MAIN_TYPICAL, NEVER),
    _context("standard_promotion", NEVER, FIRST_TYPICAL),
    _context("narrow_labels", MAIN_TYPICAL, FIRST_TYPICAL),
    _context("unsigned_labels", MAIN_TYPICAL, FIRST_TYPICAL),
    _context("int32_labels", MAIN_TYPICAL, NEVER),
    _context("weak_types", NEVER, NUMBER),
    _context("spoiled", TYPICAL, FIRST_TYPICAL + MAIN_TYPICAL),
    _context("widened", TYPICAL, FIRST_TYPICAL + MAIN_TYPICAL, "sum", "sum"),
    _context("exported", MAIN_TYPICAL + OTHER_DTYPE, NEVER, "others"),
    _context("mixed", TYPICAL, FULL, dtypes=("bfloat16", "float16")),
)


def _reductions(loss: Loss, which: str) -> list[str]:
    main = loss.main_reduction
    return {
        "none": ["none"],
        "sum": [name for name in loss.reductions if name == "sum"],
        "unreduced": ["none"] if main != "none" else [],
        "main": [main],
        "none, main": [name for name in loss.reductions if name in ("none", main)],
        "others": [name for name in loss.reductions if name not in ("none", main)],
        "reduced": [name for name in loss.reductions if name != "none"],
    }[which]


def facts_of(loss: Loss, cell: Cell, batch: int) -> frozenset[str]:
    """Return what the rules may require of a cell. `batch` is the number of rows of its inputs."""
    if crossed.is_crossed(cell.variant):
        return frozenset({"crossed", f"crossed {zlib.crc32(cell.case_id.encode()) % 3}"} if batch > 1 else {"crossed"})
    variant = loss.variant(cell.variant)
    if cell.shape not in variant.shapes:
        return frozenset({"large" if math.prod(cell.shape) > FEW_ELEMENTS else "another rank"})
    facts = {"another rank"} if len(cell.shape) > 3 and cell.regime == "typical" else set()
    if not cell.shape and cell.regime == "typical":
        facts.add("number")
    first_shape = cell.shape == variant.shapes[0] and batch > 1
    if first_shape and cell.dtype == MAIN_DTYPE:
        facts.add("main cell")
    if first_shape and cell.regime == "typical":
        facts.add("typical cell")
        if cell.dtype in OTHER_DTYPES:
            facts.add("float64 or bfloat16")
    if variant is loss.variants[0]:
        facts.add("first variant")
    if cell.regime in COMPILED_REGIMES:
        facts.add("compiled regime")
    return frozenset(facts)


def asked(loss: Loss, cell: Cell, batch: int) -> Iterator[tuple[Rule, str, tuple[str, ...], bool]]:
    """Yield each rule that applies to a cell, with a reduction, the frameworks that are asked, and whether it is
    for its typical inputs: what is asked in other regimes as well is a program of its own, which these share.

    `batch` is the number of rows of the cell's inputs.
    """
    facts = facts_of(loss, cell, batch)
    everything = cell.full and "large" not in facts  # there, only some derivatives are known
    for rule in RULES:
        frameworks = tuple(
            name
            for name in FRAMEWORKS
            if rule.requires(name) != NEVER and (everything or any(one <= facts for one in rule.requires(name)))
        )
        frameworks = tuple(name for name in frameworks if rule.has_answer(cell, name))
        elsewhere = facts - {"typical cell"}
        typical = bool(rule.only_in) or not any(one <= elsewhere for one in rule.jax)
        if frameworks:
            for reduction in _reductions(loss, (everything and rule.full_reductions) or rule.reductions):
                yield rule, reduction, frameworks, typical


def _words(facts: Facts) -> str:
    """Return what a cell must be in words."""
    words = {ANY[0]: "all cells", FULL[0]: "--full only", NEVER[0]: "does not exist"}
    return "; ".join(words.get(one, ", ".join(sorted(one))) for one in facts)


def table() -> list[dict[str, str]]:
    """Return the rules as rows of words, for a report: what was asked and what was not."""
    return [
        {
            "mechanism": rule.mechanism,
            "reductions": rule.reductions,
            **{name: _words(rule.requires(name)) for name in FRAMEWORKS},
            "--full": rule.full_reductions or rule.reductions,
            "peers": "yes" if rule.peers else "no",
        }
        for rule in RULES
    ]


def shape_is_asked(loss: Loss, variant: Variant, shape: tuple[int, ...], regime: str, dtype: str,
                   dtypes: Sequence[str], full: bool) -> bool:  # fmt: skip
    """Tell whether a sweep over `dtypes` asks this shape in this regime.

    Another shape is another program to compile: a default sweep asks shapes beyond the first, and batches of none and
    of one, in the main dtype (or the only one) alone; these small batches with the first variant alone.
    """
    small = regime in SMALL_BATCHES
    if regime in SHARED and dtype != MAIN_DTYPE and not full:
        return False
    if full or (shape == variant.shapes[0] and not small):
        return True
    return (dtype == MAIN_DTYPE or len(dtypes) == 1) and (not small or variant is loss.variants[0])


def torch_only(loss: Loss, variant: Variant, dtype: str, dtypes: Sequence[str], full: bool, regime: str) -> bool:
    """Tell whether a default sweep spares JAX the compiling, of another variant in other dtypes than the main one (but
    its typical inputs in one of them), or the question how arguments lie in memory.
    """
    if regime in SHARED and not full:
        return True
    if full or len(dtypes) == 1 or dtype == MAIN_DTYPE or variant is loss.variants[0]:
        return False
    others = [name for name in dtypes if name != MAIN_DTYPE]
    return regime != "typical" or dtype != others[zlib.crc32(f"{loss.name}/{variant.name}".encode()) % len(others)]


def peers_are_asked(loss: Loss, cell: Cell, framework: str) -> bool:
    """Tell whether other libraries are measured in this cell; those on JAX, which compile, in the main dtype and
    shape.
    """
    first_shape = loss.variant(cell.variant).shapes[0]
    main = cell.dtype == MAIN_DTYPE and cell.shape == first_shape and cell.regime not in SMALL_BATCHES
    return cell.full or framework == "torch" or main


def compiles_fast(loss: Loss, cell: Cell, mechanism: str, reduction: str) -> bool:
    """Tell whether XLA may leave out optimizations: in all but the values and the gradient of a first variant.

    Those two are compiled as a user's own `jit` would. What transformations, options, dtypes and shapes do to the
    mathematics shows in a program without optimizations, which is there in a fifth of the time.
    """
    first = loss.variants[0]
    main = cell.shape == first.shapes[0] and cell.dtype == MAIN_DTYPE and cell.regime not in SMALL_BATCHES
    as_users_do = (mechanism, reduction) in (("value", "none"), ("backward", "mean"))
    return not (cell.variant == first.name and as_users_do and (main or cell.full))


def shape_is_crossed(loss: Loss, variant: Variant, shape: tuple[int, ...]) -> bool:
    """Tell whether a combination of options can be asked at one of its loss's shapes, and tells something there."""
    axes = loss.arguments.class_axes
    axis = axes(loss.arguments.wrt[0], len(shape)) if axes is not None and shape else None
    if isinstance(axis, int) and shape[axis] == 1:  # a single class
        return False
    # A single number: PyTorch's forward mode gives a 0-d tensor times a number a tangent in float64. And what is
    # broadcast, or the same for a row, lacks an axis.
    return len(shape) > (1 if variant.broadcast or variant.draws else 0)
