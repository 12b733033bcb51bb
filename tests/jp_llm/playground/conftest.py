from pathlib import Path

import pytest
from tiny_export import export_decoder, tiny_config, tiny_decoder, tiny_tokenizer

from jp_llm.export.inference import LoadedModel, open_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a context of 64 tokens."""
    folder = tmp_path_factory.mktemp("playground")
    tokenizer = tiny_tokenizer(folder / "made")
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, folder / "model", verify="structure")
    return folder / "model"


@pytest.fixture(scope="session")
def loaded(exported: Path) -> LoadedModel:
    """It, in fp32 on the CPU."""
    return open_model(exported, "cpu", "fp32")
