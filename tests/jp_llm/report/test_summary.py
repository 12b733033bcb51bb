"""The table at the end of a run, from files written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jp_llm.report.config import ReportConfig
from jp_llm.report.summary import curve, run
from jp_llm.runtime.errors import UserError

MEASURES = {"loss": 3.0, "perplexity": 20.0855, "bits_per_character": 2.5, "bits_per_byte": 0.9}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def train_record(step: int, loss: float | None) -> dict[str, Any]:
    return {"kind": "train", "step": step, "consumed_tokens": 100 * step, "loss": loss, "tokens_per_second": 50.0}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "config.resolved.yaml").write_text(yaml.safe_dump({"data": {"path": str(tmp_path / "gone")}}))
    losses = [(1, 9.0), (2, 8.0), (3, 7.9), (2, 7.5), (3, None)]
    records = [train_record(step, loss) for step, loss in losses]
    write_lines(tmp_path / "metrics.jsonl", [*records, {"kind": "eval", "step": 3, "sources": {"books": MEASURES}}])
    return tmp_path


def test_the_table(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(run_dir / "texts.jsonl", [{"prompt": "昔々、", "text": "山が\nあった。"}])
    (run_dir / "evaluation.json").write_text(json.dumps({"sources": {"books": MEASURES}}))
    run(
        ReportConfig(
            run_dir=str(run_dir),
            model=str(run_dir),
            texts=str(run_dir / "texts.jsonl"),
            evaluation=str(run_dir / "evaluation.json"),
        )
    )
    text = capsys.readouterr().out
    assert "3 steps, 300 tokens, 50 tokens/s" in text
    # The later record of a step counts, and a loss that was not finite is no part of the curve.
    assert "9.000 █▁ 7.500" in text
    assert text.count("books: 2.500 bits/character, 0.900 bits/byte, perplexity 20.1") == 2
    assert "昔々、山が⏎あった。" in text


def test_damaged_files_are_words(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "broken.json").write_text('{"sources": ')
    texts = run_dir / "texts.jsonl"
    write_lines(texts, [{"text": f"text {number}"} for number in range(10_000)])
    run(ReportConfig(run_dir=str(run_dir), evaluation=str(run_dir / "broken.json"), texts=str(texts)))
    text = capsys.readouterr().out
    assert "broken.json cannot be read" in text
    assert "text 9\n" in text
    assert "text 10\n" not in text
    assert f"and 9,990 more in {texts}" in text
    texts.write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: no object"):
        run(ReportConfig(run_dir=str(run_dir), texts=str(texts)))


def test_a_curve_is_as_wide_as_asked_and_spans_the_bars() -> None:
    assert curve([3.0, 2.0, 1.0]) == "█▅▁"
    line = curve([float(-step) for step in range(1000)], width=10)
    assert (len(line), line[0], line[-1]) == (10, "█", "▁")
    assert curve([1.0, 1.0]) == "▁▁"


def test_what_is_not_there_is_named(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder"):
        run(ReportConfig(run_dir=str(tmp_path / "nothing")))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.resolved.yaml").write_text("corpus: a dataset folder has such a file, too\n")
    with pytest.raises(UserError, match=r"no metrics\.jsonl and nothing else of a run"):
        run(ReportConfig(run_dir=str(tmp_path / "empty")))
    with pytest.raises(UserError, match=rf"^{tmp_path / 'empty'}: Is a directory; name another file"):
        run(ReportConfig(run_dir=str(run_dir), output=str(tmp_path / "empty")))
    with pytest.raises(UserError, match=r"texts: no such file"):
        run(ReportConfig(run_dir=str(run_dir), texts=str(run_dir / "texts")))
    assert ReportConfig().problems() == ["run_dir: name a run folder, e.g. run_dir=runs/first"]
