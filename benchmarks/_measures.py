"""How a cell of each kind is measured; what is returned is what asv stores."""

import atexit
import functools
import json
import os
import pathlib
import shutil
import tempfile

from xloss import catalog
from xloss.bench import accuracy, bandwidth, compile_time, device_time, peak_memory, timer
from xloss.bench.asv import labels
from xloss.bench.runner import compile_and_run, prepare

# Seconds for the samples of one timing; fewer make fewer samples, at least `timer.LEAST_SAMPLES`.
MOST_SECONDS = float(os.environ.get("XLOSS_BENCH_SECONDS", "0.2"))
# One process finds all four errors of a cell and leaves them here for the other three: processes that are forked from
# one server share the folder, others each have their own.
_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="xloss-accuracy-"))
_MAKER = os.getpid()


def _clean():
    if os.getpid() == _MAKER:
        shutil.rmtree(_FOLDER, ignore_errors=True)


atexit.register(_clean)


def samples(timing):
    """Return asv's own form of a timing: a tracked value then gets what a `time_` has, statistics and samples.

    A `time_` itself would set up again before each call, and could not be told how to wait for a device.
    """
    return {"samples": list(timing.samples), "number": timing.number}


def _speed(method, caches):
    """Seconds as the host sees them, from the call until the result is there."""

    def measure(loss, workload):
        with prepare(loss, workload) as prepared:
            compile_and_run(prepared)
            return samples(timer.measure(prepared.call, prepared.wait, most_seconds=MOST_SECONDS))

    return measure


def _device(method, caches):
    """Seconds of a GPU itself."""

    def measure(loss, workload):
        with prepare(loss, workload) as prepared:
            compile_and_run(prepared)
            return samples(device_time.measure(prepared, caches == "cold"))

    return measure


def _compiling(method, caches):
    """Seconds to compile."""
    return functools.partial(compile_time.seconds, stage=method)


def _memory(method, caches):
    """Bytes at the peak, above the inputs."""
    return functools.partial(peak_memory.peak, method=method)


def _errors(method, caches):
    """Ulps off the exact result."""

    def measure(loss, workload):
        kept = _FOLDER / f"{workload.loss} {str(workload.contestant).replace('/', ' ')} {workload.dtype}.json"
        if kept.is_file():
            found = json.loads(kept.read_text())
        else:
            try:
                found = accuracy.ulps(loss, workload)
            except catalog.Unsupported as reason:
                found = {"unsupported": str(reason)}
            kept.write_text(json.dumps(found))
        if "unsupported" in found:
            raise catalog.Unsupported(found["unsupported"])
        return found[method]

    return measure


def control(framework):
    """Seconds to copy `bandwidth.COPY_BYTES` bytes by the framework's own copy."""
    return samples(bandwidth.copy(framework, labels.device()))


KINDS = {"speed": _speed, "device": _device, "compiling": _compiling, "memory": _memory, "accuracy": _errors}
UNITS = {"memory": "bytes", "accuracy": "ulps"}
