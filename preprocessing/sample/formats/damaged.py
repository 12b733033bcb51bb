"""Files that no reader can take, apart from the others in `damaged/`: wrong encodings and streams that were cut off."""

import gzip
import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import zstandard

from preprocessing.sample.compose import compose_page
from preprocessing.sample.document import Defect, SampleDocument
from preprocessing.sample.formats.placed import Placed

FOLDER = "damaged"
_DOCUMENTS = 40


def _records(rng: Random) -> bytes:
    texts = [compose_page(rng).text for _ in range(_DOCUMENTS)]
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 5]


_FILES: Mapping[str, tuple[str, Callable[[Random], bytes]]] = {
    "euc-jp.txt": ("encoding", lambda rng: compose_page(rng).text.encode("euc-jp", errors="ignore")),
    "utf-16.txt": ("utf16", lambda rng: compose_page(rng).text.encode("utf-16")),
    "half-character.txt": ("encoding", lambda rng: compose_page(rng).text.encode()[:-4]),
    "cut.jsonl.gz": ("truncated", lambda rng: _cut(gzip.compress(_records(rng), mtime=0))),
    "cut.jsonl.zst": ("truncated", lambda rng: _cut(zstandard.ZstdCompressor(level=3).compress(_records(rng)))),
    "cut.jsonl.xz": ("truncated", lambda rng: _cut(lzma.compress(_records(rng), preset=3))),
}
"""Name -> (reason of the rejection, content)."""


def write(corpus: Path, seed: int) -> Iterator[Placed]:
    """All files of `damaged/`."""
    (corpus / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, (reason, make) in _FILES.items():
        file = f"{FOLDER}/{name}"
        (corpus / file).write_bytes(make(Random(f"{seed}/{file}")))
        defect = Defect("damaged_file", details={"kind": reason})
        yield Placed(SampleDocument(file, "", "", "", None, expected="reject", reason=reason, defects=(defect,)), file)
