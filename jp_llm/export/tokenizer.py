"""The tokenizer of a Hugging Face folder, and the proof that it gives our ids.

transformers 5 rebuilds the tokenizer of most classes in its own way and ignores what `tokenizer.json` says, without a
word; `PreTrainedTokenizerFast` is the class that takes the file as it is. The other differences to SentencePiece are
met inside the file:

- Hugging Face's unigram model also finds control and byte pieces in text. `_HIDDEN_SCORE` makes that path the worst.
- A literal <s> in text is characters for SentencePiece and a control id for Hugging Face. `split_special_tokens` makes
  it characters there too; who renders chat templates as text switches it off.
- Our piece scores add up exactly (`preprocessing/encode/exact_scores.py`), so float32 and float64 break ties alike.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as HFTokenizer

from jp_llm.export.probe_texts import probe_texts as probe_texts
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, write_json
from jp_llm.tokenizer.manifest import MANIFEST_FILE, MODEL_FILE
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

SENTENCEPIECE_FOLDER = "sentencepiece"
"""Subfolder that keeps our tokenizer folder. Beside tokenizer.json, loaders might build another one from the model."""

_SPACE = "▁"
_HIDDEN_SCORE = -10_000.0
"""Far below the sum of the six printable ASCII pieces that spell <0x41> (all of them are in our vocabularies)."""


def write_hf_tokenizer(tokenizer: Tokenizer, folder: Path, *, model_max_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, and our own files below `sentencepiece/`.

    A text is encoded with `<s>` in front, unless the caller says `add_special_tokens=False`.
    """
    pieces = tokenizer.pieces()
    special = [pieces[id].text for id in (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)]
    unk, bos, eos, pad = special

    backend = HFTokenizer(
        _unigram(pieces, tokenizer) if tokenizer.recipe["model_type"] == "unigram" else _bpe(pieces, unk)
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="never", split=False)
    backend.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.bos_id)]
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
    for name in (MODEL_FILE, MANIFEST_FILE):
        with atomic_writer(folder / SENTENCEPIECE_FOLDER / name) as file:
            file.write((tokenizer.folder / name).read_bytes())


def verify_hf_tokenizer(tokenizer: Tokenizer, folder: Path, texts: Sequence[str]) -> None:
    """Load a Hugging Face folder as its users do and compare ids, special ids and the way back on every text.

    Raises:
        UserError: something differs; the message shows the first text.
    """
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    theirs = (loaded.unk_token_id, loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, len(loaded))
    ours = (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.vocab_size)
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


def _unigram(pieces: Sequence[Piece], tokenizer: Tokenizer) -> models.Unigram:
    vocabulary = [(piece.text, piece.score if piece.matches_text else _HIDDEN_SCORE) for piece in pieces]
    return models.Unigram(vocabulary, unk_id=tokenizer.unk_id, byte_fallback=True)


def _bpe(pieces: Sequence[Piece], unk: str) -> models.BPE:
    """SentencePiece stores no merges: it joins any neighbours whose union is a piece, best score first."""
    usable = {piece.text for piece in pieces if piece.matches_text}
    merges = [
        (piece.text[:cut], piece.text[cut:])
        for piece in sorted(pieces, key=lambda piece: -piece.score)
        if piece.matches_text
        for cut in range(1, len(piece.text))
        if piece.text[:cut] in usable and piece.text[cut:] in usable
    ]
    ids = {piece.text: id for id, piece in enumerate(pieces)}
    return models.BPE(ids, merges, unk_token=unk, byte_fallback=True, fuse_unk=False)
