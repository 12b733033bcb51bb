from pathlib import Path

import pytest
from raw import config

from preprocessing.clean import clean_unit
from preprocessing.deduplicate.config import LinesConfig
from preprocessing.execution.messages import stage_from_json, stage_to_json
from preprocessing.executor import Stage, Task
from preprocessing.plan import Piece, Unit
from preprocessing.stuck import reject_unit


def test_a_stage_comes_out_as_it_went_in(tmp_path):
    wanted = config(tmp_path / "out", ["a.txt"])
    unit = Unit("web", 3, (Piece("a.txt", "a.txt", 5, 9), Piece("b", "b", chunk="c")), 7)
    values = (wanted, unit, "語", 1, 2.5, None, True, [1, (2, "x")], {"a": Path("b")}, LinesConfig(minimum_documents=7))
    tasks = [Task("web-00003", values, 7, ("c",)), Task("web-00004", (), 1)]
    stage = Stage("clean", clean_unit, tasks, tmp_path / "marks", max_task_seconds=3.0, if_stuck=reject_unit)
    assert stage_from_json(stage_to_json(stage), wanted) == stage


def test_nothing_else_is_sent_or_taken(tmp_path):
    wanted = config(tmp_path / "out", ["a.txt"])
    with pytest.raises(TypeError, match="object among its arguments"):
        stage_to_json(Stage("clean", clean_unit, [Task("a", (object(),))], tmp_path))
    data = stage_to_json(Stage("clean", clean_unit, [], tmp_path))
    for name in ("os:system", "preprocessing.clean:os.system", "preprocessing_evil:run"):
        with pytest.raises(ValueError, match="only what preprocessing defines"):
            stage_from_json(data.replace(b"preprocessing.clean:clean_unit", name.encode()), wanted)
