"""Whether a disk can do what a run folder needs: tried once at the start, not found out at the first checkpoint."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from jp_llm.runtime.errors import UserError, code_of


def require_disk(folder: Path) -> None:
    """Do in `folder`, once and in small, what records and checkpoints do there.

    Mounted network drives and object stores (FUSE) differ: some cannot replace a file, append to one, or rename a
    folder that holds something.

    Raises:
        UserError: the disk cannot do it.
    """
    # Containers count processes from 1: what a killed one left must not look like a folder that cannot be made.
    work = folder / f".disk_{uuid4().hex}"
    first, second, file = work / "first", work / "second", work / "file"
    tries: dict[str, Callable[[], object]] = {
        "make folders": lambda: first.mkdir(parents=True),
        "write files": lambda: (first / "inside").write_bytes(b"1"),
        "rename a folder that holds a file": lambda: first.rename(second),
        "append to a file": lambda: _append(file),
        "replace a file by another": lambda: os.replace(second / "inside", file),
        "read what was written": lambda: _compare(file),
    }
    try:
        for what, action in tries.items():
            try:
                action()
            except OSError as error:
                raise UserError(
                    f"run_dir: {folder}: this disk cannot {what} ({error.strerror or error}), which a run needs; name "
                    "a folder of another disk, and copy it here when the run has stopped (docs/finetuning.md)",
                    code=code_of(error),
                ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _append(file: Path) -> None:
    for _ in range(2):
        with file.open("ab") as opened:
            opened.write(b"2")


def _compare(file: Path) -> None:
    if file.read_bytes() != b"1":
        raise OSError("it holds something else")
