"""Peak memory of PyTorch in eager mode above its inputs; the benchmark's name is the method's."""

from benchmarks._suite import generate

generate(globals())
