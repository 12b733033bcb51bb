import json
import os
import time

import pytest
from stage_functions import square

from jp_llm.runtime.errors import UserError
from preprocessing.execution.claims import Claims
from preprocessing.execution.shared import SharedTasks
from preprocessing.executor import Stage, Task, run_stage


def stage(folder, count=6):
    tasks = [Task(f"web-{number:05d}", (str(folder), number), 10) for number in range(count)]
    return Stage("clean", square, tasks, folder / "marks" / "clean")


def mark(stage, task):
    stage.marks.mkdir(parents=True, exist_ok=True)
    stage.mark(task).write_text(json.dumps({"result": {"square": int(task.name[-5:]) ** 2}}))


def test_two_processes_share_the_tasks(tmp_path):
    work = stage(tmp_path)
    with Claims(tmp_path / "claims") as one, Claims(tmp_path / "claims") as other:
        mine, theirs = SharedTasks(work, one), SharedTasks(work, other, start=0.5)
        first, second = mine.take(), theirs.take()
        assert (first.name, second.name) == ("web-00000", "web-00003")
        rest = [task.name for tasks in (mine, theirs) for task in iter(tasks.take, None)]
        assert sorted([*rest, first.name, second.name]) == [task.name for task in work.tasks]
        assert mine.take() is None
        assert mine.left()


def test_what_others_have_done_is_reported_once(tmp_path):
    work = stage(tmp_path)
    with Claims(tmp_path / "claims") as claims:
        tasks = SharedTasks(work, claims)
        mark(work, work.tasks[0])
        mark(work, work.tasks[4])
        assert tasks.take() == work.tasks[1]
        assert tasks.done_elsewhere() == [work.tasks[0]]
        assert tasks.left()
        assert tasks.done_elsewhere() == [work.tasks[4]]
        assert tasks.done_elsewhere() == []
        mark(work, work.tasks[1])
        tasks.done(work.tasks[1])
        for task in iter(tasks.take, None):
            mark(work, task)
            tasks.done(task)
        assert not tasks.left()


def test_the_task_of_a_dead_worker_comes_back(tmp_path):
    work = stage(tmp_path, 1)
    claim = tmp_path / "claims" / "clean" / "web-00000"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"host": "elsewhere", "process": 1, "started": "1"}))
    with Claims(tmp_path / "claims") as claims:
        tasks = SharedTasks(work, claims)
        assert tasks.take() is None
        assert tasks.left()
        os.utime(claim, (time.time() - 1000, time.time() - 1000))
        tasks._look_seconds = 0.0
        assert tasks.left()
        assert tasks.take() == work.tasks[0]


def test_a_stage_is_run_until_all_its_marks_are_there(tmp_path):
    work = stage(tmp_path, 12)
    with Claims(tmp_path / "claims") as claims:
        results = run_stage(work, 2, tasks=SharedTasks(work, claims))
    assert [result["square"] for result in results] == [number**2 for number in range(12)]
    assert not [path for path in (tmp_path / "claims").rglob("*") if path.is_file()]


def test_the_failure_of_another_process_ends_the_wait(tmp_path):
    def check():
        raise UserError("another element has failed")

    with Claims(tmp_path / "claims") as claims, pytest.raises(UserError, match="another element"):
        run_stage(stage(tmp_path), 1, tasks=SharedTasks(stage(tmp_path), claims, check=check))
