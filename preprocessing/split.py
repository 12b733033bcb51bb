"""Before cleaning: a large compressed file that only one process can read becomes chunks that many can."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from preprocessing.config import CorpusConfig
from preprocessing.cuts import rest_of_record
from preprocessing.hashed_file import HashedFile
from preprocessing.plan import Large, Piece, Unit
from preprocessing.step import CutAt
from preprocessing.streams import DamagedFile, decompressed

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
        `chunks`, `damage` (what is wrong behind the last one), and the hash of the file.

    Raises:
        UserError: the file is damaged and `on_damaged_file` is `stop`.
    """
    folder = Path(config.output_dir)
    cut_at = config.sources[large.source].build_reader().cut_at
    chunks: list[Chunk] = []
    damage = None
    with open(large.path, "rb", buffering=0) as raw:
        file = HashedFile(raw, large.path)
        stream = decompressed(file, large.path, config.max_decompression_ratio)
        parts = _parts(stream, config.unit_bytes, cut_at)
        start = 0
        try:
            for number, part in enumerate(parts):
                path = folder / SPLIT_FOLDER / large.source / f"{large.index:05d}-{number:05d}.zst"
                size, damaged = _write(path, part)
                if size:
                    chunks.append(Chunk(str(path.relative_to(folder)), start, size, path.stat().st_size))
                start += size
                if damaged:
                    raise damaged
        except DamagedFile as error:
            damage = str(error)
            if config.on_damaged_file == "stop":
                raise UserError(
                    f"{error}. Fetch the file again; or set on_damaged_file=skip to keep what stands before the damage"
                ) from error
        content = file.finish()
    return {"chunks": [asdict(chunk) for chunk in chunks], "damage": damage, "blake2b": content}


def chunk_units(large: Large, result: dict[str, Any], output_dir: Path, first: int) -> Iterator[Unit]:
    """A unit for each chunk that `split_file` has written, numbered from `first`."""
    chunks = [Chunk(**chunk) for chunk in result["chunks"]]
    for number, chunk in enumerate(chunks):
        damage = result["damage"] if number == len(chunks) - 1 else None
        end = chunk.start + chunk.size
        file = str(output_dir / chunk.file)
        piece = Piece(large.path, large.name, chunk.start, end, chunk=file, damage=damage)
        yield Unit(large.source, first + number, (piece,), chunk.size)


def chunks_are_there(result: dict[str, Any], output_dir: Path, needed: set[str]) -> bool:
    """Whether those of the chunks that are `needed` (paths) are what was written."""
    for chunk in result["chunks"]:
        path = output_dir / chunk["file"]
        if str(path) in needed and (not path.is_file() or path.stat().st_size != chunk["file_size"]):
            return False
    return True


def _write(path: Path, part: Iterator[bytes]) -> tuple[int, DamagedFile | None]:
    """Bytes that were written, and the damage that ended them."""
    size, damaged = 0, None
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    with atomic_writer(path) as file, compressor.stream_writer(file, closefd=False) as writer:
        try:
            for data in part:
                writer.write(data)
                size += len(data)
        except DamagedFile as error:
            damaged = error
    if not size:
        path.unlink()
    return size, damaged


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
