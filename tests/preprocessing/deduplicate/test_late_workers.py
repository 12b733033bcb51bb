"""A second worker of a task, which seemed dead and goes on when the others have finished, decides nothing anew."""

import pytest
from duplicates import RULES, config
from raw import contents

from jp_llm.runtime.errors import UserError
from preprocessing.deduplicate import run as deduplication
from preprocessing.deduplicate.tables import Workspace, parts_for
from preprocessing.executor import _perform, run_stage
from preprocessing.run import run

STEPS = ("exact-merge", "lines-merge", "near-merge", "clusters", "paragraphs-merge")


def tables(output):
    return {path: path.read_bytes() for path in sorted((output / "deduplicate").rglob("*.bin"))}


@pytest.mark.parametrize("memory_bytes", [1 << 30, 6_000])
def test_late_workers_change_nothing(tmp_path, finished, raw, monkeypatch, memory_bytes):
    seen = {}

    def performed(stage, *rest, **more):
        seen[stage.marks.name] = stage
        return run_stage(stage, *rest, **more)

    monkeypatch.setattr("preprocessing.execution.local.run_stage", performed)
    output = tmp_path / "out"
    run(config(output, raw, deduplicate=RULES | {"memory_bytes": memory_bytes}))
    before = tables(output)
    assert before
    for step in STEPS:
        for task in seen[step].tasks:
            with pytest.raises(FileNotFoundError):
                seen[step].function(*task.arguments)  # what it would read is gone
            _perform(seen[step], task)  # which is no failure, since there is a mark
    assert tables(output) == before
    assert contents(output) == contents(finished)


def test_nothing_is_read_before_it_is_decided(tmp_path):
    workspace = Workspace(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        workspace.decided("exact_duplicates")
    workspace.finish("exact_duplicates", 0)
    assert workspace.decided("exact_duplicates") == []


def stopped_at(step, monkeypatch):
    """Stops deduplication after the first two tasks of a step."""

    class Stopped(BaseException):
        pass

    performed = deduplication._Deduplication._stage

    def stage(self, name, function, tasks):
        made = performed(self, name, function, tasks)
        if name == step:
            for task in made.tasks[:2]:
                made.marks.mkdir(parents=True, exist_ok=True)
                if not made.mark(task).exists():
                    _perform(made, task)
            raise Stopped
        return made

    monkeypatch.setattr(deduplication._Deduplication, "_stage", stage)
    return Stopped


@pytest.mark.parametrize(
    ("step", "first", "then"),
    [
        ("exact-merge", 6_000, 1 << 30),
        ("exact-merge", 1 << 30, 6_000),
        ("lines-merge", 6_000, 9_000),
        ("near-merge", 6_000, 9_000),
        ("paragraphs-merge", 6_000, 9_000),
        ("select", 6_000, 1 << 30),
        ("select", 1 << 30, 6_000),
    ],
)
def test_memory_may_be_another_when_a_run_goes_on(tmp_path, finished, raw, monkeypatch, step, first, then):
    """Tables and marks of two divisions are never taken for each other."""
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        stopped = stopped_at(step, patch)
        with pytest.raises(stopped):
            run(config(output, raw, deduplicate=RULES | {"memory_bytes": first}))
    run(config(output, raw, deduplicate=RULES | {"memory_bytes": then}))
    assert contents(output) == contents(finished)


def test_memory_that_does_not_suffice_is_said_before_signing_and_can_be_raised(tmp_path, finished, raw):
    output = tmp_path / "out"
    with pytest.raises(UserError, match=r"deduplicate\.memory_bytes=500 is too little .* set it to \d"):
        run(config(output, raw, deduplicate=RULES | {"memory_bytes": 500}))
    assert not (output / "marks" / "deduplicate" / "near").exists()
    assert parts_for(84, 88, 500) == len(list((output / "marks" / "deduplicate" / "exact-merge").iterdir()))
    run(config(output, raw))
    assert contents(output) == contents(finished)
