"""Where a document was put."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from preprocessing.sample.document import SampleDocument


@dataclass(frozen=True)
class Placed:
    """A document, its file and its place there. Ordinals count the documents or records of a file from 0."""

    document: SampleDocument
    file: str
    """Relative to the corpus folder, with /."""
    ordinal: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the format adds to the answer key: title, author, URL, number of markup signs."""
