"""Modes and transformations in which a fault shows, and ways to call: conditions like those in `conditions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.mutants.conditions import Condition, Given, together


def _mode(text: str, test: Callable[[Any, Given], Any], kind: str = "mode") -> Condition:
    return Condition(text, kind, test)


def compiled() -> Condition:
    return _mode("torch.compile", lambda f, given: f.compiling(), "transformation")


def not_compiled() -> Condition:
    """PyTorch's own mode, outside of all transformations."""
    return _mode("eager", lambda f, given: not f.compiling() and not f.transformations(), "transformation")


def mapped() -> Condition:
    def holds(f: Any, given: Given) -> bool:
        if f.name == "torch":
            return "Vmap" in f.transformations()
        return any(type(f.unwrapped(x)).__name__ == "BatchTracer" for x in given.values())

    return _mode("vmap", holds, "transformation")


def within(*names: str) -> Condition:
    """Hold under exactly these transformations of `torch.func`."""
    return _mode("func." + ".".join(names), lambda f, given: tuple(f.transformations()) == names, "transformation")


def concrete_values() -> Condition:
    """JAX outside of `jit`."""

    def holds(f: Any, given: Given) -> bool:
        from jax.core import Tracer

        return not any(isinstance(f.unwrapped(x), Tracer) for x in given.values())

    return _mode("not-under-jit", holds, "transformation")


def _torch_mode(text: str, test: Callable[[Any], Any]) -> Condition:
    return _mode(text, lambda f, given: f.name == "torch" and not f.compiling() and bool(test(f.np)))


def no_grad() -> Condition:
    return _torch_mode("no-grad", lambda torch: not torch.is_grad_enabled())


def inference_mode() -> Condition:
    return _torch_mode("inference-mode", lambda torch: torch.is_inference_mode_enabled())


def autocast() -> Condition:
    return _torch_mode("autocast", lambda torch: torch.is_autocast_enabled("cpu"))


def default_dtype(name: str) -> Condition:
    return _torch_mode(f"default-dtype-{name}", lambda torch: str(torch.get_default_dtype()) == f"torch.{name}")


def many_threads() -> Condition:
    return _torch_mode("threads>1", lambda torch: torch.get_num_threads() > 1)


def deterministic() -> Condition:
    return _torch_mode("deterministic-algorithms", lambda torch: torch.are_deterministic_algorithms_enabled())


def _asks_gradient(f: Any, x: Any) -> bool:
    return f.name == "torch" and f.is_array(x) and bool(x.requires_grad)


def gradient_asked(name: str) -> Condition:
    return _mode(f"requires-grad({name})", lambda f, given: _asks_gradient(f, given.get(name)))


def only_gradient_asked(name: str) -> Condition:
    """Of this argument alone."""

    def holds(f: Any, given: Given) -> bool:
        return _asks_gradient(f, given.get(name)) and not any(
            _asks_gradient(f, x) for other, x in given.items() if other != name
        )

    return _mode(f"only-{name}-requires-grad", holds)


def gradient_not_asked() -> Condition:
    return _mode("nothing-requires-grad", lambda f, given: not any(_asks_gradient(f, x) for x in given.values()))


def not_a_leaf() -> Condition:
    """The first argument was computed."""
    return _torch_mode_of_first("not-a-leaf", lambda x: x.requires_grad and not x.is_leaf)


def _torch_mode_of_first(text: str, test: Callable[[Any], Any]) -> Condition:
    def holds(f: Any, given: Given) -> bool:
        plain = f.name == "torch" and not f.compiling() and not f.transformations()
        return plain and bool(test(next(iter(given.values()))))

    return _mode(text, holds)


def _jax_option(text: str, name: str, value: Any) -> Condition:
    return _mode(text, lambda f, given: f.name == "jax" and getattr(f.jax.config, name) == value)


def x64_with(dtype: str) -> Condition:
    """64-bit dtypes are there, but not used."""
    return together(_jax_option("x64", "jax_enable_x64", True), Condition(
        f"dtype={dtype}", "mode", lambda f, given: f.dtype_name(next(iter(given.values()))) == dtype))  # fmt: skip


def standard_promotion() -> Condition:
    return _jax_option("standard-promotion", "jax_numpy_dtype_promotion", "standard")


def positional() -> Condition:
    """Arguments were given by position."""
    return _mode("by-position", lambda f, given: given.get("_by_position", False), "call")


def left_out(name: str) -> Condition:
    """An option was left out, not given with the value of its default."""
    return _mode(f"{name}-left-out", lambda f, given: name in given.get("_defaulted", ()), "call")
