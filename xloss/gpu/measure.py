"""The measurements of a child: times, memory, repeats, the precision of matrix products."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xloss.bench import bandwidth as copies
from xloss.bench import device_time, peak_memory, roofline, timer
from xloss.bench.runner import Prepared, compile_and_run, implementation, prepare, specifics
from xloss.bench.workload import Workload, draw
from xloss.catalog import Contestant, Loss, Unsupported, get
from xloss.gpu.journal import Row

SAMPLES, SECONDS = 10, 0.3
REPEATS = 3


def workload_of(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Workload:
    """Return the workload of a cell; in a rehearsal that of the small size."""
    size, shape = cell["size"], tuple(cell.get("shape") or ()) or None
    extra = tuple(cell.get("extra") or ())
    if settings.get("rehearse"):
        size, shape, extra = "small", None, ()
    who = Contestant.parse(cell["who"])
    return Workload(
        cell["loss"], who, cell["quantity"], size, cell["dtype"], settings["device"], "", shape, extra=extra
    )


def bandwidth(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Measure the bytes a second of a framework's copy."""
    if settings.get("rehearse"):  # a copy of the usual size is seconds on a busy CPU
        return {"status": "ok", "bytes_per_second": copies.bytes_per_second(cell["framework"], "cpu", 2**22)}
    return {"status": "ok", "bytes_per_second": copies.bytes_per_second(cell["framework"], settings["device"])}


def timed(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Measure what the host sees, what the device takes, and in PyTorch the peak of the same call."""
    workload = workload_of(cell, settings)
    loss = get(workload.loss)
    row: Row = {"status": "ok", "loss": loss.name, "who": str(workload.contestant), "notes": {}}
    try:
        with prepare(loss, workload) as prepared:
            start = time.perf_counter()
            compile_and_run(prepared)
            row["first_seconds"] = time.perf_counter() - start
            host = timer.measure(prepared.call, prepared.wait, samples=SAMPLES, least=3, most_seconds=SECONDS)
            row["host_seconds"], row["host_samples"] = host.lower_quartile, list(host.samples)
            row["shape"], row["dtype"] = list(workload.shape_of(loss)), workload.dtype
            row["least_bytes"] = roofline.least_bytes(prepared.inputs, workload.quantity)
            row["flops"] = roofline.flops(prepared.inputs, workload.quantity)
            if workload.device == "cpu":
                row["notes"]["device_seconds"] = "on a CPU the device is the host"
            else:
                _on_device(prepared, bool(cell.get("cold")), row)
    finally:
        _forget(workload.contestant)
    return row


def _on_device(prepared: Prepared, cold: bool, row: Row) -> None:
    try:
        device = device_time.measure(prepared, cold)
        row["device_seconds"], row["device_samples"] = device.lower_quartile, list(device.samples)
    except Unsupported as reason:
        row["notes"]["device_seconds"] = str(reason)
    if prepared.framework.name == "torch":
        row["peak_bytes"] = peak_memory.of_device(prepared)


def memory(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Measure the peak above the inputs, in a process that has done nothing else; beside it XLA's plan."""
    workload = workload_of(cell, settings)
    loss = get(workload.loss)
    row: Row = {"status": "ok", "loss": loss.name, "who": str(workload.contestant), "notes": {}, "restart": True}
    methods = ("resident" if workload.device == "cpu" else "device", "analysed")
    for method in methods:
        try:
            row[f"{method}_bytes"] = peak_memory.peak(loss, workload, method)
        except Unsupported as reason:
            row["notes"][method] = str(reason)
    if not any(f"{method}_bytes" in row for method in methods):
        row |= {"status": "unsupported", "reason": "; ".join(row["notes"].values())}
    inputs = draw(loss, workload)
    row["input_bytes"], row["least_bytes"] = inputs.nbytes(), inputs.nbytes(inputs.wrt)
    return row


def repeats(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Run the same call several times, and compare the bits."""
    workload = workload_of(cell, settings)
    loss = get(workload.loss)
    try:
        with prepare(loss, workload) as prepared:
            compile_and_run(prepared)
            found = [_bits(prepared, prepared.run()) for _ in range(REPEATS)]
    finally:
        _forget(workload.contestant)
    differ = sum(any(other[index] != first for other in found[1:]) for index, first in enumerate(found[0]))
    return {"status": "ok", "loss": loss.name, "who": str(workload.contestant), "results": len(found[0]),
            "differ": differ}  # fmt: skip


def _bits(prepared: Prepared, results: Any) -> list[bytes]:
    if isinstance(results, (tuple, list)):
        return [bits for one in results for bits in _bits(prepared, one)]
    return [prepared.framework.get(results).tobytes()]


def products(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Measure the worst error of value and gradients, of their largest element, at a precision of matrix products.

    Against the same implementation in float64 on the CPU, at the very same inputs.
    """
    workload = workload_of(cell, settings)
    loss = get(workload.loss)
    with _precision(workload.contestant.framework, cell["precision"]):
        found = _results(loss, workload, "float32", workload.device)
    right = _results(loss, workload, "float64", "cpu")
    errors = {}
    for name, exact in right.items():
        size = float(np.max(np.abs(exact), initial=0.0)) or 1.0
        errors[name or "value"] = float(np.max(np.abs(found[name] - exact), initial=0.0)) / size
    return {"status": "ok", "loss": loss.name, "who": str(workload.contestant), "precision": cell["precision"],
            "errors": errors}  # fmt: skip


def _results(loss: Loss, workload: Workload, dtype: str, device: str) -> dict[str, np.ndarray]:
    """Return unreduced values, under "", and the gradients of their sum, in float64; inputs are those of float32."""
    from xloss.bench.runner import peer_errors_as_unsupported
    from xloss.parity.mechanisms import load

    name, variant = workload.contestant.framework, workload.variant_of(loss)
    function, inputs, framework = implementation(loss, workload.contestant), draw(loss, workload), load(name)
    arrays = {key: a.astype(dtype) if a.dtype.kind == "f" else a for key, a in inputs.arrays.items()}

    def values(*given: Any) -> Any:
        return function(**dict(zip(arrays, given, strict=True)), **variant.options, reduction="none")

    both = specifics(name).values_and_gradients(values, tuple(arrays), inputs.wrt, "eager")
    with framework.scope(dtype), peer_errors_as_unsupported(workload):
        place = framework.device(device)
        found = both(*(framework.put(array, place) for array in arrays.values()))
        return {key: framework.get(array).astype(np.float64) for key, array in found.items()}


@contextlib.contextmanager
def _precision(framework: str, precision: str) -> Iterator[None]:
    """Set the precision of products of float32 matrices; "usual" leaves the framework's own."""
    if precision == "usual":
        yield
    elif framework == "jax":
        import jax

        with jax.default_matmul_precision("highest" if precision == "highest" else "tensorfloat32"):
            yield
    else:
        import torch

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def _forget(who: Contestant) -> None:
    """Give back what a cell has taken: the next one is to find the device as this one did."""
    if who.framework == "torch":
        import torch

        if who.mode == "compile":
            torch._dynamo.reset()
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    else:
        import jax

        gc.collect()
        jax.clear_caches()
