"""Check what the command line is given, before anything runs: what is wrong ends with exit 2 and one sentence.

The sentence names the option, what came and what was expected. Nothing here imports a framework.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from xloss.cli.console import BROKEN, USAGE

if TYPE_CHECKING:
    from xloss.parity.cells import Cell

#: Seconds that a time-out may be: eleven days, which no lock of the operating system refuses.
MOST_SECONDS = 1e6
#: More worker processes than this are a slip of the finger.
MOST_JOBS = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]


def plain(text: object) -> str:
    """Return text for a terminal: control characters, escape sequences among them, as Python writes them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), str(text))


def refuse(message: object) -> NoReturn:
    """Print one sentence to standard error and exit with 2."""
    typer.echo(plain(message), err=True)
    raise typer.Exit(USAGE)


def hint(given: str, known: Iterable[str]) -> str:
    """Return "; did you mean x?", or nothing where no known name is near."""
    near = difflib.get_close_matches(given, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


class Commands(TyperGroup):
    """The group of commands; what cannot be read is said in one sentence, without a box around it."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options of the group itself."""
        with _one_sentence():
            return super().make_context(*args, **kwargs)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or name those that are near."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = hint(args[0], self.commands) or f"; expected one of {', '.join(self.commands)}"
            refuse(f"xloss: no command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's options and run it."""
        with _one_sentence():
            return super().invoke(ctx)


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except _USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        where = error.ctx.command_path if error.ctx is not None else "xloss"
        refuse(f"{_sentence(error, where)}; see {where} --help")


def _sentence(error: Any, where: str) -> str:
    """Return what an error of the parser says, with the name of the option in front."""
    param, kind = getattr(error, "param", None), type(error).__name__
    name = "" if param is None else (param.opts[0].lstrip("-") if param.param_type_name == "option" else param.name)
    if kind == "MissingParameter":
        return f"{name}: expected one, got none"
    if kind == "NoSuchOption":
        params = [] if error.ctx is None else error.ctx.command.params
        known = [name for one in params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")]
        near = hint(error.option_name, known)
        return f"{where}: no option {error.option_name}{near}"
    message = str(getattr(error, "message", error)).rstrip(".")
    return f"{name}: {message}" if name else f"{where}: {message[:1].lower()}{message[1:]}"


def integer(text: str) -> int:
    """Read a whole number; the parser of an option."""
    if not re.fullmatch(r"[+-]?[0-9]{1,4000}", str(text)):
        raise typer.BadParameter(f"expected a whole number, got {_short(text)}")
    return int(text)


def number(text: str) -> float:
    """Read a number; the parser of an option. NaN and infinities are left to the check of the range."""
    try:
        if "_" in str(text) or not str(text).isascii():
            raise ValueError
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number, got {_short(text)}") from None


def text(given: str) -> str:
    """Read a word; the parser of an option that is left out to have none."""
    if not str(given).strip():
        raise typer.BadParameter(f"expected a value, got {given!r}; leave the option out to have none")
    return given


def path(text: str) -> Path:
    """Read a path; the parser of an option."""
    if not str(text).strip() or _CONTROL.search(str(text)):
        raise typer.BadParameter(f"expected a path without control characters, got {_short(text)}")
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # it may be made, or the command says what is wrong with it
    except OSError as error:  # too long, a circle of links
        raise typer.BadParameter(f"expected a path, got {_short(text)} ({error.strerror or error})") from None
    return Path(text)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _figures(value: float) -> str:
    return _short(value) if isinstance(value, int) else f"{value:g}"


def positive(most: float = math.inf, **numbers: float) -> None:
    """Refuse numbers that are not above 0, not finite, or above `most`."""
    for name, value in numbers.items():
        if not value > 0 or (isinstance(value, float) and math.isinf(value)):
            raise ValueError(f"{name}: expected a positive number, got {_figures(value)}")
        if value > most:
            raise ValueError(f"{name}: expected a positive number up to {most:,.0f}, got {_figures(value)}")


def within(name: str, value: int, least: int, most: int, meaning: str = "") -> None:
    """Refuse a whole number outside of a range."""
    if not least <= value <= most:
        raise ValueError(f"{name}: expected a whole number from {least} to {most}{meaning}, got {_short(value)}")


def writable(folder: Path, name: str = "out") -> None:
    """Refuse a folder that cannot be made or written to, by doing so; what is not possible is known before the work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{name}: expected a folder that can be written to, got {str(folder)[:200]!r} "
                         f"({error.strerror or error})") from None  # fmt: skip


def readable(folder: Path, name: str) -> None:
    """Refuse what is not a folder."""
    try:
        there = folder.is_dir()
    except OSError as error:
        raise ValueError(f"{name}: {str(folder)[:200]!r} cannot be read ({error.strerror})") from None
    if not there:
        what = "a file" if folder.is_file() else "nothing"
        raise ValueError(f"{name}: {folder} is no folder ({what} is there); expected one that `xloss parity --out "
                         f"{folder}` wrote")  # fmt: skip


@contextlib.contextmanager
def writing(where: Path) -> Iterator[None]:
    """End with exit 3, and with path and cause, where a file cannot be written."""
    try:
        yield
    except OSError as error:
        at = error.filename2 or error.filename or where  # a rename names its target second
        typer.echo(
            plain(f"{at}: cannot be written: {error.strerror or error}; nothing was left half-written"), err=True
        )
        raise typer.Exit(BROKEN) from None


def given(ctx: typer.Context, name: str) -> bool:
    """Tell whether a parameter was given, and is not the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def agree(ctx: typer.Context, cases: Iterable[Cell], options: Mapping[str, Callable[[Cell], Any]]) -> None:
    """Refuse options beside ``--case`` that say another thing than the case; `options` read it from the cell."""
    for name, read in options.items():
        if not given(ctx, name):
            continue
        asked = ctx.params[name]
        for cell in cases:
            if read(cell) not in (asked if isinstance(asked, (list, tuple)) else [asked]):
                said = asked if not isinstance(asked, (list, tuple)) else ", ".join(map(str, asked))
                raise ValueError(f"{name}: {said!r} contradicts --case {cell.case_id}, which names its own "
                                 f"({read(cell)}); leave one of them out")  # fmt: skip
