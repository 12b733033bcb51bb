import io
import sys

import pytest

from preprocessing.executor import Task
from preprocessing.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


TASKS = [Task("a", (), 2_000_000), Task("b", (), 1_000_000), Task("c", (), 1_000_000)]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("preprocessing.progress.time.monotonic", lambda: now[0])
    return now


def test_plain_lines_now_and_then(clock, capsys):
    with Progress("clean", TASKS, TASKS[1:]) as progress:
        clock[0] += 10
        progress.done(TASKS[1], {"documents_in": 8, "documents_out": {"train": 5, "validation": 1}})
        clock[0] += 30
        progress.done(TASKS[2], {"counts": {"documents_in": 2, "documents_out": {"train": 1}}})
    assert capsys.readouterr().err.splitlines() == [
        "clean      1/3 tasks",
        "clean      3/3 tasks  7 documents kept (70.0%)  2.0 MB read  0.1 MB/s  0:40 elapsed, 0:00 left",
    ]


def test_half_a_minute_later_there_is_a_line_with_the_time_left(clock, capsys):
    with Progress("encode", TASKS, TASKS) as progress:
        clock[0] += 60
        progress.done(TASKS[0], {"shard": {}})
    assert capsys.readouterr().err.splitlines()[-1] == (
        "encode     1/3 tasks  2.0 MB read  0.0 MB/s  1:00 elapsed, 1:00 left"
    )


def test_on_a_terminal_one_line_is_drawn_again_and_the_cursor_comes_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())

    def fails():
        with Progress("clean", TASKS, TASKS) as progress:
            progress.done(TASKS[0], {"documents_in": 4, "documents_out": {"train": 3}})
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    written = terminal.getvalue()
    assert "1/3 tasks" in written
    assert "3 documents kept (75.0%)" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert sys.stderr is terminal


def test_tasks_without_a_size_are_counted(capsys):
    tasks = [Task("fetch", (), 0)]
    with Progress("clean", tasks, tasks) as progress:
        assert progress.share == 0
        progress.done(tasks[0], {})
        assert progress.share == 1
    assert capsys.readouterr().err.splitlines()[-1] == "clean      1/1 tasks"
