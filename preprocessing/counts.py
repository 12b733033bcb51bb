"""What happened to the documents of a source: in, rejected, dropped and why, out; and the same of every step."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self


class _Sum:
    """A dataclass of numbers, counters and sums by name, all of which add up."""

    def add(self, other: Self) -> None:
        """Add every count of `other`."""
        for item in fields(self):  # type: ignore[arg-type]
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            elif isinstance(mine, dict):
                for name, sums in theirs.items():
                    mine.setdefault(name, type(sums)()).add(sums)
            else:
                setattr(self, item.name, mine + theirs)

    def to_json(self) -> dict[str, Any]:
        """The counts as a JSON object, reasons sorted."""
        return {item.name: _json(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]


def _json(value: Any) -> Any:
    if isinstance(value, Counter):
        return dict(sorted(value.items()))
    if isinstance(value, dict):
        return {name: sums.to_json() for name, sums in value.items()}
    return value


@dataclass
class StepCounts(_Sum):
    """Counts of one step. What comes out: documents_in - all of `dropped`, characters_in - characters_removed +
    characters_added - all of `dropped_characters`."""

    documents_in: int = 0
    characters_in: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> documents."""
    dropped_characters: Counter[str] = field(default_factory=Counter)
    """Reason -> characters of these documents."""
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    """Reason -> bytes of these documents in UTF-8."""
    documents_changed: int = 0
    characters_removed: int = 0
    """Of documents that became shorter, by how much."""
    characters_added: int = 0
    """Of documents that became longer, by how much."""
    changed: Counter[str] = field(default_factory=Counter)
    """What -> characters or the like that a mapper could not keep."""
    timed_nanoseconds: int = 0
    """What the step took for the documents that were timed, about one in 16."""
    timed_characters: int = 0
    """Of the documents that were timed."""

    @property
    def documents_out(self) -> int:
        """Documents that go to the next step."""
        return self.documents_in - self.dropped.total()

    @property
    def characters_out(self) -> int:
        """Their characters."""
        return self.characters_in - self.characters_removed + self.characters_added - self.dropped_characters.total()

    @property
    def seconds(self) -> float | None:
        """Processor time for all documents, estimated from those that were timed; None: none was."""
        return (
            self.timed_nanoseconds / self.timed_characters * self.characters_in / 1e9 if self.timed_characters else None
        )

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "StepCounts":
        """Read what `to_json` wrote."""
        return cls(**_with_counters(value))


@dataclass
class Counts(_Sum):
    """Counts of one unit, or the sum of several. All add up: documents_in = documents_out + all of `dropped`."""

    documents_in: int = 0
    """Records that the reader could read."""
    characters_in: int = 0
    """Of these texts, in Unicode code points."""
    bytes_in: int = 0
    """Of these texts, in UTF-8."""
    documents_out: Counter[str] = field(default_factory=Counter)
    """Split -> cleaned documents."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason -> raw records that are no documents."""
    dropped: Counter[str] = field(default_factory=Counter)
    """`<step>.<reason>` -> documents."""
    dropped_characters: Counter[str] = field(default_factory=Counter)
    """`<step>.<reason>` -> characters of these documents when they were dropped."""
    changed: Counter[str] = field(default_factory=Counter)
    """`<step>.<what>` -> characters or the like that a mapper could not keep."""
    skipped_members: int = 0
    """Archive members that `files` does not select."""
    characters: int = 0
    """Of the cleaned texts, in Unicode code points."""
    bytes: int = 0
    """Of the cleaned texts, in UTF-8."""
    cpu_seconds: float = 0.0
    steps: dict[str, StepCounts] = field(default_factory=dict)
    """Step, in order -> its counts; a second step of the same type is `<type>#2`."""
    histograms: Counter[str] = field(default_factory=Counter)
    """See preprocessing/report/histograms.py."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counts":
        """Read what `to_json` wrote."""
        steps = {name: StepCounts.from_json(step) for name, step in value.get("steps", {}).items()}
        return cls(**_with_counters(value) | {"steps": steps})


def _with_counters(value: dict[str, Any]) -> dict[str, Any]:
    return {key: Counter(item) if isinstance(item, dict) else item for key, item in value.items()}


def reasons(counter: Counter[str]) -> str:
    """`too_short 12, mojibake 3`: largest first."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number:,}" for reason, number in ordered)
