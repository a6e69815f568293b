"""Ask losses at every input, and record the largest errors: python -m xloss.exhaustive."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xloss.exhaustive.problems import Problem


def _count(text: str) -> int:
    """Read a whole number from 1 on, which may be written as a power: 2**22."""
    match = re.fullmatch(r"(\d+)(?:\*\*(\d{1,2}))?", text.strip())
    number = int(match[1]) ** int(match[2] or 1) if match else 0
    if not 1 <= number <= 2**40:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, or a power such as 2**22, got {text!r}")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; return 0 when all of it is recorded, 130 where it was interrupted."""
    from xloss.exhaustive import runner

    parser = argparse.ArgumentParser(prog="python -m xloss.exhaustive", description=str(__doc__))
    parser.add_argument("--problem", action="append", default=[], metavar="NAME",
                        help="a problem, or a loss for all of its problems; all if not given")  # fmt: skip
    parser.add_argument("--implementation", action="append", default=[], metavar="NAME",
                        help="xloss, torch.nn.functional, optax, keras; or torch/eager/xloss; all if none")  # fmt: skip
    parser.add_argument("--stride", type=_count, default=1, help="one of so many inputs is asked, at a varying place")
    parser.add_argument("--chunk", type=_count, default=runner.CHUNK, help="inputs between two writes (2**22)")
    parser.add_argument("--out", type=Path, default=Path("reports/accuracy"), metavar="FOLDER")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                        help="go on where an earlier run of the same question stopped")  # fmt: skip
    parser.add_argument("--fresh", action="store_false", dest="resume", help="the same as --no-resume")
    parser.add_argument("--list", action="store_true", help="print the problems and how many inputs each has")
    given = parser.parse_args(arguments)
    try:
        problems = runner.select(given.problem)
        _check(given)
    except ValueError as error:
        parser.error(str(error))
    if given.list:
        for problem in problems:
            print(f"{problem.size:>12,}  {problem.dtype:8}  {problem.name}")  # noqa: T201
        return 0
    return _run(given, problems)


def _check(given: argparse.Namespace) -> None:
    """Refuse names of implementations that no problem has, and an `--out` that is a file."""
    from xloss.exhaustive import runner
    from xloss.exhaustive.problems import PROBLEMS

    known = {
        name
        for problem in PROBLEMS.values()
        for who in runner.contestants(problem.loss)
        for name in (str(who), who.implementation)
    }
    for name in given.implementation:
        if name not in known:
            raise ValueError(f"--implementation: no {name!r}; there are {', '.join(sorted(known))}")
    if given.out.exists() and not given.out.is_dir():
        raise ValueError(f"--out: {given.out} is not a folder")


def _run(given: argparse.Namespace, problems: Sequence[Problem]) -> int:
    from xloss.cli.console import progress
    from xloss.exhaustive import runner

    settings = runner.Settings(given.stride, given.chunk, tuple(given.implementation), given.resume)
    for problem in problems:
        if not runner.chosen(problem.loss, settings.implementations):
            continue
        try:
            with progress(problem.name) as show:
                row = runner.run(problem, given.out, settings, show)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from the last chunk", file=sys.stderr)  # noqa: T201
            return 130
        if row is not None:
            runner.record(row, given.out / runner.FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
