"""The configuration of deduplication over a whole corpus."""

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from jp_llm.config.section import Section


class LinesConfig(Section):
    """Short lines that stand in many documents are menus and footers: every copy goes. Those that begin with 「 or 『
    are dialogue and stay."""

    sources: tuple[str, ...] | None = None
    """Sources whose lines are counted and removed, e.g. those of web text; null takes all. Numbers of chapters and
    other short lines of books are frequent too."""

    @field_validator("sources", mode="before")
    @classmethod
    def _one_source(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    maximum_characters: PositiveInt = 40
    """Longer lines are no matter of this rule."""
    minimum_documents: PositiveInt = 100
    """Lines that stand in so many documents or more are removed."""


class ParagraphsConfig(Section):
    """Long lines that stand in several documents: the first copy stays."""

    minimum_characters: PositiveInt = 100
    """Shorter lines are no matter of this rule."""


_PRESETS = {
    "fineweb": {"bands": 14, "rows": 8},
    "swallow": {"bands": 40, "rows": 20},
    "llm-jp": {"bands": 20, "rows": 10},
}


class NearConfig(Section):
    """Near duplicates by MinHash-LSH over characters of the near key (lower case, no punctuation, dakuten kept)."""

    preset: Literal["fineweb", "swallow", "llm-jp"] | None = None
    """Bands and rows of a published corpus: fineweb (14 x 8, the default), swallow (40 x 20), llm-jp (20 x 10)."""
    ngram: PositiveInt = 5
    """Characters per shingle."""
    bands: PositiveInt = 14
    rows: PositiveInt = 8
    """Two documents of Jaccard similarity s become candidates with probability 1 - (1 - s^rows)^bands."""
    minimum_similarity: float = Field(default=0.75, ge=0, le=1)
    """Candidates whose estimated similarity is lower stay."""
    minimum_characters: PositiveInt = 30
    """Shorter near keys are compared exactly only: there one changed character changes most of the n-grams."""
    mask_digits: bool = False
    """Texts that differ in digits only are equal; not for tables and statistics."""
    seed: int = Field(default=1, ge=0, lt=1 << 32)

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") in _PRESETS:
            return _PRESETS[values["preset"]] | values
        return values


class DeduplicationConfig(Section):
    """What is compared over all sources; of equal documents the first, in the order of the sources, stays."""

    exact: bool = True
    """Equal but for width, spaces and invisible characters."""
    lines: LinesConfig | None = LinesConfig()
    paragraphs: ParagraphsConfig | None = ParagraphsConfig()
    near: NearConfig | None = NearConfig()
    minimum_characters: PositiveInt = 1
    """Documents that are shorter once lines and paragraphs are gone are dropped."""
    maximum_lost: float = Field(default=0.7, ge=0, le=1)
    """Documents that lose a larger share of their characters to lines and paragraphs are dropped."""
    memory_bytes: PositiveInt = 1 << 30
    """What one worker may hold."""

    def for_source(self, source: str) -> "DeduplicationConfig":
        """What holds for the documents of this source."""
        if self.lines is None or self.lines.sources is None or source in self.lines.sources:
            return self
        return self.model_copy(update={"lines": None})
