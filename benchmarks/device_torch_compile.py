"""Time on a GPU itself of `torch.compile`, with its caches warm or cold; there is nothing here on a CPU."""

from benchmarks._suite import generate

generate(globals())
