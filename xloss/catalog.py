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
    """One way of calling a loss: which options, which optional tensors, which shapes.

    `options` go to the loss as they are. `tensors` names the optional tensor arguments that `Loss.inputs` shall draw, and
    `flags` whatever else it shall do (`"probabilities"` for cross-entropy's other kind of target). `shapes` are the
    documented shapes of `input`; the first is drawn in all regimes, the others in the typical one.
    """

    name: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Difference:
    """A fact about where implementations truly differ: what each gives, with which version that was seen, and where to read of it.

    `here` and `there` are measured anew by a test: callables without arguments that give a number (or an array) from
    this package and from the other implementation; `expected` holds what they gave when the record was written.
    """

    id: str
    case: str
    who: str
    here: Callable[[], Any]
    there: Callable[[], Any]
    expected: tuple[Any, Any]
    seen: str
    link: str = ""


@dataclass(frozen=True)
class Peer:
    """An implementation from elsewhere, measured by the same ruler.

    `call` imports what it needs and takes the loss's own arguments by name, with `reduction`; it raises
    `Unsupported` where it lacks an option.
    """

    name: str
    framework: str
    call: Callable[..., Any]


@dataclass(frozen=True)
class Form:
    """The class form of a loss: `CrossEntropyLoss(ignore_index=0)(input, target)`.

    Generated from the signature of the loss: its required arguments, and the optional ones that `call` names, are those
    of the call; the others are the constructor's. `name` is torch.nn's; without one, the loss's in capitals.
    `keyword_only` where torch.nn's constructor is. A loss with parameters of its own brings its classes: `torch` and
    `jax`, functions without arguments that give them.
    """

    name: str = ""
    call: tuple[str, ...] = ()
    keyword_only: bool = False
    torch: Callable[[], type] | None = None
    jax: Callable[[], type] | None = None


class Unsupported(Exception):
    """Raised where an implementation lacks what a cell asks of it; the message is the reason."""


@dataclass(frozen=True)
class Loss:
    """All that is known of one loss.

    Attributes:
        name: torch.nn.functional's name, or one in its style.
        summary: one line.
        torch, jax: the two implementations, with the same signature.
        truth: `truth(t, **arrays, **options)`, the textbook formula, unreduced, on object arrays of balls; gives the
            values, or (values, weights that a weighted mean divides by), or (values, weights, factors), where the mean is
            the sum of values * factors over that of the weights. `t` is an `xloss.truth.Tape`.
        inputs: `inputs(draw)`, the arrays of one cell by argument name, drawn with an `xloss.inputs.Draw`.
        variants: the ways of calling it that are checked.
        wrt: the arguments it is differentiated by; the first is that of per-sample and second-order checks.
        batched: the arguments that carry the batch along their first axis; or a mapping to the axis.
        row_axis: the axis, or axes, of an argument whose elements all enter one unreduced value (the classes), by argument
            and rank; elementwise losses have none. An argument that is broadcast, or shared by the batch, needs no word.
            `None` as the whole value: every output may depend on every input.
        kinks: where it is not differentiable, as values of the argument's difference or of the argument; drawn in the
            regimes `near_kink` and `on_kink`.
        regimes: regimes beyond the common ones that apply (see `xloss.inputs.REGIMES`).
        without: common regimes that do not apply, each with the reason.
        smooth: `smooth(**arrays)`: mask of the unreduced elements where the derivative is that of the formula; where it
            is False a convention rules, and a test of equality with torch.nn.functional holds it instead of truth.
        reductions: those it knows.
        peers, differences: see there.
        adapt: `adapt(function, framework)` makes, of an implementation whose own call is another (lists of tensors, a
            callable), one that takes arrays by name, options and `reduction`: what the harness calls.
        reference: `reference(function)` makes of torch.nn.functional's one with which this is to be compared, where
            equality is not of every gradient.
        loose: arguments that may come as something else than a tensor of one kind (lengths as numbers); what they refuse
            has tests of its own.
        form: the class form.
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
    wrt: tuple[str, ...] = ("input", "target")
    batched: tuple[str, ...] | Mapping[str, int] = ("input", "target")
    row_axis: Callable[[str, int], int | tuple[int, ...] | None] | None = lambda _argument, _rank: None
    kinks: tuple[float, ...] = ()
    regimes: tuple[str, ...] = ()
    without: Mapping[str, str] = field(default_factory=dict)
    smooth: Callable[..., Any] | None = None
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    peers: tuple[Peer, ...] = ()
    differences: tuple[Difference, ...] = ()
    adapt: Callable[[Callable[..., Any], str], Callable[..., Any]] | None = None
    reference: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    loose: tuple[str, ...] = ()
    form: Form = Form()
    workloads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = ""

    def implementation(self, framework: str) -> Callable[..., Any]:
        """The loss in `framework`, "torch" or "jax", as the harness calls it: arrays by name, options, `reduction`."""
        function = getattr(self, framework)
        return function if self.adapt is None else _adapted(self.adapt, function, framework)

    @property
    def batch_axes(self) -> dict[str, int]:
        """The arguments that carry the batch, and along which axis."""
        return dict(self.batched) if isinstance(self.batched, Mapping) else dict.fromkeys(self.batched, 0)

    def variant(self, name: str) -> Variant:
        """The variant of that name; `KeyError` lists those there are."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(f"{self.name} has no variant {name!r}; it has {', '.join(v.name for v in self.variants)}")


@functools.cache
def _adapted(adapt: Callable[..., Any], function: Callable[..., Any], framework: str) -> Callable[..., Any]:
    """One and the same function each time, for it is a key to what was compiled."""
    return adapt(function, framework)


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
    """The loss of that name; an unknown one raises `KeyError` with the nearest names."""
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
