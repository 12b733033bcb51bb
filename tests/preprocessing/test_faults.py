"""Input and steps that go wrong, seen from the whole run."""

import json
import os
import time

import pytest
from raw import COMPRESS, cleaned, config
from stage_functions import square, write_slowly

from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.execution.work import limited
from preprocessing.executor import Stage, Task, run_stage
from preprocessing.filters.length import LengthFilter
from preprocessing.run import run


def counts(output):
    return json.loads((output / "report.json").read_text())["sources"]["web"]


def test_an_unreadable_file_among_many_is_named_and_counted(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(300):
        (raw / f"{number:04d}.txt").write_text(f"{number}番目の文書\n")
    (raw / "0150.txt").unlink()
    (raw / "0150.txt").symlink_to("/proc/self/mem")  # opens, but reading fails
    with pytest.raises(UserError, match=r"^sources\.web\.paths: .*0150\.txt: Input/output error$"):
        run(config(tmp_path / "out", [raw]))
    run(config(tmp_path / "out2", [raw], on_damaged_file="skip", unit_bytes=500))
    texts = [record["text"] for record in cleaned(tmp_path / "out2")]
    assert texts == [f"{number}番目の文書" for number in range(300) if number != 150]
    assert counts(tmp_path / "out2")["rejected"] == {"damaged_file": 1}
    (rejects,) = (tmp_path / "out2" / "rejects").iterdir()
    assert "0150.txt" in rejects.read_text()


def test_a_file_that_vanishes_after_planning_is_dealt_with_as_configured(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"{number}番目の文書\n")
    wanted = config(tmp_path / "out", [tmp_path / "*.txt"], unit_bytes=1)
    monkeypatch.setattr("preprocessing.run.check_disk", lambda *arguments: (tmp_path / "1.txt").unlink())
    with pytest.raises(UserError, match=r"clean web-00001: .*1\.txt: No such file or directory\. Fetch the file again"):
        run(wanted)
    (tmp_path / "1.txt").write_text("1番目の文書\n")
    run(wanted.model_copy(update={"on_damaged_file": "skip"}))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == ["0番目の文書", "2番目の文書"]
    assert counts(tmp_path / "out")["rejected"] == {"damaged_file": 1}


def test_a_file_that_became_shorter_after_planning_is_no_end_of_file(tmp_path, monkeypatch):
    lines = [f"{number}番目の文書" for number in range(100)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    shorter = (tmp_path / "a.txt").read_bytes()[:1500]
    wanted = config(tmp_path / "out", [tmp_path / "a.txt"], unit_bytes=1000)
    monkeypatch.setattr("preprocessing.run.check_disk", lambda *arguments: (tmp_path / "a.txt").write_bytes(shorter))
    with pytest.raises(UserError, match=r"a\.txt: ends [\d,]+ bytes earlier than when the work was planned"):
        run(wanted)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_task_that_hangs_is_ended_by_name(tmp_path, num_workers):
    tasks = [Task(f"web-{number:05d}", (str(tmp_path), number)) for number in range(2)]
    stage = Stage("clean", write_slowly, tasks, tmp_path / "marks" / "clean", max_task_seconds=1.0)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"clean web-0000\d: still at work after 1 seconds \(max_task_seconds\)"):
        run_stage(stage, num_workers)
    assert time.monotonic() - started < 50
    assert not list(stage.marks.iterdir())
    assert not list(tmp_path.glob("output-*"))
    quick = Stage("clean", square, tasks, tmp_path / "marks" / "clean", max_task_seconds=60.0)
    assert [result["square"] for result in run_stage(quick, num_workers)] == [0, 1]


def test_marks_record_the_cost_of_a_task(tmp_path):
    (tmp_path / "a.txt").write_text("一番目の文書\n")
    run(config(tmp_path / "out", [tmp_path / "a.txt"]))
    mark = json.loads((tmp_path / "out" / "marks" / "clean" / "web-00000.json").read_text())
    assert 10 << 20 < mark["peak_memory_bytes"] < 8 << 30
    assert 0 <= mark["cpu_seconds"] < 60
    assert mark["result"]["raw_bytes"] == (tmp_path / "a.txt").stat().st_size


def test_side_files_of_steps_must_exist_and_may_not_change(tmp_path, monkeypatch):
    words = tmp_path / "words.txt"
    monkeypatch.setattr(LengthFilter, "files", lambda self: (str(words),))
    (tmp_path / "a.txt").write_text("一番目の文書\n")
    (tmp_path / "b.txt").write_text("二番目の文書\n")
    with pytest.raises(UserError) as caught:
        config(tmp_path / "out", [tmp_path / "*.txt"], steps=[{"type": "length"}, {"type": "lenght"}])
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    assert f"sources.web.steps.0.{words}: no such file" in caught.value.problems[0]
    assert "did you mean 'length'" in caught.value.problems[1]
    words.write_text("語")
    raw = [tmp_path / "a.txt", tmp_path / "b.txt"]
    wanted = config(tmp_path / "out", raw, steps=[{"type": "length", "minimum": 1}], unit_bytes=1)
    run(wanted)
    words.write_text("別")
    run(wanted)  # all is cleaned: nothing can change any more
    (tmp_path / "out" / "marks" / "clean" / "web-00001.json").unlink()
    with pytest.raises(UserError, match=r"words\.txt has changed"):
        run(wanted)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_unit_that_is_stuck_can_be_skipped(tmp_path, monkeypatch, num_workers):
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"{number}番目の文書\n")

    def becomes_a_pipe_without_a_writer(*arguments):
        (tmp_path / "1.txt").unlink()
        os.mkfifo(tmp_path / "1.txt")

    monkeypatch.setattr("preprocessing.run.check_disk", becomes_a_pipe_without_a_writer)
    skipping = config(
        tmp_path / "out",
        [tmp_path / f"{number}.txt" for number in range(3)],
        unit_bytes=1,
        num_workers=num_workers,
        max_task_seconds=4.0,
        on_damaged_file="skip",
    )
    half = tmp_path / "out" / "documents" / "web" / "train-00001-000.jsonl.zst"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"of an attempt that was killed")
    (tmp_path / "out" / "config.resolved.yaml").write_text(json.dumps(skipping.model_dump(mode="json")))
    run(skipping)
    assert [record["text"] for record in cleaned(tmp_path / "out")] == ["0番目の文書", "2番目の文書"]
    assert not half.exists()
    assert counts(tmp_path / "out")["rejected"] == {"stuck": 1}
    (rejects,) = (tmp_path / "out" / "rejects").iterdir()
    rejected = json.loads(rejects.read_text())
    assert (rejected["file"], rejected["reason"]) == (str(tmp_path / "1.txt"), "stuck")
    assert rejected["start"] == f"still at work after 4 seconds (max_task_seconds): {tmp_path / '1.txt'}"
    run(skipping)  # the mark holds
    assert counts(tmp_path / "out")["rejected"] == {"stuck": 1}


def test_the_limit_of_time_is_for_stages_that_read_inputs(tmp_path):
    wanted = config(tmp_path / "out", ["a"], max_task_seconds=1.0, on_damaged_file="skip")
    found = {
        name: limited(Stage(name, square, (), tmp_path), wanted)
        for name in ("split", "clean", "deduplicate", "tokenizer", "encode", "hash")
    }
    assert [name for name, stage in found.items() if stage.max_task_seconds] == ["split", "clean"]
    assert [name for name, stage in found.items() if stage.if_stuck] == ["split", "clean"]
    stopping = wanted.model_copy(update={"on_damaged_file": "stop"})
    assert limited(Stage("clean", square, (), tmp_path), stopping).if_stuck is None


def test_a_file_that_is_stuck_while_it_is_split_can_be_skipped(tmp_path, monkeypatch):
    for name in ("a", "b"):
        lines = "\n".join(f"{name}の{number}番目の文書" for number in range(500))
        (tmp_path / f"{name}.gz").write_bytes(COMPRESS["gzip"](lines.encode()))

    def becomes_a_pipe_without_a_writer(*arguments):
        (tmp_path / "a.gz").unlink()
        os.mkfifo(tmp_path / "a.gz")

    monkeypatch.setattr("preprocessing.run.check_disk", becomes_a_pipe_without_a_writer)
    wanted = config(
        tmp_path / "out",
        [tmp_path / "a.gz", tmp_path / "b.gz"],
        split_above_bytes=1000,
        max_task_seconds=4.0,
        on_damaged_file="skip",
    )
    run(wanted)
    assert [record["text"][0] for record in cleaned(tmp_path / "out")] == ["b"] * 500
    assert counts(tmp_path / "out")["rejected"] == {"damaged_file": 1}
    (rejects,) = (tmp_path / "out" / "rejects").iterdir()
    assert "a.gz: still at work after 4 seconds (max_task_seconds)" in rejects.read_text()
