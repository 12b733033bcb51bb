"""A `tokenizer.json` for a folder that holds only a SentencePiece model, as rinna's GPTs do.

transformers 5 builds one itself, by the class that tokenizer_config.json names, and not by what the model file says:
T5Tokenizer takes id 2 for the unknown token whatever its id is, and loses what its class loses; LlamaTokenizer merges
unigram models as BPE. None of it is said. The model was trained with SentencePiece's own ids, so these are what is
built here, and differences that remain are counted.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json_object, write_json
from jp_llm.tokenizer.adopt import (
    SENTENCEPIECE_FILES,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILES,
    special_token_files,
)
from jp_llm.tokenizer.adopted_tokenizer import TOKENIZER_FILE
from jp_llm.tokenizer.manifest import PROBES
from jp_llm.tokenizer.tokenizer import Tokenizer

_OF_ANOTHER_MACHINE = ("auto_map", "name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file")
"""Keys of tokenizer_config.json: programs and paths of whoever wrote it."""
_SPACE = "▁"
_UNIGRAM, _BPE = 1, 2
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_SWITCHES = ("lstrip", "rstrip", "normalized", "single_word", "special")
_SPECIAL = ("unk", "bos", "eos", "pad", "cls", "sep", "mask")


@dataclass(frozen=True)
class Conversion:
    """How the new tokenizer compares."""

    texts: int
    """Texts that were compared."""
    different: int
    """Of them, those of which the new tokenizer gives other ids than SentencePiece."""
    different_in_transformers: int | None
    """Of them, those of which transformers gives other ids than SentencePiece; None where it cannot load the folder."""
    transformers_class: str


def is_only_sentencepiece(folder: Path) -> bool:
    """Whether a folder holds a SentencePiece model and no tokenizer.json."""
    return not (folder / TOKENIZER_FILE).is_file() and _model_file(folder) is not None


def asks_for_lower_case(folder: Path) -> bool:
    """Whether tokenizer_config.json has `do_lower_case`, which transformers 5 does not read in such folders."""
    return _values(folder / TOKENIZER_CONFIG_FILE).get("do_lower_case") is True


def convert(folder: Path, target: Path, *, lower_case: bool = False) -> None:
    """Write a tokenizer.json and a tokenizer_config.json for it to `target`, from the SentencePiece model in `folder`,
    beside the other files of the tokenizer.

    Args:
        lower_case: text is put into lower case first.

    Raises:
        UserError: there is no such model, it is of a kind that cannot be converted, or it cannot be read.
    """
    path, processor = _processor(folder)
    model = _parsed(path)
    added = _added_tokens(folder, len(model.pieces))
    special = _special_tokens(folder, processor, added)
    backend = _backend(model, processor, set(special.values()), path, lower_case=lower_case)
    backend.add_tokens(_behind(added, set(special.values())))
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        # The tokens that it names stand in the new tokenizer_config.json, as far as the model has them.
        if name != SPECIAL_TOKENS_FILE and (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    with atomic_writer(target / TOKENIZER_FILE) as file:
        file.write(backend.to_str(pretty=True).encode())
    config = _config(folder, processor, special, added) | {"do_lower_case": lower_case}
    write_json(target / TOKENIZER_CONFIG_FILE, config)


def compare(
    folder: Path, tokenizer: Tokenizer, texts: Sequence[str] = PROBES, *, lower_case: bool = False
) -> Conversion:
    """How `tokenizer`, which was made of the SentencePiece model in `folder`, encodes difficult texts."""
    processor = _processor(folder)[1]
    right = [processor.encode(text.lower() if lower_case else text) for text in texts]
    theirs, name = _ids_of_transformers(folder, texts)
    return Conversion(
        texts=len(texts),
        different=_differences(right, [tokenizer.encode(text) for text in texts]),
        different_in_transformers=None if theirs is None else _differences(right, theirs),
        transformers_class=name,
    )


def bpe_merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """SentencePiece stores no merges: it joins any neighbours whose union is a piece, best score first.

    Args:
        scores: of the pieces that text can become, in the order of their ids.
    """
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(scores, key=lambda piece: -scores[piece])
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _model_file(folder: Path) -> Path | None:
    return next((folder / name for name in SENTENCEPIECE_FILES if (folder / name).is_file()), None)


def _processor(folder: Path) -> tuple[Path, Any]:
    import sentencepiece

    path = _model_file(folder)
    if path is None:
        raise UserError(f"{folder}: holds no tokenizer (neither {TOKENIZER_FILE} nor {', '.join(SENTENCEPIECE_FILES)})")
    try:
        return path, sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as a SentencePiece model ({error}); copy it again") from error


def _config(
    folder: Path, processor: Any, special: Mapping[str, str], added: Mapping[str, Mapping[str, bool]]
) -> dict[str, Any]:
    """tokenizer_config.json as it was, but for what would make transformers build another tokenizer, or add tokens."""
    before = _values(folder / TOKENIZER_CONFIG_FILE)
    left_out = {*_OF_ANOTHER_MACHINE, *(f"{name}_token" for name in _SPECIAL)}
    kept = {key: value for key, value in before.items() if key not in left_out}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(kept.get(key), list):
            texts = [token for token in kept[key] if isinstance(token, str)]
            kept[key] = [text for text in texts if text in added or _is_piece(text, processor)]
    return (
        {"model_input_names": ["input_ids", "attention_mask"]}
        | kept
        | {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        | {f"{name}_token": text for name, text in special.items()}
    )


def _values(path: Path) -> dict[str, Any]:
    return read_json_object(path, "copy it again") if path.is_file() else {}


def _is_piece(text: str, processor: Any) -> bool:
    return bool(processor.id_to_piece(processor.piece_to_id(text)) == text)


def _parsed(path: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def _backend(model: Any, processor: Any, special: set[str], path: Path, *, lower_case: bool) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    trainer, rules = model.trainer_spec, model.normalizer_spec
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    if trainer.model_type == _UNIGRAM:
        unigram = models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=trainer.byte_fallback)
        backend = Tokenizer(unigram)
        if trainer.byte_fallback:
            # Hugging Face's unigram model would find the piece of a byte where a text spells its name.
            backend.pre_tokenizer = pre_tokenizers.Split(Regex("<(?=0x[0-9A-F]{2}>)"), "merged_with_previous")
    elif trainer.model_type == _BPE:
        unk = pieces[processor.unk_id()][0]
        ids = {text: number for number, (text, _) in enumerate(pieces)}
        usable = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
        bpe = models.BPE(ids, bpe_merges(usable), unk_token=unk, byte_fallback=trainer.byte_fallback, fuse_unk=True)
        backend = Tokenizer(bpe)
    else:
        raise UserError(f"{path}: is neither a unigram nor a BPE model; it cannot be converted")
    backend.normalizer = _normalizer(rules, processor, lower_case=lower_case)
    parts: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if rules.add_dummy_prefix:
        parts.append(decoders.Strip(" ", 1, 0))
    backend.decoder = decoders.Sequence(parts)
    # A unigram model finds user-defined pieces by their score; as added tokens they would cut the text before the
    # normaliser sees it, which then begins each part with a space.
    added = {_CONTROL} if trainer.model_type == _UNIGRAM else {_CONTROL, _USER_DEFINED}
    backend.add_tokens(
        [
            AddedToken(piece.piece, normalized=False, special=piece.type != _USER_DEFINED)
            for piece in model.pieces
            if piece.type in added or piece.piece in special
        ]
    )
    return backend


def _normalizer(rules: Any, processor: Any, *, lower_case: bool) -> Any:
    """The steps of SentencePiece before it looks for pieces (sentencepiece/src/normalizer.cc)."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = [normalizers.Lowercase()] if lower_case else []
    if rules.precompiled_charsmap:
        # The package `tokenizers` misses rules for several characters of 6 bytes and more.
        for text, one in _composed(processor):
            steps.append(normalizers.Replace(text, one))
        steps.append(normalizers.Precompiled(rules.precompiled_charsmap))
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    steps.append(normalizers.Replace(" ", _SPACE))
    return normalizers.Sequence(steps)


def _composed(processor: Any) -> list[tuple[str, str]]:
    """Kana and the sound mark behind it, where the model makes one character of them: ﾊﾟ, か\u3099."""
    full = [chr(code) for code in range(0x3041, 0x30FF)]
    half = [chr(code) for code in range(0xFF66, 0xFF9E)]
    pairs = [kana + mark for kana in full for mark in "\u3099\u309a"] + [kana + mark for kana in half for mark in "ﾞﾟ"]
    made = ((pair, processor.normalize(pair).strip(f" {_SPACE}")) for pair in pairs)
    return [(pair, one) for pair, one in made if len(one) == 1]


def _added_tokens(folder: Path, pieces: int) -> dict[str, Mapping[str, bool]]:
    """Tokens that other files put behind the vocabulary of the model, in the order of their ids, and their switches."""
    numbers: dict[str, Any] = dict(_values(folder / "added_tokens.json"))
    switches: dict[str, Mapping[str, bool]] = {}
    for number, token in (_values(folder / TOKENIZER_CONFIG_FILE).get("added_tokens_decoder") or {}).items():
        about = token if isinstance(token, Mapping) else {"content": token}
        numbers[about["content"]] = int(number)
        switches[about["content"]] = {name: bool(about[name]) for name in _SWITCHES if name in about}
    behind = sorted((text for text in numbers if numbers[text] >= pieces), key=lambda text: numbers[text])
    if [numbers[text] for text in behind] != list(range(pieces, pieces + len(behind))):
        raise UserError(f"{folder}: its added tokens do not follow the {pieces} pieces of the model one by one")
    return {text: switches.get(text, {}) for text in behind}


def _behind(added: Mapping[str, Mapping[str, bool]], special: Collection[str]) -> list[Any]:
    from tokenizers import AddedToken

    defaults = {"normalized": False}
    return [
        AddedToken(text, **(defaults | {"special": text in special} | dict(switches)))
        for text, switches in added.items()
    ]


def _special_tokens(folder: Path, processor: Any, added: Collection[str]) -> dict[str, str]:
    """{unk, bos, ...: text}: what the files of the folder say, and else what the model itself calls so."""
    found: dict[str, str] = {}
    for name in ("unk", "bos", "eos", "pad"):
        number = getattr(processor, f"{name}_id")()
        if number >= 0:
            found[name] = processor.id_to_piece(number)
    for source in reversed(special_token_files(_values(folder / TOKENIZER_CONFIG_FILE))):
        values = _values(folder / source)
        for name in _SPECIAL:
            value = values.get(f"{name}_token")
            text = value.get("content") if isinstance(value, Mapping) else value
            # Another token would get a new id behind the vocabulary.
            if isinstance(text, str) and (text in added or _is_piece(text, processor)):
                found[name] = text
    return found


def _ids_of_transformers(folder: Path, texts: Sequence[str]) -> tuple[list[list[int]] | None, str]:
    from transformers import AutoTokenizer

    from jp_llm.huggingface.reload import quiet_transformers

    try:
        with quiet_transformers():
            loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return [loaded(text, add_special_tokens=False)["input_ids"] for text in texts], type(loaded).__name__
    # Whatever a folder of somebody else makes it stumble over: then nobody is misled by its ids.
    except Exception as error:
        return None, type(error).__name__


def _differences(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> int:
    return sum(list(a) != list(b) for a, b in zip(one, other, strict=True))
