import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from stage_functions import fail, square

from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.executor import Stage, Task, run_stage

ROOT = Path(__file__).resolve().parents[2]


def stage(folder, function=square, *arguments, count=5):
    tasks = [Task(f"web-{number:05d}", (str(folder), number, *arguments), 10) for number in range(count)]
    return Stage("clean", function, tasks, folder / "marks" / "clean")


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def calls(folder):
    return {path.name.removeprefix("called-"): path.stat().st_size for path in folder.glob("called-*")}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_are_in_the_order_of_the_tasks(tmp_path, num_workers):
    results = run_stage(stage(tmp_path), num_workers)
    assert [result["square"] for result in results] == [0, 1, 4, 9, 16]
    processes = {result["process"] for result in results}
    assert processes == {os.getpid()} if num_workers == 1 else os.getpid() not in processes


def test_marked_tasks_are_skipped(tmp_path):
    first = run_stage(stage(tmp_path), 1)
    stage(tmp_path).mark(stage(tmp_path).tasks[3]).unlink()
    assert [task.name for task in stage(tmp_path).unfinished()] == ["web-00003"]
    assert run_stage(stage(tmp_path), 1) == first
    assert calls(tmp_path) == {"0": 1, "1": 1, "2": 1, "3": 2, "4": 1}


def test_progress_ends_with_all_tasks(tmp_path, capsys):
    run_stage(stage(tmp_path), 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "clean      0/5 tasks"
    assert lines[-1].startswith("clean      5/5 tasks")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_errors_for_people_name_the_task_and_keep_their_code(tmp_path, num_workers):
    with pytest.raises(UserError) as caught:
        run_stage(stage(tmp_path, fail, "user"), num_workers)
    assert caught.value.problems == ("clean web-00002: a.gz: cut off", "clean web-00002: b.gz: cut off")
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    assert not stage(tmp_path).mark(stage(tmp_path).tasks[2]).exists()
    # The others are done, or are done the next time.
    assert [result["square"] for result in run_stage(stage(tmp_path), num_workers)] == [0, 1, 4, 9, 16]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("bug", RuntimeError, "(?s)clean web-00002 failed:.*ZeroDivisionError: division by zero"),
        ("killed", UserError, "clean web-00002: its worker process was killed, .* memory .* num_workers"),
        ("segfault", UserError, "clean web-00002: its worker process died of SIGSEGV"),
        ("exit", UserError, "clean web-00002: its worker process ended with exit code 7"),
        ("full", UserError, r"clean web-00002: No space left on device: documents/x.* MB are free"),
    ],
)
def test_other_failures_name_the_task(tmp_path, how, error, message):
    with pytest.raises(error, match=message):
        run_stage(stage(tmp_path, fail, how), 2)
    assert len(stage(tmp_path).unfinished()) >= 1


def test_ctrl_c_stops_the_workers_and_leaves_nothing_half_written(tmp_path):
    script = f"""
        from pathlib import Path
        from preprocessing.executor import Stage, Task, run_stage
        from stage_functions import write_slowly
        if __name__ == "__main__":
            tasks = [Task(str(number), ({str(tmp_path)!r}, number)) for number in range(4)]
            run_stage(Stage("clean", write_slowly, tasks, Path({str(tmp_path)!r}) / "marks" / "clean"), 2)
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(script))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("started-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        # A terminal sends Ctrl-C to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.glob("output-*")) == []
    assert list(tmp_path.glob(".output-*")) == []
    assert list((tmp_path / "marks" / "clean").iterdir()) == []
    while group_lives(process.pid) and time.monotonic() < deadline:  # the last helper goes a moment later
        time.sleep(0.05)
    assert not group_lives(process.pid)


def test_progress_shows_the_label_of_a_stage(tmp_path, capsys):
    stage = Stage("clean", square, [Task("a", (str(tmp_path), 1), 2_000_000)], tmp_path / "marks", label="clean twice")
    run_stage(stage, 1)
    assert capsys.readouterr().err.splitlines()[-1].startswith("clean twice 1/1 tasks  2.0 MB read")
