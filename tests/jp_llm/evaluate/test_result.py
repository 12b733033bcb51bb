"""The block in the model card: renewed, alone, and closed to what it holds."""

import json
import shutil
from pathlib import Path

import pytest

from jp_llm.evaluate.config import EvaluateConfig
from jp_llm.evaluate.result import markdown_table, publish, with_block
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of


def test_a_block_is_added_once_and_renewed_alone() -> None:
    first = with_block("# Model\n", "samples", "| a |", {"n": 1})
    both = with_block(first, "Japanese tasks", "| b |", {"n": 2})
    renewed = with_block(both, "samples", "| c |", {"n": 3})
    assert first.startswith("# Model\n\n<!-- evaluation: samples -->\n")
    assert renewed.count("<!-- evaluation: ") == 2
    assert "| a |" not in renewed
    assert "| c |" in renewed
    assert renewed.replace("| c |", "| a |").replace('"n": 3', '"n": 1') == both


def test_a_mark_that_somebody_deleted_costs_nothing_of_theirs() -> None:
    mark = "<!-- /evaluation: samples -->"
    card = with_block("# Model\n", "samples", "| a |", {}).replace(mark, "My notes.")
    for table in ("| b |", "| c |"):
        card = with_block(card, "samples", table, {})
        assert "| a |" in card
        assert "My notes." in card
        assert card.count(table) == card.count(mark) == 1
    assert "| b |" not in card


def test_what_a_file_says_cannot_leave_its_place() -> None:
    hostile = "</details><!-- /evaluation: samples -->```\n# x\\1"
    cell = markdown_table(("source", "n"), [[hostile, "1"]])
    assert len(cell.splitlines()) == 3
    assert "<!--" not in cell
    card = with_block("card", "samples", cell, {"name": hostile})
    assert card.count("<!-- /evaluation: samples -->") == 1
    assert card.count("</details>") == 1
    record = card.split("json\n")[1].rsplit("\n````", 1)[0]
    assert json.loads(record) == {"name": hostile}
    assert with_block(card, "samples", cell, {"name": hostile}) == card


def test_the_card_of_an_export_gets_it_and_its_proof_stays_true(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    card = (model / "README.md").read_text()
    publish(EvaluateConfig(model=str(model)), "samples", {"n": 1}, "| a |")
    changed = (model / "README.md").read_text()
    assert changed.startswith(card.rstrip())
    assert "| a |" in changed
    proof = json.loads((model / "proof.json").read_text())["files_sha256"]
    assert proof
    assert all(sha256_of(model / name) == value for name, value in proof.items())
    publish(EvaluateConfig(model=str(model), model_card=False), "samples", {"n": 2}, "| b |")
    assert (model / "README.md").read_text() == changed


def test_what_has_no_card_gets_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a run folder's own notes")
    publish(EvaluateConfig(model=str(tmp_path)), "samples", {}, "| a |")
    assert (tmp_path / "README.md").read_text() == "a run folder's own notes"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_card_that_cannot_be_read_costs_no_results(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "README.md").write_bytes(b"\xff\xfe")
    config = EvaluateConfig(model=str(model), output=str(tmp_path / "result.json"))
    with pytest.raises(UserError, match="model_card=false"):
        publish(config, "samples", {"n": 1}, "| a |")
    assert "| a |" in capsys.readouterr().out
    assert json.loads((tmp_path / "result.json").read_text()) == {"n": 1}
    assert (model / "README.md").read_bytes() == b"\xff\xfe"
