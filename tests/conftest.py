"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from gloo import Processes

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real Japanese text; tests that need it are skipped where it is absent."""
    folder = (ROOT / os.environ.get("JP_LLM_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set JP_LLM_DATA)")
    return folder


@pytest.fixture(scope="session")
def one_process() -> Iterator[Processes]:
    """A group of one process."""
    processes = Processes(1)
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def two_processes() -> Iterator[Processes]:
    """A group of two processes, shared by all tests of the session."""
    processes = Processes(2)
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def four_processes() -> Iterator[Processes]:
    """A group of four processes."""
    processes = Processes(4)
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def eight_processes() -> Iterator[Processes]:
    """A group of eight processes."""
    processes = Processes(8)
    yield processes
    processes.close()
