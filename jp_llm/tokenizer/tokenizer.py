"""Text to token ids and back, losslessly, with SentencePiece.

The newline is a piece of its own and no other piece contains one, so a text may be cut after any newline without
changing its ids. That is used twice: short texts are encoded together, long ones in blocks of `_BLOCK_BYTES`.

Blocks also keep the ids exact. SentencePiece adds piece scores in float32 along the whole input; in a long document
rounding then decides between segmentations of (nearly) equal score, and the ids of a sentence depend on what stands
before it, on the library and on its version. Our models have scores on a grid of 1/64
(`preprocessing/encode/exact_scores.py`), whose sums within a block are exact. (Only a line of more than some 100 KB
may add up to more than float32 holds exactly.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, sha256_of
from jp_llm.tokenizer.manifest import LIBRARY, MODEL_FILE, PROBES, REMEDY, TokenizerManifest

_BLOCK_BYTES = 16 << 10


@dataclass(frozen=True)
class Piece:
    """An entry of the vocabulary; its id is its place."""

    text: str
    """Spaces are written as U+2581; bytes as <0x00> to <0xFF>."""
    score: float
    matches_text: bool
    """False for control pieces, <unk> and bytes: text that looks like them is not turned into them."""


class Tokenizer:
    """A tokenizer folder in memory. Pickles as its path, so it is loaded (and verified) once per process."""

    def __init__(self, folder: Path, manifest: TokenizerManifest) -> None:
        self.folder = folder
        self.vocab_size = manifest.vocab_size
        self.unk_id = manifest.unk_id
        self.bos_id = manifest.bos_id
        self.eos_id = manifest.eos_id
        self.pad_id = manifest.pad_id
        self.fingerprint = manifest.sha256
        """SHA-256 of the model file."""
        self.library_version = manifest.library_version
        """SentencePiece that the ids are defined by; see `require_library`."""
        self.recipe = manifest.recipe
        """How it was trained; `model_type` is unigram or bpe."""
        self._processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL_FILE))
        self._newline_id: int = self._processor.piece_to_id("\n")

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Load a tokenizer folder and check that it gives the ids it gave when it was made.

        Raises:
            UserError: the folder is incomplete or damaged, or the installed SentencePiece gives other ids.
        """
        manifest = TokenizerManifest.load(folder)
        path = folder / MODEL_FILE
        if not path.is_file():
            raise UserError(f"{path}: missing; {REMEDY}")
        if sha256_of(path) != manifest.sha256:
            raise UserError(f"{path}: its bytes have changed (SHA-256 is not the manifest's); {REMEDY}")
        tokenizer = cls(folder, manifest)
        for text, ids in manifest.probes:
            if tokenizer.encode(text) != ids:
                raise UserError(
                    f"{folder}: {LIBRARY} {sentencepiece.__version__} turns {text!r} into other ids than "
                    f"{manifest.library_version}, which made this tokenizer; install "
                    f"{LIBRARY}=={manifest.library_version}"
                )
        return tokenizer

    @classmethod
    def create(cls, folder: Path, model: bytes, recipe: dict[str, Any]) -> "Tokenizer":
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
            library=LIBRARY,
            library_version=sentencepiece.__version__,
            vocab_size=len(pieces),
            unk_id=processor.unk_id(),
            bos_id=processor.bos_id(),
            eos_id=processor.eos_id(),
            pad_id=processor.pad_id(),
            recipe=recipe,
            probes=[(text, processor.encode(text)) for text in PROBES],
        ).save(folder)
        return cls.load(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.load, (self.folder.resolve(),)

    def require_library(self) -> None:
        """Refuse to write shards with another SentencePiece than the tokenizer's own.

        Equal probes are enough for reading and generating; a dataset must not mix versions.

        Raises:
            UserError: another version is installed.
        """
        if sentencepiece.__version__ != self.library_version:
            raise UserError(
                f"{self.folder}: made with {LIBRARY} {self.library_version}, but {sentencepiece.__version__} is "
                "installed; another version may give other ids. To write shards, install "
                f"{LIBRARY}=={self.library_version}"
            )

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without <s> and </s>."""
        ids: list[int] = self.encode_batch([text])[0].tolist()
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Ids of each text, [tokens] without <s> and </s>. Memory is shared between the arrays of one call.

        Give it at least some ten kilobytes of text at once to reach full speed.
        """
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
        """The text of some ids; <s>, </s> and <pad> are dropped, bytes that are no UTF-8 become U+FFFD.

        Raises:
            IndexError: an id outside the vocabulary.
        """
        text: str = self._processor.decode([int(token) for token in ids])
        return text

    def pieces(self) -> list[Piece]:
        """The vocabulary in the order of its ids."""
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
