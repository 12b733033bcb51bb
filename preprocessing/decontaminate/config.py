"""What the steps that look for evaluation sets have in common."""

from typing import TYPE_CHECKING

from pydantic import field_validator

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from preprocessing.decontaminate.benchmarks import items_of

if TYPE_CHECKING:
    from preprocessing.decontaminate.index import BenchmarkIndex


class Benchmarks(Section):
    """Which evaluation sets."""

    benchmarks: tuple[str, ...]
    """Files: JSQuAD and others in the form of SQuAD, JSON Lines (JNLI, JCommonsenseQA), or text with an item a line."""
    fields: tuple[str, ...] = ()
    """Fields of JSON Lines with the texts; empty looks for question, context, sentence1, text and the like."""

    @field_validator("benchmarks", "fields", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    def files(self) -> tuple[str, ...]:
        """See `Step.files`."""
        return self.benchmarks

    def problems(self) -> list[str]:
        found = [] if self.benchmarks else ["benchmarks: name the files of the evaluation sets"]
        for path in self.benchmarks:
            try:
                items_of(path, self.fields)
            except UserError as error:
                found += [f"benchmarks: {problem}" for problem in error.problems]
        return found

    def index(self) -> "BenchmarkIndex":
        """What recognises their items."""
        from preprocessing.decontaminate.index import load_index

        return load_index(self.benchmarks, self.fields)
