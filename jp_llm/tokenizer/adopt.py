"""Take over the tokenizer of a Hugging Face folder, so that its model can be trained further with its own ids."""

import sys
from collections.abc import Mapping
from difflib import SequenceMatcher
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json, sha256_of
from jp_llm.tokenizer.adopted_tokenizer import (
    TOKENIZER_FILE,
    AdoptedTokenizer,
    backend_of,
    fingerprint,
    read_definition,
    vocabulary,
)
from jp_llm.tokenizer.manifest import MANIFEST_FILE, PROBES, TOKENIZERS, TokenizerManifest
from jp_llm.tokenizer.tokenizer import Tokenizer

EXPORTED_FOLDER = "sentencepiece"
"""Subfolder of our exports that holds the tokenizer folder they were made with."""

TOKENIZER_FILES = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files of a Hugging Face folder that belong to its tokenizer."""

_SOURCES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "generation_config.json",
    "added_tokens.json",
)
"""Files that say which tokens are the special ones."""

_SHOWN_LOSSES = 3


def adopt(hf_folder: Path, target: Path) -> Tokenizer:
    """Make the tokenizer folder `target` of the tokenizer of a Hugging Face folder.

    Of a folder that launch/export_hf.py wrote, this is the tokenizer folder that the model was trained with. Otherwise
    the files of the tokenizer are copied byte for byte, and `tokenizer.json` is what encodes. What text loses by its
    normalisation is said once, on stderr.

    Raises:
        UserError: there is no tokenizer, it is damaged, or it needs launch/import_hf.py first.
    """
    if (hf_folder / EXPORTED_FOLDER / MANIFEST_FILE).is_file():
        return Tokenizer.load(hf_folder / EXPORTED_FOLDER).copy_to(target)
    manifest = describe(hf_folder)
    for name in manifest.recipe["files"]:
        with atomic_writer(target / name) as file:
            file.write((hf_folder / name).read_bytes())
    manifest.save(target)
    tokenizer = Tokenizer.load(target)
    if losses := losses_of(tokenizer):
        print(
            f"{hf_folder}: this tokenizer does not keep every text as it is: {', '.join(losses[:_SHOWN_LOSSES])}. "
            "Training goes on with what it keeps",
            file=sys.stderr,
        )
    return tokenizer


def describe(hf_folder: Path) -> TokenizerManifest:
    """The manifest that the tokenizer of a Hugging Face folder has when it is adopted.

    Raises:
        UserError: see `adopt`.
    """
    present = _files_of(hf_folder)
    definition = read_definition(hf_folder)
    backend_of(definition, hf_folder)  # a damaged file is named before anything is taken from it
    tokens = vocabulary(definition)
    about = {name: _object(hf_folder / name) for name in _SOURCES if (hf_folder / name).is_file()}
    _check_added_tokens(hf_folder, about, tokens)
    found = {name: _special_id(name, hf_folder, about, tokens) for name in ("unk", "bos", "eos", "pad")}
    if found["unk"] is None:
        found["unk"] = _unknown(definition["model"], tokens)
    if found["bos"] is None and found["eos"] is None:
        raise UserError(
            f"{hf_folder}: names neither a bos nor an eos token, so documents cannot be told apart; set eos_token in "
            f"tokenizer_config.json to the token that ends a text"
        )
    ids = (found["unk"], found["bos"], found["eos"], found["pad"])
    manifest = TokenizerManifest(
        sha256=fingerprint(definition, ids),
        package=TOKENIZERS,
        package_version=version(TOKENIZERS),
        vocab_size=max(tokens.values()) + 1,
        unk_id=ids[0],
        bos_id=ids[1],
        eos_id=ids[2],
        pad_id=ids[3],
        recipe={
            "model_type": str(definition["model"].get("type", "bpe")).lower(),
            "tokenizer_class": about.get("tokenizer_config.json", {}).get("tokenizer_class"),
            "files": {name: sha256_of(hf_folder / name) for name in present},
        },
        probes=[],
    )
    tokenizer = AdoptedTokenizer(hf_folder, manifest, definition)
    return TokenizerManifest(**{**vars(manifest), "probes": [(text, tokenizer.encode(text)) for text in PROBES]})


def losses_of(tokenizer: Tokenizer) -> list[str]:
    """What becomes of parts of the probe texts that do not come back as they were, in words; each kind once."""
    found: dict[str, None] = {}
    for text in PROBES:
        back = tokenizer.decode(tokenizer.encode(text))
        for kind, start, end, back_start, back_end in SequenceMatcher(None, text, back, autojunk=False).get_opcodes():
            if kind == "insert":
                found[f"{back[back_start:back_end]!r} is added"] = None
            elif kind != "equal":
                found[f"{text[start:end]!r} becomes {back[back_start:back_end]!r}"] = None
    return list(found)


def _files_of(hf_folder: Path) -> list[str]:
    present = [name for name in TOKENIZER_FILES if (hf_folder / name).is_file()]
    if TOKENIZER_FILE in present:
        return present
    if not hf_folder.is_dir():
        raise UserError(f"{hf_folder}: no such folder; name a tokenizer, a Hugging Face folder, a checkpoint or a run")
    others = sorted({*present, *(path.name for path in hf_folder.glob("*.model"))})
    if not others:
        raise UserError(f"{hf_folder}: holds no tokenizer (no {TOKENIZER_FILE}); copy it again with its tokenizer")
    raise UserError(
        f"{hf_folder}: its tokenizer ({', '.join(others)}) has no {TOKENIZER_FILE}; launch/import_hf.py makes one, and "
        "a model folder that holds the tokenizer: name that folder here"
    )


def _object(path: Path) -> Mapping[str, Any]:
    try:
        value = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); copy it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: a JSON object expected; copy it again")
    return value


def _check_added_tokens(hf_folder: Path, about: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]) -> None:
    """Tokens that transformers would add while it loads must be those of tokenizer.json."""
    added = dict(about.get("added_tokens.json", {}))
    for number, token in (about.get("tokenizer_config.json", {}).get("added_tokens_decoder") or {}).items():
        added[token["content"]] = int(number)
    if wrong := [f"{text!r} = {number}" for text, number in added.items() if tokens.get(text) != number]:
        raise UserError(
            f"{hf_folder}: {TOKENIZER_FILE} lacks added tokens that other files name ({', '.join(wrong[:5])}); load "
            "the tokenizer with transformers and save it again (save_pretrained)"
        )


def _special_id(
    name: str, hf_folder: Path, about: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]
) -> int | None:
    """As transformers finds it: by its text in the files of the tokenizer, else by its id in those of the model."""
    for source in ("tokenizer_config.json", "special_tokens_map.json"):
        if f"{name}_token" in about.get(source, {}):
            value = about[source][f"{name}_token"]
            text = str((value.get("content") if isinstance(value, dict) else value) or "")
            if text in tokens or name == "pad" or not text:
                return tokens.get(text)
            raise UserError(f"{hf_folder / source}: {name}_token is {text!r}, which {TOKENIZER_FILE} does not hold")
    for source in ("config.json", "generation_config.json"):
        value = about.get(source, {}).get(f"{name}_token_id")
        number = value[0] if isinstance(value, list) and value else value
        if isinstance(number, int) and number in tokens.values():
            return number
    return None


def _unknown(model: Mapping[str, Any], tokens: Mapping[str, int]) -> int | None:
    """What the model itself writes for what it cannot."""
    number = model.get("unk_id")
    return tokens.get(model.get("unk_token") or "") if number is None else int(number)
