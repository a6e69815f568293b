"""How a cell of each kind is measured; what is returned is what asv stores."""

import atexit
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


def measure(kind, method, caches, loss, workload):
    """Measure a cell: seconds, bytes or ulps, by the kind of the benchmark."""
    if kind == "accuracy":
        return _errors(loss, workload)[method]
    if kind == "memory":
        return peak_memory.peak(loss, workload, method)
    if kind == "compiling":
        return compile_time.seconds(loss, workload, method)
    with prepare(loss, workload) as prepared:
        compile_and_run(prepared)
        if kind == "device":
            return samples(device_time.measure(prepared, caches == "cold"))
        return samples(timer.measure(prepared.call, prepared.wait, most_seconds=MOST_SECONDS))


def _errors(loss, workload):
    """Return all four errors of a cell in ulps, by the names of `accuracy.METRICS`."""
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
    return found


def control(framework):
    """Seconds to copy `bandwidth.COPY_BYTES` bytes by the framework's own copy."""
    return samples(bandwidth.copy(framework, labels.device()))


UNITS = {"memory": "bytes", "accuracy": "ulps"}
