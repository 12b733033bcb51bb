"""A document of the sample corpus, and what is wrong with it on purpose."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Expected = Literal["keep", "duplicate", "reject"]
"""keep: cleaning ends with the clean text. duplicate: one of the copies must go. reject: it must not get through."""


@dataclass(frozen=True)
class Defect:
    """One planted defect. Positions count characters of the raw text, which is what a reader yields."""

    type: str
    start: int | None = None
    """None for a defect of the whole document."""
    end: int | None = None
    found: str = ""
    """raw[start:end]"""
    clean: str | None = None
    """What stands in the clean text instead; None where that is the same (URLs, personal data: masking is policy)."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON object; the details stand beside the fields."""
        record: dict[str, Any] = {"type": self.type}
        if self.start is not None:
            record |= {"start": self.start, "end": self.end, "found": self.found}
            if self.clean is not None:
                record["clean"] = self.clean
        return record | dict(self.details)


@dataclass(frozen=True)
class SampleDocument:
    """A text as it stands in the corpus and as it ought to come out of the cleaning."""

    id: str
    register: str
    title: str
    raw: str
    clean: str | None
    """None for a document that ought to be rejected."""
    readings: Mapping[str, str] = field(default_factory=dict)
    """Names in the text -> how they are read."""
    expected: Expected = "keep"
    reason: str | None = None
    """Why it is rejected: the name of the counter that the pipeline uses."""
    defects: tuple[Defect, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.defects


def repaired(raw: str, defects: Iterable[Mapping[str, Any]], types: Collection[str] | None = None) -> str:
    """`raw` with its defects mended: those of `types`, or all; `defects` as they stand in the answer key.

    With all types this is the clean text, so a test can ask for just what the step under test should mend.
    """
    parts, position = [], 0
    for defect in sorted((defect for defect in defects if "clean" in defect), key=lambda defect: defect["start"]):
        if types is None or defect["type"] in types:
            parts += [raw[position : defect["start"]], defect["clean"]]
            position = defect["end"]
    return "".join([*parts, raw[position:]])
