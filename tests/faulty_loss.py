"""A loss that does something wrong in one regime, in PyTorch only, as a file that the catalogue finds."""

from __future__ import annotations

from pathlib import Path

NAME = "planted_loss"  # not of this file: workers have the folder of either in their path
REGIME = "large"
TEXT = '''"""A faulty loss.

Formula: l = (x - y)^2.
"""
from __future__ import annotations
from xloss.catalog import Loss, Variant
from xloss.ops import arguments

AT = {{"regime": ""}}
kept = []


def fault(input):
    import ctypes, os, signal, subprocess, sys, time, warnings
    import numpy as np, torch
    {fault}


def torch_planted_loss(input, target, reduction="mean"):
    from xloss.ops import torch as ops
    if AT["regime"] == "{regime}":
        fault(input)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    return ops.reduce((input - target) * (input - target), reduction, dtype)


def jax_planted_loss(input, target, reduction="mean"):
    from xloss.ops import jax as ops
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    return ops.reduce((input - target) * (input - target), reduction, dtype)


def truth(t, input, target):
    return (input - target) * (input - target)


def inputs(draw):
    AT["regime"] = draw.regime
    input, target = draw.pair()
    return draw.arrays(input=input, target=target)


LOSS = Loss(name="planted_loss", summary="faulty", torch=torch_planted_loss, jax=jax_planted_loss, truth=truth,
            inputs=inputs, variants=(Variant(shapes=((6, 3),)),), source="a test")
'''


def write(folder: Path, fault: str, regime: str = REGIME) -> Path:
    """Write the loss into a folder."""
    file = folder / f"{NAME}.py"
    file.write_text(TEXT.format(fault=fault.replace("\n", "\n    "), regime=regime))
    return file


def plant(folder: str) -> None:
    """Let the catalogue of this process find the losses of a folder, too; called in each worker."""
    from xloss import losses

    losses.__path__.append(folder)


# By name: what the loss does, and the status of what is at fault.
DEADLY = {
    "segfault": ("ctypes.string_at(0)", "crash", "SIGSEGV"),
    "abort": ("os.abort()", "crash", "SIGABRT"),
    "_exit(0)": ("os._exit(0)", "crash", "exited with code 0"),
    "_exit(1)": ("os._exit(1)", "crash", "exited with code 1"),
    "SystemExit": ("raise SystemExit(0)", "error", "SystemExit: 0"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "error", "GeneratorExit"),
    "MemoryError": ("raise MemoryError('planted')", "oom", "planted"),
    "garbage": (
        "for fd in range(3, 64):\n    try: os.write(fd, b'garbage!' * 9)\n    except OSError: pass",
        "crash",
        "",
    ),
    "closed files": ("os.closerange(0, 256)", "crash", "exited with code 1"),
}
SLOW = {
    "hang": ("time.sleep(1000)", "timeout", "not done within"),
    "hang that ignores SIGTERM": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass", "timeout", ""),
    "chatty hang": ("while True: print('x' * 1000)", "timeout", "not done within"),
    "chatty hang in C": ("while True: os.write(2, b'y' * 4096)", "timeout", ""),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "timeout", ""),
    "memory": ("kept = []\nwhile True:\n    kept.append(bytearray(40 << 20)); time.sleep(0.005)", "oom", "GiB"),
}
LEAKS = {
    "torch default dtype": "torch.set_default_dtype(torch.float64)",
    "torch number of threads": "torch.set_num_threads(2)",
    "torch grad mode": "torch._C._set_grad_enabled(False)",
    "torch inference mode": "kept.append(torch.inference_mode()); kept[-1].__enter__()",
    "torch default device": "torch.set_default_device('meta')",
    "torch random state": "torch.manual_seed(3)",
    "torch flushing of subnormal numbers": "torch.set_flush_denormal(True)",
    "torch.backends.mkldnn enabled": "torch.backends.mkldnn.set_flags(False)",
    "torch autocast": "torch.set_autocast_enabled('cpu', True)",
    "torch deterministic": "torch.use_deterministic_algorithms(True)",
    "torch matmul precision": "torch.set_float32_matmul_precision('medium')",
    "jax_enable_x64": "import jax; jax.config.update('jax_enable_x64', True)",
    "jax_default_matmul_precision": "import jax; jax.config.update('jax_default_matmul_precision', 'float32')",
    "jax_debug_nans": "import jax; jax.config.update('jax_debug_nans', True)",
    "jax_default_prng_impl": "import jax; jax.config.update('jax_default_prng_impl', 'rbg')",
    "jax_numpy_dtype_promotion": "import jax; jax.config.update('jax_numpy_dtype_promotion', 'strict')",
    "numpy error": "np.seterr(all='ignore')",
    "numpy random": "np.random.rand()",
    "random state of Python": "import random; random.seed(4)",
    "garbage collection": "import gc; gc.disable()",
    "recursion limit": "sys.setrecursionlimit(5000)",
    "module search path": "sys.path.append('/nowhere')",
    "standard output": "import io; sys.stdout = io.StringIO()",
    "handler of SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "precision of ball arithmetic": "import flint; flint.ctx.prec = 20",
    "warnings filters": "warnings.simplefilter('once')",
    "environment variables": "os.environ['PLANTED'] = '1'",
    "working directory": "os.chdir('/')",
    "mutated its argument input": "input.data.mul_(2)",
}
