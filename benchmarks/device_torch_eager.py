"""Time on a GPU itself of PyTorch in eager mode, with its caches warm or cold; there is nothing here on a CPU."""

from benchmarks._suite import generate

generate(globals())
