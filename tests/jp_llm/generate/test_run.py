"""The door's function: texts to the console or to a file, which an interruption does not spoil."""

import itertools
import json
import re
import runpy
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from jp_llm.config.app import composed
from jp_llm.config.build import build, problems_of
from jp_llm.export.inference import LoadedModel
from jp_llm.generate.config import GenerateConfig
from jp_llm.generate.output import TextsFile, part_path, settings_path, texts_file
from jp_llm.generate.run import run
from jp_llm.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


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
        assert set(row) == {"prompt", "text", "tokens", "number", "finish_reason", "seed", "settings"}
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


def jobs(folder: Path, output: Path, **more: Any) -> GenerateConfig:
    return GenerateConfig(
        **{"model": str(folder), "output": str(output), "max_new_tokens": 12, "num_return_sequences": 40}
        | {"batch_size": 4, "device": "cpu", **more}
    )


@pytest.fixture(scope="module")
def complete(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `jobs`, made without an interruption; its settings lie beside it."""
    output = tmp_path_factory.mktemp("whole") / "texts.jsonl"
    run(jobs(folder, output))
    return output


@pytest.fixture(scope="module")
def whole(complete: Path) -> bytes:
    return complete.read_bytes()


def copied(complete: Path, target: Path) -> Path:
    """A copy of a file of texts with its settings, as a process has left it."""
    shutil.copy(complete, target)
    shutil.copy(settings_path(complete), settings_path(target))
    return target


@given(cut=st.integers(0, 10**9))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(cut=0)
@example(cut=-1)
@example(cut=-2)
def test_an_interrupted_file_is_continued_without_a_duplicate_or_a_loss(
    cut: int, folder: Path, complete: Path, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed after any byte of the file."""
    output = copied(complete, tmp_path / "texts.jsonl")
    output.write_bytes(whole[: cut % len(whole)])
    run(jobs(folder, output))
    assert output.read_bytes() == whole
    there = whole[: cut % len(whole)].count(b"\n")
    assert f"40 texts of 1 prompt; {40 - there} made now" in capsys.readouterr().out
    run(jobs(folder, output))
    assert "complete, 40 texts of 1 prompt" in capsys.readouterr().out
    assert output.read_bytes() == whole


def test_what_a_killed_process_leaves_is_whole_lines_that_the_same_command_continues(
    folder: Path, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are after the 17th text, while the process holds them open, are copied and continued."""
    output, left = tmp_path / "texts.jsonl", tmp_path / "killed.jsonl"
    append, counted = TextsFile.append, itertools.count(1)

    def copying(self: TextsFile, record: Mapping[str, Any]) -> None:
        append(self, record)
        if next(counted) == 17:
            copied(output, left)

    with monkeypatch.context() as patch:
        patch.setattr(TextsFile, "append", copying)
        run(jobs(folder, output))
    assert left.read_bytes() == b"".join(whole.splitlines(keepends=True)[:17])
    capsys.readouterr()
    words = [f"model={folder}", f"output={left}", "max_new_tokens=12", "num_return_sequences=40"]
    monkeypatch.setattr(sys, "argv", ["launch/generate.py", *words, "batch_size=4", "device=cpu"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "launch" / "generate.py"), run_name="__main__")
    assert not caught.value.code
    out, err = capsys.readouterr()
    assert "holds 17 texts, going on behind them" in err
    assert "23 made now" in out
    assert left.read_bytes() == whole


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seed": 5}, r"other settings \(seed 1234 -> 5\)"),
        ({"prompts": ("春",)}, r"other settings \(prompts_sha256 "),
        ({"max_new_tokens": 11, "top_k": 3}, r"\(max_new_tokens 12 -> 11, top_k 0 -> 3\)"),
    ],
)
def test_other_settings_do_not_continue_a_file(
    more: dict[str, Any], message: str, folder: Path, complete: Path, whole: bytes, tmp_path: Path
) -> None:
    output = copied(complete, tmp_path / "texts.jsonl")
    with pytest.raises(UserError, match=message):
        run(jobs(folder, output, **more))
    assert output.read_bytes() == whole
    run(jobs(folder, output, **more, overwrite=True))
    assert output.read_bytes() != whole


def test_another_model_does_not_continue_a_file(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    shutil.copytree(folder, other)
    output = tmp_path / "texts.jsonl"
    run(jobs(other, output))
    tensors = load_file(other / "model.safetensors")
    tensors["transformer.wte.weight"][0, 0] += 1.0
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"other settings \(model_files_sha256 of model.safetensors\)"):
        run(jobs(other, output))


def test_texts_in_the_folder_of_their_model_are_continued(
    folder: Path, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies there beside the model, as JSON too, does not make it another one."""
    model = shutil.copytree(folder, tmp_path / "model")
    output = model / "texts.jsonl"
    run(jobs(model, output))
    (model / "evaluation.json").write_text("{}")
    run(jobs(model, output))
    assert "complete, 40 texts" in capsys.readouterr().out
    assert output.read_bytes() == whole


def test_a_strange_file_is_not_touched(folder: Path, whole: bytes, tmp_path: Path) -> None:
    output = tmp_path / "texts.jsonl"
    output.write_text("mine\n")
    with pytest.raises(UserError, match=r"exists without texts.jsonl.settings.json"):
        run(jobs(folder, output))
    assert output.read_text() == "mine\n"
    run(jobs(folder, output, overwrite=True))
    assert output.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    for wrong in ([*lines[:5], *lines[6:]], [*lines[:5], b"{}\n", *lines[5:]], [*lines[:5], b"\0\0\n"]):
        output.write_bytes(b"".join(wrong))
        with pytest.raises(UserError, match=r"line 6 is not the text that belongs there; .*head -n 5"):
            run(jobs(folder, output))
        assert output.read_bytes() == b"".join(wrong)
    settings_path(output).write_text("{")
    with pytest.raises(UserError, match=r"settings.json: damaged"):
        run(jobs(folder, output))


def test_a_file_has_one_writer(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "texts.jsonl"
    with texts_file(output, {}, [], overwrite=False), pytest.raises(UserError, match="another process is writing"):
        run(jobs(folder, output))


def test_processes_share_the_texts(folder: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "texts.jsonl"
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        run(jobs(folder, output))
    parts = sorted(tmp_path.glob("texts-*.jsonl"))
    assert [part.name for part in parts] == [f"texts-0000{rank}-of-00003.jsonl" for rank in range(3)]
    lines = [part.read_bytes().splitlines(keepends=True) for part in parts]
    together = [part[place] for place in range(14) for part in lines if place < len(part)]
    assert b"".join(together) == whole
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="made by another number of processes"):
        run(jobs(folder, output))
    with pytest.raises(UserError, match="output: name a file"):
        run(GenerateConfig(model=str(folder), device="cpu"))
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    with pytest.raises(UserError, match="made by another number of processes"):
        run(jobs(folder, output))


def test_parts_do_not_lie_beside_a_whole_file(tmp_path: Path) -> None:
    whole = tmp_path / "[texts].jsonl"
    assert part_path(whole, 0, 1) == whole
    whole.touch()
    with pytest.raises(UserError, match="made by another number of processes"):
        part_path(whole, 0, 2)
    whole.unlink()
    own = part_path(whole, 1, 2)
    own.touch()
    assert part_path(whole, 1, 2) == own
    with pytest.raises(UserError, match="made by another number of processes"):
        part_path(whole, 0, 1)


def test_progress_says_how_fast_and_how_long(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jp_llm.generate.run.PROGRESS_SECONDS", 0.0)
    run(jobs(folder, tmp_path / "texts.jsonl"))
    out, err = capsys.readouterr()
    assert re.search(r"texts.jsonl: 30 of 40 texts, [\d.,]+ texts/s, [\d,]+ tokens/s, \d+ s left", err)
    assert re.search(
        r"40 made now in \d+ s \([\d.,]+ texts/s, [\d,]+ tokens/s\): \d+ ended by themselves, \d+ are", out
    )


def test_a_newline_as_the_command_line_hands_it_on_ends_a_text() -> None:
    config = build(GenerateConfig, *composed("generate", ["model=m", r'stop=["\n",。]']))
    assert config.stop == ("\n", "。")


def test_a_model_must_be_named() -> None:
    assert problems_of(GenerateConfig())[0].startswith("model: ")
