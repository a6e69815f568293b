"""What a sweep asks, and what it leaves out: one table of mechanisms, and the rules for cells, peers and compilers.

Compiling is what costs. A default sweep therefore asks the slower mechanisms of the main cells only (float32, the first
shape of a variant, more than one row), and of JAX, which compiles each of them, for the first variant of a loss only.
Everything is asked by ``--full``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xloss.catalog import FRAMEWORKS, Loss, Variant

if TYPE_CHECKING:
    from xloss.parity.cells import Cell

MAIN_DTYPE = "float32"
# Batches of none and of one: another program to compile, and little to see.
SMALL_BATCHES = ("empty", "one")
# The regimes in which a default sweep runs torch.compile.
COMPILED_REGIMES = ("typical", "confident", "on_kink", "near_kink", "ties", "large")

# What a cell must be for a mechanism to be asked in a default sweep. A full sweep asks all but NEVER.
ANY = frozenset[str]()
MAIN = frozenset({"main cell"})  # float32, the variant's first shape, more than one row
FIRST = frozenset({"first variant"})
MAIN_FIRST = MAIN | FIRST
FULL = frozenset({"full"})
NEVER = frozenset({"never"})  # the framework has no such mechanism


@dataclass(frozen=True)
class Rule:
    """Say in which cells, and with which reductions, each framework is asked a mechanism.

    `reductions` is one of the keys of `_REDUCTIONS`; `full_reductions` is its value in a full sweep, if another.
    `peers` says whether other libraries are asked as well; `not_in` names regimes in which the question has no answer.
    """

    mechanism: str
    reductions: str
    torch: frozenset[str]
    jax: frozenset[str]
    full_reductions: str = ""
    peers: bool = False
    not_in: tuple[str, ...] = ()

    def requires(self, framework: str) -> frozenset[str]:
        """Return what a cell must be for that framework to be asked in a default sweep."""
        return self.torch if framework == "torch" else self.jax


RULES = (
    Rule("value", "none, main", ANY, ANY, peers=True),
    Rule("value", "others", ANY, FIRST, peers=True),
    Rule("backward", "main", ANY, ANY, peers=True),
    Rule("backward", "others", MAIN, MAIN_FIRST, peers=True),
    Rule("vjp", "none", MAIN, MAIN_FIRST),
    Rule("eager", "main", NEVER, FULL),
    Rule("compiled", "main", MAIN_FIRST | {"compiled regime"}, NEVER),
    Rule("grad", "main", MAIN, FULL, "reduced"),
    Rule("func.grad", "main", MAIN, NEVER, "reduced"),
    # An ulp beside a kink, a second derivative is that of either side.
    Rule("hvp", "main", MAIN, MAIN_FIRST, "reduced", not_in=("near_kink",)),
    Rule("double_backward", "main", MAIN, FULL, "reduced", not_in=("near_kink",)),
    Rule("detach", "main", MAIN, MAIN_FIRST, "reduced"),
    Rule("per_sample.vmap", "main", MAIN, MAIN, "reduced"),
    Rule("per_sample.loop", "main", MAIN, FULL, "reduced"),
    Rule("accumulate", "main", MAIN, MAIN_FIRST, "reduced"),
    Rule("jvp", "none", MAIN, MAIN_FIRST),
)


def _reductions(loss: Loss, which: str) -> list[str]:
    main = loss.main_reduction
    return {
        "none": ["none"],
        "main": [main],
        "none, main": [name for name in loss.reductions if name in ("none", main)],
        "others": [name for name in loss.reductions if name not in ("none", main)],
        "reduced": [name for name in loss.reductions if name != "none"],
    }[which]


def asked(loss: Loss, cell: Cell, batch: int) -> Iterator[tuple[Rule, str, tuple[str, ...]]]:
    """Yield each rule that applies to a cell, with a reduction and the frameworks that are asked.

    `batch` is the number of rows of the cell's inputs.
    """
    variant = loss.variant(cell.variant)
    facts: set[str] = set()
    if cell.dtype == MAIN_DTYPE and cell.shape == variant.shapes[0] and batch > 1:
        facts |= MAIN
    if variant is loss.variants[0]:
        facts |= FIRST
    if cell.regime in COMPILED_REGIMES:
        facts.add("compiled regime")
    for rule in RULES:
        frameworks = tuple(
            name for name in FRAMEWORKS if rule.requires(name) != NEVER and (cell.full or rule.requires(name) <= facts)
        )
        if frameworks and cell.regime not in rule.not_in:
            for reduction in _reductions(loss, (cell.full and rule.full_reductions) or rule.reductions):
                yield rule, reduction, frameworks


def table() -> list[dict[str, str]]:
    """Return the rules as rows of words, for a report: what was asked and what was not."""
    words = {MAIN: "main cells", FIRST: "first variants", MAIN_FIRST: "main cells of first variants", ANY: "all cells",
             FULL: "--full only", NEVER: "does not exist"}  # fmt: skip
    return [
        {
            "mechanism": rule.mechanism,
            "reductions": rule.reductions,
            **{
                name: words.get(rule.requires(name), "main cells of first variants, some regimes")
                for name in FRAMEWORKS
            },
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
    if full or (shape == variant.shapes[0] and not small):
        return True
    return (dtype == MAIN_DTYPE or len(dtypes) == 1) and (not small or variant is loss.variants[0])


def torch_only(loss: Loss, variant: Variant, dtype: str, dtypes: Sequence[str], full: bool) -> bool:
    """Tell whether a default sweep spares JAX the compiling: another variant in another dtype than the main one."""
    return not full and len(dtypes) > 1 and dtype != MAIN_DTYPE and variant is not loss.variants[0]


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
