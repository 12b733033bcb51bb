"""Raw inputs for tests of preprocessing, and small configurations over them."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import zstandard

from jp_llm.config.build import build
from preprocessing.config import CorpusConfig
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.step import Reader

COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


def raw_file(data: bytes, start: int = 0) -> RawFile:
    """What a reader gets for a file of these bytes."""
    return RawFile("web", "folder/file.txt", None, "file.txt", io.BufferedReader(io.BytesIO(data)), start)  # type: ignore[arg-type]


def read(reader: Reader, data: bytes, start: int = 0) -> list[Document | Rejected]:
    """Everything that `reader` yields for these bytes."""
    return list(reader.read(raw_file(data, start)))


def texts(records: Iterable[Document | Rejected]) -> list[str]:
    """The texts of documents; of rejected records the reason in brackets."""
    return [record.text if isinstance(record, Document) else f"<{record.reason}>" for record in records]


def tar(members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar archive of these members."""
    if isinstance(members, Mapping):
        members = [(tarfile.TarInfo(name), data) for name, data in members.items()]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for header, data in members:
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def document(text: str) -> Document:
    """A document of this text."""
    return Document("web/file.txt#0", text, "web")


def config(output: Path, paths: Iterable[Path | str], **changes: Any) -> CorpusConfig:
    """A corpus of one source, `web`: text files with one document per line, one worker, cleaning only."""
    source = {"reader": {"type": "text", "document": "line"}, "paths": [str(path) for path in paths]}
    source |= {key: changes.pop(key) for key in ("reader", "files", "steps") if key in changes}
    values: dict[str, Any] = {
        "name": "test",
        "output_dir": str(output),
        "sources": {"web": source},
        "stages": ["clean"],
        "num_workers": 1,
        "validation_fraction": 0.0,
    }
    return build(CorpusConfig, values | changes)


def cleaned(output: Path, source: str = "web", split: str = "train") -> list[dict[str, Any]]:
    """The cleaned documents of a source and split, in order."""
    found = []
    for path in sorted((output / "documents" / source).glob(f"{split}-*.jsonl.zst")):
        data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        found += [orjson.loads(line) for line in data.splitlines()]
    return found


def contents(output: Path) -> dict[str, bytes]:
    """Every file that must not depend on how the work was divided in time or among workers."""
    kept = ("documents/", "rejects/", "samples/", "shards/", "tokenizer/", "dataset.json")
    files = {path.relative_to(output).as_posix(): path for path in sorted(output.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name.startswith(kept)}
