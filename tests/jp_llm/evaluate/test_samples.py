"""Measures of samples by hand, from a file and from a model, and copies through a stand-in for the index."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from jp_llm.config.build import problems_of
from jp_llm.evaluate.config import EvaluateSamplesConfig
from jp_llm.evaluate.samples import Sample, evaluate_samples, measure, read_samples, run, table
from jp_llm.generate.config import GenerateConfig
from jp_llm.generate.output import settings_path
from jp_llm.generate.run import run as generate
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, write_json

END = 2


def test_figures_by_hand() -> None:
    found = measure([Sample("", "あいあい", [5, 6, 5, 6, END]), Sample("", "うえ", [7, 8])], frozenset({END}))
    assert found["texts"] == 2
    assert (found["characters"], found["tokens"]) == (6, 6)
    assert found["ended"] == 0.5
    assert found["degenerate"] == 0
    for kind in ("of_tokens", "of_characters"):
        assert found[kind]["distinct"] == {"1": pytest.approx(4 / 6), "2": pytest.approx(3 / 4), "3": 1.0}
        # あい いあ あい: one of three stands there before; the other text repeats nothing.
        assert found[kind]["repeated"] == {"2": pytest.approx(1 / 6), "3": 0.0, "4": 0.0}
        assert found[kind]["diversity"] == pytest.approx(5 / 6)
    assert "copies" not in found


def test_a_loop_is_no_text_and_nothing_is_divided_by_zero() -> None:
    assert measure([Sample("", "あ" * 64, [9] * 64)], frozenset())["degenerate"] == 1
    empty = measure([Sample("", "", [END])], frozenset({END}))
    assert (empty["ended"], empty["empty"], empty["of_tokens"]["distinct"]["1"]) == (1.0, 1, None)
    assert "| - |" in table({"samples": empty})


@dataclass(frozen=True)
class Found:
    longest_run: int
    containment: float


def guard(text: str) -> tuple[Found, str | None]:
    """Stands in for jp_llm.near_copies: everything with 吾輩 in it is copied."""
    copied = "吾輩" in text
    return Found(len(text) if copied else 2, 1.0 if copied else 0.0), "a run of the training text" if copied else None


def test_the_share_of_copies() -> None:
    samples = [Sample("", "吾輩は猫である", [4]), *[Sample("", "春の朝", [4])] * 3]
    copies = measure(samples, frozenset(), guard)["copies"]
    assert copies["share"] == 0.25
    assert copies["texts"] == 1
    assert copies["longest_run"] == 7
    assert copies["mean_containment"] == pytest.approx(0.25)
    assert copies["interval"][0] < 0.25 < copies["interval"][1]


def test_a_model_writes_and_is_measured(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "samples.json"
    run(
        EvaluateSamplesConfig(
            model=str(folder),
            prompts=("春の",),
            num_return_sequences=3,
            max_new_tokens=12,
            output=str(output),
            device="cpu",
            model_card=False,
        )
    )
    result = json.loads(output.read_text())
    assert result["samples"]["texts"] == 3
    assert result["settings"]["prompts"] == ["春の"]
    assert result["settings"]["max_new_tokens"] == 12
    assert result["model"]["files_sha256"]
    assert "| distinct-1 |" in capsys.readouterr().out


def test_a_file_of_texts_is_measured(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [{"prompt": "我が", "text": "吾輩は猫", "tokens": [5, 6, END]}, {"prompt": "", "text": "春", "tokens": [7]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = EvaluateSamplesConfig(model=str(folder), samples=str(path), device="cpu")
    result = evaluate_samples(config, guard)
    assert result["samples"]["ended"] == 0.5
    assert result["samples"]["copies"]["share"] == 0.5
    assert list(result["data"]) == [str(path)]
    # Nothing is said of settings that did not make these texts.
    assert "temperature" not in result["settings"]
    assert result["settings"]["prompts"] == ["我が", ""]


def test_a_file_of_texts_goes_into_the_card_of_the_model_that_wrote_it_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path = tmp_path / "model", tmp_path / "texts.jsonl"
    shutil.copytree(folder, model)
    (model / "README.md").write_text("# Card\n")
    generate(
        GenerateConfig(
            model=str(model), device="cpu", prompts=("春の",), max_new_tokens=5, temperature=0.7, output=str(path)
        )
    )
    config = EvaluateSamplesConfig(model=str(model), device="cpu", samples=str(path))
    run(config)
    card = (model / "README.md").read_text()
    assert '"temperature": 0.7' in card
    assert '"春の"' in card
    write_json(model / "generation_config.json", read_json(model / "generation_config.json") | {"top_k": 7})
    with pytest.raises(UserError, match="written by another model"):
        run(config)
    settings_path(path).unlink()
    (model / "README.md").write_text("# Card\n")
    run(config)
    assert "do not go into a model card" in " ".join(capsys.readouterr().err.split())
    assert (model / "README.md").read_text() == "# Card\n"


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        '{"prompt": "", "text": "a"}',
        '{"text": "a", "tokens": []}',
        '{"prompt": "", "text": 3, "tokens": []}',
        '{"prompt": "", "text": "", "tokens": 5}',
    ],
)
def test_a_line_that_is_none_of_ours_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"prompt": "", "text": "春", "tokens": [3]}\n' + line + "\n")
    with pytest.raises(UserError, match=r"texts.jsonl, line 2"):
        list(read_samples(path))


def test_no_texts(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="holds no texts"):
        list(read_samples(tmp_path / "empty.jsonl"))
    with pytest.raises(UserError, match="no such file"):
        list(read_samples(tmp_path / "absent.jsonl"))


def test_the_config_names_what_is_wrong() -> None:
    wrong = EvaluateSamplesConfig(samples="s.jsonl", prompts=("春",), min_new_tokens=9, max_new_tokens=3)
    found = [problem.split(":")[0] for problem in problems_of(wrong)]
    assert found[:2] == ["model", "min_new_tokens"]
    assert set(found[2:]) == {"max_new_tokens", "min_new_tokens", "prompts"}
