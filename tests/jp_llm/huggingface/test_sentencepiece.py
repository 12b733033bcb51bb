"""Tokenizers of folders that hold a SentencePiece model only, against SentencePiece and transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from small_tokenizer import texts
from tokenizers import Tokenizer as Backend

from jp_llm.export.tokenizer import load_as_trained, verify_hf_tokenizer, write_hf_tokenizer
from jp_llm.huggingface.sentencepiece import compare, convert
from jp_llm.huggingface.tokenizer import adopted_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.adopted_tokenizer import AdoptedTokenizer
from jp_llm.train.origin import _how_to_encode

RINNA = {
    "tokenizer_class": "T5Tokenizer",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "extra_ids": 0,
    "additional_special_tokens": [],
}
TRAINED: dict[str, dict[str, Any]] = {
    # As rinna's: NFKC, a space in front, no byte fallback.
    "unigram": {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"]},
    "unigram-bytes": {"byte_fallback": True},
    # As LLaMA's.
    "bpe": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"}
    | {"remove_extra_whitespaces": False},
}
HARD = (
    " あ",
    "　あ　い",
    "ﾊﾟﾝとｶﾞﾗｽ",
    "か\u3099き\u3099",
    "  ２つ  の  空白  ",
    "㍻と①",
    "",
    " ",
    "a\nb\n",
    "\t\tx",
    "😀鬱",
    "<0x41>です",
)


@pytest.fixture(scope="module", params=TRAINED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spm")
    sample = folder / "sample.txt"
    sample.write_text("\n".join([*texts(200), "ガ ギ グ パ ピ 平成 1 2"]))
    settings = {"vocab_size": 900, "pad_id": 3, "pad_piece": "[PAD]", "minloglevel": 2} | TRAINED[request.param]
    sentencepiece.SentencePieceTrainer.train(input=str(sample), model_prefix=str(folder / "spiece"), **settings)
    (folder / "tokenizer_config.json").write_text(json.dumps(RINNA))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    return folder


def test_ids_are_those_of_sentencepiece(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path)
    found = compare(folder, adopted_tokenizer(folder, tmp_path / "adopted"))
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    ours = Backend.from_file(str(tmp_path / "tokenizer.json"))
    for text in (*texts(100, seed=7), *HARD):
        assert ours.encode(text, add_special_tokens=False).ids == right.encode(text), text
    assert found.texts == 10
    assert found.different == 0
    # The class that the folder names gives other ids: of unknown characters, and of spaces.
    assert found.transformers_class == "T5Tokenizer"
    assert (found.different_in_transformers or 0) > found.different


def test_text_comes_back_as_sentencepiece_keeps_it(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path)
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    ours = Backend.from_file(str(tmp_path / "tokenizer.json"))
    for text in texts(30, seed=8):
        assert ours.decode(right.encode(text), skip_special_tokens=False) == right.decode(right.encode(text))


def test_transformers_loads_what_was_made_as_it_is(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    convert(folder, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, loaded.unk_token_id) == (1, 2, 3, 0)
    assert len(loaded) == right.vocab_size()
    for text in HARD:
        assert loaded(text, add_special_tokens=False)["input_ids"] == right.encode(text), text


def test_a_special_token_that_is_no_piece_is_left_out(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "tokenizer_config.json").write_text(json.dumps(RINNA | {"sep_token": "[NEVER SEEN]"}))
    (copy / "special_tokens_map.json").write_text('{"mask_token": "[NOR THIS]", "eos_token": "[PAD]"}')
    convert(copy, tmp_path / "made")
    made = json.loads((tmp_path / "made" / "tokenizer_config.json").read_text())
    assert not {"sep_token", "mask_token"} & made.keys()
    loaded = load_as_trained(tmp_path / "made")
    # Where both files name a token, it is that of the older one, as it is for transformers.
    assert (len(loaded), loaded.eos_token) == (900, "[PAD]")
    assert made["extra_ids"] == 0, "other keys stay"


def test_tokens_behind_the_vocabulary_keep_their_ids(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    switches = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False) | {"special": False}
    decoder = {"900": {"content": "<|user|>"} | switches, "0": {"content": "<unk>"} | switches | {"special": True}}
    config = RINNA | {"sep_token": "<|end|>", "added_tokens_decoder": decoder}
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    (copy / "added_tokens.json").write_text(json.dumps({"<|end|>": 901}))
    tokenizer = adopted_tokenizer(copy, tmp_path / "made")
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    assert tokenizer.vocab_size == right.vocab_size() + 2 == 902
    assert tokenizer.encode("猫<|user|>")[-1] == 900
    assert isinstance(tokenizer, AdoptedTokenizer)
    assert "<|end|>" in tokenizer.control_texts
    assert "<|user|>" not in tokenizer.control_texts
    for text in HARD:
        assert tokenizer.encode(text) == right.encode(text)
    (copy / "added_tokens.json").write_text(json.dumps({"<|end|>": 903}))
    with pytest.raises(UserError, match="added tokens do not follow the 900 pieces"):
        adopted_tokenizer(copy, tmp_path / "not")


def test_a_model_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("\n".join(texts(200)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(sample),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=850,
        treat_whitespace_as_suffix=True,
        minloglevel=2,
    )
    with pytest.raises(UserError, match="gives other ids on 10 of 10 texts"):
        adopted_tokenizer(tmp_path, tmp_path / "made")


def test_generation_and_evaluation_use_the_ids_of_sentencepiece(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    loaded = load_as_trained(folder)
    for text in HARD:
        assert loaded(text, add_special_tokens=False)["input_ids"] == right.encode(text), text
    assert f"{folder}: the tokenizer is a SentencePiece model" in (printed := capsys.readouterr().err)
    made = tmp_path / "made"
    tokenizer = adopted_tokenizer(folder, made)
    shutil.copy(folder / "config.json", made)
    capsys.readouterr()
    load_as_trained(made)
    assert capsys.readouterr().err == ""
    # Messages name the folder of the user.
    assert not [line for line in printed.splitlines() if not line.startswith(f"{folder}: ")]
    if tokenizer.recipe["model_type"] != "unigram":
        return
    # A tokenizer.json whose class rebuilds it.
    config = json.loads((made / "tokenizer_config.json").read_text())
    (made / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "T5Tokenizer"}))
    loaded = load_as_trained(made)
    assert "tokenizer.json is used as it is (with the class" in capsys.readouterr().err
    for text in HARD:
        assert loaded(text, add_special_tokens=False)["input_ids"] == right.encode(text), text


@pytest.mark.parametrize(("stated", "asked"), [(True, None), (False, True)])
def test_text_is_put_into_lower_case(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stated: bool, asked: bool | None
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "tokenizer_config.json").write_text(json.dumps(RINNA | {"do_lower_case": stated}))
    tokenizer = adopted_tokenizer(copy, tmp_path / "made", lower_case=asked)
    assert "text is put into lower case first" in capsys.readouterr().err
    right: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    for text in ("OpenAI GPT", "ＡＢＣと<S>", "あ"):
        assert tokenizer.encode(text) == right.encode(text.lower())
    assert adopted_tokenizer(copy, tmp_path / "not", lower_case=False).encode("GPT") == right.encode("GPT")


def test_lower_case_is_not_asked_of_a_tokenizer_json(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "made")
    with pytest.raises(UserError, match="decides this itself"):
        adopted_tokenizer(tmp_path / "made", tmp_path / "adopted", lower_case=True)


def test_advice_names_the_import(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "made")
    assert f"launch/import_hf.py model={folder} " in _how_to_encode(folder)
    assert f"tokenizer.path={tmp_path / 'made'}" in _how_to_encode(tmp_path / "made")


def test_the_model_file_goes_out_again(folder: Path, tmp_path: Path) -> None:
    tokenizer = adopted_tokenizer(folder, tmp_path / "adopted")
    exported = tmp_path / "exported"
    exported.mkdir()
    shutil.copy(folder / "config.json", exported)
    write_hf_tokenizer(tokenizer, exported, model_max_length=64)
    assert (exported / "spiece.model").read_bytes() == (folder / "spiece.model").read_bytes()
    verify_hf_tokenizer(tokenizer, exported, HARD)
    again = adopted_tokenizer(exported, tmp_path / "again")
    assert again.fingerprint == tokenizer.fingerprint


def test_a_folder_without_or_with_a_damaged_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no tokenizer"):
        convert(tmp_path, tmp_path / "made")
    (tmp_path / "spiece.model").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as a SentencePiece model"):
        convert(tmp_path, tmp_path / "made")
