"""Cleaned documents to documents that occur once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from preprocessing.config import CorpusConfig
from preprocessing.documents import DocumentsFile
from preprocessing.executor import Stage

Perform = Callable[[Stage], list[dict[str, Any]]]


def deduplicate(
    config: CorpusConfig, folder: Path, files: Sequence[DocumentsFile], perform: Perform
) -> list[dict[str, Any]]:
    """Write `documents/` from the files of `cleaned/`, which are removed one by one.

    Args:
        config: with `deduplicate` set.
        folder: output folder.
        files: the cleaned documents in the order of their sources: the first of equal documents stays.
        perform: runs a stage and returns the results of its tasks.

    Returns:
        For each file its `Counts` as JSON: what was dropped (exact_duplicate, near_duplicate, too_short, lost_too_much)
        and changed (frequent_line, repeated_paragraph).
    """
    raise NotImplementedError
