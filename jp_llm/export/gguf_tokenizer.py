"""Our tokenizers in the words of llama.cpp.

BPE of SentencePiece is its `llama` tokenizer: neighbours are joined, best score first, and characters that are no piece
fall back to bytes, as in SentencePiece. Unigram is its `t5` tokenizer (UGM), which finds the same best segmentation but
has no byte fallback: a run of characters outside of the vocabulary is one <unk>, and its text is lost.
"""

import re
from pathlib import Path
from typing import Any, Literal

from jp_llm.export.tokenizer import SENTENCEPIECE_FOLDER
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
"""Values of tokenizer.ggml.token_type (gguf.TokenType)."""
_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


def load_gguf_tokenizer(folder: Path, unknown_characters: Literal["refuse", "unk"]) -> Tokenizer:
    """The tokenizer of a Hugging Face folder of ours, if llama.cpp gives its ids.

    Raises:
        UserError: it does not; the message says why.
    """
    own = folder / SENTENCEPIECE_FOLDER
    if not own.is_dir():
        raise UserError(
            f"{folder}: the tokenizer is another maker's (no folder {SENTENCEPIECE_FOLDER}). llama.cpp knows "
            "byte-level BPE by the name of its word splitter only; try its own converter (convert_hf_to_gguf.py)"
        )
    tokenizer = Tokenizer.load(own)
    if tokenizer.recipe["model_type"] == "unigram" and unknown_characters == "refuse":
        raise UserError(
            f"{folder}: the tokenizer is unigram, for which llama.cpp has no byte fallback: characters outside of its "
            f"{tokenizer.vocab_size} pieces would become <unk>. Train with tokenizer.model_type=bpe for llama.cpp, or "
            "accept the loss with unknown_characters=unk"
        )
    if found := _spellable(tokenizer.pieces()):
        raise UserError(
            f"{folder}: llama.cpp would read {', '.join(found)} in a text as the control token, because the vocabulary "
            "has pieces that join to it; train the tokenizer on text without it"
        )
    return tokenizer


def write_gguf_tokenizer(writer: Any, tokenizer: Tokenizer) -> None:
    """Pieces, scores, types and flags, into a `gguf.GGUFWriter`."""
    pieces = tokenizer.pieces()
    unigram = tokenizer.recipe["model_type"] == "unigram"
    writer.add_tokenizer_model("t5" if unigram else "llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.text for piece in pieces])
    writer.add_token_scores([piece.score for piece in pieces])
    writer.add_token_types([_type(id, piece, tokenizer) for id, piece in enumerate(pieces)])
    writer.add_unk_token_id(tokenizer.unk_id)
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_remove_extra_whitespaces(False)


def _type(id: int, piece: Piece, tokenizer: Tokenizer) -> int:
    if id == tokenizer.unk_id:
        return _UNKNOWN
    if piece.matches_text:
        return _NORMAL
    return _BYTE if _BYTE_PIECE.fullmatch(piece.text) else _CONTROL


def _spellable(pieces: list[Piece]) -> list[str]:
    """Control and byte pieces that two joined pieces spell: llama.cpp looks joined text up among all pieces."""
    usable = {piece.text for piece in pieces if piece.matches_text}
    usable |= {character for text in usable for character in text}
    return [
        piece.text
        for piece in pieces
        if not piece.matches_text
        and any(piece.text[:cut] in usable and piece.text[cut:] in usable for cut in range(1, len(piece.text)))
    ]
