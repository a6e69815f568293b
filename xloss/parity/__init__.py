"""Judge implementations by their distance to the exact result.

A `Cell` is a question (which loss, how called, where asked), a small picklable value; `evaluate` answers it, one row a
check; `sweep` answers many, over any executor. Importing this imports neither framework, and ball arithmetic only when
a cell is evaluated: benchmarks draw their inputs without.
"""

from xloss.parity.cells import Cell, cells
from xloss.parity.sweep import COLUMNS, sweep

__all__ = ["COLUMNS", "Cell", "cells", "sweep"]
