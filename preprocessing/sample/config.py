"""`sample_corpus`: the generated corpus of the demo and of the tests."""

from pydantic import Field

from jp_llm.config.section import Section


class SampleConfig(Section):
    """What `launch/sample_corpus.py` reads."""

    output_dir: str = "corpora/sample"
    """Folder that is made; one that already holds this very corpus is left alone."""
    seed: int = 1234
    """Another seed gives other texts with the same properties."""
    characters: int = Field(default=4_000_000, ge=20_000)
    """Approximate size: characters of all documents together (about three bytes each)."""

    def problems(self) -> list[str]:
        return [] if self.output_dir else ["output_dir: name the folder of the corpus, e.g. output_dir=corpora/sample"]
