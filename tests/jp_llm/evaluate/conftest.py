"""One tiny exported model for all tests of this room."""

from pathlib import Path

import pytest
from tiny_export import export_decoder, tiny_config, tiny_decoder, tiny_tokenizer

from jp_llm.export.inference import LoadedModel, open_model
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tiny_tokenizer(tmp_path_factory.mktemp("evaluate") / "tokenizer")


@pytest.fixture(scope="session")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder; learned positions and a context of 64, so that windows show in every mistake."""
    target = tmp_path_factory.mktemp("evaluate") / "model"
    export_decoder(tiny_decoder(tiny_config(tokenizer, arch="gpt2")), tokenizer, target, verify="structure")
    return target


@pytest.fixture(scope="session")
def loaded(folder: Path) -> LoadedModel:
    return open_model(folder, "cpu", "auto")
