"""Tokenizers of any kind behind one face: our folders, and what transformers loads."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class AnyTokenizer:
    """What a comparison needs."""

    name: str
    """As the user gave it."""
    about: dict[str, str]
    """Library, version, kind and, of ours, fingerprint."""
    vocab_size: int
    encode: Callable[[list[str]], list[list[int]]]
    """Ids of each text, without special ones around it."""
    decode: Callable[[Sequence[int]], str]
    unknown_ids: frozenset[int]
    byte_ids: frozenset[int]
    """Tokens that hold bytes but no whole character."""


def open_tokenizer(name: str) -> AnyTokenizer:
    """A tokenizer folder or dataset folder of ours, else a Hugging Face folder or a name on its hub.

    Raises:
        UserError: it is nothing of that kind, damaged, not downloaded, or transformers is missing.
    """
    folder = Path(name).expanduser()
    for place in (folder, folder / "tokenizer"):
        if (place / MANIFEST_FILE).is_file():
            return _ours(name, Tokenizer.load(place))
    return _hugging_face(name, folder)


def _ours(name: str, tokenizer: Tokenizer) -> AnyTokenizer:
    pieces = enumerate(tokenizer.pieces())
    return AnyTokenizer(
        name=name,
        about={
            "library": tokenizer.package,
            "version": tokenizer.package_version,
            "kind": str(tokenizer.recipe.get("model_type")),
            "fingerprint": tokenizer.fingerprint,
        },
        vocab_size=tokenizer.vocab_size,
        encode=lambda texts: [ids.tolist() for ids in tokenizer.encode_batch(texts)],
        decode=tokenizer.decode,
        unknown_ids=frozenset() if tokenizer.unk_id is None else frozenset({tokenizer.unk_id}),
        byte_ids=frozenset(id for id, piece in pieces if not piece.matches_text and _is_byte(piece.text)),
    )


def _hugging_face(name: str, folder: Path) -> AnyTokenizer:
    if find_spec("transformers") is None:
        raise UserError(f"{name}: no tokenizer of ours; others need transformers: pip install 'jp-llm[export]'")
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        loaded = _loaded(folder if folder.is_dir() else name)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"{name}: neither a tokenizer of ours nor one that transformers loads ({reason}). Name a folder with "
            "tokenizer.json, or download it where there is a network (hf download) and unset HF_HUB_OFFLINE"
        ) from error
    finally:
        logging.set_verbosity(before)
    return AnyTokenizer(
        name=name,
        about={"library": "transformers", "version": version("transformers"), "kind": type(loaded).__name__},
        vocab_size=len(loaded),
        # `verbose` would warn of texts beyond model_max_length.
        encode=lambda texts: loaded(texts, add_special_tokens=False, verbose=False)["input_ids"],
        decode=lambda ids: loaded.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
        unknown_ids=frozenset() if loaded.unk_token_id is None else frozenset({loaded.unk_token_id}),
        byte_ids=_byte_ids(loaded),
    )


def _loaded(name: str | Path) -> Any:
    """From a folder, or what was downloaded before, or the hub, in this order."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except OSError:
        if isinstance(name, Path):
            raise
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)


def _byte_ids(loaded: Any) -> frozenset[int]:
    """Pieces like <0xE3>; and of byte-level BPE, those whose bytes are no UTF-8."""
    vocabulary: dict[str, int] = loaded.get_vocab()
    found = {id for piece, id in vocabulary.items() if _is_byte(piece)}
    backend = getattr(loaded, "backend_tokenizer", None)
    decoder = None if backend is None else json.loads(backend.to_str()).get("decoder")
    if "ByteLevel" in str(decoder):
        characters = _byte_characters()
        for piece, id in vocabulary.items():
            if all(character in characters for character in piece):
                try:
                    bytes(characters[character] for character in piece).decode()
                except UnicodeDecodeError:
                    found.add(id)
    return frozenset(found)


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _byte_characters() -> dict[str, int]:
    """GPT-2's characters for bytes: printable Latin-1 for itself, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + index): byte for index, byte in enumerate(others)}
