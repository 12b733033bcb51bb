"""The door's function: prompts from everywhere, texts to the console or to a file."""

import json
from pathlib import Path

import pytest

from jp_llm.config.build import problems_of
from jp_llm.export.inference import LoadedModel
from jp_llm.generate.config import GenerateConfig
from jp_llm.generate.run import read_prompts, run
from jp_llm.runtime.errors import UserError


def test_writes_one_json_line_per_text(
    folder: Path, loaded: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = GenerateConfig(
        model=str(folder),
        prompts=("春の朝、", "冬"),
        output=str(tmp_path / "out" / "texts.jsonl"),
        max_new_tokens=10,
        num_return_sequences=2,
        seed=9,
        device="cpu",
    )
    run(config)
    assert "4 texts of 2 prompts" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "out" / "texts.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["number"]) for row in rows] == [("春の朝、", 0), ("春の朝、", 1), ("冬", 0), ("冬", 1)]
    for row in rows:
        assert set(row) == {"prompt", "text", "tokens", "number", "seed", "settings"}
        assert row["text"] == loaded.tokenizer.decode(row["tokens"], skip_special_tokens=True)
        assert row["seed"] == 9
        assert row["settings"]["top_p"] == config.top_p
        assert row["settings"]["max_new_tokens"] == 10
        assert "model" not in row["settings"]
    before = (tmp_path / "out" / "texts.jsonl").read_bytes()
    run(config)
    assert (tmp_path / "out" / "texts.jsonl").read_bytes() == before


def test_prints_prompt_and_text_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(GenerateConfig(model=str(folder), prompts=("春の朝、",), max_new_tokens=4, device="cpu"))
    assert capsys.readouterr().out.startswith("春の朝、")


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


def test_a_model_must_be_named() -> None:
    assert problems_of(GenerateConfig())[0].startswith("model: ")
