"""Test what five texts claim about losses and their gradients by running it in PyTorch and in JAX.

Each text is a *source* and has one module here that holds its claims; ``experiments`` holds the code that measures
them. `run` returns one `Result` per claim; ``xloss claims`` prints them. Importing this package imports no framework.
"""

import difflib
import time
from collections.abc import Callable, Iterable, Mapping

from xloss.claims import detached_error, four_averages, notebook_backward, notes_on_losses, typical_gradients
from xloss.claims.model import Claim, Evidence, EvidenceError, Result, Source, Verdict

__all__ = ["CLAIMS", "SOURCES", "Claim", "EvidenceError", "Result", "Source", "Verdict", "run", "select", "settle"]

_MODULES = (detached_error, notebook_backward, typical_gradients, notes_on_losses, four_averages)
#: slug -> source
SOURCES: Mapping[str, Source] = {module.SOURCE.slug: module.SOURCE for module in _MODULES}
#: id -> claim
CLAIMS: Mapping[str, Claim] = {claim.id: claim for source in SOURCES.values() for claim in source.claims}


def select(id: str) -> list[Claim]:
    """Return the claims of an id: one, or all whose id begins so; raise `LookupError` if there is none."""
    if id in CLAIMS:
        return [CLAIMS[id]]
    found = [claim for claim in CLAIMS.values() if id and claim.id.startswith(id)]
    if not found:
        names = {name: name for name in (*CLAIMS, *SOURCES)}
        names |= {name.partition("/")[2]: name for name in CLAIMS}  # the source is easily left out
        close = dict.fromkeys(names[match] for match in difflib.get_close_matches(id, names, n=5, cutoff=0.5))
        hint = f"; did you mean {', '.join(close)}?" if close else f"; the sources are {', '.join(SOURCES)}"
        raise LookupError(f"no claim {id!r}{hint}")
    return found


def run(ids: Iterable[str] | None = None, progress: Callable[[int, int, Result], object] | None = None) -> list[Result]:
    """Measure and judge the claims of these ids, or all; `progress(done, total, result)` is called after each."""
    claims = list({claim.id: claim for id in ids for claim in select(id)} if ids is not None else CLAIMS)
    memo: dict[str, Evidence] = {}
    results = []
    for id in claims:
        results.append(settle(CLAIMS[id], memo))
        if progress is not None:
            progress(len(results), len(claims), results[-1])
    return results


def settle(claim: Claim, memo: dict[str, Evidence] | None = None) -> Result:
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
