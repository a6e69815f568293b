"""Figures of claims, drawn from their evidence: lines are PyTorch's numbers, rings JAX's.

matplotlib is imported when a figure is drawn. Each function takes the evidence of its claim and returns SVG: text kept
as text, the same bytes for the same numbers, no address of anything outside.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

from xloss.claims.model import Evidence

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "xloss",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b949e",
    "axes.labelcolor": "#24292f",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "xtick.color": "#57606a",
    "ytick.color": "#57606a",
    "legend.frameon": False,
    "lines.linewidth": 2.2,
}
_COLORS = ("#0b6bcb", "#d1570a", "#1a7f52", "#8250df", "#bf3989")


@contextlib.contextmanager
def _figure(columns: int, title: str) -> Iterator[tuple[Any, list[str]]]:
    """Axes in a row, and the list that receives the SVG when they are drawn; `title` is its name for screen readers."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 3.1), layout="constrained")
        FigureCanvasSVG(figure)
        drawn: list[str] = []
        yield figure.subplots(1, columns, squeeze=False)[0], drawn
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn.append(_plain(buffer.getvalue(), title))


def _plain(svg: str, title: str) -> str:
    """The bare element: no prologue, no metadata, ids that stay apart from other figures', a size that adapts."""
    slug = re.sub(r"\W+", "-", title.lower()).strip("-")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    # A style element would hold for the whole page that the figure is put into.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|xlink:href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{slug}-{m[1]}"' if m[1] in used else "", svg)
    svg = svg.replace("url(#", f"url(#{slug}-").replace('xlink:href="#', f'href="#{slug}-')
    svg = re.sub(r' xmlns:xlink="[^"]*"| transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"font-family: [^;]*;", "font-family: sans-serif;", svg)
    svg = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    head = f'role="img" aria-label="{title}" style="stroke-linejoin:round;stroke-linecap:butt;background:#fff"'
    svg = re.sub(r"<svg[^>]*>", lambda m: re.sub(r' (?:width|height)="[^"]*"', "", m[0]), svg, count=1)
    return svg.replace("<svg", f"<svg {head}", 1).strip() + "\n"


def _pair(axis: Any, evidence: Evidence, x: str, y: str, label: str, color: str, **line: Any) -> None:
    """PyTorch's numbers as a line, JAX's as rings on it."""
    torch, jax = evidence["torch"], evidence["jax"]
    axis.plot(torch[x], torch[y], color=color, label=label, **line)
    axis.plot(jax[x], jax[y], "o", color=color, markerfacecolor="white", markersize=4.5, markeredgewidth=1.2)


def _legend(axis: Any) -> None:
    axis.legend(title="lines: PyTorch, rings: JAX", title_fontsize=9)


def _curves(evidence: Evidence, title: str, names: tuple[str, ...]) -> str:
    """Loss and gradient over the error; curves that lie on each other are told apart by their width."""
    with _figure(2, title) as ((left, right), drawn):
        for k, name in enumerate(names):
            line: dict[str, Any] = {"color": _COLORS[k], "linewidth": 6 - 1.5 * k, "alpha": 0.4 + 0.2 * k}
            _pair(left, evidence, "e", f"loss {name}", name, **line)
            _pair(right, evidence, "e", f"gradient {name}", name, **line)
        left.set(title="loss", xlabel="error e")
        right.set(title="gradient by autodiff", xlabel="error e")
        _legend(left)
    return drawn[0]


def surfaces(evidence: Evidence) -> str:
    """The loss surfaces over the error, as the question drew them, and the gradients; needs the surfaces' numbers."""
    return _curves(evidence, "Loss and gradient of the detached error", ("e*e", "e*sg(e)", "|e|"))


def signs(evidence: Evidence) -> str:
    """The detached error beside the two variants whose gradient never changes sign."""
    return _curves(evidence, "Variants of the detached error", ("e*e", "e*sg(e)", "e*sg(|e|)", "|e|*sg(e)"))


def penalties(evidence: Evidence) -> str:
    """Squared and log penalty as the true class gets less likely."""
    with _figure(2, "Squared and log penalty") as (axes, drawn):
        for axis, what in zip(axes, ("loss", "slope"), strict=True):
            for name, color in zip(("squared", "log"), _COLORS, strict=False):
                _pair(axis, evidence, "p", f"{name} {what}", name, color)
            axis.set(title=what, xlabel="certainty p of the true class", xscale="log", yscale="log")
        _legend(axes[0])
    return drawn[0]


def root(evidence: Evidence) -> str:
    """mse_loss and the square root over w: they meet where the text looked."""
    with _figure(2, "mse_loss and the square root") as (axes, drawn):
        for axis, prefix in zip(axes, ("", "gradient of "), strict=True):
            for name, color in zip(("mse_loss", "sqrt((1 - w)^2)"), _COLORS, strict=False):
                _pair(axis, evidence, "w", prefix + name, name, color)
            axis.axvline(2, color="#8b949e", linewidth=1, linestyle=":")
            axis.set(title=prefix.replace(" of ", "") or "value", xlabel="w (the text has w = 2)")
        _legend(axes[0])
    return drawn[0]


def _bars(axis: Any, evidence: Evidence, labels: list[str], heights: list[list[float]]) -> None:
    """Two bars a label, PyTorch and JAX."""
    for k, (framework, color) in enumerate(zip(evidence, _COLORS, strict=False)):
        positions = [i + (k - 0.5) * 0.38 for i in range(len(labels))]
        axis.bar(positions, heights[k], width=0.36, color=color, label={"torch": "PyTorch", "jax": "JAX"}[framework])
    axis.set_xticks(range(len(labels)), labels)
    axis.grid(axis="x", visible=False)


def minimizers(evidence: Evidence) -> str:
    """Where gradient descent ends on each loss, without and with an outlier."""
    with _figure(2, "Minimizers of L2 and L1") as (axes, drawn):
        for axis, data in zip(axes, ("0, 0, 1", "0, 0, 100"), strict=True):
            heights = [[n[f"{loss} on {data}"] for loss in ("L2", "L1")] for n in evidence.values()]
            _bars(axis, evidence, ["L2: the mean", "L1: the median"], heights)
            axis.set(title=f"minimizer over {data}", xlim=(-0.6, 1.6))
        axes[0].legend()
    return drawn[0]


def probabilities(evidence: Evidence) -> str:
    """What nll_loss returns for probabilities and for their logarithms."""
    x = "probability of the true class"
    with _figure(1, "nll_loss of probabilities and of log-probabilities") as ((axis,), drawn):
        for what, color in zip(("log-probabilities", "probabilities"), _COLORS, strict=False):
            _pair(axis, evidence, x, f"nll_loss of {what}", f"given {what}", color)
        axis.axhline(0, color="#8b949e", linewidth=1)
        axis.set(title="nll_loss", xlabel=x)
        _legend(axis)
    return drawn[0]


def four_ways(evidence: Evidence) -> str:
    """The six discrepancies under each way of keeping gradients."""
    pairs = ["none\nsum", "none\nmean", "none\none by one", "sum\nmean", "sum\none by one", "mean\none by one"]
    rows = [
        ("torch", "zeroed in place", "PyTorch, zeroed in place"),
        ("torch", "set to None, as today", "PyTorch, set to None"),
        ("jax", "nothing to zero", "JAX"),
    ]
    with _figure(1, "Six discrepancies") as ((axis,), drawn):
        for k, (framework, name, label) in enumerate(rows):
            # A bar of a discrepancy that is exactly 0 cannot stand on a logarithmic axis; it gets the axis's end.
            heights = [max(value, 1e-9) for value in evidence[framework][name]]
            color = _COLORS[(1, 0, 2)[k]]
            axis.bar([i + (k - 1) * 0.27 for i in range(6)], heights, width=0.25, color=color, label=label)
        axis.set(title="largest difference between two of the four averages", yscale="log", ylim=(1e-9, 10))
        axis.set_xticks(range(6), pairs)
        axis.grid(axis="x", visible=False)
        axis.legend(ncols=3, loc="upper center")
    return drawn[0]


def micro_batches(evidence: Evidence) -> str:
    """Relative error of the mean of means and of its cure."""
    cases = ["plain", "class weights", "ignore_index"]
    with _figure(2, "Mean of means") as (axes, drawn):
        for axis, how in zip(axes, ("mean of means", "sums / whole denominator"), strict=True):
            _bars(axis, evidence, cases, [[n[f"{case}: {how}"] for case in cases] for n in evidence.values()])
            axis.set(title=how, yscale="log", ylim=(1e-9, 10))
        axes[0].set(ylabel="relative error of the gradient")
        axes[0].legend()
    return drawn[0]
