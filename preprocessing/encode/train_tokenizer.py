"""Train a tokenizer on a sample of the documents: a SentencePiece model, whichever library learns its pieces.

Every text comes back exactly: no normalisation, no space in front, the newline is a piece, and characters that are not
in the vocabulary are spelled in bytes. (A literal U+2581, SentencePiece's sign for the space, comes back as a space.)
"""

import importlib.metadata
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sentencepiece

from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.exact_scores import exact_scores
from preprocessing.encode.recipe import (
    REQUIRED_CHARACTERS,
    WORD_END,
    empty_sample,
    too_large,
    too_small,
    training_texts,
)
from preprocessing.encode.recipe import TokenizerConfig as TokenizerConfig
from preprocessing.encode.sample import Sample
from preprocessing.encode.sentencepiece_model import without_setting
from preprocessing.encode.texts import find_texts

_MOST_CANDIDATES = 1_000_000
"""As many as SentencePiece finds itself at most."""
_TOO_LARGE = re.compile(r"Vocabulary size too high .* value <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


class TrainTokenizerConfig(Section):
    """What `launch/train_tokenizer.py` reads (`configs/tokenizer.yaml`)."""

    inputs: OneOrSeveral = ()
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
    tokenizer = train(find_texts(config.inputs), config.tokenizer, Path(config.output_dir))
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
        found = ", ".join(sample.sources)
        raise UserError(f"tokenizer.source_weights: no documents of {', '.join(unknown)}; found {found}")
    if config.trainer == "tokenizers":
        from preprocessing.encode.bpe import train_bpe

        model = train_bpe(sample, config)
    else:
        model = exact_scores(_train_model(sample, config))
    recipe = {
        **config.model_dump(),
        "packages": {name: importlib.metadata.version(name) for name in _packages(config)},
        "sample": {name: asdict(source) for name, source in sample.sources.items()},
    }
    return SentencePieceTokenizer.create(output, model, recipe)


def _packages(config: TokenizerConfig) -> tuple[str, ...]:
    """What decides the pieces besides the recipe. (Juman++ is no package.)"""
    splitter = {"mecab": ("fugashi", "unidic-lite")}.get(config.pretokenize, ())
    if config.pretokenize.startswith("sudachi"):
        splitter = ("sudachipy", "sudachidict-core")
    return (config.trainer, *splitter)


def _train_model(sample: Sample, config: TokenizerConfig) -> bytes:
    model = io.BytesIO()
    with TemporaryDirectory() as folder:
        lines, options = training_texts(sample, config), _options(config)
        if config.pretokenize != "none":
            lines, more = _from_words(lines, config, Path(folder))
            options |= more
        try:
            sentencepiece.SentencePieceTrainer.Train(sentence_iterator=lines, model_writer=model, **options)
        except RuntimeError as error:
            raise _explained(str(error), sample, config) from error
    candidates = options.get("seed_sentencepieces_file")
    return without_setting(model.getvalue(), candidates) if candidates else model.getvalue()


def _from_words(lines: Iterator[str], config: TokenizerConfig, folder: Path) -> tuple[Iterator[str], dict[str, Any]]:
    """Train on every word once, with its number, as if it were a sentence: no piece can cross a word.

    SentencePiece has an option for words in running text (pretokenization_delimiter), but its unigram trainer then
    finds few candidates: it takes repeated strings that different characters follow, and behind a word stands the
    delimiter. So the candidates are given too.
    """
    words = Counter(word for line in lines for word in line.split(WORD_END) if word)
    options: dict[str, Any] = {"input_format": "tsv"}
    if config.model_type == "unigram":
        path = folder / "candidates.tsv"
        candidates = sorted(_candidates(words, config.max_piece_length).items(), key=lambda item: (-item[1], item[0]))
        path.write_text("".join(f"{piece}\t{count}\n" for piece, count in candidates))
        options["seed_sentencepieces_file"] = str(path)
    return (f"{word}\t{words[word]}" for word in sorted(words)), options


def _candidates(words: Mapping[str, int], max_length: int) -> dict[str, int]:
    """What occurs at least twice within words, with its number; the best million, by number times length."""
    found: Counter[str] = Counter()
    for word, count in words.items():
        spelled = word.replace(" ", "▁")
        for start in range(len(spelled)):
            for end in range(start + 2, min(len(spelled), start + max_length) + 1):
                found[spelled[start:end]] += count
    repeated = [piece for piece, count in found.items() if count > 1]
    best = sorted(repeated, key=lambda piece: (-found[piece] * len(piece), piece))[:_MOST_CANDIDATES]
    return {piece: found[piece] for piece in best}


def _options(config: TokenizerConfig) -> dict[str, Any]:
    return {
        "model_type": config.model_type,
        "vocab_size": config.vocab_size,
        "character_coverage": config.character_coverage,
        "max_sentencepiece_length": config.max_piece_length,
        # Behind a word stands its number.
        "max_sentence_length": config.max_sentence_bytes + (0 if config.pretokenize == "none" else 20),
        "split_digits": config.split_digits,
        "num_threads": config.num_threads,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": ["\n"],
        "required_chars": REQUIRED_CHARACTERS,
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": 3,
        "minloglevel": 1,
    }


def _explained(message: str, sample: Sample, config: TokenizerConfig) -> Exception:
    if match := _TOO_LARGE.search(message):
        return too_large(sample, config.vocab_size, int(match[1]))
    if match := _TOO_SMALL.search(message):
        return too_small(config.vocab_size, int(match[1]), "tokenizer.character_coverage")
    if "sentences_.empty()" in message:
        return empty_sample()
    return RuntimeError(message)
