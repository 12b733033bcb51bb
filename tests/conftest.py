"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session", autouse=True)
def nobody_waits_for_the_disk() -> Iterator[None]:
    """What fsync guards against is a loss of power, which no test can play; a run of deduplication waits for it a
    thousand times. Processes that tests start do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses what is no open file, too
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real Japanese text; tests that need it are skipped where it is absent."""
    folder = (ROOT / os.environ.get("JP_LLM_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set JP_LLM_DATA)")
    return folder


GROUPS = {name: Processes(size) for name, size in (("one", 1), ("two", 2), ("four", 4), ("eight", 8))}


def _group(name: str) -> Any:
    @pytest.fixture(scope="session")
    def processes() -> Iterator[Processes]:
        """A group of processes that is shared by all tests of the session."""
        yield GROUPS[name]
        GROUPS[name].close()

    return processes


one_process, two_processes, four_processes, eight_processes = map(_group, GROUPS)


@pytest.fixture(autouse=True)
def groups_that_are_not_asked(request: pytest.FixtureRequest) -> None:
    """End before a test that starts processes of its own: also idle, their threads wake a hundred times a second."""
    names = (*request.fixturenames, request.node.name)  # a parameter may name a group, too
    asked = any(f"{group}_process" in name for group in GROUPS for name in names)
    if request.node.get_closest_marker("distributed") and not asked:
        for group in GROUPS.values():
            group.close()
