"""Units in the last place off the exact result, worst and 99th percentile, for PyTorch in eager mode."""

from benchmarks._suite import generate

generate(globals())
