"""`python -m xloss.gpu.lowering`: XLA's input for cuda, tpu and rocm, of every loss, made where there is none of them.

`jax.jit(f).trace(...).lower(lowering_platforms=...)` runs the rules of the platform asked for. A loss that has no such
rule, or that calls back to the host, is found here. The length of the program is kept, too: programs that are long take
long to compile, and a run on a device asks for them last.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xloss import environment
from xloss.catalog import LOSSES, Loss, get
from xloss.files import write_text
from xloss.gpu.journal import Row

PLATFORMS = ("cuda", "tpu", "rocm")
DERIVATIVES = ("value", "grad", "vmap(grad)", "hvp")
FILE = Path("reports/accelerator/lowering.json")
# What a call back to Python is named, in one version or another.
_CALLBACK = re.compile(r"callback|xla_python|ffi_python", re.IGNORECASE)


def answer(cell: Mapping[str, Any], _settings: Mapping[str, Any]) -> Row:
    """Lower a loss's programs for cuda."""
    found = list(lowered(get(cell["loss"]), ("cuda",)))
    bad = [row for row in found if row["reason"]]
    row: Row = {"status": "error" if bad else "ok", "loss": cell["loss"], "programs": len(found)}
    return row | ({"reason": "; ".join(f"{one['derivative']}: {one['reason']}" for one in bad)[:400]} if bad else {})


def lowered(loss: Loss, platforms: Sequence[str] = PLATFORMS,
            derivatives: Sequence[str] = DERIVATIVES) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield a row for each derivative and platform: lines of the program, or the reason why there is none."""
    import jax

    function, arrays = _scalar(loss)
    for derivative in derivatives:
        try:
            traced = jax.jit(derived(function, derivative, arrays)).trace(*arrays)
        except Exception as error:  # what JAX raises is the finding, for all platforms
            for platform in platforms:
                yield _row(loss, derivative, platform, 0, f"{type(error).__name__}: {error}")
            continue
        for platform in platforms:
            try:
                text = traced.lower(lowering_platforms=(platform,)).as_text()
            except Exception as error:
                yield _row(loss, derivative, platform, 0, f"{type(error).__name__}: {error}")
                continue
            calls = sorted(set(re.findall(r"custom_call @([\w.$]+)", text)))
            back = [name for name in calls if _CALLBACK.search(name)]
            yield _row(loss, derivative, platform, text.count("\n"),
                       f"calls back to the host: {', '.join(back)}" if back else "")  # fmt: skip


def _row(loss: Loss, derivative: str, platform: str, lines: int, reason: str) -> dict[str, Any]:
    said = reason.strip().split("\n")[0][:200]
    return {"loss": loss.name, "derivative": derivative, "platform": platform, "lines": lines, "reason": said}


def _scalar(loss: Loss) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return the loss's main reduction as a function of what it is differentiated by, and shapes for it."""
    import jax

    from xloss.parity.cells import Cell
    from xloss.parity.evaluate import inputs_of
    from xloss.parity.mechanisms import load

    variant, framework = loss.variants[0], load("jax")
    arrays = inputs_of(loss, Cell(loss.name, variant.name, variant.shapes[0], "typical", "float32"))
    wrt = loss.arguments.differentiable(arrays)
    held = {name: framework.put(x, framework.device("cpu")) for name, x in arrays.items() if name not in wrt}

    def function(*values: Any) -> Any:
        given = {**held, **dict(zip(wrt, values, strict=True))}
        call = loss.implementation("jax")
        return call(**{name: given[name] for name in arrays}, **variant.options, reduction=loss.main_reduction).sum()

    return function, tuple(jax.ShapeDtypeStruct(arrays[name].shape, arrays[name].dtype) for name in wrt)


def derived(function: Callable[..., Any], derivative: str, arrays: Sequence[Any]) -> Callable[..., Any]:
    """Return a function of the same arrays: the value, the gradient, that of two copies at once, or the product of
    the Hessian with ones.
    """
    import jax
    import jax.numpy as jnp

    grad = jax.grad(function, argnums=tuple(range(len(arrays))))
    made: dict[str, Callable[..., Any]] = {
        "value": function,
        "grad": grad,
        "vmap(grad)": lambda *xs: jax.vmap(grad)(*(jnp.stack([x, x]) for x in xs)),
        "hvp": lambda *xs: jax.jvp(grad, xs, tuple(jnp.ones_like(x) for x in xs))[1],
    }
    return made[derivative]


@functools.cache
def lengths(path: Path = FILE) -> dict[str, int]:
    """Return the lines of each loss's gradient, as they were last written to the file; nothing without one."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text("utf-8"))["results"]
    return {row["loss"]: int(row["lines"]) for row in rows if (row["derivative"], row["platform"]) == ("grad", "cuda")}


def main() -> int:
    """Lower all programs, and write a row for each; exit with 3 where one cannot be lowered."""
    reader = argparse.ArgumentParser(prog="python -m xloss.gpu.lowering", description=main.__doc__)
    reader.add_argument("--loss", nargs="*", default=list(LOSSES), help="only these losses")
    reader.add_argument("--platform", nargs="*", default=PLATFORMS, help="(default: %(default)s)")
    reader.add_argument("--out", type=Path, default=FILE, help="(default: %(default)s)")
    given = reader.parse_args()
    rows = []
    for name in given.loss:
        try:
            rows += list(lowered(get(name), given.platform))
        except KeyError as error:
            reader.error(str(error.args[0]))
        said = [row["reason"] for row in rows if row["loss"] == name and row["reason"]]
        sys.stderr.write(f"{name}: {'; '.join(said) or 'lowered'}\n")
    facts = {"versions": {k: v for k, v in environment.versions().items() if k in ("jax", "jaxlib")}}
    text = ",\n".join(json.dumps(row) for row in rows)
    head = json.dumps({"platforms": list(given.platform), **facts})[1:-1]
    write_text(given.out, f'{{{head}, "results": [\n{text}\n]}}\n')
    bad = [row for row in rows if row["reason"]]
    sys.stderr.write(f"{len(rows) - len(bad)} of {len(rows)} programs lowered without a call back to the host\n")
    return 3 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
