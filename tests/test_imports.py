"""`import xloss` imports no framework, and `xloss.torch` and `xloss.jax` work without the other's; in fresh
processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
QUIET = ("xloss", "xloss.catalog", "xloss.ops.arguments", "xloss.parity.inputs", "xloss.ops.reductions",
    "xloss.parity.truth", "xloss.parity.mechanisms", "xloss.parity",
         "xloss.claims", "xloss.cli", "xloss.cli.parity", "xloss.cli.bench", "xloss.bench", "xloss.modules",
             "xloss.report",
         "xloss.report.speed")  # fmt: skip
HEAVY = ("torch", "jax", "jaxlib", "optax", "keras", "tensorflow", "flax")

REPORT = """
import json, sys
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
# A framework that is not installed: neither found, nor importable.
BLOCK = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with some packages made impossible to import."""
    prefix = f"BLOCKED = {blocked!r}\n{BLOCK}" if blocked else ""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}
    # Coverage, pytest plugins and the like are this process's affair.
    return subprocess.run(
        [sys.executable, "-c", prefix + code], capture_output=True, text=True, env=environment, timeout=300, check=False
    )


def packages(code: str) -> set[str]:
    """The top-level packages that are imported once the code has run."""
    done = run(code + REPORT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def light(code: str) -> None:
    """Raise if the code imports a framework."""
    heavy = packages(code) & set(HEAVY)
    assert not heavy, f"imports {', '.join(sorted(heavy))}"


def works(code: str, blocked: tuple[str, ...]) -> None:
    """Raise unless the code runs with these packages missing."""
    done = run(code, blocked)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", QUIET)
def test_importing_it_imports_no_framework(module: str) -> None:
    light(f"import {module}")


def test_reading_the_catalogue_imports_no_framework() -> None:
    """All the records, cells and regimes; the names in both modules and their stubs, too."""
    light(
        "from xloss.catalog import LOSSES\n"
        "from xloss.parity.cells import cells\n"
        "assert len(LOSSES) >= 10 and len(cells()) > 100\n"
        "import xloss.torch, xloss.jax\n"
        "assert set(LOSSES) <= set(dir(xloss.torch)) and set(LOSSES) <= set(dir(xloss.jax))\n"
        "from xloss.jax import cross_entropy\n"
        "from xloss.modules import stubs\n"
        "assert 'def cross_entropy(' in stubs.text('torch') and 'def cross_entropy(' in stubs.text('jax')\n"
    )


CALL = """
import numpy as np
import xloss.{framework} as losses
from xloss.catalog import LOSSES
from xloss.modules import class_name
from xloss.parity.mechanisms import load
from xloss.parity.inputs import Draw
framework = load("{framework}")
with framework.scope("float32"):
    for loss in LOSSES.values():
        variant = loss.variants[0]
        arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))
        arrays = {{name: framework.put(array, framework.device("cpu")) for name, array in arrays.items()}}
        function = loss.implementation("{framework}")
        assert np.isfinite(framework.get(function(**arrays, **variant.options)))
        assert callable(getattr(losses, loss.name)) and callable(getattr(losses, class_name(loss)))
import sys
assert not set({blocked!r}) & {{name.split(".")[0] for name in sys.modules}}
"""
TORCHLESS, JAXLESS = ("torch", "torchvision"), ("jax", "jaxlib", "optax", "keras", "flax")


@pytest.mark.parametrize(("framework", "blocked"), [("jax", TORCHLESS), ("torch", JAXLESS)])
def test_each_module_works_without_the_other_framework(framework: str, blocked: tuple[str, ...]) -> None:
    pytest.importorskip(framework)
    works(CALL.format(framework=framework, blocked=blocked), blocked)


def test_a_missing_framework_says_how_to_install_it() -> None:
    works(
        "from xloss.parity.mechanisms import load\n"
        "try:\n    load('jax')\n"
        "except ImportError as error:\n    assert \"pip install 'xloss[jax]'\" in str(error), error\n"
        "else:\n    raise SystemExit('was imported')\n",
        JAXLESS,
    )


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_these_tests_see_an_import(framework: str) -> None:
    pytest.importorskip(framework)
    with pytest.raises(AssertionError, match=f"imports .*{framework}"):
        light(f"import xloss\nimport {framework}")
    with pytest.raises(AssertionError, match="blocked"):
        works(f"import {framework}", (framework,))
    with pytest.raises(AssertionError, match="blocked"):
        works(CALL.format(framework=framework, blocked=()), (framework,))


def test_benchmarks_draw_their_inputs_without_ball_arithmetic() -> None:
    works("import xloss.bench.runner, xloss.parity, xloss.cli.app\nfrom xloss.bench import workload", ("flint",))
