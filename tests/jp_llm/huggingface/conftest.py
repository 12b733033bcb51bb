"""Folders that transformers wrote, each once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from published import published, small


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`made("rinna-1b")`: a folder with the vocabulary of the published model. Not to be changed."""
    place = tmp_path_factory.mktemp("published")
    return cache(lambda name: published(place / name, name))


@pytest.fixture(scope="session")
def made_small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The same with 300 ids. Not to be changed."""
    place = tmp_path_factory.mktemp("small")
    return cache(lambda name: small(place / name, name))
