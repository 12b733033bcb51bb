"""The programs of the articles that our users come from, run on a folder that `launch/export_hf.py` would write."""

from pathlib import Path

import pytest
from tiny_export import TEXT, export_decoder, tiny_config, tiny_decoder, tiny_tokenizer

from jp_llm.export import verify


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 of random weights, with a context that holds 128 tokens and more."""
    folder = tmp_path_factory.mktemp("articles")
    tokenizer = tiny_tokenizer(folder / "work")
    config = tiny_config(tokenizer, arch="gpt2", max_position_embeddings=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "probe_texts", lambda: list(TEXT))
        export_decoder(tiny_decoder(config), tokenizer, folder / "model")
    return folder / "model"
