"""Tokenizers of other people's models: their `tokenizer.json`, encoded by the package `tokenizers`.

Ids of ordinary text are those of the file. Text that spells a control token (</s> in a web page) becomes characters and
never the control id, which would end a document in its midst: the package leaves out special tokens on request
(`encode_special_tokens`), and those that also stand in the vocabulary of the model get, in memory, a name that no text
has. transformers does the first only, and only if it is called with `split_special_tokens=True`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fingerprint_of, read_json_object
from jp_llm.tokenizer.manifest import REMEDY, TokenizerManifest
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

TOKENIZER_FILE = "tokenizer.json"
_DECIDE_THE_IDS = ("normalizer", "pre_tokenizer")
_FLAGS_OF_ADDED_TOKENS = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")


class AdoptedTokenizer(Tokenizer):
    """A `tokenizer.json`, with the control ids that its model uses."""

    def __init__(self, folder: Path, manifest: TokenizerManifest, definition: Mapping[str, Any]) -> None:
        super().__init__(folder, manifest)
        self._definition = definition
        self._control = _control_tokens(definition, {self.bos_id, self.eos_id})
        self._backend = backend_of(_without_control_tokens(definition, self._control), folder)
        # Special tokens of the file are characters in text. (Those hidden below are gone already.)
        self._backend.encode_special_tokens = True

    @classmethod
    def open(cls, folder: Path, manifest: TokenizerManifest) -> Self:
        definition = read_definition(folder)
        tokenizer = cls(folder, manifest, definition)
        if fingerprint(definition, tokenizer.special_ids) != manifest.sha256:
            raise UserError(f"{folder / TOKENIZER_FILE}: has changed (its SHA-256 is not the manifest's); {REMEDY}")
        return tokenizer

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.recipe["files"])

    @property
    def control_texts(self) -> tuple[str, ...]:
        """What is a control token for transformers, and characters for `encode`."""
        return tuple(self._control.values())

    @property
    def byte_level(self) -> bool:
        """Whether pieces are written in the characters that GPT-2 has for bytes."""
        return "ByteLevel" in json.dumps(self._definition.get("decoder"))

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        # The package encodes the texts of a batch in parallel, unless TOKENIZERS_PARALLELISM forbids it.
        found = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def decode(self, ids: Sequence[int]) -> str:
        numbers = [int(token) for token in ids]
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.vocab_size:
            raise IndexError(f"an id outside the vocabulary of {self.vocab_size}")
        text: str = self._backend.decode(
            [token for token in numbers if token not in self._control], skip_special_tokens=False
        )
        return text

    def pieces(self) -> list[Piece]:
        texts, scores = vocabulary(self._definition), _scores(self._definition)
        found = [Piece("", 0.0, False)] * self.vocab_size  # ids that the model leaves out
        for text, token in texts.items():
            matches = token not in self._control and token != self.unk_id and not _is_byte(text)
            found[token] = Piece(text, scores.get(text, 0.0), matches)
        return found


def read_definition(folder: Path) -> dict[str, Any]:
    """The content of `tokenizer.json`.

    Raises:
        UserError: it is missing, or not such a file.
    """
    path = folder / TOKENIZER_FILE
    try:
        value = read_json_object(path, "copy it again")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: missing; {REMEDY}") from None
    model = value.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise UserError(f"{path}: not the file of a tokenizer (no model with a vocabulary); copy it again")
    return value


def backend_of(definition: Mapping[str, Any], folder: Path) -> Any:
    """The `tokenizers.Tokenizer` of a definition, which comes from `folder`.

    Raises:
        UserError: the package is missing, or does not understand the definition.
    """
    try:
        from tokenizers import Tokenizer as Backend
    except ImportError as error:
        raise UserError(f"{folder}: needs the package tokenizers: pip install 'jp-llm[export]'") from error
    try:
        return Backend.from_str(json.dumps(definition))
    # The package raises nothing more special.
    except Exception as error:
        raise UserError(f"{folder / TOKENIZER_FILE}: damaged, or too new for tokenizers ({error})") from error


def vocabulary(definition: Mapping[str, Any]) -> dict[str, int]:
    """{piece: id}, added tokens included."""
    model = definition["model"]["vocab"]
    found = {entry[0]: place for place, entry in enumerate(model)} if isinstance(model, list) else dict(model)
    return found | {token["content"]: token["id"] for token in definition.get("added_tokens") or ()}


def fingerprint(definition: Mapping[str, Any], control_ids: Sequence[int | None]) -> str:
    """SHA-256 of what decides the ids, however the file is formatted and whatever it says about decoding.

    `control_ids` are unk, bos, eos and pad.
    """
    # Old files write the halves of a merge in one string, and leave out what has its default.
    model = {
        key: [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in value]
        if key == "merges"
        else value
        for key, value in definition["model"].items()
        if value is not None and value is not False and value != ""
    }
    added = [
        {flag: token.get(flag, False) for flag in _FLAGS_OF_ADDED_TOKENS}
        for token in sorted(definition.get("added_tokens") or (), key=lambda token: token["id"])
    ]
    steps = {key: definition.get(key) for key in _DECIDE_THE_IDS}
    return fingerprint_of({"model": model, "added_tokens": added, "control_ids": list(control_ids), **steps})


def _control_tokens(definition: Mapping[str, Any], framing: Collection[int | None]) -> dict[int, str]:
    """{id: text} of special tokens and of those that begin and end documents.

    A single character is left alone: whoever made "!" or the newline a special token has it in his texts too.
    """
    special = {token["id"] for token in definition.get("added_tokens") or () if token.get("special")}
    texts = vocabulary(definition).items()
    return {token: text for text, token in texts if (token in special or token in framing) and len(text) > 1}


def _without_control_tokens(definition: Mapping[str, Any], control: Mapping[int, str]) -> dict[str, Any]:
    """The definition with names for control tokens that no text has, and without what does not encode a text alone.

    Only tokens in the vocabulary of the model itself are renamed: it might put them together from their characters. Of
    the others the ids depend on their order in the file, so they stay, marked as special.
    """
    model = dict(definition["model"])
    listed = isinstance(model["vocab"], list)
    own = {entry[0] for entry in model["vocab"]} if listed else set(model["vocab"])
    # U+FDD0 is no character, and will never be one (Unicode, section 23.7).
    names = {text: f"\ufdd0{token}\ufdd0" for token, text in control.items() if text in own}
    if listed:
        model["vocab"] = [[names.get(text, text), score] for text, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(text, text): token for text, token in model["vocab"].items()}
    if "merges" in model:
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [
            [left, right]
            for left, right in pairs
            if left not in names and right not in names and left + right[prefix:] not in names
        ]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "dropout" in model:
        model["dropout"] = None  # would draw ids at random
    added = [
        {**token, "special": token["id"] in control}
        for token in definition.get("added_tokens") or ()
        if token["content"] not in names
    ]
    left_out = {"post_processor": None, "truncation": None, "padding": None}
    return {**definition, "model": model, "added_tokens": added, **left_out}


def _scores(definition: Mapping[str, Any]) -> dict[str, float]:
    model = definition["model"]["vocab"]
    return dict(model) if isinstance(model, list) else {}


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")
