"""`interventions.json`: every rewind of a run, and the samples that it leaves out for ever because of them.

The file is written before anything else is done about a rewind, so that a restart at any moment finds out from it, and
from nothing else, which checkpoints belong to a branch that was given up and which batches come next.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import write_json


class Intervention(BaseModel):
    """One rewind. Losses are in nats per token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    """After which it was decided."""
    first_outlier_step: int
    to_step: int
    """The checkpoint that was gone back to; 0 is the beginning."""
    from_sample: int
    """The first sample that is left out: so far before the first outlier as `guard.rewind_steps` says, or where that
    checkpoint stands, if it is nearer. What lies between the two is trained on again."""
    to_sample: int
    """The first sample after it that is used."""
    loss: float
    """At which it stayed (a median)."""
    median: float
    """From where it had come."""
    sigma: float
    host: str
    time: float
    """Unix seconds."""

    @model_validator(mode="after")
    def _forward(self) -> "Intervention":
        if not 0 <= self.from_sample < self.to_sample:
            raise ValueError("from_sample must be less than to_sample")
        return self

    def abandons(self, consumed_samples: int) -> bool:
        """Whether a checkpoint at this position in the data belongs to the branch that was given up.

        `to_sample` lies behind every sample that branch has seen, so no later checkpoint can have such a position.
        """
        return self.from_sample < consumed_samples < self.to_sample


_Records = TypeAdapter(list[Intervention])


class Interventions(Sequence[Intervention]):
    """In the order in which they happened."""

    def __init__(self, records: Sequence[Intervention] = ()) -> None:
        self._records = list(records)

    @classmethod
    def parse(cls, text: bytes | None, path: Path) -> "Interventions":
        """From the content of the file; None if there is none.

        Raises:
            UserError: it is damaged. Without it nobody knows which samples the run has left out.
        """
        if text is None:
            return cls()
        try:
            return cls(_Records.validate_json(text))
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors()[:3])
            raise UserError(
                f"{path}: not what a run wrote ({found}); restore the file (the same numbers stand in the `rewind` "
                "events of events.jsonl), or remove it to train on what was left out"
            ) from error

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Intervention) -> None:
        """Remember one; `write` makes it last."""
        self._records.append(record)

    def write(self, path: Path) -> None:
        """Durably: complete or not at all."""
        write_json(path, [record.model_dump() for record in self])

    def back(self, sample: int, count: int) -> int:
        """Position in the data that has `count` samples between itself and `sample` which are not left out; 0 if there
        are not so many."""
        for left_out in sorted(self.left_out, key=lambda samples: samples.stop, reverse=True):
            used = max(0, sample - left_out.stop)
            if used >= count:
                break
            if left_out.start < sample:
                sample, count = left_out.start, count - used
        return max(0, sample - count)

    @property
    def left_out(self) -> tuple[range, ...]:
        """Global indices of the samples that are never used."""
        return tuple(range(record.from_sample, record.to_sample) for record in self)

    def abandon(self, consumed_samples: int) -> bool:
        """Whether a checkpoint at this position in the data must not be continued."""
        return any(record.abandons(consumed_samples) for record in self)
