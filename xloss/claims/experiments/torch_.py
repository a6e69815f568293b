"""Measure the claims' numbers in PyTorch; `jax_` has the counterpart of each function."""

# ruff: noqa: E731
import itertools

import numpy as np
import torch
from torch.nn import functional

from xloss.claims.model import Measured


def points() -> tuple[torch.Tensor, torch.Tensor]:
    """Return eight inputs and targets of a regression with one weight."""
    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8)).astype("float32"))
    return x, y


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return eight inputs, their labels of three classes, and the weights of a linear classifier."""
    rng = np.random.default_rng(0)
    x, t, w = rng.normal(size=(8, 5)), rng.integers(3, size=8), rng.normal(size=(5, 3))
    return torch.tensor(x).float(), torch.tensor(t), torch.tensor(w).float().requires_grad_()


def gradient(loss: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the loss; the graph is kept."""
    return torch.autograd.grad(loss, w, retain_graph=True)[0]


def surfaces() -> Measured:
    """Measure the losses of one error e and their gradients; sg(e) is e.detach()."""
    e = (torch.arange(-4, 5) / 2).requires_grad_()
    losses = {
        "e*e": e * e,
        "e*sg(e)": e * e.detach(),
        "e*sg(|e|)": e * e.abs().detach(),
        "|e|*sg(e)": e.abs() * e.detach(),
    }
    numbers = {"e": e.tolist()}
    for name, loss in losses.items():
        numbers |= {f"loss {name}": loss.tolist(), f"gradient {name}": gradient(loss.sum(), e).tolist()}
    return numbers


def half() -> Measured:
    """Compare MSE and error * error.detach() on a thousand random errors."""
    predicted, labels = np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    y_hat = torch.tensor(predicted, requires_grad=True)
    error = y_hat - torch.tensor(labels)
    mse, proposed = error * error, error * error.detach()
    ratio = gradient(proposed.sum(), y_hat) / gradient(mse.sum(), y_hat)
    ratio_of_means = gradient(proposed.mean(), y_hat) / gradient(mse.mean(), y_hat)
    return {
        "largest |MSE's gradient - 2(y_hat - y)|": (gradient(mse.sum(), y_hat) - 2 * error).abs().max().item(),
        "smallest ratio of gradients": ratio.min().item(),
        "largest ratio of gradients": ratio.max().item(),
        "smallest ratio under mean()": ratio_of_means.min().item(),
        "largest ratio under mean()": ratio_of_means.max().item(),
        "largest difference of the values": (proposed - mse).abs().max().item(),
    }


def training() -> Measured:
    """Train a linear regression with MSE and with the detached error."""
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    x, y = torch.tensor(data[:, :3]), torch.tensor(data @ np.array([1, -2, 3, 0.1], "float32"))

    def train(detach: bool, optimizer: str, lr: float, steps: int) -> torch.Tensor:
        w = torch.zeros(3, requires_grad=True)
        step = getattr(torch.optim, optimizer)([w], lr=lr)
        for _ in range(steps):
            error = x @ w - y
            step.zero_grad()
            (error * (error.detach() if detach else error)).mean().backward()
            step.step()
        return w.detach()

    best = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    apart = lambda a, b: (a - b).abs().max().item()
    sgd, adam = train(False, "SGD", 0.1, 200), train(False, "Adam", 0.1, 200)
    return {
        "SGD, same rate: apart after 1 step": apart(train(True, "SGD", 0.1, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 200 steps": apart(train(True, "SGD", 0.2, 200), sgd),
        "SGD, same rate: apart after 200 steps": apart(train(True, "SGD", 0.1, 200), sgd),
        "Adam, same rate: apart after 200 steps": apart(train(True, "Adam", 0.1, 200), adam),
        "SGD on the detached error: from the least-squares solution": apart(train(True, "SGD", 0.1, 200), best),
        "size of the weights": best.abs().max().item(),
    }


def second() -> Measured:
    """Measure value, first and second derivative by autodiff at e = 3."""
    losses = {"MSE": lambda e: e * e, "proposed": lambda e: e * e.detach()}
    losses |= {"MSE / 2": lambda e: e * e / 2, "e * 3": lambda e: e * 3}
    derivatives = (lambda f: f, torch.func.grad, torch.func.hessian)
    return {name: [f(loss)(torch.tensor(3.0)).item() for f in derivatives] for name, loss in losses.items()}


def printed() -> Measured:
    """Measure the notebook's two predictions, with a large and with a small error."""
    y = torch.tensor([0.0, 1, 0, 0])
    numbers: Measured = {}
    for row, certainty in {"large error": 0.5, "small error": 0.9}.items():
        p = torch.tensor([0.001, certainty, 0.1, 0.1])
        norm = (y - p).norm().item()
        numbers |= {f"'L1 Loss', {row}": norm, f"L2 Loss, {row}": norm**2}
        numbers[f"Log Loss, {row}"] = (-y * p.log()).sum().item()
        numbers[f"sum of |y - p|, {row}"] = (y - p).abs().sum().item()
    return numbers


def cotangent() -> Measured:
    """Compare backward(gradient=LossDelta), and backward() without it."""
    y, p = torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.001, 0.5, 0.1, 0.1])
    lower = torch.tensor([0.001, 0.55, 0.1, 0.1], requires_grad=True)
    loss = (y - lower).norm().pow(2)
    delta = (y - p).norm().pow(2) - loss.detach()
    loss.backward(gradient=delta, retain_graph=True)
    with_delta, lower.grad = lower.grad.tolist(), None
    loss.backward()
    return {
        "loss after the step": loss.item(),
        "LossDelta": delta.item(),
        "gradient given LossDelta": with_delta,
        "gradient given nothing": lower.grad.tolist(),
    }


def custom() -> Measured:
    """Use the notebook's square, whose backward returns the incoming gradient; called three times without zeroing."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: object, i: torch.Tensor) -> torch.Tensor:
            return i.pow(2)

        @staticmethod
        def backward(_ctx: object, grad_output: torch.Tensor) -> torch.Tensor:
            return grad_output

    def ratio(p: torch.Tensor) -> float:
        norm = (torch.eye(len(p))[1] - p).norm()
        return (gradient(Square.apply(norm), p) / gradient(norm.square(), p))[1].item()

    p = torch.tensor([0.001, 0.55, 0.1, 0.1], requires_grad=True)
    norm = (torch.eye(4)[1] - p).norm()
    loss, stored, returned = Square.apply(norm) * 0.0475, [], []
    for _ in range(3):
        loss.backward(retain_graph=True)
        stored.append(p.grad.clone())
        returned.append((gradient(loss, p) / stored[0])[1].item())
    return {
        "custom gradient": stored[0].tolist(),
        "after two calls": stored[1].tolist(),
        "after three calls": stored[2].tolist(),
        "added up over the calls": [(total / stored[0])[1].item() for total in stored],
        "returned by each call": returned,
        "custom / right": ratio(p),
        "1 / (2 norm)": 1 / (2 * norm.item()),
        "custom / right where the norm is 0.5": ratio(torch.tensor([0.0, 0.5], requires_grad=True)),
    }


def sum_or_mean() -> Measured:
    """Measure the squared error of four predictions, summed as in the formula, and by mse_loss."""
    y, y_hat = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1.5, 1, 3, 6])
    total, one = ((y - y_hat) ** 2).sum().item(), ((y - y_hat)[:1] ** 2).sum().item()
    return {
        "sum (y - y_hat)^2": total,
        "mse_loss": functional.mse_loss(y_hat, y).item(),
        "mse_loss, reduction='sum'": functional.mse_loss(y_hat, y, reduction="sum").item(),
        "sum / mse_loss, one prediction": one / functional.mse_loss(y_hat[:1], y[:1]).item(),
    }


def norm_squared() -> Measured:
    """Compare norm(r)^2 against sum(r^2), values and gradients, at a residual and at the zero residual."""
    numbers = {}
    for name, residual in {"at a residual": [3.0, -4.0, 12.0], "at zero": [0.0, 0.0, 0.0]}.items():
        r = torch.tensor(residual, requires_grad=True)
        norm_squared, total = torch.linalg.vector_norm(r) ** 2, (r**2).sum()
        g = gradient(norm_squared, r)
        numbers[f"values {name}"] = [norm_squared.item(), total.item()]
        numbers[f"gradient of norm^2 is finite {name}"] = g.isfinite().all().item()
        numbers[f"gradients apart {name}, where finite"] = (g - gradient(total, r)).nan_to_num().abs().max().item()
    return numbers


def stated() -> Measured:
    """Compare the derivative as stated, 2 sum [y - f(x)] df/dw, against autodiff, for f(x) = x w."""
    x, y, w = torch.tensor([1.0, 2, -1]), torch.tensor([1.0, -1, 2]), torch.tensor(2.0, requires_grad=True)
    autodiff, as_stated = gradient(((y - x * w) ** 2).sum(), w).item(), (2 * (y - x * w) * x).sum().item()
    return {"autodiff": autodiff, "as stated": as_stated, "stated / autodiff": as_stated / autodiff}


def value() -> Measured:
    """Measure mse_loss of x*w = w against 1, beside the root of the square, for several w."""
    w = torch.tensor([-1.0, 0.0, 0.5, 1.5, 2.0, 3.0, 4.0], requires_grad=True)
    mse = torch.stack([functional.mse_loss(v, torch.tensor(1.0)) for v in w])
    numbers = {"w": w.tolist()}
    for name, loss in {"mse_loss": mse, "sqrt((1 - w)^2)": ((1 - w) ** 2).sqrt()}.items():
        numbers |= {name: loss.tolist(), f"gradient of {name}": gradient(loss.sum(), w).tolist()}
    return numbers


def integer() -> Measured:
    """Show what torch.full([1], 2) is today, and what asking it for gradients says."""
    w = torch.full([1], 2)
    numbers = {"is a float": w.is_floating_point(), "its type": str(w.dtype), "runs": True}
    try:
        torch.full([1], 2, requires_grad=True)
    except RuntimeError as error:
        numbers |= {"runs": False, "says": str(error)}
    return numbers


def no_grad() -> Measured:
    """Ask for the gradient of a loss whose w does not require one; then mark w; then recompute."""
    x, w = torch.ones(1), torch.full([1], 2.0)
    numbers: Measured = {}
    old = functional.mse_loss(x * w, torch.ones(1))
    for step in ("before w is marked", "after requires_grad_(), same loss", "after recomputing the loss"):
        if "requires_grad_()" in step:
            w.requires_grad_()
        loss = functional.mse_loss(x * w, torch.ones(1)) if "recomputing" in step else old
        try:
            numbers |= {f"gradient {step}": gradient(loss, w).item(), f"works {step}": True}
        except RuntimeError as error:
            numbers |= {f"says {step}": str(error), f"works {step}": False}
    return numbers


def two_ways() -> Measured:
    """Compare autograd.grad and backward, each called twice, beside 2 * (1 - 2) * (-1)."""
    x, w = torch.ones(1), torch.full([1], 2.0, requires_grad=True)
    loss, returned, stored = functional.mse_loss(x * w, torch.ones(1)), [], []
    for _ in range(2):
        returned.append(gradient(loss, w).item())
        loss.backward(retain_graph=True)
        stored.append(w.grad.item())
    return {"autograd.grad, two calls": returned, "backward, two calls": stored, "by hand": 2 * (1 - 2) * (-1)}


def towards_zero() -> Measured:
    """Measure values and gradients of L1 and L2 as the error shrinks to 0, and the slopes of |e| on either side of
    0.
    """
    e = torch.tensor([2.0, 1.0, 0.01, 1e-30, 0.0], requires_grad=True)
    numbers: Measured = {}
    for name, loss in {"L1": functional.l1_loss, "L2": functional.mse_loss}.items():
        values = loss(e, torch.zeros_like(e), reduction="none")
        numbers |= {name: values.tolist(), f"gradient of {name}": gradient(values.sum(), e).tolist()}
    h = torch.tensor([-1e-30, 1e-30])
    return numbers | {"error": e.tolist(), "slope of |e| left and right of 0": (h.abs() / h).tolist()}


def huber() -> Measured:
    """Divide huber_loss by smooth_l1_loss, and its slope by MSE's below the threshold and by L1's above."""
    e, small, large, zeros = torch.arange(1, 25) / 4, torch.tensor(0.25), torch.tensor(8.0), torch.zeros(24)
    slope = lambda f, e: torch.func.grad(lambda e: f(e, torch.zeros(())))(e)
    numbers: Measured = {"beta = delta": [0.5, 1.0, 2.0], "smallest ratio": [], "largest ratio": []}
    numbers |= {"below: smooth / MSE": [], "above: smooth / L1": []}
    for beta in numbers["beta = delta"]:
        smooth = lambda e, zero, beta=beta: functional.smooth_l1_loss(e, zero, reduction="none", beta=beta)
        ratio = functional.huber_loss(e, zeros, reduction="none", delta=beta) / smooth(e, zeros)
        numbers["smallest ratio"].append(ratio.min().item())
        numbers["largest ratio"].append(ratio.max().item())
        numbers["below: smooth / MSE"].append((slope(smooth, small) / slope(functional.mse_loss, small)).item())
        numbers["above: smooth / L1"].append((slope(smooth, large) / slope(functional.l1_loss, large)).item())
    return numbers


def probabilities() -> Measured:
    """Compare nll_loss given probabilities, and given their logarithms; the true class is the first."""
    true = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1, 0.01])
    p, target = torch.stack([true, 1 - true], 1), torch.zeros(6, dtype=torch.int64)
    numbers = {"probability of the true class": true.tolist(), "-log of the probability": (-true.log()).tolist()}
    for name, x in {"probabilities": p, "log-probabilities": p.log()}.items():
        numbers[f"nll_loss of {name}"] = functional.nll_loss(x, target, reduction="none").tolist()
    return numbers


def weighted() -> Measured:
    """Apply class weights 1, 2, 5 under reduction='mean': class labels, the same as one-hot, and rows repeated."""
    x, t = torch.tensor(np.random.default_rng(0).normal(size=(6, 3))).float(), torch.tensor([0, 0, 0, 1, 1, 2])
    w, loss = torch.tensor([1.0, 2.0, 5.0]), functional.cross_entropy
    repeats = w[t].int()
    return {
        "sum / sum of weights": (loss(x, t, weight=w, reduction="none").sum() / w[t].sum()).item(),
        "sum / number of rows": (loss(x, t, weight=w, reduction="none").sum() / 6).item(),
        "cross_entropy, labels": loss(x, t, weight=w).item(),
        "nll_loss, labels": functional.nll_loss(functional.log_softmax(x, 1), t, weight=w).item(),
        "cross_entropy, one-hot": loss(x, functional.one_hot(t, 3).float(), weight=w).item(),
        "rows repeated": loss(x.repeat_interleave(repeats, 0), t.repeat_interleave(repeats)).item(),
    }


def exclude() -> Measured:
    """Exclude class 0 by ignore_index and by a zero weight: gradients of its rows, and of its logit elsewhere."""
    x, t = torch.tensor(np.random.default_rng(0).normal(size=(4, 3))).float(), torch.tensor([0, 0, 1, 2])
    ways, numbers = {"ignore_index": {"ignore_index": 0}, "weight 0": {"weight": torch.tensor([0.0, 1, 1])}}, {}
    for name, options in ways.items():
        loss = functional.cross_entropy(x.requires_grad_(), t, **options)
        g = gradient(loss, x).abs()
        numbers[f"{name}: largest gradient in rows of class 0"] = g[:2].max().item()
        numbers[f"{name}: largest gradient of logit 0 in other rows"] = g[2:, 0].max().item()
        apart = (loss - functional.cross_entropy(x[2:], t[2:])).abs().item()
        numbers[f"{name}: distance from leaving the rows out"] = apart
    return numbers


def four_ways() -> Measured:
    """Measure the question's four averages and their six discrepancies, in its order."""
    (x, t, w), loss, n = batch(), functional.cross_entropy, 8
    optimizer = torch.optim.SGD([w], lr=0.1)

    def average(losses: list[torch.Tensor], set_to_none: bool, clone: bool = False) -> torch.Tensor:
        w.grad = grads = None
        for one in losses:
            optimizer.zero_grad(set_to_none=set_to_none)
            one.backward(retain_graph=True)
            grad = (torch.clone(w.grad) if clone else w.grad).view(-1, 1)  # a view shows what w.grad will hold
            grads = grad if grads is None else torch.cat((grads, grad), dim=1)
        return torch.sum(grads, 1) / len(losses)

    none = list(loss(x @ w, t, reduction="none"))
    fresh = [loss(x @ w, t, reduction="none")[i] for i in range(n)]
    single = [loss(x[i : i + 1] @ w, t[i : i + 1]) for i in range(n)]
    ways = [none, [loss(x @ w, t, reduction="sum") / n], [loss(x @ w, t)], single]

    apart = lambda a, b: (a - b).abs().max().item()
    six = lambda **how: list(itertools.starmap(apart, itertools.combinations([average(a, **how) for a in ways], 2)))
    g = [gradient(one, w).flatten() for one in none]
    mean, overwritten = gradient(loss(x @ w, t), w).flatten(), torch.stack([g[1], *g[1:]], 1).sum(1) / n
    return {
        "zeroed in place": six(set_to_none=False),
        "zeroed in place, clone() stored": six(set_to_none=False, clone=True),
        "set to None, as today": six(set_to_none=True),
        "fresh graphs, zeroed in place": apart(average(fresh, set_to_none=False), mean),
        "fresh graphs, set to None": apart(average(fresh, set_to_none=True), mean),
        "max |g_1 - g_0| / n": apart(g[1], g[0]) / n,
        "in place: distance from averaging g_1, g_1, g_2, ...": apart(average(none, set_to_none=False), overwritten),
    }


def stored() -> Measured:
    """Show what happens to a stored gradient when the field is zeroed and filled again."""
    w, numbers = torch.tensor([1.0, 2.0], requires_grad=True), {"what was stored": [3.0, 5.0]}
    for name, set_to_none in {"zeroed in place": False, "set to None": True}.items():
        w.grad = None
        (w * torch.tensor([3.0, 5.0])).sum().backward()
        stored = w.grad.view(-1)
        torch.optim.SGD([w]).zero_grad(set_to_none=set_to_none)
        (w * torch.tensor([7.0, 9.0])).sum().backward()
        numbers[f"stored gradient, then {name}"] = stored.tolist()
    return numbers


def linear() -> Measured:
    """Measure the gradient of the summed losses, sum of the single gradients, and the loss of the summed inputs
    instead.
    """
    (x, t, w), loss = batch(), functional.cross_entropy
    of_sum, of_mean = gradient(loss(x @ w, t, reduction="sum"), w), gradient(loss(x @ w, t), w)
    sum_of = sum(gradient(loss(x[i] @ w, t[i]), w) for i in range(8))
    apart = lambda g: (g - sum_of).abs().max().item()
    return {
        "size of the gradient": sum_of.abs().max().item(),
        "gradient of the sum, from the sum of gradients": apart(of_sum),
        "gradient of the mean times n, from the sum of gradients": apart(8 * of_mean),
        "gradient at the summed inputs, from the sum of gradients": apart(gradient(loss(x.sum(0) @ w, t[0]), w)),
        "gradient of the sum / gradient of the mean": (of_sum / of_mean).flatten()[:4].tolist(),
        "n": 8,
    }


def batch_size() -> Measured:
    """Measure the gradient when the same data come once and four times over."""
    (x, y), w, numbers = points(), torch.tensor(0.5, requires_grad=True), {}
    for reduction in ("mean", "sum"):
        loss = lambda k, r=reduction: functional.mse_loss(x.repeat(k) * w, y.repeat(k), reduction=r)
        ratio = gradient(loss(4), w) / gradient(loss(1), w)
        numbers[f"{reduction}: gradient at four times the batch / at once"] = ratio.item()
    return numbers


def micro() -> Measured:
    """Compare the mean of two micro-batch means, and sums divided once by the whole denominator, against the whole
    batch.
    """
    (x, _, w), t = batch(), torch.tensor([0, 1, 2, 0, 2, 2, 2, 1])
    ignored, weight = torch.tensor([-100] * 3 + [0, 2, 2, 2, 1]), torch.tensor([1.0, 2.0, 10.0])
    cases = {"plain": (t, None, 8), "class weights": (t, weight, weight[t].sum()), "ignore_index": (ignored, None, 5)}
    numbers, parts = {}, (slice(0, 4), slice(4, 8))
    for name, (labels, weight, denominator) in cases.items():
        loss = lambda part, reduction, t=labels, weight=weight: functional.cross_entropy(
            x[part] @ w, t[part], weight=weight, reduction=reduction
        )
        whole = gradient(loss(slice(8), "mean"), w)
        added = sum(gradient(loss(part, "mean"), w) for part in parts)
        sums = sum(gradient(loss(part, "sum"), w) for part in parts) / denominator
        numbers[f"{name}: means added / whole batch"] = (added.norm() / whole.norm()).item()
        numbers[f"{name}: mean of means"] = ((added / 2 - whole).norm() / whole.norm()).item()
        numbers[f"{name}: sums / whole denominator"] = ((sums - whole).norm() / whole.norm()).item()
    return numbers


def coupled() -> Measured:
    """Measure the relative error of averaging over samples, with and without a batch normalisation in front of the
    weight.
    """
    (x, y), w, numbers = points(), torch.tensor(0.5, requires_grad=True), {}
    norm = lambda x, training: functional.batch_norm(x[:, None], torch.zeros(1), torch.ones(1), training=training)[:, 0]
    layers = {"no coupling": lambda x: x, "batch norm": lambda x: norm(x, True)}
    layers["batch norm, frozen"] = lambda x: norm(x, False)
    for name, layer in layers.items():
        losses = lambda x, y, layer=layer: (w * layer(x) - y) ** 2
        whole = gradient(losses(x, y).mean(), w)
        sliced = sum(gradient(loss, w) for loss in losses(x, y)) / 8
        pairs = sum(gradient(losses(x[i : i + 2], y[i : i + 2]).mean(), w) for i in range(0, 8, 2)) / 4
        numbers[f"{name}: fed whole, then sliced"] = (sliced / whole - 1).abs().item()
        numbers[f"{name}: fed in pairs"] = (pairs / whole - 1).abs().item()
    return numbers
