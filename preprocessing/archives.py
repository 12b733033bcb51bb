"""Members of a tar archive, streamed: nothing is unpacked to disk, and a member's name is never used as a path."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO

from jp_llm.texts.streams import DamagedFile

_BUFFER_BYTES = 32 << 10
"""tarfile copies the rest of its buffer for every header, so a larger one is slower."""


def is_tar(head: bytes) -> bool:
    """Whether (decompressed) bytes begin a POSIX or GNU tar archive. `head` needs 262 bytes."""
    return head[257:262] == b"ustar"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, in its order."""

    index: int
    name: str
    size: int
    """Bytes of its content."""
    refused: str | None
    """Why it is not read: link, device, unsafe_name. None for a regular file."""
    stream: io.RawIOBase | None
    """Its content, to be read before the next member is asked for; raises DamagedFile where the archive is cut off."""


def members(archive: BinaryIO, name: str) -> Iterator[Member]:
    """All entries but folders.

    Raises:
        DamagedFile: the archive ends before its end mark, or a header or the rest after the end mark is garbage.
            (The standard module stops there in silence.)
    """
    index = -1
    size = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|", bufsize=_BUFFER_BYTES, tarinfo=_StrictHeader) as tar:
            while (header := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                index += 1
                if header.isdir():
                    continue
                size += header.size
                refused = _refusal(header)
                content = tar.extractfile(header) if refused is None else None
                stream = _Content(content, f"{name}: {_printable(header.name)}") if content else None
                yield Member(index, _printable(header.name), header.size, refused, stream)
            _check_rest(tar)
    except tarfile.TarError as error:
        raise DamagedFile(name, f"the tar archive is damaged after {index + 1} entries ({error})", size) from error


class _Content(io.RawIOBase):
    """Content of a member, with the error of ours."""

    def __init__(self, content: IO[bytes], name: str) -> None:
        self._content = content
        self._name = name
        self._produced = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._produced

    def readinto(self, target: Any) -> int:
        try:
            data = self._content.read(len(target))
        except tarfile.TarError as error:
            problem = f"the tar archive is cut off in this member ({error})"
            raise DamagedFile(self._name, problem, self._produced) from error
        target[: len(data)] = data
        self._produced += len(data)
        return len(data)


class _StrictHeader(tarfile.TarInfo):
    """Turns what `tarfile` takes for the end (no header, half a header, a wrong checksum) into an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> "_StrictHeader":
        try:
            return super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _refusal(header: tarfile.TarInfo) -> str | None:
    if header.issym() or header.islnk():
        return "link"
    if not header.isreg():
        return "device"
    path = PurePosixPath(header.name)
    if path.is_absolute() or ".." in path.parts or any(character < " " for character in header.name):
        return "unsafe_name"
    return None


def _printable(name: str) -> str:
    """Names that are not UTF-8 keep their bytes as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _check_rest(tar: tarfile.TarFile) -> None:
    assert tar.fileobj is not None
    while chunk := tar.fileobj.read(_BUFFER_BYTES):
        if chunk.strip(b"\0"):
            raise tarfile.ReadError("more data follows the end mark; were archives concatenated?")
