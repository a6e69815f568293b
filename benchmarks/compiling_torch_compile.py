"""Time to compile value and gradient at the medium size in float32, for `torch.compile`."""

from benchmarks._suite import generate

generate(globals())
