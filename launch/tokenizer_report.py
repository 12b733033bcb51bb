"""Tokenizers side by side: `python launch/tokenizer_report.py tokenizers=[corpora/demo] data=[corpora/demo]`."""

import sys

from jp_llm.config import app
from jp_llm.evaluate import tokenizer_report
from preprocessing.segment.words import SplitterName, missing, word_splitter


class TokenizerReportConfig(tokenizer_report.TokenizerReportConfig):
    """How well tokenizers do on text: characters and bytes per token, unknown and byte tokens, the way back, speed."""

    words: SplitterName | None = None
    """Also count tokens per word of this splitter (mecab, sudachi_a, sudachi_b, sudachi_c, jumanpp)."""

    def problems(self) -> list[str]:
        problem = self.words and missing(self.words)
        return super().problems() + ([f"words: {problem}"] if problem else [])


def run(config: TokenizerReportConfig) -> None:
    """Compare; words are of preprocessing, of which the package that compares knows nothing."""
    tokenizer_report.run(config, word_splitter(config.words).split if config.words else None)


if __name__ == "__main__":
    sys.exit(app.run("tokenizer_report", TokenizerReportConfig, run))
