"""The recipe of a tokenizer, and the lines that it learns from."""

import importlib.util
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveInt

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.shards.format import UINT16_LIMIT
from preprocessing.encode.sample import Sample
from preprocessing.segment.sentences import training_lines
from preprocessing.segment.words import missing, word_splitter

WORD_END = "\t"
"""Between the words of a training line; no piece contains it."""
REQUIRED_CHARACTERS = "▁" + "".join(map(chr, range(0x21, 0x7F)))
"""Space and printable ASCII are pieces even if the sample has none: spelled in bytes, a space would come back as
U+2581, and a text like <0x41> could be taken for the byte piece of that name by other libraries."""
_MOST_PAIRS = 2**31


class TokenizerConfig(Section):
    """The recipe: together with the documents and the versions of the libraries it decides every byte of the model."""

    model_type: Literal["unigram", "bpe"] = "unigram"
    """unigram encodes twice as fast; bpe is what llama.cpp reads."""
    trainer: Literal["sentencepiece", "tokenizers"] = "sentencepiece"
    """Library that learns the pieces. tokenizers (bpe only, optional package) counts whole words, so give it words
    (`pretokenize`): without, Japanese takes much memory. What it learns is stored as a SentencePiece model all the same
    and encodes as fast and as exactly."""
    pretokenize: Literal["none", "spaces", "mecab", "sudachi_a", "sudachi_b", "sudachi_c", "jumanpp"] = "none"
    """Words that no piece may cross, in training only: text is encoded as it is. mecab, sudachi_a, sudachi_b, sudachi_c
    or jumanpp; spaces takes those of text that was divided before (launch/segment.py) and learns no spaces."""
    limit_alphabet: int | None = Field(default=None, ge=128)
    """Characters that become pieces of their own, the most frequent ones and ASCII; for trainer tokenizers, in place of
    character_coverage. Some 5,000 are usual for Japanese."""
    vocab_size: int = Field(default=48_000, ge=400, lt=UINT16_LIMIT)
    """Pieces, with 4 special ones, the newline and 256 bytes; below 65,500, so that a token takes two bytes on disk.
    Unseen literature has 1.56 characters per token with 8,000, 1.94 with 32,000, 2.04 with 48,000 and 2.10 with 64,000;
    embedding and head grow in proportion. So: 8,000 for models of a few million parameters, 64,000 for billions."""
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1)
    """Share of the characters of the sample that become pieces of their own; the others are spelled in bytes.
    0.9995 takes some 4,000 characters; lower it for vocabularies of a few thousand."""
    max_piece_length: PositiveInt = 16
    """Characters of the longest piece."""
    split_digits: bool = True
    """Every digit is a token of its own."""
    sample_bytes: PositiveInt = 200_000_000
    """UTF-8 bytes of documents to train on. Memory is some 20 times as much for unigram, 35 times for bpe."""
    source_weights: dict[str, float] | None = None
    """Share of each source in the sample, e.g. {wikipedia: 1, web: 2}; sources that are not named are left out. Null
    samples all at the same rate."""
    seed: int = 0
    """Decides which documents are sampled."""
    num_threads: PositiveInt = 8
    """Threads of the training; the unigram model depends on their number, so it belongs to the recipe. For trainer
    sentencepiece only: tokenizers takes all cores (RAYON_NUM_THREADS sets their number)."""
    max_sentence_bytes: int = Field(default=4096, ge=64)
    """Longer lines are cut behind sentences; pieces do not cross cuts."""

    def problems(self) -> list[str]:
        weights = self.source_weights or {}
        found = [f"source_weights.{name}: {weight} must be above 0" for name, weight in weights.items() if weight <= 0]
        if self.trainer == "tokenizers":
            if self.model_type != "bpe":
                found.append("trainer: tokenizers trains bpe; set model_type=bpe, or trainer=sentencepiece")
            if importlib.util.find_spec("tokenizers") is None:
                found.append("trainer: needs tokenizers: pip install 'jp-llm[corpus]'")
            if self.sample_bytes > _MOST_PAIRS:
                found.append(f"sample_bytes: tokenizers counts pairs in 32 bits; at most {_MOST_PAIRS:,}")
        elif self.limit_alphabet is not None:
            found.append("limit_alphabet: of trainer=tokenizers; sentencepiece has character_coverage")
        if self.pretokenize not in ("none", "spaces") and (problem := missing(self.pretokenize)):
            found.append(f"pretokenize: {problem}")
        return found


def training_texts(sample: Sample, config: TokenizerConfig) -> Iterator[str]:
    """The lines to learn from, with `WORD_END` where no piece may cross."""
    lines = (line for text in sample.texts() for line in training_lines(text, config.max_sentence_bytes))
    match config.pretokenize:
        case "none":
            yield from lines
        case "spaces":
            yield from (line.replace(" ", WORD_END) for line in lines)
        case name:
            # A space and the word behind it stay together, as SentencePiece has it.
            words = word_splitter(name).split(lines)
            yield from (WORD_END.join(line).replace(f" {WORD_END}", " ") for line in words)


def too_large(sample: Sample, wanted: int, largest: int) -> UserError:
    """The sample has not so many pieces."""
    size = sum(source.bytes for source in sample.sources.values())
    return UserError(
        f"tokenizer.vocab_size: {size:,} bytes of text do not hold {wanted:,} pieces; the largest vocabulary that "
        f"works is {largest:,}. Lower it, or give more text"
    )


def too_small(wanted: int, smallest: int, remedy: str) -> UserError:
    """What must be in the vocabulary does not fit."""
    return UserError(
        f"tokenizer.vocab_size: {wanted:,} is too small: bytes and single characters alone are {smallest:,} pieces. "
        f"Raise it above that, or lower {remedy}"
    )


def empty_sample() -> UserError:
    """Nothing to learn from."""
    return UserError("tokenizer: the sample is empty; give more documents or raise tokenizer.sample_bytes")
