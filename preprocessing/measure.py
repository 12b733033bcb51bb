"""How fast a source is cleaned and how much comes out of it, measured on a few MB of its own files."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import orjson
import zstandard

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, Decompressed, decompressed
from preprocessing.clean import UnitRecords
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts
from preprocessing.document import Document
from preprocessing.pipeline import cleaned
from preprocessing.plan import InputFile, Piece, Unit

_FILES = 4
"""Spread evenly over those of a source: the first ones are often not like the rest."""
_EXPANSION_BYTES = 4 << 20
_READ_BYTES = 1 << 20
Item = TypeVar("Item")


@dataclass(frozen=True)
class Measured:
    """Of one source."""

    raw_bytes: int
    """Decompressed bytes that were read."""
    seconds: float
    """Of one core, for reading, all steps and writing."""
    text_bytes: int
    """UTF-8 of the documents that came through."""
    characters: int
    documents: int
    stored_bytes: int
    """The same documents as they are written."""


def measured(config: CorpusConfig, source: str, units: Sequence[Unit], sample_bytes: int) -> Measured | None:
    """Clean about `sample_bytes` of a source, here; None if nothing of it can be read now."""
    pieces = [piece for unit in _spread(units, _FILES) for piece in unit.pieces[:1] if not piece.fetched]
    quiet = config.model_copy(update={"on_damaged_file": "skip"})
    budget = sample_bytes // max(len(pieces), 1)
    total: Measured | None = None
    for piece in pieces:
        try:
            if total is None:
                _clean(quiet, source, piece, budget // 8)  # dictionaries are loaded, patterns compiled
            sample = _clean(quiet, source, piece, budget)
        except (UserError, OSError):
            continue
        total = sample if total is None else _sum(total, sample)
    return total if total and total.raw_bytes else None


def expansion(files: Sequence[InputFile], max_ratio: float) -> float:
    """Decompressed bytes per compressed byte, at the beginning of some of these files; 1 if none can be read."""
    produced = consumed = 0
    for file in _spread(files, _FILES):
        try:
            with open(file.path, "rb") as raw:
                stream = decompressed(raw, file.path, max_ratio)
                left = _EXPANSION_BYTES
                while left > 0 and (data := stream.read(min(left, _READ_BYTES))):
                    left -= len(data)
                assert isinstance(stream.raw, Decompressed)
                produced, consumed = produced + stream.tell(), consumed + stream.raw.consumed
        except (DamagedFile, OSError):
            continue
    return produced / consumed if consumed else 1.0


def _clean(config: CorpusConfig, source: str, piece: Piece, budget: int) -> Measured:
    if piece.first is None:
        # Not more than the budget as it is on disk: one line may be as long as the file. (`compressed` opens both.)
        end = os.path.getsize(piece.path) if piece.end is None else piece.end
        piece = replace(piece, end=min(end, piece.start + budget), compressed=True)
    else:
        piece = replace(piece, first=0)
    records = UnitRecords(config, Unit(source, 0, (piece,), 1), Counts())
    settings = config.sources[source]
    text_bytes = characters = documents = 0
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    stored = 0
    started = time.process_time()

    def within_budget() -> Iterator[object]:
        for record in records.read(settings.build_reader()):
            yield record
            if records.raw_bytes >= budget:
                return

    reading = within_budget()
    for document in cleaned(reading, settings.build_steps(), Counts(), lambda record: None):  # type: ignore[arg-type]
        stored += len(compressor.compress(_line(document)))
        text_bytes += len(document.text.encode())
        characters += len(document.text)
        documents += 1
    stored += len(compressor.flush())
    seconds = time.process_time() - started
    return Measured(records.raw_bytes, seconds, text_bytes, characters, documents, stored if documents else 0)


def _line(document: Document) -> bytes:
    fields = [document.id, document.text, document.meta]
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # integers beyond 64 bits
        return json.dumps(fields, ensure_ascii=False, default=str).encode() + b"\n"


def _sum(one: Measured, other: Measured) -> Measured:
    return Measured(*(getattr(one, name) + getattr(other, name) for name in Measured.__dataclass_fields__))


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of them, evenly."""
    places = sorted({round(index * (len(items) - 1) / max(count - 1, 1)) for index in range(count)}) if items else []
    return [items[place] for place in places]
