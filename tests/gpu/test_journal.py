"""The journal: what is torn is dropped, what was answered is not asked again."""

import json
import subprocess
import sys
from pathlib import Path

from xloss.gpu.journal import Journal, read

ROOT = Path(__file__).resolve().parents[2]


def test_a_torn_last_line_is_dropped_and_the_next_row_is_whole(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.add({"step": "a", "cell": "1", "status": "ok"})
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"step": "a", "cell": "2", "sta')
    again = Journal(journal.path)
    again.add({"step": "a", "cell": "3", "status": "ok"})
    assert [row["cell"] for row in again.rows()] == ["1", "3"]
    assert again.answered() == {("a", "1"), ("a", "3")}
    again.close()


def test_a_crash_a_hang_and_too_little_memory_are_asked_again_an_error_is_not(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    for status in ("ok", "crash", "timeout", "oom", "error", "inaccurate", "unsupported"):
        journal.add({"step": "a", "cell": status, "status": status})
    assert {cell for _, cell in journal.answered()} == {"ok", "error", "inaccurate", "unsupported"}
    journal.add({"step": "a", "cell": "crash", "status": "ok"})
    assert ("a", "crash") in journal.answered()
    assert len(journal.rows()) == 7
    journal.close()


def test_lines_of_others_are_left_out(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text('null\n[1]\n{"cell": "no step"}\nnot json\n{"run": {"budget": 1}}\n')
    assert list(read(path)) == [{"run": {"budget": 1}}]
    assert list(read(tmp_path / "absent")) == []


def test_each_row_is_on_the_disk_when_the_process_is_killed(tmp_path):
    path = tmp_path / "j.jsonl"
    code = (
        "import os, pathlib, sys; from xloss.gpu.journal import Journal\n"
        f"Journal(pathlib.Path({str(path)!r})).add({{'step': 'a', 'cell': '1', 'status': 'ok'}}); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert json.loads(path.read_text()) == {"step": "a", "cell": "1", "status": "ok"}
