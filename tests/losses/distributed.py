"""Ask losses of `xloss.torch` on DTensors over two processes, and compare with plain tensors.

A program of its own, for its processes are started anew. Its arguments are names of losses, `--planted` or `--others`;
it prints a JSON object: for each of these how many results were compared, and what differed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, _redistribute, distribute_tensor

import xloss.torch
from xloss import catalog
from xloss.catalog import Loss, Variant
from xloss.ops.reductions import sum_and_denominator
from xloss.parity.inputs import Draw

DEVICES = 2
# Five rows are dealt as three and two.
ROWS = 5
Placed = Mapping[str, Any]
Answer = tuple[int, list[str]]


class Case:
    """A loss, one of its variants, and a batch that two devices share unequally."""

    def __init__(self, loss: Loss, variant: Variant):
        self.loss, self.variant = loss, variant
        shape = next((shape for shape in variant.shapes if shape), variant.shapes[0])
        self.batched = bool(shape) and not variant.unbatched
        if self.batched:
            axis = next(iter(loss.arguments.batch_axes.values()))
            shape = (*shape[:axis], ROWS, *shape[axis + 1 :])
        arrays = loss.inputs(Draw(loss, variant, shape, "typical", "float64"))
        self.arrays = {name: torch.as_tensor(array) for name, array in arrays.items()}
        self.wrt = loss.arguments.differentiable(arrays)
        self.independent = self.batched and loss.arguments.class_axes is not None and variant.per_sample

    def batch_axis(self, name: str) -> int | None:
        """The axis of the samples; None for what all samples share."""
        axis, shape = self.loss.arguments.batch_axes.get(name), self.arrays[name].shape
        shared = not self.batched or axis is None or len(shape) <= axis or shape[axis] != ROWS
        return None if shared or (self.variant.broadcast and name == "target") else axis

    def over_samples(self) -> dict[str, Any]:
        axes = {name: self.batch_axis(name) for name in self.arrays}
        return {name: Replicate() if axis is None else Shard(axis) for name, axis in axes.items()}

    def over_last_axis(self) -> dict[str, Any]:
        """The first argument sharded over its last axis (its classes, if it has any), all others plain."""
        name, array = next(iter(self.arrays.items()))
        return dict.fromkeys(self.arrays) | {name: Shard(array.ndim - 1) if array.ndim else Replicate()}

    def call(self, reduction: Any, arrays: Mapping[str, Any]) -> Any:
        return self.loss.implementation("torch")(**arrays, **self.variant.options, reduction=reduction)

    def run(self, placed: Placed | None, mesh: DeviceMesh | None) -> list[tuple[str, Any, dict[str, Any]]]:
        """Value and gradients for each reduction, of plain tensors or, where a placement is given, of DTensors."""
        found = []
        for reduction in self.loss.reductions:
            arrays = {}
            for name, array in self.arrays.items():
                place = None if placed is None else placed[name]
                x = array.clone() if place is None else distribute_tensor(array, mesh, [place])
                arrays[name] = x.requires_grad_(name in self.wrt)
            value = self.call(reduction, arrays)
            cotangent: Any = torch.arange(1.0, value.numel() + 1, dtype=value.dtype).reshape(value.shape)
            if isinstance(value, DTensor):
                cotangent = distribute_tensor(cotangent, mesh, value.placements)
            grads = torch.autograd.grad(value, [arrays[name] for name in self.wrt], cotangent, allow_unused=True)
            for name, grad in zip(self.wrt, grads, strict=True):
                if isinstance(arrays[name], DTensor) and grad is not None:
                    assert grad.placements == arrays[name].placements, f"{reduction}, {name}: {grad.placements}"
            if placed is not None:
                self.check_placement(reduction, value, placed)
            found.append((reduction, value, dict(zip(self.wrt, grads, strict=True))))
        return found

    def check_placement(self, reduction: str, value: Any, placed: Placed) -> None:
        assert isinstance(value, DTensor), f"{reduction}: {type(value).__name__}"
        sharded = reduction == "none" and self.independent and any(place == Shard(0) for place in placed.values())
        if sharded or reduction != "none":
            expected = Shard(0) if sharded else Replicate()
            assert value.placements == (expected,), f"{reduction}: {value.placements}"


def ways(case: Case) -> Iterator[tuple[str, Placed]]:
    placed = case.over_samples()
    yield "all are DTensors", placed
    yield (
        "what is shared is sharded",
        {
            name: Shard(0) if place == Replicate() and case.arrays[name].ndim else place
            for name, place in placed.items()
        },
    )
    plain = {name: None if place == Replicate() else place for name, place in placed.items()}
    if any(plain.values()):
        yield "what is shared is plain", plain
        first = next(iter(placed))
        yield "only the first is a DTensor", dict.fromkeys(plain) | {first: plain[first]}
    yield "last axis", case.over_last_axis()


def compare(got: Any, want: Any, what: str) -> None:
    torch.testing.assert_close(
        whole(got), want, rtol=1e-10, atol=1e-12, equal_nan=True, msg=lambda text: f"{what}: {text}"
    )


def check(loss: Loss, mesh: DeviceMesh, ways: Callable[[Case], Iterable[tuple[str, Placed]]] = ways) -> Answer:
    """Return how many results were compared, and what failed."""
    count, failures = 0, []
    for variant in loss.variants:
        case = Case(loss, variant)
        want = case.run(None, None)
        for way, placed in ways(case):
            try:
                # All are gathered before any is compared: a process that finds a difference must not leave the others.
                for what, ours, theirs in list(pairs(case.run(placed, mesh), want)):
                    compare(ours, theirs, what)
                    count += 1
            except Exception as error:  # reported, each by itself
                failures.append(f"{loss.name}, {variant.name}, {way}: {type(error).__name__}: {error}"[:900])
    return count, failures


def pairs(got: list[Any], want: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    for (reduction, value, grads), (_, right, right_grads) in zip(got, want, strict=True):
        yield f"{reduction}, value", whole(value), right
        for name, grad in grads.items():
            yield f"{reduction}, gradient by {name}", whole(grad), right_grads[name]


def whole(x: Any) -> Any:
    return x.full_tensor() if isinstance(x, DTensor) else x


def mse_of_each_device(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """A faulty loss: each device takes the mean of its own rows, and what it finds is taken for that of all."""
    x, y = (tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in (input, target))
    loss = torch.nn.functional.mse_loss(x, y, reduction=reduction)
    if not isinstance(input, DTensor):
        return loss
    placed = [Shard(0) if reduction == "none" else Replicate()]
    shape, stride = (input.shape, input.stride()) if reduction == "none" else (None, None)
    return DTensor.from_local(loss, input.device_mesh, placed, run_check=False, shape=shape, stride=stride)


def planted(mesh: DeviceMesh) -> Answer:
    """Check a faulty loss: each device takes the mean of its own rows for that of all."""
    right = catalog.get("mse_loss")
    vars(mse_of_each_device)["__xloss__"] = right.name
    with catalog.substitute(right.name, torch=mse_of_each_device, variants=right.variants[:1]) as loss:
        return check(loss, mesh, lambda case: [("samples", case.over_samples())])


def in_other_ways(mesh: DeviceMesh) -> Answer:
    """Check what is not a call of a loss of the catalogue: parts of the mean, second derivatives, options, few rows."""
    done: list[str] = []
    failures = []
    for name, probe in PROBES.items():
        try:
            probe(mesh)
            done.append(name)
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}"[:900])
    return len(done), failures


def rows(mesh: DeviceMesh, *tensors: Any) -> list[Any]:
    return [distribute_tensor(x, mesh, [Shard(0)]) for x in tensors]


def draw(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


LOGITS, LABELS, WEIGHT = draw(5, 3), torch.tensor([0, 2, -100, 1, 0]), draw(3).exp()


def parts_of_the_mean(mesh: DeviceMesh) -> None:
    for loss in (xloss.torch.cross_entropy, xloss.torch.CrossEntropyLoss(weight=WEIGHT)):
        want = sum_and_denominator(loss, LOGITS, LABELS)
        for ours, theirs in zip(sum_and_denominator(loss, *rows(mesh, LOGITS, LABELS)), want, strict=True):
            compare(ours, theirs, "parts")
    module = xloss.torch.AdaptiveLogSoftmaxWithLoss(3, 4, [2], div_value=1.0, dtype=torch.float64)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    want = sum_and_denominator(module, LOGITS, LABELS.clamp(0))
    for ours, theirs in zip(sum_and_denominator(module, *rows(mesh, LOGITS, LABELS.clamp(0))), want, strict=True):
        compare(ours, theirs, "parts of the adaptive softmax")


def second_derivatives(mesh: DeviceMesh) -> None:
    """Of a function of the loss, so that what the loss is multiplied by in the backward pass depends on all rows."""

    def of(x: Any, y: Any, w: Any) -> list[Any]:
        leaves = x.detach().requires_grad_(), w.detach().requires_grad_()
        loss = xloss.torch.cross_entropy(leaves[0], y, weight=leaves[1])
        grads = torch.autograd.grad(loss.exp(), leaves, create_graph=True)
        return [found for grad in grads for found in torch.autograd.grad((grad**2).sum(), leaves, retain_graph=True)]

    want = of(LOGITS, LABELS, WEIGHT)
    for weight in (WEIGHT, distribute_tensor(WEIGHT, mesh, [Replicate()]), *rows(mesh, WEIGHT)):
        for ours, theirs in zip(of(*rows(mesh, LOGITS, LABELS), weight), want, strict=True):
            compare(ours, theirs, "second derivative")


def a_learned_option(mesh: DeviceMesh) -> None:
    def of(x: Any) -> Any:
        delta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(xloss.torch.huber_loss(x, 0 * x, delta=delta), delta)
        return found

    compare(of(*rows(mesh, LOGITS)), of(LOGITS), "gradient by delta")


def fewer_rows_than_devices(mesh: DeviceMesh) -> None:
    for some in (LOGITS[:1], LOGITS[:0]):
        compare(xloss.torch.mse_loss(*rows(mesh, some, some + 1)), xloss.torch.mse_loss(some, some + 1), "value")


def lengths_as_numbers(mesh: DeviceMesh) -> None:
    x, y, numbers = draw(4, 3, 3).log_softmax(2), torch.tensor([[1, 2], [2, 0], [1, 1]]), ((4, 3, 4), [2, 1, 1])
    for reduction in ("none", "mean", "sum"):
        got = xloss.torch.ctc_loss(distribute_tensor(x, mesh, [Shard(1)]), y, *numbers, reduction=reduction)
        compare(got, xloss.torch.ctc_loss(x, y, *numbers, reduction=reduction), reduction)


def sixteen_bits(mesh: DeviceMesh) -> None:
    """Rounded once, after the sum over all devices."""
    x = draw(7, 300).bfloat16()
    compare(xloss.torch.mse_loss(*rows(mesh, x, 0 * x)), xloss.torch.mse_loss(x, 0 * x), "value")


def rows_and_classes(_mesh: DeviceMesh) -> None:
    mesh = init_device_mesh("cpu", (DEVICES // 2, 2), mesh_dim_names=("rows", "classes"))
    x, y = LOGITS.clone().requires_grad_(), LABELS
    want = torch.autograd.grad(xloss.torch.cross_entropy(x, y, weight=WEIGHT), x)
    spread = distribute_tensor(LOGITS, mesh, [Shard(0), Shard(1)]).requires_grad_()
    labels = distribute_tensor(y, mesh, [Shard(0), Replicate()])
    got = torch.autograd.grad(xloss.torch.cross_entropy(spread, labels, weight=WEIGHT), spread)
    assert got[0].placements == spread.placements
    compare(got[0], want[0], "gradient")


def refusals(mesh: DeviceMesh) -> None:
    x, y = rows(mesh, LOGITS, LABELS)
    other = init_device_mesh("cpu", (1, DEVICES))
    elsewhere = distribute_tensor(LABELS, other, [Replicate(), Shard(0)])
    of_one_device = LABELS[:3]
    for error, words, call in (
        (ValueError, r"target .* got shape \(3,\)", lambda: xloss.torch.cross_entropy(x, of_one_device)),
        (ValueError, "reduction: expected one of", lambda: xloss.torch.cross_entropy(x, y, reduction="men")),
        (ValueError, "target: expected one on", lambda: xloss.torch.cross_entropy(x, elsewhere)),
        (ValueError, "got label 7", lambda: xloss.torch.cross_entropy(x, *rows(mesh, LABELS.clamp(7, 7)))),
        (TypeError, "unexpected keyword", lambda: xloss.torch.cross_entropy(x, y, reductoin="sum")),
        (TypeError, "multiple values", lambda: xloss.torch.cross_entropy(x, y, input=x)),
    ):
        with pytest.raises(error, match=words):
            call()


def compiled(mesh: DeviceMesh) -> None:
    x, y = rows(mesh, LOGITS, LABELS)
    x.requires_grad_()
    found = torch.compile(xloss.torch.cross_entropy, fullgraph=True, backend="aot_eager")(x, y, WEIGHT)
    compare(found, xloss.torch.cross_entropy(LOGITS, LABELS, WEIGHT), "value")
    want = torch.autograd.grad(xloss.torch.cross_entropy(x, y, WEIGHT), x)[0]
    compare(torch.autograd.grad(found, x)[0], whole(want), "gradient")


# Before, as in torch 2.6, what `redistribute` does in a backward pass has no gradient.
TWICE = hasattr(_redistribute, "NestedRedistribute")
PROBES: Mapping[str, Callable[[DeviceMesh], None]] = {
    probe.__name__: probe
    for probe in (parts_of_the_mean, second_derivatives, a_learned_option, fewer_rows_than_devices, lengths_as_numbers,
                  sixteen_bits, rows_and_classes, refusals, compiled)
    if TWICE or probe is not second_derivatives
}  # fmt: skip


def process(rank: int, names: list[str], folder: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
    # One process alone may fail; then the other is not to wait for long.
    place = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=DEVICES, timeout=timedelta(seconds=60))
    try:
        mesh = init_device_mesh("cpu", (DEVICES,))
        others = {"--planted": planted, "--others": in_other_ways}
        found = {name: others[name](mesh) if name in others else check(catalog.get(name), mesh) for name in names}
        Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, args=(sys.argv[1:], folder), nprocs=DEVICES)
        sys.stdout.write(Path(folder, "0.json").read_text(encoding="utf-8") + "\n")
