"""Before cleaning: a large compressed file that only one process can read becomes chunks that many can."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, decompressed
from preprocessing.config import CorpusConfig
from preprocessing.cuts import rest_of_record
from preprocessing.documents import has_size
from preprocessing.hashed_file import HashedFile
from preprocessing.lazy_file import LazyFile
from preprocessing.plan import Large, Piece, Unit
from preprocessing.step import CutAt

SPLIT_FOLDER = "split"
_READ_BYTES = 1 << 20
_ZSTD_LEVEL = 1
"""Chunks live for one stage only: fast is better than small."""


@dataclass(frozen=True)
class Chunk:
    """Some records of a large file."""

    file: str
    """Relative to the output folder."""
    start: int
    """Offset in the decompressed content of the large file."""
    size: int
    """Decompressed bytes."""
    file_size: int


def split_file(config: CorpusConfig, large: Large) -> dict[str, Any]:
    """Write the content of a file to chunks of about `unit_bytes` that end where records end.

    Returns:
        `chunks`, `damage` (what is wrong behind the last one), and the hash of the file (None: it cannot be read).

    Raises:
        UserError: the file is damaged and `on_damaged_file` is `stop`.
    """
    folder = Path(config.output_dir)
    cut_at = config.sources[large.source].build_reader().cut_at
    chunks: list[Chunk] = []
    damage = content = None
    start = 0
    try:
        with _opened(large.path) as raw:
            file = HashedFile(raw, large.path)
            stream = decompressed(file, large.path, config.max_decompression_ratio)
            try:
                for number, part in enumerate(_parts(stream, config.unit_bytes, cut_at)):
                    path = folder / SPLIT_FOLDER / large.source / f"{large.index:05d}-{number:05d}.zst"
                    size, damaged = _write(path, part)
                    if size:
                        chunks.append(Chunk(str(path.relative_to(folder)), start, size, path.stat().st_size))
                    start += size
                    if damaged:
                        raise damaged
            except DamagedFile:
                with suppress(DamagedFile):  # the disk that cannot read it cannot hash it
                    content = file.finish()
                raise
            content = file.finish()
    except DamagedFile as error:
        damage = str(error)
        if config.on_damaged_file == "stop":
            raise UserError(
                f"{error}. Fetch the file again; or set on_damaged_file=skip to keep what stands before the damage"
            ) from error
    return {"chunks": [asdict(chunk) for chunk in chunks], "damage": damage, "blake2b": content}


def chunk_units(large: Large, result: dict[str, Any], output_dir: Path, first: int) -> Iterator[Unit]:
    """A unit for each chunk that `split_file` has written, numbered from `first`.

    Of a file that is damaged before its first record, one that holds nothing but the damage.
    """
    if result["damage"] and not result["chunks"]:
        yield Unit(large.source, first, (Piece(large.path, large.name, 0, 0, damage=result["damage"]),), 1)
    chunks = [Chunk(**chunk) for chunk in result["chunks"]]
    for number, chunk in enumerate(chunks):
        damage = result["damage"] if number == len(chunks) - 1 else None
        end = chunk.start + chunk.size
        file = str(output_dir / chunk.file)
        piece = Piece(large.path, large.name, chunk.start, end, chunk=file, damage=damage)
        yield Unit(large.source, first + number, (piece,), chunk.size)


def lost_chunks(result: dict[str, Any], output_dir: Path) -> Iterator[str]:
    """Paths of those chunks that are not what was written, among them the ones that were used and removed."""
    for chunk in result["chunks"]:
        path = output_dir / chunk["file"]
        if not has_size(path, chunk["file_size"]):
            yield str(path)


def _opened(path: str) -> io.FileIO:
    try:
        return io.FileIO(path)
    except OSError as error:
        raise DamagedFile(path, error.strerror or str(error), 0) from error


def _write(path: Path, part: Iterator[bytes]) -> tuple[int, DamagedFile | None]:
    """Bytes that were written, and the damage that ended them."""
    damaged = None
    with LazyFile(path, _ZSTD_LEVEL) as file:
        try:
            for data in part:
                if data:
                    file.write(data)
        except DamagedFile as error:
            damaged = error
    return file.size, damaged


def _parts(stream: Any, unit_bytes: int, cut_at: CutAt) -> Iterator[Iterator[bytes]]:
    """The content, cut into iterators that must be used up one after the other."""
    begun = [stream.read(1)]

    def part() -> Iterator[bytes]:
        left = unit_bytes - len(begun[0])
        yield begun[0]
        while left > 0 and (data := stream.read(min(left, _READ_BYTES))):
            left -= len(data)
            yield data
        next_line = yield from rest_of_record(stream, cut_at)
        begun[0] = next_line or stream.read(1)

    while begun[0]:
        yield part()
