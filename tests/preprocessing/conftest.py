"""Settings and fixtures of the tests of preprocessing."""

from pathlib import Path

import pytest
from hypothesis import settings
from small_tokenizer import small_tokenizer

# A busy machine is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small tokenizer."""
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer")).folder
