"""Prompts from everywhere."""

from pathlib import Path

import pytest

from jp_llm.generate.config import GenerateConfig
from jp_llm.generate.prompts import read_prompts
from jp_llm.runtime.errors import UserError


def prompts_of(path: Path, content: str, *more: str) -> list[str]:
    path.write_text(content, encoding="utf-8")
    return read_prompts(GenerateConfig(model="x", prompts=more, prompts_file=str(path)))


def test_prompts_from_files(tmp_path: Path) -> None:
    assert read_prompts(GenerateConfig(model="x")) == [""]
    assert prompts_of(tmp_path / "a.txt", "春\n\n 秋 \n", "夏") == ["夏", "春", "", " 秋 "]
    assert prompts_of(tmp_path / "b.txt", "\ufeff春\r\n冬") == ["春", "冬"]
    assert prompts_of(tmp_path / "c.jsonl", '{"prompt": "春\\n夏", "id": 1}\n{"prompt": ""}\n') == ["春\n夏", ""]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"prompt": "春"}\n{"text": "春"}\n', r'line 2 has no text under "prompt"'),
        ("a.jsonl", "春\n", r"line 1 is not JSON"),
        ("a.jsonl", '{"prompt": 3}\n', r"line 1 has no text"),
        ("a.jsonl", '{"prompt": "\\ud800"}\n', r"line 1 is no text: surrogates"),
        ("a.txt", "", r"holds no prompts"),
    ],
)
def test_wrong_prompt_files_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        prompts_of(tmp_path / name, content)


def test_unreadable_prompt_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.txt cannot be read"):
        read_prompts(GenerateConfig(model="x", prompts_file=str(tmp_path / "nowhere.txt")))
    (tmp_path / "sjis.txt").write_bytes("春".encode("cp932"))
    with pytest.raises(UserError, match=r"sjis.txt is not UTF-8 at byte 0"):
        read_prompts(GenerateConfig(model="x", prompts_file=str(tmp_path / "sjis.txt")))
