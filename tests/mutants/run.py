"""Sweep each mutant in worker processes, and say which are seen: `python -m tests.mutants --help`."""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.mutants.catalogue import catalogue, find
from tests.mutants.model import Mutant, watch
from tests.mutants.survivors import reason_of
from tests.mutants.templates import LONG
from xloss.catalog import LOSSES
from xloss.files import write_text
from xloss.parity import Cell, cells, sweep
from xloss.parity.cells import OURS
from xloss.parity.policy import MAIN_DTYPE
from xloss.parity.processes import Workers
from xloss.parity.sweep import BAD, STOPPED, keep_truth

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
SUMMARY = ROOT / "reports" / "mutants.json"
TRUTH = Path(tempfile.gettempdir()) / "xloss-mutants-truth.sqlite"
TIMEOUT = 60.0  # seconds that one cell may take
VARIABLE = "XLOSS_MUTANT"  # the mutant that `tests.mutants.plugin` plants
KILLED, SURVIVED = "killed", "survived"
UNREACHED = "no call reaches the fault"
Record = dict[str, Any]


LOSS_FILES = tuple(f"xloss.losses.{name}" for name in sorted(LOSSES))
# What each worker would import for itself, and run all twice for: see `xloss.parity.evaluate._run`.
IMPORTED_BEFORE = (
    "torch", "jax", "torch._dynamo.backends.debugging", "torch._functorch.aot_autograd", "torch._inductor.compile_fx",
    "torch._decomp.decompositions_for_jvp", "torch._dynamo.backends.inductor", "torch._dynamo.backends.distributed",
    "torch._dynamo.backends.cudagraphs", "torch._dynamo.repro.after_dynamo", "torch._inductor.compiler_bisector",
    "torch._subclasses.schema_check_mode", "torch.distributed.tensor.experimental", "torch.export._trace",
    "torch.fx.experimental.validator", "torch._dynamo.dce_extra_outputs", "torch._export.db.logging",
    "torch._functorch._aot_autograd.subclass_codegen", "torch._higher_order_ops.passes.inline_invoke_subgraph",
    "jax.experimental.multihost_utils", "jaxlib.mlir.dialects.mhlo", "xloss.ops.torch", "xloss.ops.jax",
    "xloss.ops.autocast_torch", "xloss.ops.sharding_jax",
    "pandas", "xloss.parity.evaluate", "xloss.parity.worker", "xloss.parity.mechanisms.torch",
    "xloss.parity.mechanisms.jax", "tests.mutants.catalogue", *LOSS_FILES,
)  # fmt: skip


def start_server() -> None:
    """Start the process that workers are forked from, with all modules that a sweep needs; the first call counts."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED_BEFORE))
    forkserver.ensure_running()


def begin(id: str, truth: Path | None) -> None:
    """Prepare a worker: plant a mutant (none where the id is empty), and use the exact results of former runs."""
    keep_truth(truth)
    if id:
        find(id).plant()


_reached: set[str] = set()  # in a worker that watches: the mutants that were reached


def begin_watching(loss: str, framework: str, truth: Path | None) -> None:
    """Prepare a worker in which the loss is right, and notes which mutants of it a call would reach."""
    keep_truth(truth)
    watch(loss, framework, of(loss, framework), _reached)


def take_reached() -> set[str]:
    """Return the mutants that were reached since it was called last; runs in a worker."""
    taken = set(_reached)
    _reached.clear()
    return taken


def of(loss: str, framework: str) -> list[Mutant]:
    """Return the mutants of a loss in a framework."""
    return [one for one in catalogue().values() if (one.loss, one.framework) == (loss, framework)]


def chunks(asked: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells in the groups in which a sweep asks them, the main ones first."""
    asked = list(asked)

    def key(cell: Cell) -> Any:
        return cell.dtype != MAIN_DTYPE, cell.variant != asked[0].variant, cell.variant, cell.shape, cell.dtype

    return [list(group) for _, group in itertools.groupby(sorted(asked, key=key), key=key)]


def asked_of(framework: str, loss: str, full: bool = False, seed: int = 0) -> list[Cell]:
    """Return the cells that a sweep with default arguments asks of a loss in a framework."""
    # A default sweep of both frameworks spares JAX some cells; one of JAX alone would not.
    spared = framework == "jax"
    return [cell for cell in cells([loss], full=full, seed=seed) if not (spared and getattr(cell, "torch_only", False))]


def findings(table: Any) -> list[tuple[str, str]]:
    """Return case and reason of what a sweep has against our implementation."""
    bad = table[(table["implementation"] == OURS) & table["status"].isin([*BAD, *STOPPED])]
    return [(row["case_id"], f"{row['status']}: {row['reason']}"[:160]) for row in bad.to_dict("records")]


class Control:
    """What a sweep says of the unchanged loss, and which mutants its groups of cells reach.

    Where a fault is not reached a mutant is the loss itself, and need not be asked.
    """

    def __init__(self, loss: str, framework: str, asked: Iterable[Cell], truth: Path | None = TRUTH):
        self.loss, self.framework, self.truth = loss, framework, truth
        self.chunks = chunks(asked)
        self.seconds: list[float] = []
        self.reached, found = self._sweep(begin_watching, (loss, framework, truth))
        # What is found where it watches may be due to that.
        self.known = frozenset(self._sweep(begin, ("", truth))[1]) if found else frozenset()

    def _sweep(self, initializer: Any, arguments: tuple[Any, ...]) -> tuple[list[set[str]], set[str]]:
        reached, found = [], set()
        self.seconds = []
        with Workers(1, TIMEOUT, initializer=initializer, initargs=arguments) as workers:
            for chunk in self.chunks:
                start = time.perf_counter()
                table = sweep(chunk, workers, frameworks=(self.framework,), peers=False, timeout=TIMEOUT)
                found |= {case for case, _ in findings(table)}
                self.seconds.append(time.perf_counter() - start)
                reached.append(workers.submit(take_reached).result())
        return reached, found

    def asked_of(self, mutant: Mutant) -> list[list[Cell]]:
        """Return the groups of cells that reach the fault, those first that take least."""
        order = sorted(range(len(self.chunks)), key=lambda number: self.seconds[number])
        return [self.chunks[number] for number in order if mutant.id in self.reached[number]]


def examine(
    mutant: Mutant,
    asked: Sequence[Sequence[Cell]],
    known: frozenset[str] = frozenset(),
    first: str = "",
    truth: Path | None = TRUTH,
    jobs: int = 1,
) -> Record:
    """Sweep one mutant until something is found that the unchanged loss does not have, and say what.

    The cell of the case `first` is asked first.
    """
    start = time.perf_counter()
    found: list[tuple[str, str]] = []
    telling = [[cell] for chunk in asked for cell in chunk if cell.case_id == first.partition("#")[0]]
    with Workers(jobs, TIMEOUT, initializer=begin, initargs=(mutant.id, truth)) as workers:
        for chunk in (*telling, *asked):
            table = sweep(chunk, workers, frameworks=(mutant.framework,), peers=False, timeout=TIMEOUT)
            found = [one for one in findings(table) if one[0] not in known]
            if found:
                break
    by, reason = found[0] if found else ("", "" if asked else UNREACHED)
    return {"id": mutant.id, "kind": mutant.kind, "verdict": KILLED if found else SURVIVED, "by": by,
            "reason": reason, "seconds": round(time.perf_counter() - start, 2)}  # fmt: skip


def still_seen(mutant: Mutant, told: Record, asked: Sequence[Cell]) -> Record | None:
    """Return the outcome of a mutant where the cell that told of it is among those asked and tells again, else None."""
    telling = [cell for cell in asked if cell.case_id == told["by"].partition("#")[0]]
    record = examine(mutant, [telling]) if telling else None
    return record if record is not None and record["verdict"] == KILLED else None


def seen_by_tests(mutant: Mutant) -> Record:
    """Run the tests of the losses with the mutant planted; return which test failed first, or ""."""
    command = [sys.executable, "-m", "pytest", "tests/losses", "-k", mutant.loss, "-x", "-q", "--no-header",
               "-p", "tests.mutants.plugin", "-p", "no:cacheprovider"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, VARIABLE: mutant.id}, capture_output=True, text=True,
                          timeout=1800, check=False)  # fmt: skip
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"id": mutant.id, "tests": failed[0][:200] if failed else "" if done.returncode == 0 else done.stdout[-200:]}


def load(path: Path) -> dict[str, Record]:
    """Return the records of a file of JSON lines, by id; the last of each."""
    if not path.exists():
        return {}
    return {one["id"]: one for one in map(json.loads, path.read_text("utf-8").splitlines())}


def known_results() -> dict[str, Record]:
    """Return what was last found."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}


def write_results(records: Iterable[Record], path: Path = RESULTS) -> None:
    """Merge records into the file of the last outcomes; what is no longer in the catalogue is dropped."""
    kept = {**known_results(), **{one["id"]: _short(one) for one in records}}
    lines = [f"{json.dumps(id)}: {json.dumps(kept[id], sort_keys=True)}" for id in sorted(kept) if id in catalogue()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def by_kind(outcomes: Iterable[tuple[str, str]]) -> dict[str, list[bool]]:
    """Return of each kind, in order, whether its mutants were seen, from kinds and verdicts."""
    kinds = collections.defaultdict(list)
    for kind, verdict in outcomes:
        kinds[kind].append(verdict == KILLED)
    return {kind: kinds[kind] for kind in sorted(kinds)}


def write_summary(outcomes: Mapping[str, Record], path: Path = SUMMARY) -> None:
    """Write for the report how many of each kind were seen, and which were not."""
    kinds = by_kind((find(id).kind, record["verdict"]) for id, record in outcomes.items())
    unseen = [{"id": id, "reason": reason_of(id)} for id in sorted(outcomes) if outcomes[id]["verdict"] != KILLED]
    found = {
        "losses": len({find(id).loss for id in outcomes}),
        "kinds": [{"kind": kind, "seen": sum(kinds[kind]), "all": len(kinds[kind])} for kind in kinds],
        "unseen": unseen,
    }
    write_text(path, json.dumps(found, indent=1) + "\n")


def _short(record: Record) -> Record:
    if record["verdict"] == KILLED:
        return {name: record[name] for name in ("verdict", "by")}
    return {"verdict": SURVIVED, "reached": record["reason"] != UNREACHED}


def summary(records: Sequence[Record]) -> None:
    """Show how many of each kind were seen."""
    from rich.console import Console
    from rich.table import Table

    table = Table("kind", "mutants", "seen", "not seen", title="mutants that a sweep sees")
    kinds = by_kind((one["kind"], one["verdict"]) for one in records)
    for kind in kinds:
        table.add_row(kind, str(len(kinds[kind])), str(sum(kinds[kind])), str(len(kinds[kind]) - sum(kinds[kind])))
    seen = sum(map(sum, kinds.values()))
    table.add_section()
    table.add_row("all", str(len(records)), str(seen), str(len(records) - seen))
    console = Console()
    console.print(table)
    if records:
        console.print(f"score: {seen} of {len(records)}, {seen / len(records):.1%}")
    for one in records:
        if one["verdict"] == SURVIVED:
            console.print(f"not seen: {one['id']}", markup=False, highlight=False, soft_wrap=True)


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that the options name, those of one loss and framework together."""
    told = known_results() if options.survivors else {}
    found = [
        mutant
        for mutant in catalogue().values()
        if (not options.loss or mutant.loss in options.loss)
        and (not options.framework or mutant.framework in options.framework)
        and (not options.id or any(part in mutant.id for part in options.id))
        and (not options.survivors or told.get(mutant.id, {}).get("verdict") != KILLED)
    ]
    return sorted(found, key=lambda mutant: (mutant.loss in LONG, mutant.loss, mutant.framework))


def _keep(path: Path | None, one: Record) -> None:
    """Print an outcome, and append it to a file."""
    print(one["verdict"], one["id"], one["by"], one["reason"], one.get("tests", ""), one["seconds"], flush=True)  # noqa: T201
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants that are asked for; exit 0 whatever is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--loss", action="append", help="only mutants of this loss")
    parser.add_argument("--framework", action="append", choices=("torch", "jax"), help="only of this framework")
    parser.add_argument("--id", action="append", help="only mutants whose id contains this")
    parser.add_argument("--survivors", action="store_true", help="only those that results.json does not call killed")
    parser.add_argument("--check", action="store_true", help="ask first, of those that results.json calls killed, the "
                        "cell that told, with nothing to compare it with")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="by a full sweep")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--keep", type=Path, help="append the outcome of each mutant to this file, as JSON lines")
    parser.add_argument("--resume", action="store_true", help="leave out those that are in --keep")
    parser.add_argument("--write", action="store_true", help="merge the outcomes into tests/mutants/results.json")
    parser.add_argument("--tests", action="store_true", help="run tests/losses with each survivor planted")
    options = parser.parse_args(arguments)
    start_server()
    before = load(options.keep) if options.keep and options.resume else {}
    told = known_results()
    records = []
    for (loss, framework), group in itertools.groupby(chosen(options), key=lambda m: (m.loss, m.framework)):
        mutants = list(group)
        records += [before[mutant.id] for mutant in mutants if mutant.id in before]
        waiting = [mutant for mutant in mutants if mutant.id not in before]
        asked = asked_of(framework, loss, options.full, options.seed) if waiting else []
        known = [mutant for mutant in waiting if told.get(mutant.id, {}).get("verdict") == KILLED]
        for mutant in known if options.check else ():
            outcome = still_seen(mutant, told[mutant.id], asked)
            if outcome is not None:
                waiting.remove(mutant)
                records.append(outcome)
                _keep(options.keep, outcome)
        if not waiting:
            continue
        right = Control(loss, framework, asked)
        if right.known:
            print(f"{framework}/{loss}, unchanged: {len(right.known)} findings", flush=True)  # noqa: T201
        for mutant in waiting:
            first = told.get(mutant.id, {}).get("by", "")
            one = examine(mutant, right.asked_of(mutant), right.known, first, jobs=options.jobs)
            if options.tests and one["verdict"] == SURVIVED:
                one.update(seen_by_tests(mutant))
            records.append(one)
            _keep(options.keep, one)
    if options.write:
        write_results(records)
        write_summary(known_results())
    summary(records)
    return 0
