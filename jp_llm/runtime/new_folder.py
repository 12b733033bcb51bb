"""A folder that appears complete or not at all."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fsync_directory


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name at the end, and is deleted after any error.

    An older folder at `target` stays until the new one is complete, and is then deleted.

    Raises:
        UserError: writing failed (disk full, no permission).
    """
    mine = f".{target.name}.{platform.node()}.{os.getpid()}"
    temporary, old = target.with_name(f"{mine}.tmp"), target.with_name(f"{mine}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        fsync_directory(temporary)
        take_place(temporary, target, old)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{target}: could not be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def take_place(new: Path, target: Path, old: Path) -> None:
    """Call `new` `target` from now on, and what was called so `old`; after an error all is as it was."""
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(new, target)
    except BaseException:
        if old.exists():
            os.rename(old, target)
        raise
    fsync_directory(target.parent)
