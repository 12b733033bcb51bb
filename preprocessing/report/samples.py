"""A few documents that each rule removed or changed, so that people can see what it does.

Which ones is decided by a hash of their ids: those with the smallest. So the samples do not depend on how the work was
divided, and samples of units merge to those of the whole.
"""

import zlib
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from jp_llm.runtime.files import atomic_writer
from preprocessing.document import Document
from preprocessing.step import Mapper, Step

SAMPLES = "samples"
"""Folder of the samples of each unit."""
PER_RULE = 20
SHOWN_CHARACTERS = 300
_MASKED_CHARACTERS = 1000
_MARGIN_CHARACTERS = 200
"""At the edges of what is masked: what a mask looks for may be cut in two there, so that it is not shown."""
_CONTEXT_CHARACTERS = 40
_LARGEST = (1 << 32) - 1


def key_of(id: str) -> int:
    """CRC-32 of a document's id: evenly spread, and cheap."""
    return zlib.crc32(id.encode("utf-8", "replace"))


class Samples:
    """Rule -> the `PER_RULE` samples with the smallest keys."""

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        """
        Args:
            steps: of the pipeline; its sensitive mappers see every text before it is kept, also where it came no
                further than to a step before them.
        """
        self._masks = [step for step in steps if isinstance(step, Mapper) and step.sensitive]
        self._kept: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
        self._limits: dict[str, int] = {}

    def dropped(self, rule: str, key: int, document: Document) -> None:
        """Keep the beginning of a document that `rule` (`<step>.<reason>`) drops, if its key is small enough."""
        if key <= self._limits.get(rule, _LARGEST):
            shown = self._excerpt(document, document.text, 0)
            self._add(rule, key, {"id": _writable(document.id), "text": shown})

    def changed(self, rule: str, key: int, document: Document, after: str, *, sensitive: bool) -> None:
        """Keep the first line that a mapper changes, if the key is small enough; of a sensitive one only the new line.

        Args:
            rule: name of the mapper.
            key: `key_of` the document.
            document: with the text before.
            after: the text after.
            sensitive: whether the old line must not be shown.
        """
        if key <= self._limits.get(rule, _LARGEST):
            before = document.text
            at = first_difference(before, after)
            start = max(before.rfind("\n", 0, at) + 1, at - _CONTEXT_CHARACTERS)
            value: dict[str, Any] = {"id": _writable(document.id)}
            if not sensitive:
                value["before"] = self._line(document, before, start, at)
            value["after"] = self._line(document, after, start, at)
            self._add(rule, key, value)

    def add(self, other: "Samples") -> None:
        """Add the samples of another part of the same corpus."""
        for rule, kept in other._kept.items():
            for key, _, value in kept:
                if key <= self._limits.get(rule, _LARGEST):
                    self._add(rule, key, value)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Rule, sorted -> samples."""
        return {rule: [value for _, _, value in kept] for rule, kept in sorted(self._kept.items())}

    def save(self, path: Path) -> bool:
        """Write compressed JSON, if there is anything to write; whether there was."""
        if not self._kept:
            return False
        with atomic_writer(path) as file:
            file.write(zstandard.ZstdCompressor(level=3).compress(orjson.dumps(self.to_json())))
        return True

    @classmethod
    def load(cls, path: Path) -> "Samples":
        """Read what `save` wrote."""
        samples = cls()
        found = orjson.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
        for rule, values in found.items():
            for value in values:
                samples._add(rule, key_of(value["id"]), value)
        return samples

    def _add(self, rule: str, key: int, value: dict[str, Any]) -> None:
        kept = self._kept.setdefault(rule, [])
        insort(kept, (key, value["id"], value), key=lambda sample: sample[:2])
        if len(kept) >= PER_RULE:
            del kept[PER_RULE:]
            self._limits[rule] = kept[-1][0]

    def _line(self, document: Document, text: str, start: int, at: int) -> str:
        """From `start` to the end of the line in which `at` lies; a line end at `at` is shown too."""
        shown = self._excerpt(document, text, start)
        end = shown.find("\n", at - start)
        return shown if end < 0 else shown[: max(end, 1)] if end > at - start else shown[: end + 1]

    def _excerpt(self, document: Document, text: str, start: int) -> str:
        """Up to `SHOWN_CHARACTERS` of `text`, masked, and without what JSON cannot hold."""
        if self._masks:
            first = max(start - _MARGIN_CHARACTERS, 0)
            window = masked = text[first : start + _MASKED_CHARACTERS]
            for mask in self._masks:
                masked = mask.map(Document(document.id, masked, document.source, document.meta), Counter())
            if start + _MASKED_CHARACTERS < len(text) and masked != window:
                masked = masked[: max(len(masked) - _MARGIN_CHARACTERS, 0)]
            text, start = masked, start - first
        return _writable(text[start : start + SHOWN_CHARACTERS])


def _writable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def first_difference(one: str, other: str) -> int:
    """Length of the common beginning. Time is linear: halves are compared as a whole."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
