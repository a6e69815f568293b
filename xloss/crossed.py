"""Options crossed with each other and with optional tensors, shapes, regimes and dtypes, so that all pairs are covered.

A loss names its factors (`Loss.crossed`); a design takes a few combinations, so that every value of a factor meets
every value of every other. A combination is a `Variant`, and its name says which: `crossed,gamma=0.5,weight`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xloss.catalog import Loss, Variant

PREFIX = "crossed"
ATTEMPTS = 100  # to complete a pair at random, after which it is taken for one that does not fit


@dataclass(frozen=True)
class Choice:
    """One value of a factor: its word in a variant's name, "" for what is left out, and what it adds to the variant."""

    word: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Return a number that equal choices share."""
        return hash(self.word)


Factor = tuple[Choice, ...]


def option(name: str, *values: Any, **fields: Any) -> Factor:
    """Make the factor of an option: left out, or one of these values; `fields` are the variant's, for all values."""
    return (Choice(), *(Choice(f"{name}={value}".replace(", ", "-"), {name: value}, fields) for value in values))


def tensor(name: str) -> Factor:
    """Make the factor of an optional tensor: left out or given."""
    return (Choice(), Choice(name, {}, {"tensors": (name,)}))


def flag(word: str, options: Mapping[str, Any] | None = None, **fields: Any) -> Factor:
    """Make the factor of something that is so or not, as fields of a variant (`ignored=True`, `draws=("logits",)`)."""
    return (Choice(), Choice(word, options or {}, fields))


def either(*flags: Factor) -> Factor:
    """Join factors that exclude one another."""
    return (Choice(), *(choice for one in flags for choice in one[1:]))


def variant(loss: Loss, choices: Sequence[Choice]) -> Variant:
    """Make the variant of one choice of each factor."""
    first = loss.variants[0]
    options = dict(first.options)
    fields: dict[str, Any] = {"tensors": first.tensors, "draws": first.draws}
    for choice in choices:
        options.update(choice.options)
        for name, value in choice.fields.items():
            fields[name] = fields[name] + value if name in ("tensors", "draws") else value
    words = [choice.word for choice in choices if choice.word]
    return replace(first, name=",".join([PREFIX, *words]), options=options, **fields)


def is_crossed(name: str) -> bool:
    """Tell whether that is the name of a combination."""
    return name.split(",")[0] == PREFIX


@functools.cache
def named(loss: Loss, name: str) -> Variant:
    """Return the combination of that name; raise `KeyError` where the loss has none."""
    words = name.split(",")[1:]
    choices, left = [], list(words)
    for factor in loss.crossed:
        found = next((choice for choice in factor if choice.word in left), factor[0])
        if found.word:
            left.remove(found.word)
        choices.append(found)
    if left or not is_crossed(name):
        known = ", ".join(choice.word for factor in loss.crossed for choice in factor if choice.word)
        raise KeyError(f"{loss.name} has no variant {name!r}; what is crossed is {known or 'nothing'}")
    return variant(loss, choices)


def pairs(
    loss: Loss, others: Mapping[str, Sequence[Any]], seed: int, fits: Callable[[Variant, Mapping[str, Any]], bool]
) -> list[tuple[Variant, dict[str, Any]]]:
    """Return combinations in which every two values of the factors and of `others` meet, unless they do not fit.

    Another seed takes the values in another order, and so gives another design.
    """
    import numpy as np
    from allpairspy import AllPairs

    rng = np.random.default_rng([seed, *loss.name.encode()])
    columns = [list(factor) for factor in loss.crossed] + [list(values) for values in others.values()]
    columns = [[column[i] for i in rng.permutation(len(column))] for column in columns]
    number = len(loss.crossed)

    def split(row: Sequence[Any]) -> tuple[Variant, dict[str, Any]]:
        return variant(loss, row[:number]), dict(zip(others, row[number:], strict=True))

    def valid(row: Sequence[Any]) -> bool:
        if len(row) < number:
            return True
        partial = dict(zip(others, row[number:], strict=False))
        made = variant(loss, row[:number])
        return (loss.excluded is None or not loss.excluded(made)) and fits(made, partial)

    if len(columns) < 2:
        return []
    rows = [tuple(row) for row in AllPairs(columns, filter_func=valid)]
    return [split(row) for row in rows + _unmet(columns, rows, valid, rng)]


def _unmet(columns: list[list[Any]], rows: list[tuple[Any, ...]], valid: Callable[[Sequence[Any]], bool],
           rng: Any) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return rows for pairs that the generator has left out: it gives up a row that it cannot complete."""
    met = {pair for row in rows for pair in itertools.combinations(enumerate(row), 2)}
    more: list[tuple[Any, ...]] = []
    for i, j in itertools.combinations(range(len(columns)), 2):
        for one, other in itertools.product(columns[i], columns[j]):
            if ((i, one), (j, other)) in met:
                continue
            for _ in range(ATTEMPTS):
                row = [column[rng.integers(len(column))] for column in columns]
                row[i], row[j] = one, other
                if valid(row):
                    more.append(tuple(row))
                    met |= set(itertools.combinations(enumerate(row), 2))
                    break
    return more
