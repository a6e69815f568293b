"""Exact results are kept as long as what they depend on is the same, and are what was computed."""

import contextlib
import json
import sqlite3
import zlib

import faulty_loss
import numpy as np
import pytest
from flint import arb, ctx

from xloss import losses
from xloss.catalog import LOSSES
from xloss.parity import Cell, sweep, truth, truth_cache
from xloss.parity.evaluate import exact
from xloss.parity.sweep import keep_truth

CELLS = [Cell("mse_loss", "default", (6, 3), regime, "float64") for regime in ("large", "tiny", "typical")]
HOW = {"frameworks": ("torch",), "peers": False}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "truth.sqlite"
    keep_truth(path)
    yield path
    keep_truth(None)


def stored(path):
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        return dict(base.execute("SELECT key, result FROM exact").fetchall())


def counted(monkeypatch):
    """Return a list that grows by one with each result that is computed."""
    calls, real = [], truth.evaluate

    def evaluate(*args, **kwargs):
        calls.append(args[0])
        return real(*args, **kwargs)

    monkeypatch.setattr(truth, "evaluate", evaluate)
    return calls


def test_a_second_sweep_computes_none_and_finds_the_same(file, monkeypatch):
    calls = counted(monkeypatch)
    first = sweep(CELLS, **HOW).drop(columns="seconds")
    assert len(calls) == 3
    second = sweep(CELLS, **HOW).drop(columns="seconds")
    assert len(calls) == 3
    assert first.equals(second)


def test_what_is_kept_is_what_is_judged_by(file):
    """A wrong result in the file turns the verdict: it is read, not computed beside."""
    assert (sweep(CELLS[2:], **HOW)["status"] == "ok").all()
    ((key, result),) = stored(file).items()
    parts = json.loads(zlib.decompress(result))
    parts["values"][2] = [[f"1{middle}", radius] for middle, radius in parts["values"][2]]
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        base.execute("UPDATE exact SET result = ?", (zlib.compress(json.dumps(parts).encode()),))
    assert "inaccurate" in set(sweep(CELLS[2:], **HOW)["status"])
    assert key in stored(file)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_read_as_it_was_computed(name, file):
    variant = LOSSES[name].variants[-1]
    cell = Cell(name, variant.name, variant.shapes[0], "typical", "float32")
    _arrays, computed = exact(LOSSES[name], cell, order=1)
    _arrays, read = exact(LOSSES[name], cell, order=1)
    assert len(stored(file)) == 1
    assert read.exact is not computed.exact
    a, b = computed.exact, read.exact
    assert a.columns == b.columns
    assert a.precision == b.precision
    same(a.values, b.values)
    for one, other in ((a.weights, b.weights), (a.factors, b.factors)):
        assert (one is None) == (other is None)
        if one is not None:
            same(one, other)
    for one, other in zip(a.first, b.first, strict=True):
        same(one, other)


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    for x, y in zip(a.ravel(), b.ravel(), strict=True):
        if isinstance(x, arb):
            assert str(x.mid()) == str(y.mid())
            assert not x.is_finite() or x.mid() == y.mid()
            # Radii have 30 bits, and are rounded up when a ball is made.
            assert str(x.rad()) == str(y.rad()) or x.rad() <= y.rad() <= x.rad() * (1 + arb(2) ** -28)
        else:
            assert x == y


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "3.5 +/- 1e-30", "1e-400 +/- 1e-500", "-7 +/- inf"])
def test_every_kind_of_ball_is_read_as_it_was(text):
    ctx.prec, before = 600, ctx.prec
    try:
        ball = arb(text)
    finally:
        ctx.prec = before
    read = truth_cache._ball(*truth_cache._word(ball))
    same(np.array(ball, dtype=object), np.array(read, dtype=object))


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda text: text + "# a comment\n", False),
        (lambda text: text.replace("return ops.reduce(", "return 2 * ops.reduce("), False),
        (lambda text: text + "MORE = 1\n", True),
        (lambda text: text.replace("return (input - target)", "return 2 * (input - target)"), True),
    ],
    ids=["comment", "implementation", "constant", "formula"],
)
def test_a_changed_formula_is_computed_again_and_a_changed_implementation_not(tmp_path, monkeypatch, change, again):
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    place = faulty_loss.write(tmp_path, "pass")
    module = f"xloss.losses.{faulty_loss.NAME}"
    truth_cache.digest_of.cache_clear()
    before = truth_cache.digest_of(module)
    text = place.read_text()
    assert change(text) != text
    place.write_text(change(text))
    truth_cache.digest_of.cache_clear()
    assert (truth_cache.digest_of(module) != before) is again


def test_other_inputs_options_and_orders_have_other_keys(file):
    loss = LOSSES["huber_loss"]
    for variant in loss.variants[:2]:
        for seed in (0, 1):
            for order in (0, 1):
                exact(loss, Cell(loss.name, variant.name, variant.shapes[0], "typical", "float32", seed=seed), order)
    assert len(stored(file)) == 8


def test_a_formula_of_no_file_is_not_kept(file, monkeypatch):
    monkeypatch.setattr(truth_cache, "digest_of", lambda module: None)
    exact(LOSSES["mse_loss"], CELLS[0])
    assert stored(file) == {}
    monkeypatch.undo()
    assert truth_cache.digest_of("no.such.module") is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"not compressed", zlib.compress(b"{}"), zlib.compress(b"[1")])
def test_a_damaged_entry_is_computed_again(file, monkeypatch, damage):
    exact(LOSSES["mse_loss"], CELLS[0])
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        base.execute("UPDATE exact SET result = ?", (damage,))
    calls = counted(monkeypatch)
    _arrays, reference = exact(LOSSES["mse_loss"], CELLS[0])
    assert len(calls) == 1
    assert reference.exact.values.shape == (6, 3)


def test_a_file_that_is_none_of_ours_is_not_used(tmp_path, monkeypatch):
    path = tmp_path / "truth.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be one" * 9)
    before = path.read_bytes()
    keep_truth(path)
    try:
        _arrays, reference = exact(LOSSES["mse_loss"], CELLS[0])
    finally:
        keep_truth(None)
    assert reference.exact.values.shape == (6, 3)
    assert path.read_bytes() == before
