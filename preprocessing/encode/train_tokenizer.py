"""Train a SentencePiece model on a sample of the documents.

Every text comes back exactly: no normalisation, no space in front, the newline is a piece, and characters that are not
in the vocabulary are spelled in bytes. (A literal U+2581, SentencePiece's sign for the space, comes back as a space.)
"""

import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import sentencepiece
from pydantic import Field, PositiveInt

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.shards.format import UINT16_LIMIT
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.exact_scores import exact_scores
from preprocessing.encode.sample import Sample
from preprocessing.segment.sentences import training_lines

_REQUIRED_CHARACTERS = "▁" + "".join(map(chr, range(0x21, 0x7F)))
"""Space and printable ASCII are pieces even if the sample has none: spelled in bytes, a space would come back as
U+2581, and a text like <0x41> could be taken for the byte piece of that name by other libraries."""
_TOO_LARGE = re.compile(r"Vocabulary size too high .* value <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


class TokenizerConfig(Section):
    """The recipe: together with the documents and the SentencePiece version it decides every byte of the model."""

    model_type: Literal["unigram", "bpe"] = "unigram"
    """unigram encodes twice as fast; bpe is what llama.cpp reads."""
    vocab_size: int = Field(default=48_000, ge=400, lt=UINT16_LIMIT)
    """Pieces, with 4 special ones, the newline and 256 bytes; below 65,500, so that a token takes two bytes on disk.
    Unseen literature has 1.56 characters per token with 8,000, 1.94 with 32,000, 2.04 with 48,000 and 2.10 with 64,000;
    embedding and head grow in proportion. So: 8,000 for models of a few million parameters, 64,000 for billions."""
    character_coverage: float = Field(default=0.9995, gt=0.9, le=1)
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
    """Threads of the training; the unigram model depends on their number, so it belongs to the recipe."""
    max_sentence_bytes: int = Field(default=4096, ge=64)
    """Longer lines are cut behind sentences; pieces do not cross cuts."""

    def problems(self) -> list[str]:
        weights = self.source_weights
        if weights is None:
            return []
        return [f"source_weights.{name}: {weight} must be above 0" for name, weight in weights.items() if weight <= 0]


class TrainTokenizerConfig(Section):
    """What `launch/train_tokenizer.py` reads (`configs/tokenizer.yaml`)."""

    inputs: tuple[str, ...] = ()
    """A documents folder of preprocessing (its training documents are taken), files, or patterns such as
    raw/**/*.jsonl.zst: JSON Lines with a "text", or plain text with one document per line; compressed or not."""
    output_dir: str = ""
    """Folder that gets sentencepiece.model and tokenizer_manifest.json."""
    tokenizer: TokenizerConfig = TokenizerConfig()

    def problems(self) -> list[str]:
        found = [] if self.inputs else ["inputs: name folders or files, e.g. 'inputs=[corpora/demo/documents]'"]
        return found + ([] if self.output_dir else ["output_dir: name a folder, e.g. output_dir=tokenizers/demo"])


def run(config: TrainTokenizerConfig) -> None:
    """Train on the given inputs and print what was made.

    Raises:
        UserError: a pattern matches nothing, or see `train`.
    """
    files = [file for pattern in config.inputs for file in _files_of(pattern)]
    tokenizer = train(list(dict.fromkeys(files)), config.tokenizer, Path(config.output_dir))
    for source, sample in tokenizer.recipe["sample"].items():
        taken, total = sample["bytes"] / 1e6, sample["total_bytes"] / 1e6
        print(f"{source}: {sample['documents']:,} documents, {taken:,.1f} of {total:,.1f} MB")
    print(f"{config.output_dir}: {tokenizer.vocab_size:,} pieces, fingerprint {tokenizer.fingerprint[:12]}")


def train(documents: Sequence[Path], config: TokenizerConfig, output: Path) -> Tokenizer:
    """Train on a sample of `documents` (files that `read_texts` reads) and write the tokenizer folder `output`.

    Raises:
        UserError: the sample is too small or too varied for the vocabulary; the message says what works.
    """
    sample = Sample(documents, config.sample_bytes, config.source_weights, config.seed)
    if unknown := sorted(set(config.source_weights or {}) - set(sample.sources)):
        raise UserError(f"source_weights: no documents of {', '.join(unknown)}; found {', '.join(sample.sources)}")
    model = exact_scores(_train_model(sample, config))
    recipe = {**config.model_dump(), "sample": {name: asdict(source) for name, source in sample.sources.items()}}
    return Tokenizer.create(output, model, recipe)


def _train_model(sample: Sample, config: TokenizerConfig) -> bytes:
    model = io.BytesIO()
    lines = (line for text in sample.texts() for line in training_lines(text, config.max_sentence_bytes))
    try:
        sentencepiece.SentencePieceTrainer.Train(sentence_iterator=lines, model_writer=model, **_options(config))
    except RuntimeError as error:
        raise _explained(str(error), sample, config) from error
    return model.getvalue()


def _options(config: TokenizerConfig) -> dict[str, Any]:
    return {
        "model_type": config.model_type,
        "vocab_size": config.vocab_size,
        "character_coverage": config.character_coverage,
        "max_sentencepiece_length": config.max_piece_length,
        "max_sentence_length": config.max_sentence_bytes,
        "split_digits": config.split_digits,
        "num_threads": config.num_threads,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": ["\n"],
        "required_chars": _REQUIRED_CHARACTERS,
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": 3,
        "minloglevel": 1,
    }


def _explained(message: str, sample: Sample, config: TokenizerConfig) -> Exception:
    size = sum(source.bytes for source in sample.sources.values())
    if match := _TOO_LARGE.search(message):
        return UserError(
            f"tokenizer.vocab_size: {size:,} bytes of text do not hold {config.vocab_size:,} pieces; the largest "
            f"vocabulary that works is {int(match[1]):,}. Lower it, or give more text"
        )
    if match := _TOO_SMALL.search(message):
        return UserError(
            f"tokenizer.vocab_size: {config.vocab_size:,} is too small: bytes and single characters alone are "
            f"{int(match[1]):,} pieces. Raise it above that, or lower tokenizer.character_coverage"
        )
    if "sentences_.empty()" in message:
        return UserError("tokenizer: the sample is empty; give more documents or raise tokenizer.sample_bytes")
    return RuntimeError(message)


def _files_of(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(path.rglob("train-*.jsonl.zst"))
        missing = f"{pattern}: holds no train-*.jsonl.zst; name a documents folder of preprocessing, or a file pattern"
    else:
        anchor = Path(path.anchor)
        found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        missing = f"{pattern}: no such file"
    if not found:
        raise UserError(f"inputs: {missing}")
    return found
