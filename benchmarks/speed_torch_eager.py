"""Time of PyTorch in eager mode as the host sees it, from call to result; caches warm, all compiled before."""

from benchmarks._suite import generate

generate(globals())
