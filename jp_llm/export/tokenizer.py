"""The tokenizer of a Hugging Face folder, and the proof that it gives our ids.

transformers 5 rebuilds the tokenizer of most classes in its own way and ignores what `tokenizer.json` says, without a
word; `PreTrainedTokenizerFast` is the class that takes the file as it is. The other differences to SentencePiece are
met inside the file:

- Hugging Face's unigram model also finds control and byte pieces in text. `_HIDDEN_SCORE` makes that path the worst.
- A literal <s> in text is characters for SentencePiece and a control id for Hugging Face. `split_special_tokens` makes
  it characters there too; who renders chat templates as text switches it off.
- Our piece scores add up exactly (`preprocessing/encode/exact_scores.py`), so float32 and float64 break ties alike.

An adopted tokenizer goes out as it came in, byte for byte, unless transformers would rebuild it into another one.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as HFTokenizer

from jp_llm.export.probe_texts import probe_texts as probe_texts
from jp_llm.huggingface.reload import load_tokenizer, quiet_transformers
from jp_llm.huggingface.sentencepiece import bpe_merges
from jp_llm.huggingface.tokenizer import adopted_tokenizer, needs_conversion
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json, sha256_of, write_json
from jp_llm.tokenizer.adopt import EXPORTED_FOLDER, describe
from jp_llm.tokenizer.adopted_tokenizer import TOKENIZER_FILE, AdoptedTokenizer, read_definition
from jp_llm.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

SENTENCEPIECE_FOLDER = EXPORTED_FOLDER
"""Subfolder that keeps our tokenizer folder. Beside tokenizer.json, loaders might build another one from the model."""

_CONFIG_FILE = "tokenizer_config.json"
_CLASS_THAT_REBUILDS_NOTHING = "PreTrainedTokenizerFast"

_SPACE = "▁"
_HIDDEN_SCORE = -10_000.0
"""Far below the sum of the six printable ASCII pieces that spell <0x41> (all of them are in our vocabularies)."""


def write_hf_tokenizer(tokenizer: Tokenizer, folder: Path, *, model_max_length: int) -> None:
    """Write the files of the tokenizer into a Hugging Face folder.

    Of ours, these are tokenizer.json and tokenizer_config.json, and our own files below `sentencepiece/`; a text is
    encoded with `<s>` in front, unless the caller says `add_special_tokens=False`. Of an adopted tokenizer they are the
    files that came with it.

    Raises:
        UserError: a file of an adopted tokenizer has changed since it was adopted.
    """
    if isinstance(tokenizer, AdoptedTokenizer):
        _write_adopted(tokenizer, folder)
    else:
        assert isinstance(tokenizer, SentencePieceTokenizer)
        _write_ours(tokenizer, folder, model_max_length)


def _write_ours(tokenizer: SentencePieceTokenizer, folder: Path, model_max_length: int) -> None:
    pieces = tokenizer.pieces()
    unk, bos, eos, pad = special = [pieces[id].text for id in tokenizer.special_ids]

    backend = HFTokenizer(
        _unigram(pieces, tokenizer) if tokenizer.recipe["model_type"] == "unigram" else _bpe(pieces, unk)
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="never", split=False)
    backend.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.start_id)]
    )
    backend.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special])
    with atomic_writer(folder / "tokenizer.json") as file:
        file.write(backend.to_str(pretty=True).encode())
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": unk,
            "bos_token": bos,
            "eos_token": eos,
            "pad_token": pad,
            "model_max_length": model_max_length,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
    tokenizer.copy_to(folder / SENTENCEPIECE_FOLDER)


def _write_adopted(tokenizer: AdoptedTokenizer, folder: Path) -> None:
    for name, sha256 in tokenizer.recipe["files"].items():
        if sha256_of(tokenizer.folder / name) != sha256:
            raise UserError(f"{tokenizer.folder / name}: has changed since the tokenizer was adopted; copy it again")
        with atomic_writer(folder / name) as file:
            file.write((tokenizer.folder / name).read_bytes())
    try:
        if _first_difference(tokenizer, load_tokenizer(folder), probe_texts()) is None:
            return
        what = "gives other ids than the model was trained with"
    except UserError:
        what = "loads no tokenizer"
    # Many classes of transformers 5 rebuild a tokenizer in their own way, and others are programs of the publisher;
    # this one takes tokenizer.json as it is.
    path = folder / _CONFIG_FILE
    config = read_json(path) if path.is_file() else {}
    kept = {key: value for key, value in config.items() if key != "auto_map"}
    write_json(path, kept | {"tokenizer_class": _CLASS_THAT_REBUILDS_NOTHING})
    print(
        f"{folder}: with the class {config.get('tokenizer_class')!r}, transformers {what}; {_CONFIG_FILE} now names "
        f"{_CLASS_THAT_REBUILDS_NOTHING}",
        file=sys.stderr,
    )


def verify_hf_tokenizer(tokenizer: Tokenizer, folder: Path, texts: Sequence[str]) -> None:
    """Load a Hugging Face folder as its users do and compare ids, special ids and the way back on every text.

    Texts of adopted tokenizers are compared without the tokens that transformers puts around them, and only where they
    spell no control token: those are characters for us. What their normalisation loses does not count as a difference.

    Raises:
        UserError: something differs; the message shows the first text.
    """
    loaded = load_tokenizer(folder)
    if isinstance(tokenizer, AdoptedTokenizer):
        difference = _first_difference(tokenizer, loaded, texts)
        if difference is not None:
            raise UserError(f"{folder}: {difference}")
        return
    theirs = (loaded.unk_token_id, loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, len(loaded))
    ours = (*tokenizer.special_ids, tokenizer.vocab_size)
    if theirs != ours:
        raise UserError(f"{folder}: transformers has (unk, bos, eos, pad, size) {theirs}, the tokenizer {ours}")
    # `verbose` would warn of texts beyond model_max_length.
    for text, ids in zip(texts, loaded(list(texts), verbose=False)["input_ids"], strict=True):
        expected = [tokenizer.bos_id, *tokenizer.encode(text)]
        if ids != expected:
            raise UserError(f"{folder}: transformers turns {text!r} into {ids}, the tokenizer into {expected}")
        back = loaded.decode(ids, skip_special_tokens=True)
        if back != text.replace(_SPACE, " "):
            raise UserError(f"{folder}: transformers turns the ids of {text!r} into {back!r}")


def load_as_trained(folder: Path) -> Any:
    """The tokenizer of a Hugging Face folder for transformers, with the ids of its files.

    transformers 5 rebuilds many tokenizers in its own way (`docs/tokenizer.md`). Where that gives other ids, or needs a
    program of the publisher, tokenizer.json is taken as it is, and this is said on stderr.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import PreTrainedTokenizerFast

    if needs_conversion(folder):
        with tempfile.TemporaryDirectory() as work:
            adopted_tokenizer(folder, Path(work))
            return PreTrainedTokenizerFast.from_pretrained(work, local_files_only=True)
    try:
        loaded = load_tokenizer(folder)
    except UserError as error:
        if not (folder / TOKENIZER_FILE).is_file():
            raise
        reason = str(error)
    else:
        difference = None if type(loaded) is PreTrainedTokenizerFast else _difference_to_files(folder, loaded)
        if difference is None:
            return loaded
        reason = f"with the class {type(loaded).__name__}, {difference}"
    try:
        with quiet_transformers():
            found = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise UserError(f"{folder}: transformers cannot load {TOKENIZER_FILE}: {error}") from error
    print(f"{folder}: {TOKENIZER_FILE} is used as it is ({_shortened(reason)})", file=sys.stderr)
    return found


def _difference_to_files(folder: Path, loaded: Any) -> str | None:
    try:
        tokenizer = AdoptedTokenizer(folder, describe(folder), read_definition(folder))
    except UserError:
        return None  # of a kind that transformers alone can read
    return _first_difference(tokenizer, loaded, probe_texts())


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _first_difference(tokenizer: AdoptedTokenizer, loaded: Any, texts: Sequence[str]) -> str | None:
    """In words. transformers may lack a special token that config.json names."""
    theirs = (loaded.unk_token_id, loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id)
    for name, their, our in zip(("unk", "bos", "eos", "pad"), theirs, tokenizer.special_ids, strict=True):
        if None not in (their, our) and their != our:
            return f"transformers has {name} {their}, the tokenizer {our}"
    controls = tokenizer.control_texts
    plain = [text for text in texts if not any(control in text for control in controls)]
    found = loaded(plain, add_special_tokens=False, verbose=False)["input_ids"]
    for text, ids, expected in zip(plain, found, tokenizer.encode_batch(plain), strict=True):
        if ids != expected.tolist():
            return f"transformers turns {text!r} into {ids}, the tokenizer into {expected.tolist()}"
    return None


def _unigram(pieces: Sequence[Piece], tokenizer: Tokenizer) -> models.Unigram:
    vocabulary = [(piece.text, piece.score if piece.matches_text else _HIDDEN_SCORE) for piece in pieces]
    return models.Unigram(vocabulary, unk_id=tokenizer.unk_id, byte_fallback=True)


def _bpe(pieces: Sequence[Piece], unk: str) -> models.BPE:
    merges = bpe_merges({piece.text: piece.score for piece in pieces if piece.matches_text})
    ids = {piece.text: id for id, piece in enumerate(pieces)}
    return models.BPE(ids, merges, unk_token=unk, byte_fallback=True, fuse_unk=False)
