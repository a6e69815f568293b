"""The command line under random input, generated from the commands' own parameters.

Each input has something wrong in it, so that nothing is replaced and nothing runs: the exit is 2.
"""

import subprocess
import sys
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from xloss.cli.app import app

GROUP = typer.main.get_command(app)
WORDS = st.one_of(
    st.sampled_from(["", "0", "-1", "nan", "inf", "1e300", "9" * 400, "\x1b[31m", "a\x00b", "mse", "float8", "calm",
                     "tpu", "/dev/null", "/dev/null/x.csv", "a:b", "mse_loss:default:0x3:typical:float32:cpu:0",
                     "mse_loss:default:6x3:all_ignored:float32:cpu:-1", "--", "-", "٣", "x" * 5000]),
    st.text(max_size=12),
)  # fmt: skip


@st.composite
def calls(draw: Any) -> list[str]:
    """A command with one option at least that has a wrong value, or an option that is none."""
    name = draw(st.sampled_from(sorted(GROUP.commands)))
    args = [name]
    for param in draw(st.lists(st.sampled_from(GROUP.commands[name].params), max_size=4)):
        if param.param_type_name == "option":
            args.append(draw(st.sampled_from([*param.opts, *param.secondary_opts])))
            if not getattr(param, "is_flag", False):
                args.append(draw(WORDS))
        else:
            args.append(draw(WORDS))
    return [*args, "--nonsense"] if draw(st.booleans()) else [*args, "--nonsens", draw(WORDS)]


@st.composite
def values(draw: Any) -> list[str]:
    """A command with one option whose value no option of any command takes."""
    name = draw(st.sampled_from(sorted(GROUP.commands)))
    options = [p for p in GROUP.commands[name].params if p.param_type_name == "option" and not p.is_flag]
    wrong = draw(st.sampled_from(["", "\x1b[31m", "a\x00b", "\n", "\x7f", "/dev/null/\x01"]))
    if not options:
        return [name, wrong]
    return [name, draw(st.sampled_from(options)).opts[0], wrong]


def check(args: list[str]) -> None:
    done = CliRunner().invoke(app, args)
    assert done.exception is None or isinstance(done.exception, SystemExit), (args, done.exception)
    assert done.exit_code == 2 or (done.exit_code == 0 and "--help" in args), (args, done.exit_code, done.output)
    assert "Traceback" not in done.output
    assert "\x1b" not in done.stderr
    assert done.stderr.strip(), args


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.one_of(calls(), values()))
def test_nonsense_is_2(args: list[str]) -> None:
    check(args)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
@given(st.one_of(calls(), values()))
def test_much_nonsense_is_2(args: list[str]) -> None:
    check(args)


@pytest.mark.parametrize("args", [["parity", "--jobs", "-1"], ["bench", "mse_loss", "--shape", ""], ["dif"]])
def test_a_process_exits_with_2(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xloss", *args], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
