"""What happened to the documents of a source: in, rejected, dropped and why, out."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Counts:
    """Counts of one unit, or the sum of several. All add up: documents_in = documents_out + all of `dropped`."""

    documents_in: int = 0
    """Records that the reader could read."""
    documents_out: Counter[str] = field(default_factory=Counter)
    """Split -> cleaned documents."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason -> raw records that are no documents."""
    dropped: Counter[str] = field(default_factory=Counter)
    """`<step>.<reason>` -> documents."""
    changed: Counter[str] = field(default_factory=Counter)
    """`<step>.<what>` -> characters or the like that a mapper could not keep."""
    skipped_members: int = 0
    """Archive members that `files` does not select."""
    characters: int = 0
    """Of the cleaned texts, in Unicode code points."""
    bytes: int = 0
    """Of the cleaned texts, in UTF-8."""
    cpu_seconds: float = 0.0

    def add(self, other: "Counts") -> None:
        """Add every count of `other`."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, item.name, mine + theirs)

    def to_json(self) -> dict[str, Any]:
        """The counts as a JSON object, reasons sorted."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {key: dict(sorted(value.items())) if isinstance(value, dict) else value for key, value in values.items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counts":
        """Read what `to_json` wrote."""
        values: dict[str, Any] = {key: Counter(item) if isinstance(item, dict) else item for key, item in value.items()}
        return cls(**values)


def reasons(counter: Counter[str]) -> str:
    """`too_short 12, mojibake 3`: largest first."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number:,}" for reason, number in ordered)
