"""BPE learnt by Hugging Face `tokenizers`, stored as a SentencePiece model.

Both libraries encode BPE alike: of all neighbours whose union is a piece, the one that was learnt first is joined
first. So the pieces move over with their rank as score, and everything that exists for SentencePiece models holds: byte
fallback, speed, shards, export. (One difference: tokenizers joins only pairs that it has joined in training,
SentencePiece any two pieces whose union is a piece.)

The trainer is random in one place: which characters of equal frequency a limited alphabet keeps. So the alphabet is
chosen here, and other characters end words in training; encoding spells them in bytes.
"""

from collections import Counter
from collections.abc import Iterator

import sentencepiece

from preprocessing.encode.recipe import (
    REQUIRED_CHARACTERS,
    WORD_END,
    TokenizerConfig,
    empty_sample,
    too_large,
    too_small,
    training_texts,
)
from preprocessing.encode.sample import Sample
from preprocessing.encode.sentencepiece_model import FIRST_PIECES, bpe_model

_SPACE = "\u2581"
_JAPANESE = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_BREAK = "\n"
"""Ends a word in what the trainer is given."""


def train_bpe(sample: Sample, config: TokenizerConfig) -> bytes:
    """A serialized SentencePiece model of type BPE with `config.vocab_size` pieces.

    Raises:
        UserError: the sample is empty, too small or too varied for the vocabulary.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    alphabet = _alphabet(sample, config)
    fixed = len(FIRST_PIECES) + len(alphabet)
    if fixed >= config.vocab_size:
        limit = "tokenizer.limit_alphabet" if config.limit_alphabet else "tokenizer.character_coverage"
        raise too_small(config.vocab_size, fixed, limit)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_BREAK, "removed"),
            pre_tokenizers.Split(Regex(_word(split_digits=config.split_digits)), "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - len(FIRST_PIECES),
        min_frequency=1,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=config.max_piece_length,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_words(sample, config, alphabet), trainer)
    learnt = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merged = [piece for piece, _ in learnt if len(piece) > 1]
    if fixed + len(merged) < config.vocab_size:
        raise too_large(sample, config.vocab_size, fixed + len(merged))
    model = bpe_model([*merged, *alphabet])
    assert sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size() == config.vocab_size
    return model


def _alphabet(sample: Sample, config: TokenizerConfig) -> list[str]:
    """The characters that become pieces, the most frequent first; those of one frequency by their code points."""
    counts: Counter[str] = Counter()
    for text in sample.texts():
        counts.update(text)
    if not counts:
        raise empty_sample()
    for character in ("\0", "\n", WORD_END, " ", _SPACE, *REQUIRED_CHARACTERS):
        counts.pop(character, None)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    if config.limit_alphabet is not None:
        return [*REQUIRED_CHARACTERS, *ranked[: config.limit_alphabet - len(REQUIRED_CHARACTERS)]]
    wanted, reached, kept = config.character_coverage * counts.total(), 0, list(REQUIRED_CHARACTERS)
    for character in ranked:
        if reached >= wanted:
            break
        reached += counts[character]
        kept.append(character)
    return kept


def _words(sample: Sample, config: TokenizerConfig, alphabet: list[str]) -> Iterator[str]:
    """Lines of words for the trainer, with spaces as U+2581."""
    table = _Alphabet({ord(character): character for character in alphabet} | {ord(" "): _SPACE})
    for line in training_texts(sample, config):
        yield line.translate(table)


class _Alphabet(dict[int, str]):
    """For `str.translate`: other characters, and ends of words, become `_BREAK`."""

    def __missing__(self, code: int) -> str:
        return _BREAK


def _word(*, split_digits: bool) -> str:
    """What a piece may lie in: a run of Japanese, of other letters, of digits or of signs, each with a space in front;
    or spaces before that one."""
    digits = r"\p{N}" if split_digits else rf"{_SPACE}?\p{{N}}+"
    return (
        rf"{_SPACE}?(?:[{_JAPANESE}]+|[^\s{_SPACE}\p{{P}}\p{{S}}\p{{N}}{_JAPANESE}]+)|{digits}"
        rf"|{_SPACE}?[^\s{_SPACE}\p{{L}}\p{{M}}\p{{N}}{_JAPANESE}]+|{_SPACE}+(?={_SPACE})"
    )
