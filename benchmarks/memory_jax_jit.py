"""Peak memory of JAX under `jit` above its inputs; the benchmark's name is the method's."""

from benchmarks._suite import generate

generate(globals())
