"""Tokenizers that we train: text to token ids and back, losslessly, with SentencePiece.

The newline is a piece of its own and no other piece contains one, so a text may be cut after any newline without
changing its ids. That is used twice: short texts are encoded together, long ones in blocks of `_BLOCK_BYTES`.

Blocks also keep the ids exact. SentencePiece adds piece scores in float32 along the whole input; in a long document
rounding then decides between segmentations of (nearly) equal score, and the ids of a sentence depend on what stands
before it, on the library and on its version. Our models have scores on a grid of 1/64
(`preprocessing/encode/exact_scores.py`), whose sums within a block are exact. (Only a line of more than some 100 KB
may add up to more than float32 holds exactly.)
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, sha256_of
from jp_llm.tokenizer.manifest import MODEL_FILE, PROBES, REMEDY, SENTENCEPIECE, TokenizerManifest
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

_BLOCK_BYTES = 16 << 10


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model with <unk>, <s>, </s>, <pad>, and the newline as a piece of its own."""

    def __init__(self, folder: Path, manifest: TokenizerManifest) -> None:
        super().__init__(folder, manifest)
        self._processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL_FILE))
        self._newline_id: int = self._processor.piece_to_id("\n")

    @classmethod
    def open(cls, folder: Path, manifest: TokenizerManifest) -> Self:
        path = folder / MODEL_FILE
        if not path.is_file():
            raise UserError(f"{path}: missing; {REMEDY}")
        if sha256_of(path) != manifest.sha256:
            raise UserError(f"{path}: its bytes have changed (SHA-256 is not the manifest's); {REMEDY}")
        return cls(folder, manifest)

    @classmethod
    def create(cls, folder: Path, model: bytes, recipe: dict[str, Any]) -> Tokenizer:
        """Write a tokenizer folder from a serialized SentencePiece model.

        Raises:
            ValueError: the model has no pieces <unk>, <s>, </s> and <pad>, or the newline is not a piece of its own.
        """
        processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = processor.id_to_piece(list(range(processor.vocab_size())))
        if -1 in (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()):
            raise ValueError("the model lacks <unk>, <s>, </s> or <pad>")
        if [piece for piece in pieces if "\n" in piece] != ["\n"]:
            raise ValueError("the newline must be one piece of the model and stand in no other")
        with atomic_writer(folder / MODEL_FILE) as file:
            file.write(model)
        TokenizerManifest(
            sha256=sha256_of(folder / MODEL_FILE),
            package=SENTENCEPIECE,
            package_version=version(SENTENCEPIECE),
            vocab_size=len(pieces),
            unk_id=processor.unk_id(),
            bos_id=processor.bos_id(),
            eos_id=processor.eos_id(),
            pad_id=processor.pad_id(),
            recipe=recipe,
            probes=[(text, processor.encode(text)) for text in PROBES],
        ).save(folder)
        return cls.load(folder)

    @property
    def special_ids(self) -> tuple[int, int, int, int]:
        processor = self._processor
        return processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()

    @property
    def files(self) -> tuple[str, ...]:
        return (MODEL_FILE,)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        # Memory is shared between the arrays of one call.
        if not texts:
            return []
        data = "\n".join(texts).encode()
        ids = np.concatenate([self._processor.encode(block, return_type="numpy") for block in _blocks(data)])
        # The n-th text ends before the newline that follows the newlines inside the first n texts.
        newlines = np.cumsum([text.count("\n") + 1 for text in texts[:-1]], dtype=np.int64)
        ends = np.flatnonzero(ids == self._newline_id)[newlines - 1]
        starts = [0, *(ends + 1).tolist()]
        return [ids[start:end] for start, end in zip(starts, [*ends.tolist(), len(ids)], strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._processor.decode([int(token) for token in ids])
        return text

    def pieces(self) -> list[Piece]:
        processor, ids = self._processor, list(range(self.vocab_size))
        special = zip(processor.is_control(ids), processor.is_unknown(ids), processor.is_byte(ids), strict=True)
        return [
            Piece(text, score, not any(kinds))
            for text, score, kinds in zip(processor.id_to_piece(ids), processor.get_score(ids), special, strict=True)
        ]


def _blocks(data: bytes) -> Iterator[bytes]:
    """Cut UTF-8 after newlines into blocks of at most `_BLOCK_BYTES`, longer only where a line is longer."""
    start = 0
    while len(data) - start > _BLOCK_BYTES:
        newline = data.rfind(b"\n", start, start + _BLOCK_BYTES)
        if newline < 0:
            newline = data.find(b"\n", start + _BLOCK_BYTES)
        if newline < 0:
            break
        yield data[start : newline + 1]
        start = newline + 1
    yield data[start:]
