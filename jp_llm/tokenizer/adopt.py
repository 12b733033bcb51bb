"""Take over the tokenizer of a Hugging Face folder, so that its model can be trained further with its own ids."""

import json
import sys
from collections.abc import Mapping
from difflib import SequenceMatcher
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json_object, sha256_of
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

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"

SENTENCEPIECE_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model")
"""Names under which Hugging Face folders hold a SentencePiece model, by precedence."""

TOKENIZER_FILES = (
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    *SENTENCEPIECE_FILES,
    "chat_template.jinja",
    "chat_template.json",
)
"""Files of a Hugging Face folder that belong to its tokenizer."""

_SOURCES = (
    TOKENIZER_CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    "config.json",
    "generation_config.json",
    "added_tokens.json",
)
"""Files that say which tokens are the special ones."""

_SHOWN_LOSSES = 3
_WHAT_TO_NAME = "name the folder of a tokenizer, a dataset, a Hugging Face model, a checkpoint or a run"


def adopt(hf_folder: Path, target: Path, *, name: Path | None = None) -> Tokenizer:
    """Make the tokenizer folder `target` of the tokenizer of a Hugging Face folder.

    Of a folder that launch/export_hf.py wrote, this is the tokenizer folder that the model was trained with. Otherwise
    the files of the tokenizer are copied byte for byte, and `tokenizer.json` is what encodes. What text loses by its
    normalisation is said once, on stderr.

    Args:
        name: what messages call the folder; None calls it what it is called.

    Raises:
        UserError: there is no tokenizer, it is damaged, or it needs launch/import_hf.py first.
    """
    if (hf_folder / EXPORTED_FOLDER / MANIFEST_FILE).is_file():
        return Tokenizer.load(hf_folder / EXPORTED_FOLDER).copy_to(target)
    manifest = describe(hf_folder)
    for part in manifest.recipe["files"]:
        with atomic_writer(target / part) as file:
            file.write((hf_folder / part).read_bytes())
    manifest.save(target)
    tokenizer = Tokenizer.load(target)
    if losses := losses_of(tokenizer):
        print(
            f"{name or hf_folder}: this tokenizer does not keep every text as it is: "
            f"{', '.join(losses[:_SHOWN_LOSSES])}. The model sees what it keeps",
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
    backend = backend_of(definition, hf_folder)  # names a damaged file before anything is taken from it
    tokens = vocabulary(definition)
    if wrong := [text for text, token in tokens.items() if backend.token_to_id(text) != token]:
        raise UserError(
            f"{hf_folder / TOKENIZER_FILE}: tokens do not have the ids that it gives them ({', '.join(wrong[:5])}); "
            "copy it again"
        )
    sources = [name for name in _SOURCES if (hf_folder / name).is_file()]
    about = {name: read_json_object(hf_folder / name, "copy it again") for name in sources}
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
            "tokenizer_class": about.get(TOKENIZER_CONFIG_FILE, {}).get("tokenizer_class"),
            "files": {name: sha256_of(hf_folder / name) for name in present},
        },
        probes=[],
    )
    tokenizer = AdoptedTokenizer(hf_folder, manifest, definition)
    return TokenizerManifest(**{**vars(manifest), "probes": [(text, tokenizer.encode(text)) for text in PROBES]})


def losses_of(tokenizer: Tokenizer) -> list[str]:
    """What becomes of parts of the probe texts that do not come back as they were, in words; each kind once.

    What becomes another text stands first, and behind it what becomes nothing, as unknown characters do.
    """
    found: dict[str, None] = {}
    for text in PROBES:
        back = tokenizer.decode(tokenizer.encode(text))
        for kind, start, end, back_start, back_end in SequenceMatcher(None, text, back, autojunk=False).get_opcodes():
            if kind == "insert":
                found[f"{back[back_start:back_end]!r} is added"] = None
            elif kind != "equal":
                found[f"{text[start:end]!r} becomes {back[back_start:back_end]!r}"] = None
    return sorted(found, key=lambda loss: loss.endswith("becomes ''"))


def special_token_files(tokenizer_config: Mapping[str, Any]) -> tuple[str, str]:
    """The files that name special tokens by their texts, for transformers: what the first says, counts."""
    # Beside a tokenizer_config.json from before 2023, which lists no added tokens, the older file overrules it.
    old = "added_tokens_decoder" not in tokenizer_config
    return (SPECIAL_TOKENS_FILE, TOKENIZER_CONFIG_FILE) if old else (TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE)


def _files_of(hf_folder: Path) -> list[str]:
    present = [name for name in TOKENIZER_FILES if (hf_folder / name).is_file()]
    if TOKENIZER_FILE in present:
        return present
    if not hf_folder.is_dir():
        raise UserError(f"{hf_folder}: no such folder; {_WHAT_TO_NAME}")
    if models := [name for name in present if name in SENTENCEPIECE_FILES]:
        raise UserError(
            f"{hf_folder}: its tokenizer ({', '.join(models)}) has no {TOKENIZER_FILE}; import the model, which makes "
            f"one, and name the imported folder here: python launch/import_hf.py model={hf_folder} "
            "output_dir=<a new folder>"
        )
    if present:
        raise UserError(
            f"{hf_folder}: its tokenizer ({', '.join(present)}) has no {TOKENIZER_FILE}; load it with transformers and "
            "save it again (save_pretrained)"
        )
    raise UserError(f"{hf_folder}: holds no tokenizer; {_WHAT_TO_NAME}")


def _check_added_tokens(hf_folder: Path, about: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]) -> None:
    """Tokens that transformers would add while it loads must be those of tokenizer.json."""
    added = dict(about.get("added_tokens.json", {}))
    for number, token in (about.get(TOKENIZER_CONFIG_FILE, {}).get("added_tokens_decoder") or {}).items():
        added[token["content"] if isinstance(token, dict) else token] = int(number)
    if wrong := [f"{text!r} = {number}" for text, number in added.items() if tokens.get(text) != number]:
        raise UserError(
            f"{hf_folder}: {TOKENIZER_FILE} lacks added tokens that other files name ({', '.join(wrong[:5])}); load "
            "the tokenizer with transformers and save it again (save_pretrained)"
        )


def _special_id(
    name: str, hf_folder: Path, about: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, int]
) -> int | None:
    """As transformers finds it: by its text in the files of the tokenizer, else by its id in those of the model."""
    for source in special_token_files(about.get(TOKENIZER_CONFIG_FILE, {})):
        if f"{name}_token" in about.get(source, {}):
            value = about[source][f"{name}_token"]
            if source == TOKENIZER_CONFIG_FILE and isinstance(value, dict) and "__type" not in value:
                raise UserError(
                    f"{hf_folder / source}: transformers cannot read {name}_token as an object without "
                    f'"__type": "AddedToken"; write its text alone ({json.dumps(value.get("content"))})'
                )
            text = str((value.get("content") if isinstance(value, dict) else value) or "")
            if text in tokens or name == "pad" or not text:
                return tokens.get(text)
            raise UserError(
                f"{hf_folder / source}: {name}_token is {text!r}, which {TOKENIZER_FILE} does not hold; name a token "
                "that it holds, or write null where the model has none"
            )
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
