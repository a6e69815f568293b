"""What a fault does to a loss: each makes an `Operation` whose `apply(f, call, given)` is the faulty loss.

`f` is the framework (`tests.mutants.sides`), `call(**given)` the right loss. Only plain differentiable operations are
used, so that every transformation passes through a mutant: what is found is the fault, not the planting.
A mask of a condition on values comes as `where`, True where no such condition is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

Given = dict[str, Any]
Apply = Callable[[Any, Callable[..., Any], Given, Any], Any]


class Operation(NamedTuple):
    """One way to be wrong: its name, the kind it counts under, and what it does."""

    text: str
    kind: str
    apply: Apply


def _on_value(f: Any, out: Any, change: Callable[[Any], Any], where: Any) -> Any:
    """Change the value (of a sum with its denominator the former), where the condition holds."""
    if isinstance(out, tuple):
        return (_on_value(f, out[0], change, where), *out[1:])
    return change(out) if where is True else f.where(where, change(out), out)


def _value(text: str, change: Callable[[Any, Any], Any]) -> Operation:
    return Operation(
        text, "value", lambda f, call, given, where: _on_value(f, call(**given), lambda x: change(f, x), where)
    )


def scaled(by: float) -> Operation:
    return _value(f"value*{by:g}", lambda f, x: x * f.number(by, x))


def offset(by: float) -> Operation:
    return _value(f"value+{by:g}", lambda f, x: x + f.number(by, x))


def nan_for_infinity() -> Operation:
    return _value("nan-for-infinity", lambda f, x: f.where(f.np.isinf(x), math.nan, x))


def zero_for_nan() -> Operation:
    return _value("zero-for-nan", lambda f, x: f.nan_to_zero(x))


def detached() -> Operation:
    return _value("value-detached", lambda f, x: f.stop(x))


def _within(f: Any, x: Any, least: float | None, most: float | None) -> Any:
    """Return x within bounds; the gradient is 0 beyond."""
    x = x if least is None else f.where(x < least, least, x)
    return x if most is None else f.where(x > most, most, x)


def clipped(least: float | None = None, most: float | None = None) -> Operation:
    return _value(f"value-clipped({least},{most})", lambda f, x: _within(f, x, least, most))


def rounded_to(dtype: str) -> Operation:
    return _value(f"value-rounded-to-{dtype}", lambda f, x: f.like(f.cast(x, dtype), x))


def cast_to(dtype: str) -> Operation:
    """Return another dtype than that of the arguments."""
    return _value(f"dtype-{dtype}", lambda f, x: f.cast(x, dtype))


def one_axis_more() -> Operation:
    return _value("one-axis-more", lambda f, x: x.reshape((1, *x.shape)))


def coupled(by: float) -> Operation:
    """Add to each unreduced value a part of the mean of all."""
    return _value(f"rows-coupled({by:g})", lambda f, x: x + f.number(by, x) * x.mean() if x.ndim and f.size(x) else x)


def last_element(by: float) -> Operation:
    """Scale the last of the unreduced values."""

    def change(f: Any, x: Any) -> Any:
        if not x.ndim or not f.size(x):
            return x
        last = f.range(f.size(x), x).reshape(x.shape) == f.size(x) - 1
        return f.where(last, x * f.number(by, x), x)

    return _value(f"last-element*{by:g}", change)


def another_reduction(asked: str, done: str) -> Operation:
    """Do one reduction where another is asked."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        return call(**{**given, "reduction": done}) if given.get("reduction", "mean") == asked else call(**given)

    return Operation(f"{done}-for-{asked}", "value", apply)


def unweighted_mean() -> Operation:
    """Divide by the number of elements, whatever the weights."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        return call(**{**given, "reduction": "none"}).mean() if given.get("reduction") == "mean" else call(**given)

    return Operation("mean-over-all-elements", "value", apply)


def one_less() -> Operation:
    """Divide the mean by n - 1."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        out = call(**given)
        x = next(iter(given.values()))
        rows = x.shape[0] if x.ndim else 1
        return out * (rows / (rows - 1)) if given.get("reduction") == "mean" and rows > 1 else out

    return Operation("mean-over-n-1", "value", apply)


def computed_in(dtype: str) -> Operation:
    """Compute in another dtype, and return the asked one."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        lesser = {name: f.cast(x, dtype) if f.is_floating(x) else x for name, x in given.items()}
        like = next(x for x in given.values() if f.is_floating(x))
        return _on_value(f, call(**lesser), lambda x: f.like(x, like), True)

    return Operation(f"computed-in-{dtype}", "value", apply)


def _argument(text: str, kind: str, name: str, change: Callable[[Any, Any], Any]) -> Operation:
    """Replace an argument, where it is given."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        x = given.get(name)
        if not f.is_floating(x):
            return call(**given)
        changed = change(f, x)
        return call(**{**given, name: changed if where is True else f.where(where, changed, x)})

    return Operation(text, kind, apply)


def argument_scaled(name: str, by: float) -> Operation:
    return _argument(f"{name}*{by:g}", "value", name, lambda f, x: x * f.number(by, x))


def argument_clipped(name: str, least: float | None = None, most: float | None = None) -> Operation:
    return _argument(f"{name}-clipped({least},{most})", "value", name, lambda f, x: _within(f, x, least, most))


def argument_without_nan(name: str) -> Operation:
    return _argument(f"{name}-without-nan", "value", name, lambda f, x: f.nan_to_zero(x))


def option(name: str, change: Callable[[Any], Any], text: str) -> Operation:
    """Change an option before it is used."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        return call(**{**given, name: change(given[name])}) if name in given else call(**given)

    return Operation(f"{name}:{text}", "option", apply)


def dropped(name: str) -> Operation:
    """Leave out an option or an optional tensor."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        return call(**{key: x for key, x in given.items() if key != name})

    return Operation(f"{name}-dropped", "option", apply)


def _part(f: Any, x: Any, part: str) -> Any:
    """Return the mask of a part of an argument: a row, a class, an element."""
    if part == "last element":
        return f.range(f.size(x), x).reshape(x.shape) == f.size(x) - 1
    which, what = part.split()
    axis = 0 if what == "row" or x.ndim < 2 else 1
    at = f.range(x.shape[axis], x) == (0 if which == "first" else x.shape[axis] - 1)
    return at.reshape((-1,) + (1,) * (x.ndim - axis - 1))


def gradient(name: str, by: float, part: str = "") -> Operation:
    """Scale the derivative by an argument, of all or of a part of it; no value changes."""

    def change(f: Any, x: Any) -> Any:
        mask = f.finite(x)
        if part and x.ndim and f.size(x):
            mask = mask & _part(f, x, part)
        return f.where(mask, f.stop(x) + f.number(by, x) * (x - f.stop(x)), x)

    of = f"{name}, {part}" if part else name
    return _argument(f"gradient({of})*{by:g}".replace(" ", "-"), "gradient", name, change)


def _step(f: Any, x: Any) -> Any:
    """Return x - stop(x): zero, with derivative 1."""
    return f.where(f.finite(x), x - f.stop(x), 0.0)


def _added(text: str, kind: str, names: tuple[str, ...], by: float, term: Callable[..., Any]) -> Operation:
    """Add to the value what is zero, with its derivatives, so many times."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        out = call(**given)
        if not all(f.is_floating(given.get(name)) for name in names):
            return out
        zero = term(*(_step(f, given[name]) for name in names))
        zero = zero * f.number(by, zero)
        return _on_value(f, out, lambda x: x + f.like(zero, x), where)

    return Operation(text, kind, apply)


def gradient_added(name: str, by: float) -> Operation:
    return _added(f"gradient({name})+{by:g}", "gradient", (name,), by, lambda x: x.sum())


def second(name: str, by: float) -> Operation:
    """Change second derivatives alone."""
    return _added(f"second({name})+{by:g}", "second order", (name,), by, lambda x: (x * x).sum())


def mixed(one: str, other: str, by: float) -> Operation:
    """Change mixed second derivatives alone."""
    return _added(f"mixed({one},{other})+{by:g}", "second order", (one, other), by, lambda x, y: x.sum() * y.sum())


def off_diagonal(name: str, by: float) -> Operation:
    """Change second derivatives by two different elements alone."""
    return _added(
        f"off-diagonal({name})+{by:g}",
        "second order",
        (name,),
        by,
        lambda x: x.sum() * x.sum() - (x * x).sum(),
    )


def third(name: str, by: float) -> Operation:
    """Change third derivatives alone."""
    return _added(f"third({name})+{by:g}", "third order", (name,), by, lambda x: (x * x * x).sum())


def frozen_gradient(name: str) -> Operation:
    """Lose second derivatives: the gradient is a constant, as where a backward pass is computed on detached values."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        x = given.get(name)
        out = call(**given)
        if not f.is_floating(x) or isinstance(out, tuple) or out.ndim:
            return out
        slope = f.stop(f.gradient(lambda x: call(**{**given, name: x}), f.stop(x)))
        return call(**{**given, name: f.stop(x)}) + f.like(
            (f.where(f.finite(slope), slope, 0.0) * _step(f, x)).sum(), out
        )

    return Operation(f"second({name})-lost", "second order", apply)


def tangent(name: str, by: float) -> Operation:
    """Scale tangents, in forward mode alone."""

    def torch_identity(f: Any, x: Any) -> Any:
        if f.compiling():  # which takes no `jvp`
            return x
        return _torch_tangent(by)(x)

    def change(f: Any, x: Any) -> Any:
        return torch_identity(f, x) if f.name == "torch" else _jax_tangent(f.jax, by)(x)

    return _argument(f"tangent({name})*{by:g}", "forward mode", name, change)


def _torch_tangent(by: float) -> Any:
    import torch

    class Tangent(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

        @staticmethod
        def jvp(ctx: Any, tangent: Any) -> Any:
            return tangent * by

    return Tangent.apply


def _jax_tangent(jax: Any, by: float) -> Any:
    @jax.custom_jvp
    def identity(x: Any) -> Any:
        return x

    @identity.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        linear = jax.custom_derivatives.linear_call
        return primals[0], linear(lambda _, t: t * by, lambda _, ct: ct, (), tangents[0])

    return identity


def effect(text: str, act: Callable[[Any, Given], None], kind: str = "impurity") -> Operation:
    """Do something beside computing the loss."""

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        if not f.compiling():
            act(f, given)
        return call(**given)

    return Operation(text, kind, apply)


def counting(every: int, by: float) -> Operation:
    """Scale the value in every so-manieth call of this process."""
    calls = [0]

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        if f.compiling():
            return call(**given)
        calls[0] += 1
        out = call(**given)
        return _on_value(f, out, lambda x: x * by, True) if calls[0] % every == 0 else out

    return Operation(f"value*{by:g}-in-call-{every}", "impurity", apply)


def remembered(name: str) -> Operation:
    """Take a number from the first call of each shape, as a cache with too small a key does."""
    kept: dict[Any, float] = {}

    def apply(f: Any, call: Any, given: Given, where: Any) -> Any:
        x = given.get(name)
        plain = f.name == "torch" and not f.compiling() and not f.transformations() and f.is_floating(x)
        if not plain or isinstance(out := call(**given), tuple):
            return call(**given)
        now = float(x.detach().double().abs().sum())
        first = kept.setdefault((tuple(x.shape), str(x.dtype)), now)
        return out * (now / first) if now != first and math.isfinite(now / first if first else math.nan) else out

    return Operation(f"cached-by-shape({name})", "impurity", apply)
