"""The file of generated texts: one line per text in the order of the tasks, continued where an interruption cut it.

Beside `texts.jsonl` lies `texts.jsonl.settings.json`, which says what makes the texts: only the same model with the
same prompts and settings continues a file. As lines come in order, their number says what is still to be made.
"""

import fcntl
import glob
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jp_llm.generate.text import Task
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fsync_directory, read_json, write_json

SYNC_SECONDS = 20.0
"""A loss of power costs at most the texts of this time."""


@dataclass
class TextsFile:
    """An open file of texts."""

    path: Path
    done: int
    """Texts that it held when it was opened."""
    _file: IO[bytes]
    _synced: float

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line; a process that is killed loses none that was added."""
        self._file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()


@contextmanager
def texts_file(
    path: Path, settings: Mapping[str, Any], tasks: Sequence[Task], *, overwrite: bool
) -> Iterator[TextsFile]:
    """Begin the file, or go on behind its last whole line; nobody else may write it meanwhile.

    Args:
        settings: what decides the texts of `tasks`, as JSON.
        overwrite: throw away a file that other settings made.

    Raises:
        UserError: the file was made with other settings, is no file of these tasks, or is being written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("ab+")
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror}); name another file") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path}: another process is writing this file; wait for it, or stop it") from None
        # Looked at behind the lock: another process may have begun the file, or ended it, a moment ago.
        if path.stat().st_size and (problem := _other_settings(path, settings)) is not None:
            if not overwrite:
                raise UserError(problem)
            file.truncate(0)
        if not path.stat().st_size:
            write_json(settings_path(path), settings)
            fsync_directory(path.parent)
        done = _whole_lines(path, file, tasks)
        try:
            yield TextsFile(path, done, file, time.monotonic())
        finally:
            file.flush()
            os.fsync(file.fileno())


def settings_path(path: Path) -> Path:
    """Where the settings of a file of texts lie."""
    return path.with_name(f"{path.name}.settings.json")


def part_path(path: Path, part: int, parts: int) -> Path:
    """The file of one of several processes: texts.jsonl becomes texts-00000-of-00004.jsonl.

    Raises:
        UserError: files of another number of processes lie there; together they would hold texts twice.
    """
    found = path.parent.glob(f"{glob.escape(path.stem)}-?????-of-?????{glob.escape(path.suffix)}")
    others = [each for each in found if not each.stem.endswith(f"-of-{parts:05d}")]
    if parts > 1 and path.exists():
        others.append(path)
    if others:
        raise UserError(
            f"{others[0]}: made by another number of processes; continue with as many, or choose another output"
        )
    return path if parts == 1 else path.with_name(f"{path.stem}-{part:05d}-of-{parts:05d}{path.suffix}")


def _other_settings(path: Path, settings: Mapping[str, Any]) -> str | None:
    """What keeps these settings from continuing the file, in words."""
    remedy = "overwrite=true replaces it; or choose another output"
    try:
        old = read_json(settings_path(path))
    except FileNotFoundError:
        return f"{path}: exists without {settings_path(path).name}, so nobody knows what made it; {remedy}"
    except ValueError:
        return f"{settings_path(path)}: damaged, so nobody knows what made {path.name}; {remedy}"
    if not isinstance(old, dict):
        old = {}
    changed = [
        _difference(key, old.get(key), settings.get(key))
        for key in sorted(old.keys() | settings.keys())
        if old.get(key) != settings.get(key)
    ]
    if not changed:
        return None
    return f"{path}: holds texts of other settings ({', '.join(changed)}); give the old ones to continue it; {remedy}"


def _difference(key: str, old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        return (
            f"{key} of {', '.join(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))}"
        )
    return f"{key} {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:36]}..."


def _whole_lines(path: Path, file: IO[bytes], tasks: Sequence[Task]) -> int:
    """The number of texts; half a line at the end is cut off."""
    file.seek(0)
    count = end = 0
    for line in file:
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
            found = Task(record["prompt"], record["number"])
        except (ValueError, KeyError, TypeError):
            found = None
        if count >= len(tasks) or found != tasks[count]:
            raise UserError(
                f"{path}: line {count + 1} is not the text that belongs there; keep the lines before it "
                f"(head -n {count}), or begin anew without the file"
            )
        count += 1
        end += len(line)
    file.truncate(end)
    file.seek(end)
    return count
