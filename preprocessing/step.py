"""What a step of the pipeline is. One step is one file of `readers`, `mappers` or `filters`; its fields are YAML keys.

Packages that are slow to import are imported inside methods, so that checking a configuration stays light.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal

from jp_llm.config.section import Section
from preprocessing.document import Document, Record
from preprocessing.raw_file import RawFile

CutAt = Literal["line", "blank_line", "page"] | None
"""line: after every line. blank_line: after an empty line. page: before a line that holds only `<page>`."""


class Step(Section, ABC):
    """A mapper or a filter."""

    def files(self) -> tuple[str, ...]:
        """Files whose content decides what the step does: word lists, models. A run that is continued compares them."""
        return ()


class Reader(Section, ABC):
    """Turns raw bytes of one format into documents."""

    @property
    def cut_at(self) -> CutAt:
        """Where a large file may be cut into ranges that are read apart; None: nowhere."""
        return None

    @property
    def takes_paths(self) -> bool:
        """Whether it reads the files of `paths`; otherwise it has `parts`. Asked when a configuration is checked."""
        return True

    def parts(self) -> tuple[str, ...] | None:
        """Names of the parts that the reader fetches itself, each for one unit; None: it reads the files of `paths`.

        May take long; asked once, when the work is planned.

        Raises:
            UserError: they cannot be found out.
        """
        return None

    def read_part(self, source: str, part: str) -> Iterator[Record]:
        """Every record of one of `parts`, in order."""
        raise NotImplementedError

    @abstractmethod
    def read(self, raw: RawFile) -> Iterator[Record]:
        """Every record of `raw` in order, as a document or with the reason why it is none; a `Tally` wherever."""


class Mapper(Step):
    """Changes the text of a document."""

    sensitive: ClassVar[bool] = False
    """Whether what it takes away must not be shown in reports; set by mappers that mask personal data."""

    @abstractmethod
    def map(self, document: Document, tally: Counter[str]) -> str:
        """The new text. What was lost on the way is added to `tally` under a short name."""


class Filter(Step):
    """Keeps or drops a document."""

    @abstractmethod
    def reason(self, document: Document) -> str | None:
        """Why it is dropped, in one short word that becomes the name of a counter; None keeps it."""
