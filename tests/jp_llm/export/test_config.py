"""What the door of the export accepts."""

from typing import Any

import pytest

from jp_llm.config.build import build, problems_of
from jp_llm.export.config import ExportConfig
from jp_llm.runtime.errors import UserError

NEEDED = {"checkpoint": "runs/first", "output_dir": "models/first"}


@pytest.mark.parametrize(
    ("value", "meaning"), [("wiki", ("wiki",)), (["wiki", "web"], ("wiki", "web")), ([], ())], ids=str
)
def test_a_list_of_one_needs_no_brackets(value: Any, meaning: tuple[str, ...]) -> None:
    assert build(ExportConfig, NEEDED | {"datasets": value}).datasets == meaning


@pytest.mark.parametrize("value", [3, [3], {"wiki": 1}, None])
def test_a_list_holds_texts(value: Any) -> None:
    with pytest.raises(UserError, match="datasets"):
        build(ExportConfig, NEEDED | {"datasets": value})


def test_names_what_is_missing() -> None:
    assert [problem.split(":")[0] for problem in problems_of(ExportConfig())] == ["checkpoint", "output_dir"]
