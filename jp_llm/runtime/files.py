"""Files that are complete or absent: hashes, fsync, write-then-rename."""

import errno
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from jp_llm.runtime.errors import UserError

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_directory(path: Path) -> None:
    """Make a rename inside `path` durable, as far as the disk offers that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network disks know this of files only; when a name is safe is up to their server.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def atomic_writer(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it takes the name `path`, on any error it is removed.

    `durable` also waits until the bytes are on disk (fsync), which a file that others point to needs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines may write the same file: the last one wins, and none sees half of another's.
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable UTF-8 JSON, atomically."""
    with atomic_writer(path) as file:
        file.write((json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Parse a UTF-8 JSON file."""
    return json.loads(path.read_bytes())


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """The object of a UTF-8 JSON file that somebody else may have damaged.

    Args:
        remedy: what to do then, e.g. "copy it again".

    Raises:
        UserError: it holds no JSON, or no object.
        OSError: it cannot be read.
    """
    try:
        value = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: must be a JSON object; {remedy}")
    return value


def append_json_line(path: Path, value: Any) -> None:
    """Append one JSON object as a line of its own, also behind half a line that a full disk left."""
    line = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)


def read_json_lines(path: Path, *, start: int = 0) -> list[Any]:
    """The objects of a JSON Lines file from byte `start` on; half lines that an interruption left are passed over."""
    with path.open("rb") as file:
        file.seek(start)
        content = file.read()
    found = []
    for line in content.split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def fingerprint_of(value: Any) -> str:
    """Hex SHA-256 of a JSON value; key order does not matter."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
