"""Make a workload ready, its arrays on the device, and run it."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from xloss.bench.workload import Inputs, Workload, draw
from xloss.catalog import Contestant, Loss, Unsupported


@dataclass
class Prepared:
    """A workload that is ready to be run: its arrays are on the device.

    `call()` starts it and returns its results, `wait(results)` blocks until they are computed. `program` is the
    function that is compiled for these `arguments` (None in eager mode).
    """

    workload: Workload
    inputs: Inputs
    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    framework: Any
    device: Any
    program: Any = None
    arguments: tuple[Any, ...] = ()

    def run(self) -> Any:
        """Run once, wait, and return the results."""
        results = self.call()
        self.wait(results)
        return results


def specifics(framework: str) -> Any:
    """Return the module of a framework, `xloss.bench.torch` or `xloss.bench.jax`."""
    return importlib.import_module(f"xloss.bench.{framework}")


def implementation(loss: Loss, contestant: Contestant) -> Callable[..., Any]:
    """Return the function that is measured; `Unsupported` where the loss has no such implementation."""
    if contestant.implementation == "xloss":
        return loss.implementation(contestant.framework)
    for peer in loss.peers:
        if (peer.framework, peer.name) == (contestant.framework, contestant.implementation):
            if peer.name == "torch.nn.functional" and loss.wrap_call is None:
                # The function itself, where it is one: a wrapper would be timed with it.
                import torch.nn.functional

                return getattr(torch.nn.functional, loss.name, peer.call)
            return peer.call
    raise Unsupported(f"{contestant.implementation} has no {loss.name} that computes the same function")


@contextlib.contextmanager
def prepare(loss: Loss, workload: Workload, backend: str = "inductor") -> Iterator[Prepared]:
    """Make a workload ready, within its framework's settings; run it in this context only.

    Raises `Unsupported` where there is no such implementation or not enough memory. `backend` is torch.compile's.
    """
    from xloss.parity.mechanisms import load

    function = implementation(loss, workload.contestant)
    inputs = draw(loss, workload)
    if workload.quantity == "per_sample":
        if loss.arguments.class_axes is None:
            raise Unsupported(f"{loss.name}: its samples are coupled: the loss of one alone is another function")
        if not set(inputs.wrt) & set(inputs.batch_axes):
            raise Unsupported(f"{loss.name}: there is no batch to take samples from")
    framework = load(workload.contestant.framework)
    specific = specifics(workload.contestant.framework)
    device = framework.device(workload.device)
    options, reduction = workload.variant_of(loss).options, workload.reduction_of(loss)

    def call(**arrays: Any) -> Any:
        return function(**arrays, **options, reduction=reduction)

    def value(*arrays: Any) -> Any:
        return call(**dict(zip(inputs.arrays, arrays, strict=True)))

    body = _per_sample(call, inputs, specific) if workload.quantity == "per_sample" else value
    with framework.scope(workload.dtype), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of broadcasting and the like; raising them would be timed
        _check_memory(workload, inputs, specific, device)
        arrays = {
            name: specific.repeat(framework.put(array, device), *inputs.repeats.get(name, (0, 0)))
            for name, array in inputs.arrays.items()
        }
        started, program, arguments = specific.build(body, workload, inputs, arrays, backend)
        yield Prepared(workload, inputs, started, specific.waiter(device), framework, device, program, arguments)


def _per_sample(call: Callable[..., Any], inputs: Inputs, specific: Any) -> Callable[..., Any]:
    """Return the function of the arrays that computes the gradient of each sample alone."""
    names, axes = tuple(inputs.arrays), inputs.batch_axes
    argnums = tuple(number for number, name in enumerate(axes) if name in inputs.wrt)

    def gradients(*arrays: Any) -> Any:
        given = dict(zip(names, arrays, strict=True))
        shared = {name: array for name, array in given.items() if name not in axes}

        def one(*rows: Any) -> Any:
            batch = {name: specific.expand_dims(x, axis) for (name, axis), x in zip(axes.items(), rows, strict=True)}
            return call(**shared, **batch)

        return specific.vmap_grad(one, argnums, tuple(axes.values()))(*(given[name] for name in axes))

    return gradients


def compile_and_run(prepared: Prepared) -> Any:
    """Run for the first time, which compiles."""
    with peer_errors_as_unsupported(prepared.workload):
        return prepared.run()


@contextlib.contextmanager
def peer_errors_as_unsupported(workload: Workload) -> Iterator[None]:
    """Turn what a peer raises (it cannot be imported, compiled or mapped) into `Unsupported`; xloss's errors stay."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        if workload.contestant.implementation == "xloss":
            raise
        raise Unsupported(f"{workload.contestant}: {type(error).__name__}: {error}".split("\n")[0]) from error


def _check_memory(workload: Workload, inputs: Inputs, specific: Any, device: Any) -> None:
    """Refuse what does not fit: inputs, gradients and four temporaries of their size."""
    needed = 6 * inputs.nbytes()
    free = _free_memory() if workload.device == "cpu" else specific.free_memory(device)
    if free is not None and needed > free:
        size = workload.size if workload.shape is None else "this shape"
        raise Unsupported(f"{size} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _free_memory() -> int | None:
    """Return the free bytes of the machine; None where the system does not tell."""
    try:
        with open("/proc/meminfo") as lines:  # noqa: PTH123 - a device, not a file
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return None
