"""The part about speed: it says what asv stored and `xloss bench` measured, judges with care, and degrades."""

import datetime
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from xloss.bench import workload
from xloss.catalog import LOSSES
from xloss.report import ReportError, pages, source, speed
from xloss.report import format as words
from xloss.report.speed import history, tables

asv_results = pytest.importorskip("asv.results")
asv_runner = pytest.importorskip("asv.runner")

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SOME = ("mse_loss", "cross_entropy", "kl_div")
SIZES = ("small", "medium")
POINTS = {
    "speed": (("value_and_grad",), (SIZES, ("float32",))),
    "memory": (("resident", "analysed"), (("medium",), ("float32",), ("value_and_grad",))),
    "compiling": (("cold", "cached"), ()),
    "accuracy": (("value_worst", "gradient_worst"), (("float32",),)),
}
MODES = {"torch": ("eager", "compile"), "jax": ("jit",)}
BASE = {"small": 1e-5, "medium": 1e-3}


def store(folder, framework="jax", version="0.10.2", commit=0, copy=0.1, losses=SOME, change=lambda *_: 1.0,
          kinds=tuple(POINTS), machine="box", seed=0, failing=()):  # fmt: skip
    """Write what asv itself would: `change(kind, loss, contestant)` multiplies the numbers of a cell."""
    rng = np.random.default_rng([commit, seed, *map(ord, framework + version)])
    root = folder / "history" / machine
    root.mkdir(parents=True, exist_ok=True)
    (root / "machine.json").write_text(json.dumps({"machine": machine, "cpu": "a <cpu> & more", "version": 1}))
    stored = asv_results.Results(
        {"machine": machine, "cpu": "a <cpu> & more", "python": "3.11", framework: version}, {framework: version},
        f"{commit:08x}{0:032x}", int((DAY + datetime.timedelta(days=commit)).timestamp() * 1000), "3.11",
        f"env-{framework}{version}", {},
    )  # fmt: skip

    def add(name, params, values):
        benchmark = {
            "name": name,
            "version": "1",
            "params": [list(some) for some in params],
            "type": "track",
        }
        samples = [value if isinstance(value, list) else None for value in values]
        plain = [True if isinstance(value, list) else value for value in values]
        number = [None if taken is None else 1 for taken in samples]
        stored.add_result(
            benchmark, asv_runner.BenchmarkResult(plain, samples, number, 0, "", None), record_samples=True
        )

    add(f"machine_{framework}.memory.copy", (), [[copy] * 5])
    for kind, loss, mode in itertools.product(kinds, losses, MODES[framework]):
        methods, params = POINTS[kind]
        if kind == "compiling" and mode == "eager":
            continue
        contestants = [one for one in workload.CONTESTANTS if (one.framework, one.mode) == (framework, mode)]
        for method in methods:
            values = []
            for who, *point in itertools.product(contestants, *params):
                factor = change(kind, loss, str(who))
                if (kind, loss) in failing:
                    values.append(None)
                elif kind == "speed":
                    values.append(list(BASE[point[0]] * factor * rng.lognormal(0, 0.01, 30)))
                else:
                    values.append({"memory": 8e6, "compiling": 0.2, "accuracy": 0.75}[kind] * factor)
            names = tuple(one.implementation for one in contestants)
            add(f"{kind}_{framework}_{mode}.{loss}.{method}", (names, *params), values)
    stored.save(str(folder / "history"))


def read(folder):
    raw = source.read_history(folder)
    table = tables.prepare(raw)
    return raw, table, history.changes(table)


def html(made):
    return pages.render("speed.html", speed=made)


def markdown(made):
    return pages.render("speed.md", speed=made)


def one(name, contestant="jax/jit/xloss", by=2.0, kind="speed"):
    return lambda k, loss, who: by if (k, loss, who) == (kind, name, contestant) else 1.0


def test_what_asv_stored_is_in_the_long_table(tmp_path):
    store(tmp_path, "jax", "0.9.2")
    store(tmp_path, "torch", "2.13.0", failing={("speed", "kl_div")})
    made = speed.build(tmp_path)
    assert not (tmp_path / "history" / "benchmarks.json").exists(), "asv makes it again; it is not needed here"
    kept = made.tables["speed"]
    assert set(kept["status"]) == {"ok", "failed"}
    assert set(zip(kept["framework"], kept["version"], strict=True)) == {("jax", "0.9.2"), ("torch", "2.13.0")}
    asked = (
        (kept["loss"] == "mse_loss")
        & (kept["implementation"] == "xloss")
        & (kept["kind"] == "speed")
        & (kept["size"] == "medium")
    )
    for row in kept[asked].to_dict("records"):
        assert row["value"] == pytest.approx(np.median(row["samples"]))
        assert row["gb_s"] == pytest.approx(row["least_bytes"] / row["value"] / 1e9)
    assert "Failed" in markdown(made)
    assert "kl\\_div | speed | torch 2.13.0 | 8" in markdown(made)


def test_nothing_measured_is_said_with_the_command_that_measures(tmp_path):
    made = speed.build(tmp_path)
    assert "make bench" in html(made)
    assert not made.sections
    assert not made.tables


def test_times_without_processes_in_turn_give_no_ratio(tmp_path):
    store(tmp_path, "jax")
    store(tmp_path, "torch", "2.13.0")
    text = markdown(speed.build(tmp_path))
    assert "xloss bench --all --quick" in text
    assert "faster in" not in text


def test_a_release_that_doubles_a_time_is_a_candidate_and_sure_after_five_commits(tmp_path):
    for commit in range(5):
        store(tmp_path, "jax", "0.9.2", commit)
        store(tmp_path, "jax", "0.10.2", commit, change=one("mse_loss"))
        _, _, found = read(tmp_path)
        assert {(c.loss, c.who, c.before, c.after, c.worse) for c in found} == {
            ("mse_loss", "xloss · jax jit", "0.9.2", "0.10.2", True)
        }
        assert {c.runs for c in found} == {commit + 1}
        assert all(c.sure is (commit == 4) for c in found)
        assert all(c.low < 2 < c.high and c.ratio == pytest.approx(2, rel=0.05) for c in found)


def test_the_numbers_shown_are_of_a_commit_that_has_the_ratio_shown(tmp_path):
    for commit, factor in enumerate((2.0, 2.0, 1.0)):  # the last one's processes had another neighbour
        store(tmp_path, "jax", "0.9.2", commit)
        store(tmp_path, "jax", "0.10.2", commit, change=one("mse_loss", by=factor))
    _, _, found = read(tmp_path)
    assert {c.loss for c in found} <= {"mse_loss"}
    assert all(c.new / c.old == pytest.approx(c.ratio, rel=0.05) for c in found)
    for commit, factor in enumerate((2.0, 2.0, 2.5)):
        store(tmp_path, "jax", "0.10.2", commit, change=one("mse_loss", by=factor))
    _, _, found = read(tmp_path)
    assert found
    assert all(c.new / c.old == pytest.approx(c.ratio, rel=0.05) for c in found)


def test_a_release_that_changes_nothing_is_none(tmp_path):
    for seed in range(8):
        folder = tmp_path / str(seed)
        store(folder, "jax", "0.9.2", seed=seed)
        store(folder, "jax", "0.10.2", seed=seed + 100)
        assert read(folder)[2] == []


def test_the_machine_is_not_taken_for_a_release(tmp_path):
    slower = lambda kind, *_: 3.0 if kind == "speed" else 1.0  # noqa: E731
    store(tmp_path, "jax", "0.9.2", copy=0.1)
    store(tmp_path, "jax", "0.10.2", copy=0.3, change=slower)
    _, table, found = read(tmp_path)
    assert found == []
    step = next(step for step in history.steps(table, found) if step.topic == "time")
    assert step.copy == pytest.approx(3)
    assert "not judged" in markdown(speed.build(tmp_path))
    store(tmp_path, "jax", "0.10.2", copy=0.1, change=slower)
    assert read(tmp_path)[2], "the check sees a release that is slower throughout"


@pytest.mark.parametrize("kind", ["accuracy", "memory"])
def test_lost_digits_and_planned_memory_are_sure_at_once(tmp_path, kind):
    store(tmp_path, "jax", "0.9.2")
    store(tmp_path, "jax", "0.10.2", change=one("kl_div", by=4.0, kind=kind))
    sure = [c for c in read(tmp_path)[2] if c.sure]
    assert sure
    assert {c.loss for c in sure} == {"kl_div"}
    assert {c.topic for c in sure} == {"ulps" if kind == "accuracy" else "memory"}


def test_versions_are_only_compared_at_the_same_commit(tmp_path):
    store(tmp_path, "jax", "0.9.2", commit=1)
    store(tmp_path, "jax", "0.10.2", commit=2, change=one("mse_loss"))
    assert read(tmp_path)[2] == []
    assert "two versions at one commit" in markdown(speed.build(tmp_path))


def test_versions_are_ordered_as_numbers(tmp_path):
    for version in ("0.9.2", "0.10.2", "0.6.2"):
        store(tmp_path, "jax", version)
    _, table, _ = read(tmp_path)
    lines = history.trends(table)["box", "cpu", "jax"]["time"]
    assert [point[0] for point in lines["xloss · jax jit"]] == ["0.6.2", "0.9.2", "0.10.2"]
    assert set(tables.newest(table)["version"]) == {"0.10.2"}


def test_the_newest_measurement_of_a_cell_counts_and_older_ones_fill_in(tmp_path):
    store(tmp_path, "jax", commit=1)
    store(tmp_path, "jax", commit=2, losses=("mse_loss",), change=one("mse_loss", by=7.0))
    _, table, _ = read(tmp_path)
    newest = tables.newest(table)
    assert set(newest["loss"].dropna()) == set(SOME)
    part = newest[
        (newest["kind"] == "speed") & (newest["size"] == "medium") & (newest["who"] == "xloss · jax jit")
    ].set_index("loss")
    assert part.loc["mse_loss", "value"] > 6 * part.loc["kl_div", "value"]


def bench_rows(factor, rounds=5, losses=("mse_loss",)):
    """Rows as `xloss bench` writes them; PyTorch takes `factor` times as long as JAX."""
    rng = np.random.default_rng(1)
    rows = []
    for loss, who in itertools.product(
        losses, ("torch/eager/xloss", "torch/compile/xloss", "jax/jit/xloss", "jax/jit/optax")
    ):
        framework, mode, implementation = who.split("/")
        base = 1e-3 * (factor if framework == "torch" else 1.0)
        samples = [list(base * rng.lognormal(0, 0.01, 10)) for _ in range(rounds)]
        rows.append({"loss": loss, "variant": "default", "shape": "4x4", "dtype": "float32", "device": "cpu",
                     "framework": framework, "mode": mode, "implementation": implementation,
                     "value_and_grad_seconds": base, "gradient_worst_ulps": None, "samples": json.dumps(samples),
                     "cpu": "a", "rounds": rounds})  # fmt: skip
    return rows


def bench(folder, rows):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "data" / "bench.parquet")
    return folder


@pytest.mark.parametrize(
    ("factor", "rounds", "verdict"), [(2.0, 5, "faster"), (0.5, 5, "slower"), (1.0, 5, "same"), (2.0, 3, "ambiguous")]
)
def test_the_verdict_is_that_of_what_was_measured_in_turn(tmp_path, factor, rounds, verdict):
    text = markdown(speed.build(bench(tmp_path, bench_rows(factor, rounds))))
    assert f"xloss · jax jit against xloss · torch compile: {verdict} in 1 of 1 comparison." in text
    assert re.search(rf"\| {words.ratio(1 / factor)} \([\d.]+–[\d.]+\) {verdict} \|", text)


def test_a_pair_that_is_incomplete_is_left_out(tmp_path):
    rows = [row for row in bench_rows(2.0) if row["mode"] != "compile"]
    rows[0]["value_and_grad_seconds"] = float("nan")
    rows[0]["samples"] = "[]"
    (compared,) = tables.comparisons(source.read_bench(bench(tmp_path, rows)))
    assert set(compared.pairs) == {("optax · jax jit", "xloss · jax jit")}
    assert "torch eager" not in " ".join(compared.seconds)


@pytest.fixture
def full(tmp_path):
    """Every kind of result, of two frameworks, several versions and a hostile machine name."""
    for version in ("0.6.2", "0.9.2", "0.10.2"):
        store(tmp_path, "jax", version, change=one("mse_loss", by=3.0 if version == "0.9.2" else 1.0))
    store(tmp_path, "torch", "2.13.0")
    store(tmp_path, "torch", "2.13.0", machine="b<ox>", kinds=("speed",))
    return bench(tmp_path, bench_rows(2.0, losses=SOME))


def test_the_page_has_every_part_fetches_nothing_and_escapes(full):
    made = speed.build(full)
    page, text = html(made), markdown(made)
    for part in (
        "PyTorch against JAX",
        "Throughput against size",
        "Peak memory against",
        "Compile times",
        "Versions",
        "Which release",
    ):
        assert part in page
        assert part in text
    assert page.count("<svg") == 7
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|@import|<script""", page)
    assert "b<ox>" not in page
    assert "b&lt;ox&gt;" in page
    assert "<cpu>" not in page
    assert not re.search(r"[>|] *-?(nan|inf|None)\b", page + text)


def test_the_same_results_give_the_same_page(full):
    assert html(speed.build(full)) == html(speed.build(full))


def test_every_table_of_the_markdown_is_a_rectangle(full):
    text = markdown(speed.build(full))
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1, table


def test_few_numbers_make_a_page_too(tmp_path):
    for kind in POINTS:
        store(
            tmp_path / kind,
            "jax",
            kinds=(kind,),
            losses=("mse_loss",),
            change=lambda of, *_: 0.0 if of in ("memory", "accuracy") else 1.0,
        )
        made = speed.build(tmp_path / kind)
        assert not re.search(r"[>|] *-?(nan|inf)\b", html(made) + markdown(made))
    store(tmp_path / "failed", "jax", failing={(kind, loss) for kind in POINTS for loss in SOME})
    assert "Failed" in html(speed.build(tmp_path / "failed"))


def test_results_that_are_none_are_refused_by_name(tmp_path):
    store(tmp_path, "jax")
    path = next((tmp_path / "history" / "box").glob("0*.json"))
    path.write_text("{")
    with pytest.raises(ReportError, match="history cannot be read"):
        speed.build(tmp_path)
    path.unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bench.parquet").write_bytes(b"nothing")
    with pytest.raises(ReportError, match=r"bench\.parquet cannot be read.*run again: xloss bench --all"):
        speed.build(tmp_path)


def test_a_gpu_own_time_with_cold_caches_comes_first():
    base = {"quantity": "value_and_grad", "dtype": "float32", "value": 1.0}
    rows = [{**base, "kind": "speed", "caches": "warm"}, {**base, "kind": "device", "caches": "warm"}]
    assert set(tables.times(pd.DataFrame(rows))["kind"]) == {"speed"}
    rows.append({**base, "kind": "device", "caches": "cold"})
    assert set(tables.times(pd.DataFrame(rows))["caches"]) == {"cold"}


def test_the_losses_of_the_stored_names_need_not_be_in_the_catalogue(tmp_path):
    assert "gone_loss" not in LOSSES
    store(tmp_path, "jax", losses=("gone_loss",))
    assert "gone" in markdown(speed.build(tmp_path))


def test_no_framework_is_imported(full):
    code = (
        f"import sys, pathlib\nfrom xloss.report import speed\nspeed.build(pathlib.Path({str(full)!r}))\n"
        "assert not {'torch', 'jax', 'matplotlib.pyplot', 'asv'} & set(sys.modules), 'heavy'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        (words.seconds, 1.2345, "1.23 s"), (words.seconds, 0.0456, "45.6 ms"), (words.seconds, 9.996e-4, "1.00 ms"),
        (words.seconds, 7.89e-6, "7.89 µs"), (words.seconds, float("nan"), "–"), (words.seconds, None, "–"),
        (words.seconds, 0, "0 ns"), (words.size, 67_108_864, "67.1 MB"), (words.size, 12, "12 B"),
        (words.rate, 5.53e9, "5.53 GB/s"), (words.share, 0.37, "37 %"), (words.share, 0.042, "4.2 %"),
        (words.ratio, 0.8712, "0.87"), (words.ratio, 153.4, "153"), (words.ratio, float("inf"), "–"),
        (words.interval, 0.9, None),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_unit(word, value, said):
    if word is words.interval:
        assert word(value, 1.234) == "0.90–1.23"
    else:
        assert word(value) == said


def test_what_to_run_is_a_command_that_there_is():
    from typer.testing import CliRunner

    from xloss.cli.app import app

    command, *rest = source.BENCH_HINT.format(path="x.parquet").split()
    assert command == "xloss"
    helped = CliRunner().invoke(app, [rest[0], "--help"], env={"COLUMNS": "300"}).stdout
    assert all(option in helped for option in rest if option.startswith("--"))
