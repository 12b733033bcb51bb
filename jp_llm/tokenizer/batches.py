"""Texts in lists of a bounded size, for libraries that take many at once."""

from collections.abc import Iterable, Iterator

_CHARACTERS = 1 << 18


def batches(texts: Iterable[str], characters: int = _CHARACTERS) -> Iterator[list[str]]:
    """Lists of texts, in order, that reach so many characters together (the last may not)."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
