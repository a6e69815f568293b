"""Each option of each command, given one value that it cannot have while all else is right: refused by name, exit 2.

Nothing may run: what would check, time or compare something is replaced by a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer.main
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from xloss.bench import workload
from xloss.catalog import LOSSES
from xloss.cli.app import app
from xloss.cli.sweep_results import keep
from xloss.parity.cells import NUMBERS
from xloss.parity.inputs import DTYPES, REGIMES
from xloss.parity.sweep import COLUMNS

GROUP = typer.main.get_command(app)
CASE = "mse_loss:default:6x3:typical:float32:cpu:0"
FILE = "examples/torch_losses.py:token_loss", "examples/jax_losses.py:token_loss"
# A right call of each command, to which one wrong value is given.
RIGHT = {
    "parity": ["parity"],
    "compare": ["compare", *FILE, "--shape", "6,4", "--labels", "4"],
    "diff": ["diff", "a run", "another"],
    "claims": ["claims"],
    "explain": ["explain"],
    "bench": ["bench", "mse_loss"],
    "report": ["report"],
    "site": ["site"],
    "list": ["list"],
    "doctor": ["doctor"],
}


def text_but(known: Any) -> st.SearchStrategy[str]:
    """Text that is none of these: changed a little, of another case, with blanks, any."""
    some = sorted(known)
    changed = st.sampled_from(some).flatmap(
        lambda name: st.sampled_from(
            [name.upper(), f"{name} ", f" {name}", name[:-1], name[1:], f"{name}s", f"{name},"]
        )
    )
    return st.one_of(changed, st.text(max_size=12), st.sampled_from(["", "None", "all", "*"])).filter(
        lambda text: text not in known
    )


def numbers_but(low: float, high: float) -> st.SearchStrategy[str]:
    """Numbers outside of a range, and what is no number."""
    outside = st.one_of(st.integers(max_value=int(low) - 1), st.integers(min_value=int(high) + 1)).map(str)
    return st.one_of(outside, st.sampled_from(["", "nan", "inf", "-inf", "1e400", "0x10", "one", "1,000", "--", "٣ "]))


def whole_but(low: float, high: float) -> st.SearchStrategy[str]:
    """Whole numbers outside of a range, and what is none."""
    return st.one_of(numbers_but(low, high), st.floats(0.001, 0.999).map(lambda x: str(int(low) + 1 + x)))


def shapes(separator: str) -> st.SearchStrategy[str]:
    """What is no shape: sizes that are not positive, too many, of other signs."""
    size = st.sampled_from(["0", "-1", "1.5", "", "a", "1e3", "0x2", "9" * 30])
    return st.tuples(size, st.sampled_from(["3", ""])).map(lambda two: separator.join(two) if two[1] else two[0])


PATHS = st.sampled_from(["", "a\x00b", "\x1b[31m", "a\nb", "x" * 5000, "/dev/null/x/y", "/proc/none/x"])


@st.composite
def cases(draw: Any) -> str:
    """A case one part of which is wrong."""
    parts = CASE.split(":")
    index = draw(st.integers(-2, 6))
    if index == -2:
        return ":".join(parts[: draw(st.integers(1, 6))])
    if index == -1:
        return ":".join([*parts, draw(text_but({"full"}).filter(lambda text: ":" not in text and "#" not in text))])
    known = {0: LOSSES, 1: {"default", "weight"}, 3: REGIMES, 4: DTYPES, 5: ("cpu", "cuda")}.get(index)
    wrong = numbers_but(0, 2**32 - 1) if index == 6 else shapes("x") if index == 2 else text_but(set(known or ()))
    parts[index] = draw(wrong.filter(lambda text: ":" not in text and "#" not in text))
    return ":".join(parts)


FUNCTIONS = st.sampled_from(
    ["", ":", "a:", ":f", "no_such_file.py:f", "xloss:", "xloss:mse", "torch:", "torch:nn", "optax:nothing", "keras:x",
     "examples/torch_losses.py", "examples/torch_losses.py:no", "examples/torch_losses.py:", "math:pi", "os.path:no",
     "a b:c d", "\x1b:x", "examples:f", "README.md:f", "xloss:mse_loss:x"]
)  # fmt: skip
# Of each option, or argument, a value that it cannot have.
WRONG: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "parity": {
        "loss": text_but(LOSSES),
        "dtype": text_but(DTYPES),
        "regime": text_but(REGIMES),
        "framework": text_but({"torch", "jax"}),
        "device": text_but({"cpu", "cuda"}),
        "case": cases(),
        "seed": whole_but(0, 2**32 - 1),
        "jobs": whole_but(0, 1024),
        "timeout": numbers_but(0, 1e6),
        "executor": text_but({"dask"}).filter(lambda text: not text.startswith("dask=")),
        "out": PATHS,
    },
    "compare": {
        "first": FUNCTIONS,
        "second": FUNCTIONS,
        "like": text_but(LOSSES),
        "variant": text_but({"default"}),
        "inputs": PATHS,
        "shape": shapes(","),
        "labels": whole_but(1, 2**40),
        "ignore-index": st.sampled_from(["", "x", "1.5", "nan", "9" * 40]),
        "truth": FUNCTIONS,
        "dtype": text_but(DTYPES),
        "regime": text_but(REGIMES),
        "microbatches": whole_but(1, 2**40),
        "device": text_but({"cpu", "cuda"}),
        "seed": whole_but(0, 2**32 - 1),
        "timeout": numbers_but(0, 1e6),
        "jobs": whole_but(0, 1024),
        "junit": PATHS,
        "markdown": PATHS,
    },
    "diff": {"run_a": PATHS, "run_b": PATHS, "digits": st.sampled_from(["", "x", "nan", "inf", "-1", "-0.5"])},
    "claims": {"id": text_but({"all"}).filter(lambda text: text and not text.startswith("-")), "out": PATHS},
    "explain": {"loss": text_but(LOSSES).filter(lambda text: not text.startswith("-"))},
    "bench": {
        "loss": text_but(LOSSES).filter(lambda text: not text.startswith("-")),
        "shape": shapes("x"),
        "size": text_but(set(workload.SIZES)),
        "dtype": text_but(DTYPES),
        "variant": text_but({v.name for v in LOSSES["mse_loss"].variants}),
        "framework": text_but({"torch", "jax"}),
        "implementation": text_but({"xloss", "torch.nn.functional", "optax", "keras"}),
        "mode": text_but({"eager", "compile", "jit"}),
        "device": text_but({"cpu", "cuda"}),
        "rounds": whole_but(1, 100_000),
        "samples": whole_but(1, 100_000),
        "seconds": numbers_but(0, 1e6),
        "timeout": numbers_but(0, 1e6),
        "out": PATHS,
    },
    "report": {"source": PATHS, "out": PATHS},
    "site": {"source": PATHS, "out": PATHS},
}


def names(command: str) -> dict[str, bool]:
    """The options and arguments of a command that take a value, and whether each is an option."""
    return {
        param.opts[0].lstrip("-"): param.param_type_name == "option"
        for param in GROUP.commands[command].params
        if not getattr(param, "is_flag", False)
    }


def test_every_option_has_wrong_values() -> None:
    assert {name: set(names(name)) for name in GROUP.commands} == {
        name: set(WRONG.get(name, {})) for name in GROUP.commands
    }


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import xloss.parity
    from xloss.bench import session
    from xloss.compare import pair

    def ran(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("ran on a wrong value")

    monkeypatch.setattr(xloss.parity, "sweep", ran)
    monkeypatch.setattr(session, "run", ran)
    monkeypatch.setattr(pair, "compare", ran)
    numbers = dict.fromkeys((*NUMBERS, "seconds"), 0.1)
    row = dict.fromkeys(COLUMNS, "") | numbers | {"loss": "mse_loss", "status": "ok", "case_id": "mse_loss:0#x"}
    keep(pd.DataFrame([row], columns=COLUMNS), {"versions": {}, "cpu": "", "seconds": 1}, tmp_path)
    monkeypatch.setitem(RIGHT, "diff", ["diff", str(tmp_path), str(tmp_path)])


def wrong_call(data: Any) -> tuple[str, list[str]]:
    """Return which option is wrong, and the whole call."""
    command = data.draw(st.sampled_from(sorted(WRONG)))
    name = data.draw(st.sampled_from(sorted(WRONG[command])))
    value = data.draw(WRONG[command][name])
    call = list(RIGHT[command])
    if names(command)[name]:
        return name, [*call, f"--{name}", value]
    place = {"first": 1, "second": 2, "run_a": 1, "run_b": 2}.get(name, 1)
    assume(not value.startswith("-"))
    return name, [*call[:place], value, *call[place + 1 :]]


def check(data: Any) -> None:
    name, args = wrong_call(data)
    done = CliRunner().invoke(app, args)
    assert done.exception is None or isinstance(done.exception, SystemExit), (args, repr(done.exception))
    assert done.exit_code == 2, (args, done.exit_code, done.output)
    assert not done.stdout, args
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    said = {"first": "function", "second": "function", "truth": "function", "id": "claim"}.get(name, name)
    assert said in done.stderr.lower() or name in done.stderr.lower(), (args, done.stderr)


LENIENT = settings(suppress_health_check=list(HealthCheck), deadline=None)


@settings(LENIENT, max_examples=60)
@given(st.data())
def test_a_wrong_value_is_refused_by_name(nothing_runs: None, data: Any) -> None:
    check(data)


@pytest.mark.slow
@settings(LENIENT, max_examples=800)
@given(st.data())
def test_many_wrong_values_are_refused_by_name(nothing_runs: None, data: Any) -> None:
    check(data)
