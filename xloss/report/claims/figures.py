"""Draw the figures of claims from their evidence, in the style of the report's other figures."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from xloss.claims.model import Evidence
from xloss.report import svg

#: The panels of a figure: a title for each, and below it the label and the name of each curve or bar.
Panels = Mapping[str, Mapping[str, str]]


def lines(evidence: Evidence, title: str, x: str, xlabel: str, panels: Panels) -> str:
    """Draw curves over `x`: PyTorch's numbers as lines, JAX's as rings on them."""
    torch, jax = evidence["torch"], evidence["jax"]
    with svg.figure(title, 3.3, 1, len(panels)) as (axes, out):
        for axis, (heading, curves) in zip(axes[0], panels.items(), strict=True):
            for color, (label, name) in zip(svg.SERIES, curves.items(), strict=False):
                axis.plot(torch[x], torch[name], color=color, label=label)
                axis.plot(jax[x], jax[name], "o", color=color, markerfacecolor="none", markersize=4.5)
            axis.set(title=heading, xlabel=xlabel)
        svg.legend(*axes[0])
    return str(out.text)


def bars(evidence: Evidence, title: str, panels: Panels, least: float = 0.0) -> str:
    """Draw two bars for each label, PyTorch and JAX; on a logarithmic axis where a `least` height is given."""
    with svg.figure(title, 3.3, 1, len(panels)) as (axes, out):
        for axis, (heading, names) in zip(axes[0], panels.items(), strict=True):
            for k, (framework, label) in enumerate({"torch": "PyTorch", "jax": "JAX"}.items()):
                heights = [max(evidence[framework][name], least) for name in names.values()]
                positions = [i + (k - 0.5) * 0.38 for i in range(len(names))]
                axis.bar(positions, heights, width=0.36, color=svg.SERIES[k], label=label)
            axis.set_xticks(range(len(names)), names)
            axis.set(title=heading, **({"yscale": "log", "ylim": (least, 10)} if least else {}))
            axis.grid(axis="x", visible=False)
        svg.legend(*axes[0])
    return str(out.text)


def _panels(names: Sequence[str], *kinds: str) -> Panels:
    return {kind: {name: f"{kind} {name}" for name in names} for kind in kinds}


_CASES = ("plain", "class weights", "ignore_index")
_HOW = ("mean of means", "sums / whole denominator")
#: claim id -> what draws its evidence
FIGURES: Mapping[str, Callable[[Evidence], str]] = {
    "detached-error/signs-of-variants": partial(
        lines,
        title="Variants of the detached error",
        x="e",
        xlabel="error e",
        panels=_panels(("e*e", "e*sg(e)", "e*sg(|e|)", "|e|*sg(e)"), "loss", "gradient"),
    ),
    "typical-gradients/square-root": partial(
        lines,
        title="mse_loss and the square root",
        x="w",
        xlabel="w (the text has w = 2)",
        panels={
            "value": {"mse_loss": "mse_loss", "root": "sqrt((1 - w)^2)"},
            "gradient": {"mse_loss": "gradient of mse_loss", "root": "gradient of sqrt((1 - w)^2)"},
        },
    ),
    "four-averages/mean-of-means": partial(
        bars,
        title="Relative error of the gradient from micro-batches",
        panels={how: {case: f"{case}: {how}" for case in _CASES} for how in _HOW},
        least=1e-9,
    ),
}
