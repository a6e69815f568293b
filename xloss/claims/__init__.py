"""What people said about losses and their gradients, settled by running it in PyTorch and in JAX.

Five texts are the *seeds*; each has one module here that holds its claims, and one under ``experiments`` that holds the
code which measures them. `run` returns one `Result` a claim; ``xloss claims`` prints them. Importing this package
imports no framework, and no seed either: they are found on first use.
"""

import difflib
import functools
import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from xloss.claims.model import Claim, EvidenceError, Experiment, Measured, Result, Seed, Verdict

__all__ = ["CLAIMS", "SEEDS", "Claim", "EvidenceError", "Result", "Seed", "Verdict", "discover", "run", "select"]

CLAIMS: Mapping[str, Claim]  #: id -> claim, in the order of the seeds' files
SEEDS: Mapping[str, Seed]  #: slug -> seed


@functools.cache
def discover() -> Mapping[str, Seed]:
    """Every seed: the ``SEED`` of each module of this package that has one."""
    seeds = []
    for info in pkgutil.iter_modules(__path__):
        if not info.ispkg and info.name != "__main__":
            seed = getattr(importlib.import_module(f"{__name__}.{info.name}"), "SEED", None)
            if isinstance(seed, Seed):
                seeds.append(seed)
    return MappingProxyType({seed.slug: seed for seed in sorted(seeds, key=lambda seed: seed.number)})


@functools.cache
def _claims() -> Mapping[str, Claim]:
    return MappingProxyType({claim.id: claim for seed in discover().values() for claim in seed.claims})


def __getattr__(name: str) -> Any:
    """`CLAIMS` and `SEEDS`, found on first use."""
    if name == "CLAIMS":
        return _claims()
    if name == "SEEDS":
        return discover()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def select(id: str) -> list[Claim]:
    """The claims of an id: one, or all of a seed, or all whose id begins so; `LookupError` if there is none."""
    claims = _claims()
    if id in claims:
        return [claims[id]]
    found = [claim for claim in claims.values() if id and claim.id.startswith(id)]
    if not found:
        names = {name: name for name in (*claims, *discover())}
        names |= {name.partition("/")[2]: name for name in claims}  # the seed is easily left out
        close = dict.fromkeys(names[match] for match in difflib.get_close_matches(id, names, n=5, cutoff=0.5))
        hint = f"; did you mean {', '.join(close)}?" if close else f"; the seeds are {', '.join(discover())}"
        raise LookupError(f"no claim {id!r}{hint}")
    return found


def run(ids: Iterable[str] | None = None, progress: Callable[[int, int, Result], object] | None = None) -> list[Result]:
    """Measure and judge the claims of these ids, or all; `progress(done, total, result)` is called after each."""
    claims = list(_claims().values())
    if ids is not None:
        claims = list({claim.id: claim for id in ids for claim in select(id)}.values())
    memo: dict[Experiment, Measured] = {}
    results = []
    for claim in claims:
        results.append(settle(claim, memo))
        if progress is not None:
            progress(len(results), len(claims), results[-1])
    return results


def settle(claim: Claim, memo: dict[Experiment, Measured] | None = None) -> Result:
    """Measure and judge one claim; whatever goes wrong is part of the result."""
    start = time.perf_counter()
    try:
        evidence = claim.evidence(memo)
    except Exception as error:  # an experiment can fail in any way a framework can; the other claims still run
        seconds = time.perf_counter() - start
        return Result(claim, error=f"{type(error).__name__}: {error}", crashed=True, seconds=seconds)
    seconds = time.perf_counter() - start
    try:
        return Result(claim, claim.verdict(evidence), evidence, seconds=seconds)
    except EvidenceError as error:
        return Result(claim, None, evidence, error=str(error), seconds=seconds)
