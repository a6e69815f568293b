"""The one list of losses, and the records in it. Everything else (tests, sweep, report, docs) is derived from it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import pkgutil
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xloss import crossed
from xloss.ops.arguments import class_axis
from xloss.ops.dtensor import any_placement

FRAMEWORKS = ("torch", "jax")


@dataclass(frozen=True)
class Variant:
    """Describe one way of calling a loss: which options, which optional tensors, which shapes.

    Attributes:
        name: unique within the loss.
        options: keyword arguments that go to the loss as they are.
        tensors: the optional tensor arguments that `Loss.inputs` draws.
        draws: keywords that only `Loss.inputs` reads ("integers": draw targets of an integer dtype).
        shapes: shapes of the first argument; the first is checked in all regimes, the others in the typical one.
        unbatched: the arrays have no batch axis.
        broadcast: target has one axis less than input and is broadcast.
        probabilities: target holds class probabilities instead of class indices.
        ignored: a third of the labels are `ignore_index`.
        per_sample: single samples can be taken from the batch; False where their labels are concatenated.
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
    """Record a case where implementations differ: what each gives, the version that was seen with, a link.

    `versions` names those of the other library that differ, where not all do: "torch>=2.14".

    `here` and `there` are callables without arguments that return a number (or array, or text) from this package and
    from the other implementation, `who`. `expected` holds what they returned when the record was written; a test calls
    them again.
    """

    id: str
    case: str
    who: str
    here: Callable[[], Any]
    there: Callable[[], Any]
    expected: tuple[Any, Any]
    seen: str
    link: str = ""
    versions: str = ""

    def holds_here(self) -> bool:
        """Tell whether the installed version is among `versions`."""
        from packaging.requirements import Requirement

        from xloss.environment import version

        if not self.versions:
            return True
        asked = Requirement(self.versions)
        return asked.specifier.contains(version(asked.name) or "0", prereleases=True)

    @classmethod
    def between(cls, id: str, case: str, who: str, measure: Callable[[Any], Any], ours: Callable[..., Any],
                theirs: Callable[..., Any], expected: tuple[Any, Any], seen: str,
                link: str = "", versions: str = "") -> Difference:  # fmt: skip
        """Make a difference whose sides are `measure(ours)` and `measure(theirs)`."""
        there = _refusing_what_is_absent(theirs)
        return cls(id, case, who, lambda: measure(ours), lambda: measure(there), expected, seen, link, versions)


def _refusing_what_is_absent(call: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that raises `Unsupported` where the installed version of a library lacks what `call` needs."""

    @functools.wraps(call)
    def refusing(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except AttributeError as error:
            if not isinstance(error.obj, types.ModuleType):
                raise
            library = error.obj.__name__.partition(".")[0]
            from xloss.environment import version

            raise Unsupported(f"{library} {version(library) or '(installed)'} has no {error.name}") from error

    return refusing


@dataclass(frozen=True)
class Peer:
    """An implementation from another library, judged like xloss's own.

    `call` imports what it needs and takes the loss's own arguments by name, with `reduction`; it raises
    `Unsupported` where it lacks an option, or where the installed version of the library lacks the function.
    """

    name: str
    framework: str
    call: Callable[..., Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "call", _refusing_what_is_absent(self.call))


@dataclass(frozen=True, order=True)
class Contestant:
    """Name what is measured: a framework ("torch", "jax"), a mode of it, an implementation ("xloss" or a peer's name).

    Modes are "eager" and "compile" in PyTorch, "jit" in JAX.
    """

    framework: str
    mode: str
    implementation: str

    def __str__(self) -> str:
        """Return it as asv's parameters are written: "torch/compile/xloss"."""
        return f"{self.framework}/{self.mode}/{self.implementation}"

    @classmethod
    def parse(cls, text: str) -> Contestant:
        """Parse what `str` returns; raise `ValueError` for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"contestant: expected framework/mode/implementation, got {text!r}")
        return cls(*parts)


@dataclass(frozen=True)
class ClassForm:
    """Describe the class form of a loss: `CrossEntropyLoss(ignore_index=0)(input, target)`.

    It is generated from the signature of the loss: the call takes the required arguments and the optional ones named in
    `call`; the constructor takes the others. `name` is torch.nn's, by default that of the loss in CamelCase.
    `keyword_only` is True where torch.nn's constructor takes keywords only. A loss with trainable parameters is
    `parametric`: its classes are written in `xloss/modules/parametric_*.py`.
    """

    name: str = ""
    call: tuple[str, ...] = ()
    keyword_only: bool = False
    parametric: bool = False


@dataclass(frozen=True)
class Arguments:
    """Describe the tensor arguments of a loss.

    Attributes:
        wrt: those that training differentiates by, and that peers are asked for; a sweep asks xloss for the derivative
            by every floating argument (`floating`).
        batched: those with a batch axis, which is their first; or a mapping to the axis.
        class_axes: `class_axes(argument, rank)` returns the axis, or axes, of an argument along which one unreduced
            value depends on all elements (the classes), None for elementwise losses. An argument that is broadcast, or
            shared by the batch, need not be handled. `class_axes=None`: every output may depend on every input.
        weights: optional weights of elements or classes, None by default.
        constant: floating ones without a derivative.
        untyped: those that need not be tensors of one kind (lengths as numbers); what they refuse has separate tests.
    """

    wrt: tuple[str, ...] = ("input", "target")
    batched: tuple[str, ...] | Mapping[str, int] = ("input", "target")
    class_axes: Callable[[str, int], int | tuple[int, ...] | None] | None = lambda _argument, _rank: None
    weights: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    untyped: tuple[str, ...] = ()

    @property
    def batch_axes(self) -> dict[str, int]:
        """Return the batch axis of each argument that has one."""
        return dict(self.batched) if isinstance(self.batched, Mapping) else dict.fromkeys(self.batched, 0)

    def differentiable(self, arrays: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the arguments to differentiate by: those of `wrt` that are among the NumPy arrays, and floating."""
        return tuple(name for name in self.wrt if name in arrays and arrays[name].dtype.kind not in "iub")

    def floating(self, arrays: Mapping[str, Any]) -> tuple[str, ...]:
        """Return all floating arguments that have a derivative, weights and rates too: `differentiable`'s first."""
        first = self.differentiable(arrays)
        rest = (n for n, x in arrays.items() if n not in (*first, *self.constant) and x.dtype.kind not in "iub")
        return (*first, *rest)


@dataclass(frozen=True)
class Domain:
    """Describe where a loss is defined and where it is not differentiable.

    Attributes:
        kinks: points without a derivative, as values of the arguments' difference or of the argument; drawn in the
            regimes `near_kink` and `on_kink`.
        regimes: regimes beyond the common ones that apply (see `xloss.parity.inputs.REGIMES`).
        skip_regimes: common regimes that do not apply, each with the reason.
        differentiable_mask: `differentiable_mask(**arrays, **options)` returns the mask of the unreduced elements whose
            derivative is that of the formula; the others, at a kink, are compared with torch.nn.functional instead of
            truth.
    """

    kinks: tuple[float, ...] = ()
    regimes: tuple[str, ...] = ()
    skip_regimes: Mapping[str, str] = field(default_factory=dict)
    differentiable_mask: Callable[..., Any] | None = None


def ruled_out_class(input: Any, label_smoothing: float = 0.0, **_: Any) -> dict[str, tuple[float, int]]:
    """Return, for `Loss.adds_nothing`, a class with the logit -inf and probability 0; smoothing would give it more."""
    axis = class_axis(input.shape)
    return {} if label_smoothing else {"input": (-math.inf, axis), "target": (0.0, axis), "weight": (1.0, 0)}


class Unsupported(Exception):
    """Raised where an implementation lacks an option or a shape that a cell needs; the message is the reason."""


@dataclass(frozen=True, eq=False)  # a record is itself, and can be a key
class Loss:
    """Hold all facts about one loss.

    Attributes:
        name: torch.nn.functional's name, or one in its style.
        summary: one line.
        torch, jax: the two implementations, with the same signature.
        truth: `truth(t, **arrays, **options)` evaluates the textbook formula, unreduced, on object arrays of balls
            (intervals given by midpoint and radius); returns the values, or (values, weights), where a weighted mean
            divides by the sum of the weights, or (values, weights, factors), where that mean is
            sum(values * factors) / sum(weights). `t` is an `xloss.parity.truth.Tape`.
        inputs: `inputs(draw)` draws the arrays of one cell, by argument name; `draw` is an `xloss.parity.inputs.Draw`.
        variants: the ways of calling it that are checked.
        arguments, domain: facts about its arguments and about where it is defined.
        reductions: the reductions it has.
        peers, differences: other implementations, and where they differ.
        wrap_call: `wrap_call(function, framework)` adapts an implementation with another call (lists of tensors, a
            callable) to one with arrays by name, options and `reduction`; the result is what is judged and timed.
        patched_torch: `patched_torch(function)` replaces torch.nn.functional's function in the tests of equality
            with it, where torch's own gradient is not the formula's.
        crossed: factors (options with several values, optional tensors) whose pairs are checked beyond the variants;
            see `xloss.crossed`.
        excluded: tells of a combination of these, a `Variant`, that the loss refuses it.
        large: shapes of more than some thousand elements, rows or classes that are checked; None derives them.
        unseen: `unseen(**arrays, **options)` returns, by argument, a mask of the elements that the loss does not look
            at, which may be NaN; None says that these are the rows whose label is `ignore_index`, where it has one.
        adds_nothing: `adds_nothing(**arrays, **options)` returns what an element, or a class, that adds nothing to the
            sum of the losses has, (value, axis) by argument: a logit of minus infinity and a target of 0.
        class_form: the class form.
        workloads: further sizes to time, by name ("large"), beside those derived from `variants`.
        latex: the formula in LaTeX, each a displayed line, as pages typeset it; the docstring has it in words.
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
    crossed: tuple[crossed.Factor, ...] = ()
    excluded: Callable[[Variant], bool] | None = None
    large: tuple[tuple[int, ...], ...] | None = None
    unseen: Callable[..., Mapping[str, Any]] | None = None
    adds_nothing: Callable[..., Mapping[str, tuple[float, int]]] | None = None
    class_form: ClassForm = ClassForm()
    workloads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    latex: tuple[str, ...] = ()
    source: str = ""

    def implementation(self, framework: str) -> Callable[..., Any]:
        """Return the loss in `framework`, "torch" or "jax", called with arrays by name, options and `reduction`."""
        function = getattr(self, framework)
        return function if self.wrap_call is None else _wrapped(self.wrap_call, function, framework)

    @property
    def main_reduction(self) -> str:
        """Return the reduction used in training: 'mean', or the first it has."""
        return next(reduction for reduction in ("mean", *self.reductions) if reduction in self.reductions)

    def variant(self, name: str) -> Variant:
        """Return the variant of that name, or combination of what is crossed; raise `KeyError` otherwise."""
        if crossed.is_crossed(name):
            return crossed.named(self, name)
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(f"{self.name} has no variant {name!r}; it has {', '.join(v.name for v in self.variants)}")


@functools.cache
def _wrapped(wrap_call: Callable[..., Any], function: Callable[..., Any], framework: str) -> Callable[..., Any]:
    """Return the same function object each time: it is the key under which compiled programs are cached."""
    wrapped: Callable[..., Any] = wrap_call(function, framework)
    return wrapped


class _Losses(Mapping[str, Loss]):
    """Map names to losses, in alphabetical order; imports all of `xloss.losses` on first use."""

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
            found[loss.name] = replace(loss, torch=any_placement(loss.torch, loss.arguments, loss.reductions))
        return found

    def __getitem__(self, name: str) -> Loss:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _present(loss: Loss, framework: str, doc: str) -> None:
    """Give an implementation its public name and its file's docstring."""
    function = getattr(loss, framework)
    function.__name__ = function.__qualname__ = loss.name
    function.__module__ = f"xloss.{framework}"
    function.__doc__ = doc
    function.__xloss__ = loss.name


LOSSES: Mapping[str, Loss] = _Losses()


def get(name: str) -> Loss:
    """Return the loss of that name; raise `KeyError` with the nearest names for an unknown one."""
    import difflib

    if name not in LOSSES:
        near = difflib.get_close_matches(name, LOSSES, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"no loss {name!r}{hint}")
    return LOSSES[name]


@contextlib.contextmanager
def substitute(name: str, **changes: Any) -> Iterator[Loss]:
    """Replace a loss by a changed record (another `torch`, another `jax`) within a `with` block, to judge it.

    Only in this process: a sweep over worker processes does not see it.
    """
    right = get(name)
    changed = replace(right, **changes)
    assert isinstance(LOSSES, _Losses)
    LOSSES._found[name] = changed
    try:
        yield changed
    finally:
        LOSSES._found[name] = right
