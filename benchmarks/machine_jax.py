"""What the machine does in JAX's own copy, which the other times are a share of."""

from benchmarks._suite import generate

generate(globals())
