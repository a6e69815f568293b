"""The exact result: a loss's textbook formula in ball arithmetic, its derivatives by differences of tiny step.

A formula is evaluated on object arrays of `flint.arb`, numbers that carry an error bound through every operation, at
hundreds of bits. A derivative is a central difference with step 2^-200: its truncation error is of the order of 2^-400,
and its rounding error is in the ball. So truth shares neither code, nor precision, nor automatic differentiation with
what it judges. The precision is doubled until every ball is far narrower than the last digit of the dtype under test.

Branches and stopped gradients: a formula asks its `Tape` for `where` and `stop`. The tape notes what was decided (or
held) at the point itself and repeats it at the displaced points, so that on a kink the derivative is that of the branch
which the formula names, and a stopped term stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flint
import numpy as np

STEP_BITS = 200
SPARE_BITS = 64
LAST_PRECISION = 30_000
MOST_COLUMNS = 48


class Undecided(Exception):
    """Two balls overlap, so that a comparison has no answer at this precision."""


class Imprecise(Exception):
    """No precision up to `LAST_PRECISION` made the balls narrow enough."""


class Tape:
    """What a formula may ask for beyond arithmetic: branches, stopped values, sums.

    The first evaluation records; later ones, after `rewind`, repeat.
    """

    def __init__(self) -> None:
        self._notes: list[Any] = []
        self._at = 0
        self._recording = True
        self.stops = False  # whether a gradient was stopped, or terms cancel, so that a scale of errors is to be found
        self.through = False  # let gradients pass where the formula stops them, and add what cancels

    def rewind(self) -> None:
        """Go back to the start and repeat from now on what was recorded."""
        self._at = 0
        self._recording = False

    def _note(self, make: Callable[[], Any]) -> Any:
        if self._recording:
            self._notes.append(make())
            return self._notes[-1]
        self._at += 1
        return self._notes[self._at - 1]

    def where(self, condition: np.ndarray, yes: Any, no: Any) -> np.ndarray:
        """Choose elementwise; the choice made at the point itself is kept at displaced points."""
        chosen = self._note(lambda: np.asarray(condition, dtype=bool))
        yes, no = (x if isinstance(x, np.ndarray) else np.array(arb(x), dtype=object) for x in (yes, no))
        return np.asarray(np.where(chosen, yes, no))

    def stop_gradient(self, x: np.ndarray) -> np.ndarray:
        """Hold `x` at its value: a stopped gradient."""
        self.stops = True
        held = self._note(lambda: x)
        return np.asarray(x if self.through else held)

    def subtrahend(self, x: np.ndarray) -> np.ndarray:
        """Return a term that is subtracted from one of like derivatives, so that each counts in the scale of errors."""
        self.stops = True
        return -x if self.through else x

    def divisor(self, x: np.ndarray) -> np.ndarray:
        """Return what divides a term of like relative derivatives, so that each counts in the scale of errors."""
        self.stops = True
        held = self._note(lambda: x)
        return np.asarray(held * held / x if self.through else x)

    def lt(self, x: Any, y: Any) -> np.ndarray:
        """Tell where x < y at the point itself; balls that overlap without being the same point raise `Undecided`."""
        return np.asarray(self._note(lambda: _compare(x, y)))

    @staticmethod
    def sum(x: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
        """Sum along `axis`; an empty sum is a ball's 0."""
        return np.asarray(np.sum(x, axis=axis, keepdims=keepdims, initial=flint.arb(0)), dtype=object)

    def const(self, value: float) -> Any:
        """Return an option (a Python number) as an exact ball."""
        return arb(value)


def _less(x: Any, y: Any) -> bool:
    x, y = arb(x), arb(y)
    if x.is_nan() or y.is_nan():
        return False
    if x < y:
        return True
    if x >= y:
        return False
    raise Undecided(f"{x} against {y}")


_compare = np.vectorize(_less, otypes=[bool])


def arb(value: Any) -> Any:
    """Return a number as a ball of radius 0; a ball as itself."""
    return value if isinstance(value, flint.arb) else flint.arb(float(value))


def balls(array: np.ndarray) -> np.ndarray:
    """Return a floating array as balls of radius 0; an integer or boolean array as it is."""
    if array.dtype.kind in "iub":
        return array
    wide = np.asarray(array, dtype=np.float64)
    out = np.empty(wide.shape, dtype=object)
    for index in np.ndindex(wide.shape):
        out[index] = flint.arb(float(wide[index]))
    return out


@dataclass(frozen=True)
class Column:
    """A set of elements of one argument that are displaced together, since no output depends on two of them."""

    argument: str
    # Index of these elements in their argument: `...` (elementwise), slices but for the class axes, or one element.
    place: Any
    dense: bool = False


@dataclass
class Exact:
    """The exact unreduced values, first derivatives and second derivatives at one point, as arrays of balls.

    `first[c]` is shaped like `values`: the derivative of each output by that one element of column c on which it
    depends; `second[c, d]` likewise, for c <= d, where asked for. `weights_first[c]` is the derivative of the weights
    that a mean divides by, in which they are linear; None where they do not depend on column c. `through` has the
    derivatives as they were if no gradient were stopped, where one is: an error in what is held is felt all the same.
    """

    values: np.ndarray
    weights: np.ndarray | None
    factors: np.ndarray | None
    columns: list[Column]
    first: list[np.ndarray]
    second: dict[tuple[int, int], np.ndarray]
    arrays: Mapping[str, np.ndarray]
    precision: int
    weights_first: list[np.ndarray | None] = field(default_factory=list)
    through: Exact | None = None

    def known_share(self, argument: str) -> float:
        """Return the share of an argument's elements that its columns hold: less than 1 where a few were taken."""
        taken = np.zeros(self.arrays[argument].shape, dtype=bool)
        for column in self.columns:
            if column.argument == argument:
                taken[column.place] = True
        return float(taken.mean()) if taken.size else 1.0

    @property
    def denominator(self) -> Any:
        """What the mean divides by."""
        if self.weights is None:
            return flint.arb(self.values.size)
        with flint.ctx.workprec(self.precision):
            return _sum(self.weights)

    def mixed(self, c: int, d: int) -> np.ndarray:
        """Return the second derivative by columns c and d."""
        return self.second[min(c, d), max(c, d)]

    def own(self, c: int, array: np.ndarray | None = None) -> np.ndarray:
        """Return column c's elements (of its argument, or of an array of that shape), broadcast to the outputs'
        shape.
        """
        column = self.columns[c]
        source = self.arrays[column.argument] if array is None else array
        return np.broadcast_to(source[column.place], self.values.shape) if column.dense else source[column.place]

    def scatter(self, argument: str, per_column: Sequence[np.ndarray]) -> np.ndarray:
        """Put one array per column (contracted over outputs for dense ones) together to the argument's shape."""
        mine = [c for c, column in enumerate(self.columns) if column.argument == argument]
        out = np.full(self.arrays[argument].shape, flint.arb("nan"), dtype=object)
        with flint.ctx.workprec(self.precision):
            for c in mine:
                column = self.columns[c]
                out[column.place] = _sum(per_column[c]) if column.dense else per_column[c]
        return out


def _sum(array: np.ndarray) -> Any:
    return sum(np.ravel(array), start=flint.arb(0))


def columns(
    arrays: Mapping[str, np.ndarray], wrt: Sequence[str], class_axes: Any, shape: tuple[int, ...]
) -> list[Column]:
    """Split the arguments differentiated by into as few columns as the structure of the loss allows.

    What is left of an argument without its row axes has the shape of the values; where it has not, it is broadcast or
    shared, and each of its elements enters several outputs. Of an argument with more than `MOST_COLUMNS` only a few are
    taken, among them the classes that are labels: its other derivatives remain unknown.
    """
    out = []
    labels = {int(i) for x in arrays.values() if x.dtype.kind in "iu" for i in np.unique(x)[:2]}
    for argument in wrt:
        array = arrays[argument]
        axis = None if class_axes is None else class_axes(argument, array.ndim)
        axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
        rest = tuple(size for a, size in enumerate(array.shape) if a not in axes)
        if class_axes is None or rest != shape:
            out += [Column(argument, index, dense=True) for index in _some(array.shape, labels)]
        else:
            for index in _some(tuple(array.shape[a] for a in axes), labels):
                place: list[Any] = [slice(None)] * array.ndim
                for a, i in zip(axes, index, strict=True):
                    place[a] = i
                # With an ellipsis what is taken stays an array, a 0-d one too.
                out.append(Column(argument, (*place, ...)))
    return out


def _some(shape: tuple[int, ...], labels: set[int]) -> list[tuple[int, ...]]:
    """Return all indices of a shape, or of one that is too large the first, the last, and some on the way."""
    number = math.prod(shape)
    if number <= MOST_COLUMNS:
        return list(np.ndindex(shape))
    taken = {0, number // 3, number - 1} | {label for label in labels if len(shape) == 1 and 0 <= label < number}
    return [tuple(int(i) for i in np.unravel_index(at, shape)) for at in sorted(taken)]


def _step(x: Any) -> Any:
    """Tiny against the scale on which a loss changes: 1, or |x| next to a singularity at 0."""
    unit = flint.arb(2) ** -STEP_BITS
    if x == 0 or not x.is_finite():
        return unit
    return unit * min(abs(x), flint.arb(1), key=lambda ball: ball.mid())


_steps = np.vectorize(_step, otypes=[object])


def evaluate(
    truth: Callable[..., Any],
    arrays: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    wrt: Sequence[str],
    class_axes: Any,
    order: int = 2,
    digits: int = 53,
    least_exponent: int = -1074,
) -> Exact:
    """Evaluate values and derivatives up to `order`, precisely enough for a dtype of that many digits and exponent."""
    finite = all(
        np.isfinite(array.astype(np.float64)).all() for array in arrays.values() if array.dtype.kind not in "iub"
    )
    # What is left of a second difference, twice the step's bits lower, should reach the dtype's smallest number.
    precision = 2 * STEP_BITS - least_exponent + digits + SPARE_BITS
    while precision <= LAST_PRECISION:
        before = flint.ctx.prec
        flint.ctx.prec = precision
        try:
            exact = _evaluate(truth, arrays, options, wrt, class_axes, order)
            exact.precision = precision
            if exact.through is not None:
                exact.through.precision = precision
        except Undecided:
            exact = None
        finally:
            flint.ctx.prec = before
        if exact is not None and narrow(exact, digits, least_exponent, finite):
            return exact
        precision *= 2
    raise Imprecise(f"{getattr(truth, '__module__', truth)}: balls stay too wide at {LAST_PRECISION} bits")


def narrow(exact: Exact, digits: int, least_exponent: int, finite: bool = True) -> bool:
    """Tell whether every ball's radius is below a millionth of the dtype's last digit there.

    A ball that says nothing (log of one that contains 0) is too wide, unless the inputs were not `finite`: then it may
    be that there is no result.
    """
    relative = flint.arb(2) ** -(digits + 20)
    absolute = flint.arb(2) ** (least_exponent - 20)
    for array in (exact.values, *exact.first, *exact.second.values()):
        for ball in np.ravel(array):
            if ball.is_finite() and not ball.rad() <= abs(ball.mid()) * relative + absolute:
                return False
            if finite and not ball.is_finite():
                return False
    return True


def _slope(ahead: Any, behind: Any, width: np.ndarray) -> np.ndarray | None:
    """Return the derivative of weights, or None where none of them depends on what was displaced."""
    if ahead is None or np.asarray(ahead).dtype != object or np.asarray(ahead).shape != width.shape:
        return None
    slope = np.asarray((ahead - behind) / (2 * width), dtype=object)
    return slope if any(not isinstance(x, flint.arb) or x != 0 for x in slope.ravel()) else None


def third(
    truth: Callable[..., Any],
    arrays: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    tangents: Mapping[str, np.ndarray],
    exact: Exact,
) -> np.ndarray:
    """Evaluate the third derivative of each value along tangents, at three times the bits, as balls."""
    tape = Tape()
    with flint.ctx.workprec(3 * exact.precision):
        step = flint.arb(2) ** -STEP_BITS
        given = {name: balls(array) for name, array in arrays.items()}
        moves = {name: balls(tangent) for name, tangent in tangents.items()}

        def at(steps: int) -> np.ndarray:
            there = {name: given[name] + steps * step * move for name, move in moves.items()}
            out = truth(tape, **{**given, **there}, **options)
            tape.rewind()
            return np.asarray(out[0] if isinstance(out, tuple) else out, dtype=object)

        at(0)  # on a kink, the branches of the point itself
        return np.asarray((at(2) - 2 * at(1) + 2 * at(-1) - at(-2)) / (2 * step**3), dtype=object)


def _evaluate(
    truth: Any, arrays: Any, options: Any, wrt: Any, class_axes: Any, order: int, through: bool = False
) -> Exact:
    exact_arrays = {name: balls(array) for name, array in arrays.items()}
    tape = Tape()
    tape.through = through

    def at(displaced: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Any, Any]:
        out = truth(tape, **{**exact_arrays, **displaced}, **options)
        tape.rewind()
        values, *rest = out if isinstance(out, tuple) else (out,)
        weights, factors = (*rest, None, None)[:2]
        return np.asarray(values, dtype=object), weights, factors

    values, weights, factors = at({})
    cols = columns(exact_arrays, wrt, class_axes, values.shape)
    steps = {argument: _steps(exact_arrays[argument]) if exact_arrays[argument].size else exact_arrays[argument]
             for argument in wrt}  # fmt: skip
    exact = Exact(values, weights, factors, cols, [], {}, exact_arrays, 0)

    def displaced(*moves: tuple[int, int]) -> tuple[np.ndarray, Any, Any]:
        out: dict[str, np.ndarray] = {}
        for c, sign in moves:
            column = cols[c]
            array = out.get(column.argument, exact_arrays[column.argument]).copy()
            array[column.place] = array[column.place] + sign * steps[column.argument][column.place]
            out[column.argument] = array
        return at(out)

    def moved(*moves: tuple[int, int]) -> np.ndarray:
        return displaced(*moves)[0]

    widths = [exact.own(c, steps[column.argument]) for c, column in enumerate(cols)]
    ahead, behind = [], []
    for c in range(len(cols) if order else 0):
        (there, heavier, _), (back, lighter, _) = displaced((c, 1)), displaced((c, -1))
        ahead.append(there)
        behind.append(back)
        exact.first.append((there - back) / (2 * widths[c]))
        exact.weights_first.append(_slope(heavier, lighter, widths[c]))
    if order > 1:
        for c in range(len(cols)):
            exact.second[c, c] = (ahead[c] - 2 * values + behind[c]) / widths[c] ** 2
            for d in range(c + 1, len(cols)):
                # The two corners on the diagonal, without what the axes alone make of them: as exact as four corners.
                corners = moved((c, 1), (d, 1)) + moved((c, -1), (d, -1))
                axes = ahead[c] + behind[c] + ahead[d] + behind[d] - 2 * values
                exact.second[c, d] = (corners - axes) / (2 * widths[c] * widths[d])
    if order and tape.stops and not through:
        exact.through = _evaluate(truth, arrays, options, wrt, class_axes, order, through=True)
    return exact
