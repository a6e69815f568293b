"""Results of the former names keep every number, under the name and the parameters that a cell has today."""

import itertools
import json
import math

import pytest

from xloss.bench.asv.convert import convert

pytest.importorskip("asv")

WHO = ("torch/eager/xloss", "torch/eager/torch.nn.functional", "jax/jit/xloss")
COLUMNS = ["result", "params", "version", "started_at", "duration", "stats_q_25", "samples"]


def former():
    points = list(itertools.product(WHO, ("small", "medium"), ("float32",)))
    values = [float(n) if who.startswith("torch") else math.nan for n, (who, *_) in enumerate(points)]
    values[1] = None  # failed
    samples = [None if value is None or math.isnan(value) else [value, value + 1] for value in values]
    params = [[repr(x) for x in some] for some in (WHO, ("small", "medium"), ("float32",))]
    return {
        "version": 2,
        "requirements": {"torch": "2.13.0"},
        "result_columns": COLUMNS,
        "results": {
            "speed.mse_loss.track_value": [values, params, "digest", 5, 1.5, values, samples],
            "machine.Memory.track_copy": [[0.5, math.nan], [["'torch'", "'jax'"]], "1", 6],
            "accuracy.mse_loss.track_value_worst": [None, [["'torch/eager/xloss'", "'jax/jit/xloss'"], ["'float32'"]]],
        },
    }


def test_numbers_statistics_samples_and_versions_are_kept():
    found = convert(former())
    assert set(found["results"]) == {
        "speed_torch_eager.mse_loss.value",
        "machine_torch.memory.copy",
        "accuracy_torch_eager.mse_loss.value_worst",
    }
    row = dict(zip(COLUMNS, found["results"]["speed_torch_eager.mse_loss.value"], strict=True))
    assert row["params"] == [["xloss", "torch.nn.functional"], ["small", "medium"], ["float32"]]
    assert row["result"] == [0.0, None, 2.0, 3.0]
    assert row["samples"] == [[0.0, 1.0], None, [2.0, 3.0], [3.0, 4.0]]
    assert row["stats_q_25"] == [0.0, None, 2.0, 3.0]
    assert (row["version"], row["started_at"], row["duration"]) == ("digest", 5, 1.5)
    assert found["results"]["machine_torch.memory.copy"][:4] == [[0.5], [], "1", 6]
    assert found["results"]["accuracy_torch_eager.mse_loss.value_worst"][:2] == [[None], [["xloss"], ["float32"]]]


def test_what_has_todays_names_is_left_as_it_is():
    once = convert(former())
    assert json.dumps(convert(once)) == json.dumps(once)


def test_asv_and_the_long_table_read_what_was_converted(tmp_path):
    from asv.results import Results

    from xloss.bench.asv import results

    rest = {"commit_hash": "a" * 40, "env_name": "e", "date": 0, "params": {"machine": "m"}, "python": "3.11"}
    path = tmp_path / "m" / "aaaaaaaa-e.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**convert(former()), **rest}))
    name = "speed_torch_eager.mse_loss.value"
    assert Results.load(str(path)).get_result_value(name, [["xloss"], ["medium", "small"], ["float32"]]) == [None, 0.0]
    table = results.read(tmp_path)
    speed = table[(table["kind"] == "speed") & (table["implementation"] == "torch.nn.functional")]
    assert list(zip(speed["size"], speed["value"], strict=True)) == [("small", 2.0), ("medium", 3.0)]
