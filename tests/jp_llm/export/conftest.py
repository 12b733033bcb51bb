"""One tiny tokenizer for all tests of this room."""

from pathlib import Path

import pytest
from tiny_export import tiny_tokenizer

from jp_llm.export import verify
from jp_llm.export.probe_texts import probe_texts
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tiny_tokenizer(tmp_path_factory.mktemp("export") / "tokenizer")


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which parity tests keep what they exported, so that each variant is written once."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(autouse=True)
def few_probe_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare token ids of a hundred texts; `test_run.py` takes all of them."""
    monkeypatch.setattr(verify, "probe_texts", lambda: probe_texts()[:100])
