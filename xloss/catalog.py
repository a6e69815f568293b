"""The one list of losses, and the records it is made of. Everything else (tests, sweep, report, docs) is derived."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FRAMEWORKS = ("torch", "jax")


@dataclass(frozen=True)
class Variant:
    """Describe one way of calling a loss: which options, which optional tensors, which shapes.

    Attributes:
        name: unique within the loss.
        options: keyword arguments that go to the loss as they are.
        tensors: the optional tensor arguments that `Loss.inputs` draws.
        draws: words for `Loss.inputs` alone, where it draws something else ("integers": targets of an integer dtype).
        shapes: documented shapes of the first argument; the first is asked in all regimes, the others in the typical one.
        unbatched: the arrays have no batch axis.
        broadcast: target has one axis less than input and is broadcast.
        probabilities: target holds class probabilities instead of class indices.
        ignored: a third of the labels are `ignore_index`.
        per_sample: samples can be taken from the batch one by one; False where their labels are concatenated.
    """

    name: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    unbatched: bool = False
    broadcast: bool = False
    probabilities: bool = False
    ignored: bool = False
    per_sample: bool = True


@dataclass(frozen=True)
class Difference:
    """Record where implementations truly differ: what each gives, with which version that was seen, where to read of it.

    A test measures `here` and `there` anew: callables without arguments that return a number (or an array) from this
    package and from the other implementation. `expected` holds what they returned when the record was written.
    """

    id: str
    case: str
    who: str
    here: Callable[[], Any]
    there: Callable[[], Any]
    expected: tuple[Any, Any]
    seen: str
    link: str = ""

    @classmethod
    def between(cls, id: str, case: str, who: str, measure: Callable[[Any], Any], ours: Callable[..., Any],
                theirs: Callable[..., Any], expected: tuple[Any, Any], seen: str, link: str = "") -> Difference:  # fmt: skip
        """Make a difference of one measurement, `measure(function)`, taken of this package's function and of another."""
        return cls(id, case, who, lambda: measure(ours), lambda: measure(theirs), expected, seen, link)


@dataclass(frozen=True)
class Peer:
    """An implementation from another library, judged like xloss's own.

    `call` imports what it needs and takes the loss's own arguments by name, with `reduction`; it raises
    `Unsupported` where it lacks an option.
    """

    name: str
    framework: str
    call: Callable[..., Any]


@dataclass(frozen=True, order=True)
class Contestant:
    """Name who is measured: a framework ("torch", "jax"), a mode of it, an implementation ("xloss" or a peer's name).

    Modes are "eager" and "compile" in PyTorch, "jit" in JAX.
    """

    framework: str
    mode: str
    implementation: str

    def __str__(self) -> str:
        """Return the form that asv's parameters have: "torch/compile/xloss"."""
        return f"{self.framework}/{self.mode}/{self.implementation}"

    @classmethod
    def parse(cls, text: str) -> Contestant:
        """Read what `str` gives; `ValueError` for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"contestant: expected framework/mode/implementation, got {text!r}")
        return cls(*parts)


@dataclass(frozen=True)
class ClassForm:
    """Describe the class form of a loss: `CrossEntropyLoss(ignore_index=0)(input, target)`.

    Generated from the signature of the loss: its required arguments, and the optional ones that `call` names, are those
    of the call; the others are the constructor's. `name` is torch.nn's; without one, the loss's in capitals.
    `keyword_only` where torch.nn's constructor is. A loss with parameters of its own brings its classes: `torch` and
    `jax`, functions without arguments that return them.
    """

    name: str = ""
    call: tuple[str, ...] = ()
    keyword_only: bool = False
    torch: Callable[[], type] | None = None
    jax: Callable[[], type] | None = None


@dataclass(frozen=True)
class Arguments:
    """Describe the tensor arguments of a loss.

    Attributes:
        wrt: those it is differentiated by; the first is that of per-sample and second-order checks.
        batched: those that carry the batch along their first axis; or a mapping to the axis.
        class_axes: `class_axes(argument, rank)`, the axis, or axes, of an argument whose elements all enter one
            unreduced value (the classes); elementwise losses have none. An argument that is broadcast, or shared by the
            batch, needs no mention. `None` as the whole value: every output may depend on every input.
        weights: optional weights of elements or classes, None by default.
        untyped: those that may come as something else than a tensor of one kind (lengths as numbers); tests of their
            own hold what they refuse.
    """

    wrt: tuple[str, ...] = ("input", "target")
    batched: tuple[str, ...] | Mapping[str, int] = ("input", "target")
    class_axes: Callable[[str, int], int | tuple[int, ...] | None] | None = lambda _argument, _rank: None
    weights: tuple[str, ...] = ()
    untyped: tuple[str, ...] = ()

    @property
    def batch_axes(self) -> dict[str, int]:
        """The arguments that carry the batch, and along which axis."""
        return dict(self.batched) if isinstance(self.batched, Mapping) else dict.fromkeys(self.batched, 0)

    def differentiable(self, arrays: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the arguments to differentiate by: those of `wrt` that are among the NumPy arrays, and floating."""
        return tuple(name for name in self.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


@dataclass(frozen=True)
class Domain:
    """Describe where a loss is defined and where it is not differentiable.

    Attributes:
        kinks: points without a derivative, as values of the arguments' difference or of the argument; drawn in the
            regimes `near_kink` and `on_kink`.
        regimes: regimes beyond the common ones that apply (see `xloss.parity.inputs.REGIMES`).
        skip_regimes: common regimes that do not apply, each with the reason.
        differentiable_mask: `differentiable_mask(**arrays, **options)`: mask of the unreduced elements where the
            derivative is that of the formula; where it is False a convention rules, and a test of equality with
            torch.nn.functional holds it instead of truth.
    """

    kinks: tuple[float, ...] = ()
    regimes: tuple[str, ...] = ()
    skip_regimes: Mapping[str, str] = field(default_factory=dict)
    differentiable_mask: Callable[..., Any] | None = None


class Unsupported(Exception):
    """Raised where an implementation lacks what a cell asks of it; the message is the reason."""


@dataclass(frozen=True)
class Loss:
    """Hold all that is known of one loss.

    Attributes:
        name: torch.nn.functional's name, or one in its style.
        summary: one line.
        torch, jax: the two implementations, with the same signature.
        truth: `truth(t, **arrays, **options)`, the textbook formula, unreduced, on object arrays of balls; returns the
            values, or (values, weights that a weighted mean divides by), or (values, weights, factors), where the mean is
            the sum of values * factors over that of the weights. `t` is an `xloss.parity.truth.Tape`.
        inputs: `inputs(draw)`, the arrays of one cell by argument name, drawn with an `xloss.parity.inputs.Draw`.
        variants: the ways of calling it that are checked.
        arguments, domain: facts about its arguments and about where it is defined.
        reductions: those it has.
        peers, differences: other implementations, and where they differ.
        wrap_call: `wrap_call(function, framework)` makes, of an implementation whose own call is another (lists of
            tensors, a callable), one that takes arrays by name, options and `reduction`: what is judged and timed.
        patched_torch: `patched_torch(function)` makes of torch.nn.functional's function the one that this is compared
            to in tests, where torch's own gradient is not the formula's.
        class_form: the class form.
        workloads: sizes to be timed at by name ("large"), beside those that follow from `variants`.
        source: where the definition comes from.
    """

    name: str
    summary: str
    torch: Callable[..., Any]
    jax: Callable[..., Any]
    truth: Callable[..., Any]
    inputs: Callable[[Any], dict[str, Any]]
    variants: tuple[Variant, ...]
    arguments: Arguments = Arguments()
    domain: Domain = Domain()
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    peers: tuple[Peer, ...] = ()
    differences: tuple[Difference, ...] = ()
    wrap_call: Callable[[Callable[..., Any], str], Callable[..., Any]] | None = None
    patched_torch: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    class_form: ClassForm = ClassForm()
    workloads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = ""

    def implementation(self, framework: str) -> Callable[..., Any]:
        """Return the loss in `framework`, "torch" or "jax", called with arrays by name, options and `reduction`."""
        function = getattr(self, framework)
        return function if self.wrap_call is None else _wrapped(self.wrap_call, function, framework)

    @property
    def main_reduction(self) -> str:
        """The reduction that is trained with: 'mean', or the first it has."""
        return next(reduction for reduction in ("mean", *self.reductions) if reduction in self.reductions)

    def variant(self, name: str) -> Variant:
        """Return the variant of that name; `KeyError` lists those there are."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(f"{self.name} has no variant {name!r}; it has {', '.join(v.name for v in self.variants)}")


@functools.cache
def _wrapped(wrap_call: Callable[..., Any], function: Callable[..., Any], framework: str) -> Callable[..., Any]:
    """Return one and the same function each time: compiled programs are kept by it."""
    wrapped: Callable[..., Any] = wrap_call(function, framework)
    return wrapped


class _Losses(Mapping[str, Loss]):
    """The losses by name, in alphabetical order; read from `xloss.losses` on first use."""

    @functools.cached_property
    def _found(self) -> dict[str, Loss]:
        from xloss import losses

        found = {}
        for module_info in sorted(pkgutil.iter_modules(losses.__path__), key=lambda m: m.name):
            module = importlib.import_module(f"{losses.__name__}.{module_info.name}")
            loss: Loss = module.LOSS
            if loss.name != module_info.name:
                raise ValueError(f"{module.__name__}: its LOSS is named {loss.name!r}; file and loss share one name")
            for framework in FRAMEWORKS:
                _present(loss, framework, inspect.getdoc(module) or "")
            found[loss.name] = loss
        return found

    def __getitem__(self, name: str) -> Loss:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _present(loss: Loss, framework: str, doc: str) -> None:
    """Give an implementation its public name and the documentation of its file."""
    function = getattr(loss, framework)
    function.__name__ = function.__qualname__ = loss.name
    function.__module__ = f"xloss.{framework}"
    function.__doc__ = doc
    function.__xloss__ = loss.name


LOSSES: Mapping[str, Loss] = _Losses()


def get(name: str) -> Loss:
    """Return the loss of that name; an unknown one raises `KeyError` with the nearest names."""
    import difflib

    if name not in LOSSES:
        near = difflib.get_close_matches(name, LOSSES, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"no loss {name!r}{hint}")
    return LOSSES[name]


@contextlib.contextmanager
def substitute(name: str, **changes: Any) -> Iterator[Loss]:
    """Put a changed record (another `torch`, another `jax`) in a loss's place for a while: to judge an implementation.

    In this process only: a sweep over worker processes does not see it.
    """
    right = get(name)
    changed = replace(right, **changes)
    assert isinstance(LOSSES, _Losses)
    LOSSES._found[name] = changed
    try:
        yield changed
    finally:
        LOSSES._found[name] = right
