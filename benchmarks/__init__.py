"""The history of the catalogue: speed, device time, compile time, memory, accuracy. See README.md beside this file.

asv installs xloss at the commit that it measures, but what measures is that of the checkout: a ruler that came with the
commit would change between two numbers that are to be compared.
"""

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path

from asv_runner.benchmarks import benchmark_types
from asv_runner.benchmarks.track import TrackBenchmark

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("KERAS_BACKEND", "jax")

ROOT = Path(__file__).resolve().parent.parent


def _ruler() -> None:
    """Make `xloss.bench` that of the checkout, whichever xloss is installed."""
    import xloss

    folder, name = ROOT / "xloss" / "bench", "xloss.bench"
    present = sys.modules.get(name)
    if present is not None and Path(str(present.__file__)).parent == folder:
        return
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = xloss.bench = module
    spec.loader.exec_module(module)


_ruler()


def _name_benchmarks() -> None:
    """Let a method be a benchmark by its own name, `value_and_grad` and not `track_value_and_grad`."""
    from xloss.bench.asv.cells import PARAMETERS

    names = sorted({name for methods in PARAMETERS.values() for name in methods})

    class Measured(TrackBenchmark):
        name_regex = re.compile(rf"^({'|'.join(names)})$")

    benchmark_types.append(Measured)


_name_benchmarks()
if sys.argv[1:2] == ["run_server"]:
    # Cells are forked from here: what is imported now is imported once, and nothing may be started.
    from xloss.bench.asv import labels

    importlib.import_module(labels.framework())
    importlib.import_module("xloss.parity.evaluate")
