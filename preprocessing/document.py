"""What flows through the pipeline: a document, or a piece of raw input that could not become one."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing.text.view import TextView


@dataclass(slots=True)
class Document:
    """One text and where it came from."""

    id: str
    """`<source>/<file, and member of an archive>#<byte offset>`: the same however the work is divided."""
    text: str
    source: str
    meta: dict[str, Any] = field(default_factory=dict)
    """Other facts that the raw record states: title, author, URL, date. JSON values only."""
    read_characters: int = field(init=False)
    """Length of the text as it was read, however much the steps take away."""
    _view: "TextView | None" = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.read_characters = len(self.text)

    @property
    def view(self) -> "TextView":
        """What has been computed about the text as it is now; a new text gets a new view."""
        if self._view is None or self._view.text is not self.text:
            from preprocessing.text.view import TextView

            self._view = TextView(self.text)
        return self._view


@dataclass(frozen=True, slots=True)
class Rejected:
    """Raw bytes that are no document: not decodable, no JSON, not ours to use. Kept in `rejects/`, never silent."""

    file: str
    member: str | None
    """Name inside the archive, if `file` is one."""
    position: int
    """Byte offset in the decompressed file or member."""
    reason: str
    """One short word that becomes the name of a counter."""
    start: str
    """`repr` of the first bytes, or what was wrong."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a reader counts instead of keeping it: redirects of an encyclopedia, templates that it removed."""

    rejected: Counter[str] = field(default_factory=Counter)
    """Reason -> records that are none of ours, by design and by the million; they are not kept in `rejects/`."""
    changed: Counter[str] = field(default_factory=Counter)
    """What -> how many of it the texts have lost."""


Record = Document | Rejected | Tally
"""What a reader yields."""
