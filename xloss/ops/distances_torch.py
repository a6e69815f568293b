"""What the losses of distances and angles share in PyTorch; `distances_jax.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.autocast_torch import product
from xloss.ops.elementary import RESCALING
from xloss.ops.linear_torch import vjp

__all__ = ["cosine_minus", "cosine_similarities", "distance", "normalize", "pair_masks"]


def pair_masks(input: torch.Tensor, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Check labels (N), of any integer dtype, of the rows of `input` (N, D); return two masks of pairs of rows, (N, N).

    Positive pairs are two rows with one label, negative pairs rows with two labels.
    """
    target = ops.as_array("target", target)
    ops.check_devices(input=input, target=target)
    if not ops.is_integer(target):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "labels of an integer dtype")
    if input.ndim != 2:
        arguments.raise_value_error("input", f"shape {tuple(input.shape)}", "shape (N, D)")
    if target.shape != input.shape[:1]:
        arguments.raise_value_error(
            "target", f"shape {tuple(target.shape)}", f"a label for each row, shape ({input.shape[0]},)"
        )
    same = target.unsqueeze(1) == target.unsqueeze(0)
    return same & ~torch.eye(target.shape[0], dtype=torch.bool, device=target.device), ~same


def _power_of_two(largest: torch.Tensor) -> torch.Tensor:
    """Return the power of two to multiply a vector by before squaring it, given the size of its largest element."""
    (upper, down), (lower, up) = RESCALING[largest.dtype.itemsize]
    factor = torch.where(largest < lower, up, torch.ones_like(largest))
    return torch.where(largest > upper, down, factor)


def distance(x: torch.Tensor, y: torch.Tensor, p: float = 2.0, eps: float = 1e-6) -> torch.Tensor:
    """Compute the p-norm of x - y + eps along the last axis: `torch.pairwise_distance`, without overflow.

    At the zero vector the derivative is 0; for p = inf ties share it equally.
    """
    length = _lengths(x, y, eps) if p == 2 and _are_plain(x, y, eps) else None
    if length is not None:
        return _Distance.apply(x, y, eps, length)
    difference = x - y + eps
    if not difference.ndim:
        return ops.absolute(difference)
    if p == 1 or not difference.shape[-1]:
        return ops.absolute(difference).sum(-1)
    if p > 1e18:  # infinite, to all digits; and XLA may take a power of 1 by such a p for 0
        return ops.greatest(ops.absolute(difference))
    # The axis is kept to the end: PyTorch gives a 0-d float32 tensor times a Python number a float64 tangent.
    largest = difference.detach().abs().amax(-1, keepdim=True)
    factor, is_zero = _power_of_two(largest), largest == 0
    scaled = difference * factor
    if p == 2:
        total = torch.where(is_zero, 1.0, scaled.square().sum(-1, keepdim=True))
        return torch.where(is_zero, 0.0, torch.sqrt(total) / factor).squeeze(-1)
    size, largest = ops.absolute(scaled), largest * factor
    largest = torch.where(is_zero | torch.isinf(largest), 1.0, largest)
    # At 0 the derivative of a power is 0 times infinity, or infinite.
    zeros = size == 0
    powers = torch.where(zeros, 0.0, torch.where(zeros, 1.0, size / largest) ** p)
    total = torch.where(is_zero, 1.0, powers.sum(-1, keepdim=True))
    return torch.where(is_zero, 0.0, total ** (1 / p) * (largest / factor)).squeeze(-1)


# The squared norms of vectors whose squares neither overflow nor, but for negligible ones, underflow.
_SAFE = {itemsize: (lower**2, upper**2) for itemsize, ((upper, _), (lower, _)) in RESCALING.items()}


def _are_safe(squares: torch.Tensor) -> bool:
    """Tell whether all squared norms are such that no vector has to be rescaled: none is 0, huge or NaN.

    Asked of squares computed without rescaling, for most vectors are such.
    """
    least, most = (bound.item() for bound in squares.aminmax())
    lower, upper = _SAFE[squares.dtype.itemsize]
    return bool(lower < least and most < upper)


def _are_plain(x: torch.Tensor, y: torch.Tensor, *options: Any) -> bool:
    """Tell whether vectors of one shape are of plain eager mode on the CPU, where values decide what is computed."""
    # First: what is traced may not be asked for its sizes.
    if ops.is_transformed(x, y) or any(isinstance(option, torch.Tensor) for option in options):
        return False
    return bool(ops.on_cpu(x) and ops.on_cpu(y) and x.shape == y.shape and x.ndim and x.numel())


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _difference(x: torch.Tensor, y: torch.Tensor, eps: float, out: torch.Tensor | None = None) -> torch.Tensor:
    difference = torch.sub(x, y, out=out)
    return difference.add_(eps) if eps else difference


def _lengths(x: torch.Tensor, y: torch.Tensor, eps: float) -> torch.Tensor | None:
    """Return the norms of x - y + eps, without derivatives; None where `distance` has to rescale."""
    found = []
    for part_x, part_y in ops.blocks(_rows(x.detach()), _rows(y.detach())):
        difference = _difference(part_x, part_y, eps)
        found.append(difference.mul_(difference).sum(-1))
    squares = found[0] if len(found) == 1 else torch.cat(found)
    return squares.sqrt_().reshape(x.shape[:-1]) if _are_safe(squares) else None


class _Distance(torch.autograd.Function):
    """Give `length`, the norms of x - y + eps, its derivatives; the differences are computed again, and not stored."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, eps: float, length: Any) -> Any:
        ctx.eps = eps
        ctx.save_for_backward(x, y, length)
        return length

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        x, y, length = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            return *vjp(lambda x, y: distance(x, y, 2.0, ctx.eps), wanted, (x, y), cotangent), None, None
        by_x = torch.empty_like(_rows(x))
        by_y = torch.empty_like(by_x) if wanted[1] else by_x
        slope = (cotangent / length).reshape(-1, 1)
        for part_x, part_y, to_x, to_y, factor in ops.blocks(_rows(x), _rows(y), by_x, by_y, slope):
            _difference(part_x, part_y, ctx.eps, out=to_x).mul_(factor)
            if wanted[1]:
                torch.neg(to_x, out=to_y)
        grads = zip((by_x, by_y), wanted, strict=True)
        return *(grad.reshape(x.shape) if want else None for grad, want in grads), None, None


def _rescale(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vectors along the last axis, rescaled, in terms of ratios to their largest element; and norms.

    Angles depend on these ratios alone: the largest element is a constant, and the derivative by it is a sum over the
    others, where differentiating the elements themselves subtracts nearly equal numbers. The zero vector has norm 1
    here, and no derivative.
    """
    if not x.shape[-1]:
        return x, x.new_ones((*x.shape[:-1], 1))
    index = x.detach().abs().argmax(-1, keepdim=True)
    greatest = x.gather(-1, index)
    largest = greatest.detach()
    factor, is_zero = _power_of_two(largest.abs()), largest == 0
    greatest = torch.where(is_zero, 1.0, greatest * factor)
    ratios = x * torch.where(is_zero, 0.0, factor * (greatest.detach() / greatest))
    ratios = ratios.scatter(-1, index, largest * factor)
    return ratios, torch.sqrt(torch.where(is_zero, 1.0, ratios.square().sum(-1, keepdim=True)))


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Divide the vectors along the last axis by their norms, of any size; the zero vector stays 0, derivative 0."""
    ratios, norm = _rescale(x)
    return ratios / norm


def cosine_similarities(x: torch.Tensor) -> torch.Tensor:
    """Compute the cosines of all pairs of rows (N, D): shape (N, N)."""
    rows = normalize(x)
    return product(rows, rows.mT)


def cosine_minus(x: torch.Tensor, y: torch.Tensor, *levels: Any) -> tuple[torch.Tensor, ...]:
    """Compute cosine(x, y) - level for each level, of the angle along the last axis.

    For an angle near 0 or 180 degrees 1 - |cosine| is half the squared distance of the unit vectors, where
    the subtraction would cancel. A zero vector has cosine 0.
    """
    known = _angles(x, y) if _are_plain(x, y, *levels) else None
    if known is not None:
        return tuple(_CosineMinus.apply(x, y, levels, known))
    (x, x_norm), (y, y_norm) = _rescale(x), _rescale(y)
    cosine = (x * y).sum(-1, keepdim=True) / (x_norm * y_norm)
    side = torch.where(cosine.detach() < 0, -1.0, torch.ones_like(cosine))
    rest = 0.5 * side * (x / x_norm - y / (side * y_norm)).square().sum(-1, keepdim=True)
    return tuple(_minus(level, cosine, side, rest).squeeze(-1) for level in levels)


def _minus(level: Any, cosine: torch.Tensor, side: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """Compute cosine - level, of a cosine that is `side` - `rest`, 1 or -1 but for a rest that has all its digits."""
    # 1 - level is a Python number, rounded once.
    gap = torch.where(side < 0, -1 - level, ops.full_like(cosine, 1 - level))
    return torch.where(cosine.detach().abs() > 0.5, gap - rest, cosine - level)


def _angles(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
    """Return norms of both, cosine, side and rest of `_minus`, without derivatives; None where vectors need rescaling.

    The rest is 0 where the cosine is at most 1/2.
    """
    x, y = _rows(x.detach()), _rows(y.detach())
    rows = x.shape[0]
    squares, cosine = x.new_empty(2, rows), x.new_empty(rows)
    for a, b, of_a, of_b, both in ops.blocks(x, y, *squares, cosine):
        product = a * a
        torch.sum(product, -1, out=of_a)
        torch.sum(torch.mul(b, b, out=product), -1, out=of_b)
        torch.sum(torch.mul(a, b, out=product), -1, out=both)
    if not _are_safe(squares):
        return None
    x_norm, y_norm = squares.sqrt_()
    cosine.div_(x_norm * y_norm)
    side, rest = torch.sgn(cosine), torch.zeros_like(cosine)
    narrow = cosine.abs() > 0.5
    count = int(narrow.sum())
    of_x, of_y = x_norm.unsqueeze(1), (side * y_norm).unsqueeze(1)
    if 2 * count > rows or (count and x.numel() <= 2**12):
        for a, b, of_a, of_b, total in ops.blocks(x, y, of_x, of_y, rest):
            gap = (a / of_a).addcdiv_(b, of_b, value=-1)
            torch.sum(gap.mul_(gap), -1, out=total)
        rest.masked_fill_(~narrow, 0.0)
    elif count:
        index = narrow.nonzero().squeeze(1)
        for some in index.split(ops.rows_per_block(x.shape[1])):
            gap = x[some].div_(of_x[some]).addcdiv_(y[some], of_y[some], value=-1)
            rest[some] = gap.mul_(gap).sum(-1)
    return x_norm, y_norm, cosine, side, rest.mul_(side).mul_(0.5)


class _CosineMinus(torch.autograd.Function):
    """Compute `cosine_minus` of what `_angles` found, with derivatives in few passes over the vectors."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, levels: Any, known: Any) -> Any:
        x_norm, y_norm, cosine, side, rest = known
        ctx.levels = levels
        ctx.save_for_backward(x, y, x_norm, y_norm, torch.where(rest != 0, side - rest, cosine))
        return tuple(_minus(level, cosine, side, rest).reshape(x.shape[:-1]) for level in levels)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        x, y, x_norm, y_norm, cosine = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled() or ops.is_transformed(*cotangents):  # double backward, or vmap
            whole = lambda x, y: torch.stack(cosine_minus(x, y, *ctx.levels))  # noqa: E731
            return *vjp(whole, wanted, (x, y), torch.stack(cotangents)), None, None
        slope = sum(cotangents[1:], cotangents[0]).reshape(-1)
        grads = [
            _slopes(_rows(own), _rows(other), norm, other_norm, cosine, slope).reshape(x.shape) if want else None
            for own, other, norm, other_norm, want in (
                (x, y, x_norm, y_norm, wanted[0]),
                (y, x, y_norm, x_norm, wanted[1]),
            )
        ]
        return *grads, None, None


def _slopes(
    own: torch.Tensor,
    other: torch.Tensor,
    norm: torch.Tensor,
    other_norm: torch.Tensor,
    cosine: torch.Tensor,
    cotangent: torch.Tensor,
) -> torch.Tensor:
    """Compute the derivative of the cosine of rows x and y by x: y / |x||y| - x cosine / |x|^2, times the cotangent.

    It is at right angles to x. Where the two terms nearly cancel, what is left along x is their error and is taken out.
    By an element that dominates x the derivative follows from those by the others.
    """
    found = torch.empty_like(own)
    by_x, by_y = -cotangent * cosine / norm / norm, cotangent / norm / other_norm
    columns = (vector.unsqueeze(1) for vector in (by_x, by_y, norm, cosine))
    for x, y, slope, of_x, of_y, length, level in ops.blocks(own, other, found, *columns):
        torch.mul(x, of_x, out=slope).addcmul_(y, of_y)
        least, most = (bound.item() for bound in level.aminmax())
        if not -0.5 <= least <= most <= 0.5:
            along = (x * slope).sum(1, keepdim=True) / length / length
            slope.addcmul_(x, along, value=-1)
        largest = torch.maximum(x.amax(1, keepdim=True), -x.amin(1, keepdim=True))
        rows = (largest > 0.7 * length).squeeze(1).nonzero().squeeze(1)
        if len(rows):
            x, some = x[rows], slope[rows]
            top = x.abs().argmax(1, keepdim=True)
            rest = (x * some).scatter_(1, top, 0.0).sum(1, keepdim=True)
            slope[rows] = some.scatter_(1, top, -rest / x.gather(1, top))
    return found
