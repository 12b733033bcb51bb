import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from jp_llm.bot.config import BotConfig
from jp_llm.bot.source import Candidate, candidates
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.text import Completion
from jp_llm.runtime.errors import UserError


def test_a_pool_gives_prompt_and_text(tmp_path: Path) -> None:
    rows = [
        {"prompt": "昔々、", "text": "あった。"},
        {"text": "次。", "prompt": None},
        {"text": "三。", "near_copy": {}},
    ]
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = list(candidates(BotConfig(state_dir="b", texts=str(path))))
    assert found == [Candidate("昔々、", "あった。"), Candidate("", "次。"), Candidate("", "三。")]
    assert found[0].written == "昔々、あった。"


def test_a_damaged_line_is_named_unless_it_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"text": "一"}\n{"text": "二')
    config = BotConfig(state_dir="b", texts=str(path))
    assert list(candidates(config)) == [Candidate("", "一")]
    path.write_text('{"text": "一"}\n{"text": "二\n')
    with pytest.raises(UserError, match="line 2"):
        list(candidates(config))


def test_a_model_is_asked_with_another_seed_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def complete(loaded: Any, prompts: list[str], sampling: SamplingConfig, size: int) -> Iterator[Completion]:
        assert loaded == "models/first"
        assert (sampling.temperature, sampling.num_return_sequences, size) == (0.5, 1, len(prompts))
        seeds.append(sampling.seed)
        for number, prompt in enumerate(prompts):
            yield Completion(prompt=prompt, number=number, text=f"{number}。", tokens=[number], finish_reason="end")

    monkeypatch.setattr("jp_llm.export.inference.open_model", lambda path, *_: str(path))
    monkeypatch.setattr("jp_llm.generate.text.complete", complete)
    sampling = SamplingConfig(temperature=0.5, num_return_sequences=3)
    config = BotConfig(state_dir="b", model="models/first", prompts=("昔", "今"), sampling=sampling)
    found = list(islice(candidates(config), 200))
    assert {candidate.prompt for candidate in found} == {"昔", "今"}
    assert {candidate.text for candidate in found} == {f"{number}。" for number in range(8)}
    assert len(set(seeds)) == len(seeds) == 25
