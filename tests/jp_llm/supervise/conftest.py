"""A supervisor whose launcher is a script of the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import Supervised


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    run = Supervised(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.communicate()
