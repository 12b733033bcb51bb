"""A `tokenizer.json` for a folder that holds only a SentencePiece model, as rinna's GPTs do.

transformers 5 builds one itself, by the class that tokenizer_config.json names, and not by what the model file says:
T5Tokenizer takes id 2 for the unknown token whatever its id is, and loses what its class loses; LlamaTokenizer merges
unigram models as BPE. None of it is said. The model was trained with SentencePiece's own ids, so these are what is
built here, and differences that remain are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json, write_json
from jp_llm.tokenizer.manifest import PROBES

MODEL_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model")
"""Names under which Hugging Face folders hold a SentencePiece model, by precedence."""

_SPACE = "▁"
_UNIGRAM, _BPE = 1, 2
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
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


def convert(folder: Path, target: Path, texts: Sequence[str] = PROBES) -> Conversion:
    """Write tokenizer.json and tokenizer_config.json to `target`, from the SentencePiece model in `folder`.

    Raises:
        UserError: there is no such model, it is of a kind that cannot be converted, or it cannot be read.
    """
    import sentencepiece

    path = next((folder / name for name in MODEL_FILES if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder}: holds no tokenizer (neither tokenizer.json nor {', '.join(MODEL_FILES)})")
    try:
        processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as a SentencePiece model ({error}); copy it again") from error
    model = _parsed(path)
    special = _special_tokens(folder, processor)
    backend = _backend(model, processor, set(special.values()), path)
    with atomic_writer(target / "tokenizer.json") as file:
        file.write(backend.to_str(pretty=True).encode())
    write_json(
        target / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{name}_token": text for name, text in special.items()},
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
    right = [processor.encode(text) for text in texts]
    ours = [encoding.ids for encoding in backend.encode_batch(list(texts), add_special_tokens=False)]
    theirs, name = _ids_of_transformers(folder, texts)
    return Conversion(
        texts=len(texts),
        different=_differences(right, ours),
        different_in_transformers=None if theirs is None else _differences(right, theirs),
        transformers_class=name,
    )


def _parsed(path: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def _backend(model: Any, processor: Any, special: set[str], path: Path) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models

    trainer, rules = model.trainer_spec, model.normalizer_spec
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    if trainer.model_type == _UNIGRAM:
        unigram = models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=trainer.byte_fallback)
        backend = Tokenizer(unigram)
    elif trainer.model_type == _BPE:
        unk = pieces[processor.unk_id()][0]
        ids = {text: number for number, (text, _) in enumerate(pieces)}
        bpe = models.BPE(ids, _merges(model), unk_token=unk, byte_fallback=trainer.byte_fallback, fuse_unk=True)
        backend = Tokenizer(bpe)
    else:
        raise UserError(f"{path}: is neither a unigram nor a BPE model; it cannot be converted")
    backend.normalizer = _normalizer(rules, processor)
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


def _normalizer(rules: Any, processor: Any) -> Any:
    """The steps of SentencePiece before it looks for pieces (sentencepiece/src/normalizer.cc)."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
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


def _merges(model: Any) -> list[tuple[str, str]]:
    """SentencePiece stores no merges: it joins any neighbours whose union is a piece, best score first."""
    usable = {piece.piece for piece in model.pieces if piece.type == _NORMAL}
    return [
        (piece.piece[:cut], piece.piece[cut:])
        for piece in sorted(model.pieces, key=lambda piece: -piece.score)
        if piece.type == _NORMAL
        for cut in range(1, len(piece.piece))
        if piece.piece[:cut] in usable and piece.piece[cut:] in usable
    ]


def _special_tokens(folder: Path, processor: Any) -> dict[str, str]:
    """{unk, bos, ...: text}: what the files of the folder say, and else what the model itself calls so."""
    found: dict[str, str] = {}
    for name in ("unk", "bos", "eos", "pad"):
        number = getattr(processor, f"{name}_id")()
        if number >= 0:
            found[name] = processor.id_to_piece(number)
    for source in ("special_tokens_map.json", "tokenizer_config.json"):
        values = read_json(folder / source) if (folder / source).is_file() else {}
        for name in _SPECIAL:
            value = values.get(f"{name}_token") if isinstance(values, Mapping) else None
            text = value.get("content") if isinstance(value, Mapping) else value
            # A token that is no piece would get a new id behind the vocabulary.
            if isinstance(text, str) and processor.id_to_piece(processor.piece_to_id(text)) == text:
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
