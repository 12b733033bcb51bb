"""A folder that appears complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jp_llm.config.pretrained import CONFIG_FILE as CONFIG_FILE
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fsync_directory


def check_target(target: Path, *, overwrite: bool) -> None:
    """Whether a Hugging Face folder may be written at `target`.

    Raises:
        UserError: something else is there, or a Hugging Face folder and `overwrite` is not set.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.is_dir() and (target / CONFIG_FILE).is_file():
        if not overwrite:
            raise UserError(f"{target}: holds a model; set overwrite=true to replace it, or choose another output_dir")
    elif target.exists() or target.is_symlink():
        raise UserError(f"{target}: exists and holds no Hugging Face model; choose another output_dir")


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name at the end, and is deleted after any error.

    An older model at `target` stays until the new one is complete.

    Raises:
        UserError: `target` may not be written (`check_target`), or writing failed (disk full, no permission).
    """
    check_target(target, overwrite=overwrite)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        fsync_directory(temporary)
        _publish(temporary, target)
    except OSError as error:
        raise UserError(f"{target}: could not be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.rename(target, old)
    os.rename(temporary, target)
    fsync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)
