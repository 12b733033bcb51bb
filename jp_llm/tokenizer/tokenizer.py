"""Text to token ids and back: what every tokenizer of ours can do, whoever made it.

There are two kinds. `SentencePieceTokenizer` is what launch/train_tokenizer.py makes; `AdoptedTokenizer` is the
`tokenizer.json` of somebody else's model, taken as it is (`jp_llm/tokenizer/adopt.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.tokenizer.manifest import MANIFEST_FILE, SENTENCEPIECE, TokenizerManifest


@dataclass(frozen=True)
class Piece:
    """An entry of the vocabulary; its id is its place."""

    text: str
    """As the model writes it: in SentencePiece models a space is U+2581 and bytes are <0x00> to <0xFF>."""
    score: float
    """0 where the model has none."""
    matches_text: bool
    """False for control pieces, <unk> and bytes: text that looks like them is not turned into them."""


class Tokenizer(ABC):
    """A tokenizer folder in memory. Pickles as its path, so it is loaded (and verified) once per process."""

    def __init__(self, folder: Path, manifest: TokenizerManifest) -> None:
        self.folder = folder
        self.vocab_size = manifest.vocab_size
        """Highest id + 1, added tokens included."""
        self.unk_id = manifest.unk_id
        self.bos_id = manifest.bos_id
        self.eos_id = manifest.eos_id
        self.pad_id = manifest.pad_id
        self.fingerprint = manifest.sha256
        """SHA-256 of what decides the ids."""
        self.package = manifest.package
        """Python package that turns text into ids."""
        self.package_version = manifest.package_version
        """Version of the package that the ids are defined by; see `require_package`."""
        self.recipe = manifest.recipe
        """How it was made; `model_type` is unigram or bpe (of adopted ones also wordpiece, wordlevel)."""

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Load a tokenizer folder of either kind and check that it gives the ids it gave when it was made.

        Raises:
            UserError: the folder is incomplete or damaged, or the installed package gives other ids.
        """
        # Each kind brings its package, which is loaded only for a folder of that kind.
        manifest = TokenizerManifest.load(folder)
        tokenizer: Tokenizer
        if manifest.package == SENTENCEPIECE:
            from jp_llm.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer

            tokenizer = SentencePieceTokenizer.open(folder, manifest)
        else:
            from jp_llm.tokenizer.adopted_tokenizer import AdoptedTokenizer

            tokenizer = AdoptedTokenizer.open(folder, manifest)
        for text, ids in manifest.probes:
            if tokenizer.encode(text) != ids:
                raise UserError(
                    f"{folder}: {manifest.package} {version(manifest.package)} turns {text!r} into other ids than "
                    f"{manifest.package_version}, which made this tokenizer; install "
                    f"{manifest.package}=={manifest.package_version}"
                )
        return tokenizer

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, manifest: TokenizerManifest) -> Self:
        """Load a folder of this kind and check its files against its manifest.

        Raises:
            UserError: a file is missing, or its bytes have changed.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.load, (self.folder.resolve(),)

    @property
    def special_ids(self) -> tuple[int | None, int | None, int | None, int | None]:
        """unk, bos, eos and pad."""
        return self.unk_id, self.bos_id, self.eos_id, self.pad_id

    @property
    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Names of the files of the folder beside its manifest."""

    def copy_to(self, target: Path) -> "Tokenizer":
        """Write the folder anew as `target`, byte for byte, and load it."""
        for name in (*self.files, MANIFEST_FILE):
            with atomic_writer(target / name) as file:
                file.write((self.folder / name).read_bytes())
        return Tokenizer.load(target)

    @property
    def start_id(self) -> int:
        """What every document begins with: bos, or eos where the model has no bos."""
        start = self.eos_id if self.bos_id is None else self.bos_id
        assert start is not None  # the manifest refuses a tokenizer without both
        return start

    @property
    def end_id(self) -> int | None:
        """What every document ends with: eos; None where the same id begins documents and so also tells their end."""
        return None if self.eos_id == self.start_id else self.eos_id

    def require_package(self) -> None:
        """Refuse to write shards with another version of the package than the tokenizer's own.

        Equal probes are enough for reading and generating; a dataset must not mix versions.

        Raises:
            UserError: another version is installed.
        """
        if version(self.package) != self.package_version:
            raise UserError(
                f"{self.folder}: made with {self.package} {self.package_version}, but {version(self.package)} is "
                "installed; another version may give other ids. To write shards, install "
                f"{self.package}=={self.package_version}"
            )

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without `start_id` and `end_id`."""
        ids: list[int] = self.encode_batch([text])[0].tolist()
        return ids

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Ids of each text, [tokens] without `start_id` and `end_id`.

        Give it at least some ten kilobytes of text at once to reach full speed.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; control ids are dropped, bytes that are no UTF-8 become U+FFFD.

        Raises:
            IndexError: an id outside the vocabulary.
        """

    @abstractmethod
    def pieces(self) -> list[Piece]:
        """The vocabulary in the order of its ids."""
