"""The judge, judged: exact values and derivatives against formulas derived by hand, in rational or other arithmetic."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest

from xloss.catalog import LOSSES, Loss
from xloss.parity import truth
from xloss.parity.cells import Cell, cells
from xloss.parity.evaluate import exact
from xloss.parity.inputs import DIGITS, DTYPES, Draw
from xloss.parity.reference import Reference
from xloss.parity.truth import Exact, Imprecise, Tape, Undecided, balls, evaluate, narrow

rng = np.random.default_rng(11)
X, Y = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))


def of(name: str, order: int = 2, /, **given: Any) -> Exact:
    """The exact result of a loss; arrays are its arguments, everything else its options."""
    loss = LOSSES[name]
    arrays = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
    options = {key: value for key, value in given.items() if key not in arrays}
    wrt = tuple(key for key in loss.arguments.wrt if key in arrays and arrays[key].dtype.kind == "f")
    return evaluate(loss.truth, arrays, options, wrt, loss.arguments.class_axes, order)


def number(ball: Any) -> Fraction:
    """The midpoint of a ball, exactly."""
    mantissa, exponent = ball.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def equal(balls: np.ndarray, want: Any, digits: int = 40) -> None:
    """Raise unless the balls are the numbers wanted (Fraction or arb) to that many decimal digits."""
    balls, want = np.asarray(balls, dtype=object), np.asarray(want, dtype=object)
    assert balls.shape == want.shape
    for ball, expected in zip(np.ravel(balls), np.ravel(want), strict=True):
        expected = number(expected) if isinstance(expected, flint.arb) else Fraction(expected)
        assert abs(number(ball) - expected) <= abs(expected) * Fraction(1, 10**digits) + Fraction(1, 10**60), (
            ball,
            float(expected),
        )


def exactly(array: np.ndarray, function: Callable[..., Any] = lambda x: x) -> np.ndarray:
    return np.vectorize(lambda x: function(Fraction(float(x))), otypes=[object])(array)


F = exactly


# --- elementwise, rational
# ---------------------------------------------------------------------------------------------


def test_mse() -> None:
    w = np.abs(rng.normal(size=(2, 3)))
    got = of("mse_loss", input=X, target=Y, weight=w)
    e = F(X) - F(Y)
    equal(got.values, F(w) * e**2)
    equal(got.first[0], 2 * F(w) * e)
    equal(got.first[1], -2 * F(w) * e)
    equal(got.mixed(0, 0), 2 * F(w))
    equal(got.mixed(0, 1), -2 * F(w))
    equal(np.asarray(got.denominator), sum(F(w).ravel()))


def test_l1_and_its_kink() -> None:
    x = np.array([2.0, -1.0, 0.5])
    got = of("l1_loss", input=x, target=np.array([0.0, 1.0, 0.5]))
    equal(got.values, [2, 2, 0])
    equal(got.first[0], [1, -1, 0])
    equal(got.first[1], [-1, 1, 0])
    equal(got.mixed(0, 0), [0, 0, 0])


@pytest.mark.parametrize("delta", [0.5, 1.0, 1.75])
def test_huber_and_its_kink(delta: float) -> None:
    """On the kink the derivative is that of the branch named: the linear one."""
    e = np.array([0.25, -0.25, delta, -delta, 3.0, -3.0, 0.0])
    d = Fraction(delta)
    got = of("huber_loss", input=e, target=np.zeros(7), delta=delta)
    inside = np.abs(e) < delta
    equal(got.values, np.where(inside, F(e) ** 2 / 2, d * (np.abs(F(e)) - d / 2)))
    equal(got.first[0], F(np.clip(e, -delta, delta)))
    equal(got.mixed(0, 0), inside.astype(int))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_smooth_l1_and_its_kinks(beta: float) -> None:
    e = np.array([0.25, -0.25, beta, -beta, 3.0, -3.0, 0.0])
    got = of("smooth_l1_loss", input=e, target=np.zeros(7), beta=beta)
    b = Fraction(beta)
    inside = np.abs(e) < beta
    equal(got.values, [x * x / (2 * b) if near else abs(x) - b / 2 for x, near in zip(F(e), inside, strict=True)])
    equal(
        got.first[0],
        [x / b if near else Fraction(int(np.sign(float(x)))) for x, near in zip(F(e), inside, strict=True)],
    )
    equal(got.mixed(0, 0), [1 / b if near else 0 for near in inside])


def test_a_stopped_term_stays() -> None:
    got = of("detached_squared_error", input=X, target=Y)
    e = F(X) - F(Y)
    equal(got.values, e**2)
    equal(got.first[0], e)
    equal(got.first[1], -e)
    equal(got.mixed(0, 0), 0 * e)


def test_broadcasting_sums_over_what_was_broadcast() -> None:
    got = of("mse_loss", input=X, target=Y[0])
    grads = got.scatter("target", [got.first[c] for c in range(len(got.columns))])
    equal(grads, (-2 * (F(X) - F(Y[0]))).sum(0))


# --- transcendental: in another arithmetic's words
# -----------------------------------------------------------------------


@pytest.fixture
def bits() -> Any:
    """400 bits for the formulas of the tests."""
    before = flint.ctx.prec
    flint.ctx.prec = 400
    yield
    flint.ctx.prec = before


def arbs(array: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda x: flint.arb(float(x)), otypes=[object])(array)


def softmax(row: np.ndarray) -> np.ndarray:
    exps = np.array([x.exp() for x in row], dtype=object)
    return exps / sum(exps)


@pytest.mark.usefixtures("bits")
@pytest.mark.parametrize("gap", [0.0, 5.0, 40.0, -40.0, 700.0])
def test_cross_entropy(gap: float) -> None:
    """The value log sum exp - x_y, the gradient p - onehot, the Hessian diag(p) - p p^T."""
    x, y = rng.normal(size=(2, 4)), np.array([1, 3])
    x[np.arange(2), y] += gap
    got = of("cross_entropy", input=x, target=y)
    p = np.array([softmax(row) for row in arbs(x)])
    onehot = np.eye(4, dtype=int)[y]
    others = np.array([sum(p[n, c] for c in range(4) if c != y[n]) for n in range(2)])
    equal(got.values, [-p[n, y[n]].log() for n in range(2)])
    for c in range(4):
        # Without p - 1, which would lose the digits: minus the sum of the others.
        equal(got.first[c], np.where(onehot[:, c], -others, p[:, c]))
        for d in range(c, 4):
            equal(got.mixed(c, d), p[:, c] * ((1 if c == d else 0) - p[:, d]), digits=30)


@pytest.mark.usefixtures("bits")
def test_cross_entropy_with_everything() -> None:
    x, y, w, s = rng.normal(size=(3, 4)), np.array([1, -100, 0]), np.array([0.5, 2.0, 1.0, 0.25]), 0.125
    got = of("cross_entropy", input=x, target=y, weight=w, label_smoothing=s)
    p = np.array([softmax(row) for row in arbs(x)])
    for n in (0, 2):
        coefficients = [
            (Fraction(1) - Fraction(s) if c == y[n] else 0) * Fraction(w[c]) + Fraction(s) / 4 * Fraction(w[c])
            for c in range(4)
        ]
        coefficients = [flint.arb(c.numerator) / c.denominator for c in coefficients]
        equal(got.values[n : n + 1], [-sum(q * p[n, c].log() for c, q in enumerate(coefficients))])
        for c in range(4):
            equal(got.first[c][n : n + 1], [sum(coefficients) * p[n, c] - coefficients[c]])
    equal(got.values[1:2], [0])
    equal(np.asarray(got.denominator), Fraction(2.5))


@pytest.mark.usefixtures("bits")
def test_cross_entropy_of_probabilities() -> None:
    x, q = rng.normal(size=(2, 3)), rng.uniform(0.1, 0.9, (2, 3))
    got = of("cross_entropy", input=x, target=q)
    p, t = np.array([softmax(row) for row in arbs(x)]), arbs(q)
    equal(got.values, -(t * np.log(p)).sum(1))
    columns = {(column.argument, column.place[1]): got.first[c] for c, column in enumerate(got.columns)}
    for c in range(3):
        equal(columns["input", c], t.sum(1) * p[:, c] - t[:, c])
        equal(columns["target", c], -np.log(p[:, c]))


@pytest.mark.usefixtures("bits")
def test_binary_cross_entropies() -> None:
    x, t = np.array([-50.0, -1.0, 0.0, 0.5, 3.0, 200.0]), np.array([0.0, 0.25, 0.5, 1.0, 0.75, 1.0])
    got = of("binary_cross_entropy_with_logits", input=x, target=t, pos_weight=np.asarray(2.0))
    a, b = arbs(x), arbs(t)
    down, up = (1 + np.exp(-a)), (1 + np.exp(a))
    equal(got.values, 2 * b * np.log(down) + (1 - b) * np.log(up))
    equal(got.first[0], (1 - b) / down - 2 * b / up)
    equal(got.first[1], 2 * np.log(down) - np.log(up))
    equal(got.mixed(0, 0), ((1 - b) + 2 * b) / (down * up))
    p = np.array([0.25, 0.5, 1e-5, 0.999, 0.75, 0.125])
    got = of("binary_cross_entropy", input=p, target=t)
    a = arbs(p)
    equal(got.values, -(b * np.log(a) + (1 - b) * np.log(1 - a)))
    equal(got.first[0], (a - b) / (a * (1 - a)))
    equal(got.mixed(0, 0), b / a**2 + (1 - b) / (1 - a) ** 2)


def test_binary_cross_entropy_clamps_its_logarithms() -> None:
    got = of("binary_cross_entropy", 0, input=np.array([0.0, 1.0, 0.0, 1.0]), target=np.array([1.0, 0.0, 0.0, 1.0]))
    equal(got.values, [100, 100, 0, 0])


@pytest.mark.usefixtures("bits")
def test_kl_and_nll() -> None:
    x, y = rng.normal(size=3), np.array([0.5, 0.0, 0.25])
    got = of("kl_div", 0, input=x, target=y)
    a, b = arbs(x), arbs(y)
    equal(got.values, [b[0] * (b[0].log() - a[0]), 0, b[2] * (b[2].log() - a[2])])
    got = of("kl_div", input=x[::2], target=y[::2], log_target=True)
    a, b = a[::2], b[::2]
    equal(got.values, np.exp(b) * (b - a))
    equal(got.first[0], -np.exp(b))
    equal(got.first[1], np.exp(b) * (b - a + 1))
    got = of("nll_loss", input=X, target=np.array([2, 0]), weight=np.array([0.5, 1.0, 2.0]))
    equal(got.values, [-2 * F(X)[0, 2], -F(X)[1, 0] / 2])
    equal(got.first[2], [-2, 0])


def test_the_comparison_sees_a_wrong_derivative() -> None:
    got = of("mse_loss", input=X, target=Y)
    e = F(X) - F(Y)
    for wrong in (e, -2 * e, 2 * e + Fraction(1, 10**12), 2 * e[:1]):
        with pytest.raises(AssertionError):
            equal(got.first[0], wrong)


# --- the tape, the columns, the precision
# --------------------------------------------------------------------------------


def test_the_tape_repeats_what_it_recorded() -> None:
    """A branch taken at the point itself is taken at displaced points, though the condition says otherwise there."""
    x = np.array([0.0])

    def ramp(t: Tape, x: np.ndarray) -> np.ndarray:
        return t.where(t.lt(0, x), x, 0 * x)

    def closed(t: Tape, x: np.ndarray) -> np.ndarray:
        return t.where(t.lt(x, 0), 0 * x, x)

    elementwise = lambda _argument, _rank: None  # noqa: E731
    equal(evaluate(ramp, {"x": x}, {}, ("x",), elementwise).first[0], [0])
    equal(evaluate(closed, {"x": x}, {}, ("x",), elementwise).first[0], [1])

    def forgetful(t: Tape, x: np.ndarray) -> np.ndarray:
        return np.where(np.array([ball > 0 for ball in x]), x, 0 * x)

    # Without the tape a kink comes out as half of both sides: what the tape is for.
    equal(evaluate(forgetful, {"x": x}, {}, ("x",), elementwise).first[0], [Fraction(1, 2)])


def test_dense_columns_where_all_depends_on_all() -> None:
    def norm(t: Tape, x: np.ndarray) -> np.ndarray:
        return np.asarray(t.sum(x**2, 0) ** 2, dtype=object)

    x = np.array([1.0, -2.0, 0.5])
    got = evaluate(norm, {"x": x}, {}, ("x",), None)
    total = sum(F(x) ** 2)
    equal(got.scatter("x", got.first), 4 * total * F(x))
    for c in range(3):
        for d in range(c, 3):
            equal(got.mixed(c, d), 8 * F(x)[c] * F(x)[d] + (4 * total if c == d else 0))


def test_a_derivative_needs_no_room_beside_a_singularity() -> None:
    """The step is small against |x|, so that log stays on its side of 0."""
    x = np.array([5e-324, 1e-300, 1.0])
    got = evaluate(lambda t, x: np.log(x), {"x": x}, {}, ("x",), lambda _argument, _rank: None)
    equal(got.first[0], 1 / F(x))
    equal(got.mixed(0, 0), -1 / F(x) ** 2)


def test_too_little_information_is_refused() -> None:
    """A comparison that no precision decides; a number that no precision gives."""
    elementwise = lambda _argument, _rank: None  # noqa: E731
    x = np.array([2.0])

    def tie(t: Tape, x: np.ndarray) -> np.ndarray:
        return t.where(t.lt(np.sqrt(x) ** 2, x), x, 0 * x)

    def nothing(t: Tape, x: np.ndarray) -> np.ndarray:
        return np.log(x - x) * 0

    def vague(t: Tape, x: np.ndarray) -> np.ndarray:
        return x + flint.arb(0, 1e-9)

    before = flint.ctx.prec
    for unfit in (tie, nothing, vague):
        with pytest.raises(Imprecise, match="balls stay too wide"):
            evaluate(unfit, {"x": x}, {}, ("x",), elementwise, 1)
        assert flint.ctx.prec == before
    with pytest.raises(Undecided):
        Tape().lt(np.array([flint.arb(1, 0.5)], dtype=object), 1)


def test_precision_is_restored_and_raised_where_needed() -> None:
    def cancels(t: Tape, x: np.ndarray) -> np.ndarray:
        return (x + flint.arb(2) ** 2000) - flint.arb(2) ** 2000

    before = flint.ctx.prec
    low = of("cross_entropy", input=X, target=np.array([0, 1]))
    high = evaluate(cancels, {"x": X}, {}, ("x",), lambda _argument, _rank: None, 1)
    assert flint.ctx.prec == before
    assert low.precision == 2 * truth.STEP_BITS + sum(np.abs(DIGITS["float64"])) + truth.SPARE_BITS
    assert high.precision > low.precision
    equal(high.values, X)

    def breaks(t: Tape, x: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(breaks, {"x": X}, {}, ("x",), None)
    assert flint.ctx.prec == before


def test_narrow_sees_a_ball_too_wide() -> None:
    got = of("mse_loss", input=X, target=Y)
    assert narrow(got, *DIGITS["float64"])
    for ball in (flint.arb(1, 2.0**-60), flint.arb("nan")):
        got.first[0] = got.first[0].copy()
        got.first[0][0, 0] = ball
        assert not narrow(got, *DIGITS["float64"])
    assert narrow(got, *DIGITS["float64"], finite=False)


# --- everywhere -----------------------------------------------------------------------------------


def radii(result: Exact, digits: int, least: int) -> None:
    """Raise unless every ball says where its number is to far less than the dtype's last digit."""
    for array in (result.values, *result.first, *result.second.values()):
        for ball in np.ravel(array):
            if ball.is_finite():
                size = abs(float(number(ball))) if abs(number(ball)) < Fraction(10) ** 300 else 1e300
                ulp = max(math.ldexp(1.0, math.frexp(size)[1] - digits), math.ldexp(1.0, max(least, -1074)))
                assert number(ball.rad()) <= Fraction(ulp) / 2**15


def sampled() -> list[Cell]:
    """One cell for each loss, variant, dtype and regime; every fifth of them without `-m slow`."""
    return [cell for cell in cells() if cell.shape == LOSSES[cell.loss].variant(cell.variant).shapes[0]]


def check_radii(some: list[Cell]) -> None:
    for cell in some:
        loss = LOSSES[cell.loss]
        _, reference = exact(loss, cell)
        # Of a coupled loss of no samples there is nothing to be moved.
        arrays = reference.exact.arrays
        assert reference.exact.first or not any(arrays[name].size for name in loss.arguments.wrt if name in arrays)
        radii(reference.exact, *DIGITS[cell.dtype])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_truth_is_far_more_precise_than_the_dtype(loss: Loss) -> None:
    mine = [cell for cell in sampled() if cell.loss == loss.name]
    regimes, some = set(), []
    for number_, cell in enumerate(mine):
        if cell.regime not in regimes or number_ % 13 == 0:
            regimes.add(cell.regime)
            some.append(cell)
    check_radii(some)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_truth_is_far_more_precise_than_the_dtype_everywhere(loss: Loss) -> None:
    check_radii([cell for cell in sampled() if cell.loss == loss.name])


def test_the_check_of_radii_sees_a_wide_ball() -> None:
    got = of("mse_loss", input=X, target=Y)
    radii(got, *DIGITS["float64"])
    got.values[0, 0] = flint.arb(got.values[0, 0].mid(), 2.0**-53)
    with pytest.raises(AssertionError):
        radii(got, *DIGITS["float64"])


def test_what_is_expected_of_a_reduction_is_precise() -> None:
    for name in ("mse_loss", "cross_entropy", "binary_cross_entropy"):
        loss = LOSSES[name]
        for seed in range(5):
            cell = Cell(name, "default", loss.variants[0].shapes[0], "typical", "float64", seed=seed)
            _, reference = exact(loss, cell)
            answers = lambda: [reference.value("mean"), *reference.gradient(truth.balls(np.ones(())), "mean").values()]  # noqa: B023, E731
            with flint.ctx.workprec(reference.exact.precision):
                precise = answers()
            for got, want in zip(answers(), precise, strict=True):
                error = np.abs((got.high - want.high) + (got.low - want.low))
                assert (error <= np.abs(want.high) * 2.0**-70).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_truth_is_evaluated_on_the_numbers_of_the_dtype(loss: Loss) -> None:
    """What goes into the balls is what goes into the frameworks: no rounding in between."""
    for dtype in DTYPES:
        arrays = loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "typical", dtype))
        for array in arrays.values():
            if array.dtype.kind not in "iub":
                assert [float(ball) for ball in np.ravel(truth.balls(array))] == [float(x) for x in np.ravel(array)]


@pytest.mark.usefixtures("bits")
def test_rows_over_two_axes_and_a_shared_argument() -> None:
    """The batch in the middle; what is left of an argument says which are rows and which are shared."""
    x, w = rng.normal(size=(2, 3, 4)), rng.normal(size=(4,))
    formula = lambda t, x, w: t.sum(t.sum(x**2 * w, 2), 0)  # noqa: E731
    arrays = {"x": x, "w": w}
    got = evaluate(formula, arrays, {}, ("x", "w"), lambda name, rank: (0, 2) if name == "x" else None, 2)
    assert [column.dense for column in got.columns] == [False] * 8 + [True] * 4
    ones = [np.ones(3) * column for column in got.first]
    equal(got.scatter("x", ones), 2 * arbs(x) * arbs(w))
    equal(got.scatter("w", ones), (arbs(x) ** 2).sum((0, 1)))
    # By x[0, :, 1] and w[1], and by two elements of x that never meet in one term.
    equal(got.mixed(1, 9), 2 * arbs(x)[0, :, 1])
    equal(got.mixed(0, 1), arbs(np.zeros(3)))


@pytest.mark.usefixtures("bits")
def test_a_mean_of_scaled_terms() -> None:
    """CTC's: each loss divided by its length, then the mean."""
    x, lengths = rng.normal(size=3), np.array([1.0, 2.0, 4.0])
    formula = lambda t, x, by: (x**2, np.array([t.const(1.0)] * 3, dtype=object), 1 / by)  # noqa: E731
    got = Reference(evaluate(formula, {"x": x, "by": lengths}, {}, ("x",), lambda *_: None, 2), None, 3)
    np.testing.assert_allclose(got.value("mean").high, (x**2 / lengths).mean(), rtol=1e-15)
    np.testing.assert_allclose(got.value("sum").high, (x**2).sum(), rtol=1e-15)
    np.testing.assert_allclose(got.gradient(balls(np.ones(())), "mean")["x"].high, 2 * x / lengths / 3, rtol=1e-15)
    np.testing.assert_allclose(got.curvature("x", np.ones(3), "mean").high, 2 / lengths / 3, rtol=1e-15)
