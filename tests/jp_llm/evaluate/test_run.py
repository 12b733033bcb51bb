"""The door's function: a result file that says what was measured on what."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import zstandard
from tiny_export import TEXT

from jp_llm.config.build import problems_of
from jp_llm.evaluate.config import ClozeConfig, EvaluateConfig
from jp_llm.evaluate.run import run, table, window_sizes
from jp_llm.evaluate.score import Score
from jp_llm.runtime.errors import UserError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset folder with two sources."""
    for source, texts in (("novels", TEXT[:4]), ("news", TEXT[4:7])):
        rows = [{"id": f"{source}#{n}", "source": source, "text": text, "meta": {}} for n, text in enumerate(texts)]
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        path = tmp_path / "corpus" / "documents" / source / "validation-00000-000.jsonl.zst"
        path.parent.mkdir(parents=True)
        path.write_bytes(zstandard.ZstdCompressor().compress(data))
    return tmp_path / "corpus"


def evaluate(folder: Path, output: Path, *data: Path, **settings: int) -> dict[str, dict[str, dict[str, float]]]:
    run(EvaluateConfig(model=str(folder), data=tuple(map(str, data)), output=str(output), device="cpu", **settings))
    result: dict[str, dict[str, dict[str, float]]] = json.loads(output.read_text())
    return result


def test_measures_each_source_and_all_together(
    folder: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(folder, tmp_path / "result.json", dataset)
    assert list(result["sources"]) == ["news", "novels"]
    assert result["sources"]["novels"]["documents"] == 4
    assert result["sources"]["novels"]["characters"] == sum(map(len, TEXT[:4]))
    assert result["total"]["nats"] == pytest.approx(sum(sums["nats"] for sums in result["sources"].values()))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| news", "| novels", "| all"]
    assert f"{result['total']['bits_per_character']:.4f}" in lines[-1]


def test_the_result_names_model_tokenizer_and_data_by_hash(folder: Path, dataset: Path, tmp_path: Path) -> None:
    result = evaluate(folder, tmp_path / "result.json", dataset)

    def hashed(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    for name in ("config.json", "model.safetensors"):
        assert result["model"]["files_sha256"][name] == hashed(folder / name)
    assert result["model"]["files_sha256"]["tokenizer.json"] == hashed(folder / "tokenizer.json")
    assert result["data"] == {str(path): hashed(path) for path in sorted(dataset.glob("documents/*/*.zst"))}
    assert result["settings"]["context_tokens"] == 64
    assert result["settings"]["stride_tokens"] == 32
    assert result["versions"].keys() >= {"jp-llm", "torch", "transformers"}


def test_text_that_the_tokenizer_changes_is_said_under_the_table() -> None:
    sums = asdict(Score(documents=3, characters=9, bytes=27, tokens=9, nats=9.0, changed_documents=2))
    result = {"sources": {}, "total": sums | Score(**sums).rates()}
    assert "does not give 2 of 3 documents back" in table(result)
    assert "give" not in table({"sources": {}, "total": result["total"] | {"changed_documents": 0}})


def test_too_little_text_for_cloze_items_shows_before_the_rest_is_measured(
    folder: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jp_llm.evaluate.run.score", lambda *_, **__: pytest.fail("measured first"))
    with pytest.raises(UserError, match=r"cloze\.items: no source"):
        run(EvaluateConfig(model=str(folder), data=(str(dataset),), device="cpu", cloze=ClozeConfig(items=9)))


def test_limits_hold_for_each_source(folder: Path, dataset: Path, tmp_path: Path) -> None:
    result = evaluate(folder, tmp_path / "few.json", dataset, max_documents=2)
    assert [sums["documents"] for sums in result["sources"].values()] == [2, 2]
    result = evaluate(folder, tmp_path / "short.json", dataset, max_characters=30)
    assert all(0 < sums["characters"] <= 30 for sums in result["sources"].values())


def test_a_smaller_context_predicts_from_less(folder: Path, dataset: Path, tmp_path: Path) -> None:
    whole = evaluate(folder, tmp_path / "a.json", dataset)
    small = evaluate(folder, tmp_path / "b.json", dataset, context_tokens=8, stride_tokens=4)
    assert small["total"]["tokens"] == whole["total"]["tokens"]
    assert small["total"]["nats"] != pytest.approx(whole["total"]["nats"], rel=1e-3)


def test_data_without_text_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match=r"there is no text in .*empty.txt"):
        evaluate(folder, tmp_path / "result.json", tmp_path / "empty.txt")
    assert not (tmp_path / "result.json").exists()


def test_impossible_windows_are_refused() -> None:
    assert window_sizes(EvaluateConfig(), 64) == (64, 32)
    assert window_sizes(EvaluateConfig(context_tokens=1), 64) == (1, 1)
    for config, context, message in (
        (EvaluateConfig(context_tokens=65), 64, "more than the model's context"),
        (EvaluateConfig(stride_tokens=65), 64, "more than the context"),
        (EvaluateConfig(), None, "names no context"),
    ):
        with pytest.raises(UserError, match=message):
            window_sizes(config, context)


def test_the_config_names_what_is_missing() -> None:
    assert [problem.split(":")[0] for problem in problems_of(EvaluateConfig())] == ["model", "data"]
    wrong = EvaluateConfig(model="m", data=("d",), context_tokens=4, stride_tokens=5)
    assert problems_of(wrong)[0].startswith("stride_tokens: 5")
