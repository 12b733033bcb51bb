import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from other_tokenizers import FAMILIES, change, write
from small_tokenizer import texts
from tokenizers import Tokenizer as Backend
from tokenizers import models

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.adopt import adopt, describe
from jp_llm.tokenizer.adopted_tokenizer import TOKENIZER_FILE, AdoptedTokenizer, fingerprint, read_definition
from jp_llm.tokenizer.manifest import MANIFEST_FILE, PROBES
from jp_llm.tokenizer.tokenizer import Tokenizer

SPECIAL = {"open_calm": (0, 0, 0, 1), "llama": (0, 1, 2, None), "rinna": (0, 1, 2, 3)}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
JAPANESE = st.text(st.sampled_from("あいがは。、……――「」東京猫ｶﾞ１  　\n\t0Aa髙\u3099👍"), max_size=60)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[family](tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def tokenizer(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return adopt(source, tmp_path_factory.mktemp("adopted"))


@pytest.fixture(scope="module")
def theirs(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What transformers loads, told to take tokenizer.json as it is."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("theirs")
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change(folder, "tokenizer_config.json", lambda value: value.update(tokenizer_class="PreTrainedTokenizerFast"))
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def copy(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return tokenizer.copy_to(tmp_path / "copy").folder


def test_ids_are_those_of_transformers(tokenizer: Tokenizer, theirs: Any) -> None:
    documents = [*PROBES[:-1], *texts(60, seed=8), "", "\n\n", "　"]
    expected = theirs(documents, add_special_tokens=False)["input_ids"]
    assert [ids.tolist() for ids in tokenizer.encode_batch(documents)] == expected


@given(text=ANY_TEXT | JAPANESE)
@settings(deadline=None)
def test_ids_of_any_text_are_those_of_transformers(tokenizer: Tokenizer, theirs: Any, text: str) -> None:
    assume(not any(control in text for control in theirs.all_special_tokens))
    ids = tokenizer.encode(text)
    assert ids == theirs(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@given(text=JAPANESE)
@settings(deadline=None)
def test_what_normalises_nothing_loses_nothing(tokenizer: Tokenizer, family: str, text: str) -> None:
    if family == "llama":
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(batch=st.lists(JAPANESE, max_size=5))
@settings(deadline=None)
def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer, batch: list[str]) -> None:
    found = tokenizer.encode_batch(batch)
    assert [ids.tolist() for ids in found] == [tokenizer.encode(text) for text in batch]
    assert all(ids.dtype == np.int32 for ids in found)


def test_control_tokens_are_never_made_from_text(family: str, tokenizer: Tokenizer, theirs: Any) -> None:
    controls = theirs.all_special_tokens
    text = "".join(f"猫{control}駅前で" for control in [*controls, *controls])
    ids = tokenizer.encode(text)
    # For rinna's, brackets are unknown characters.
    assert not (set(ids) - {tokenizer.unk_id}) & set(theirs.all_special_ids)
    if family != "rinna":
        assert tokenizer.decode(ids) == text
    assert {theirs.convert_tokens_to_ids(control) for control in controls} <= set(theirs(text)["input_ids"])


def test_special_ids(tokenizer: Tokenizer, family: str) -> None:
    assert tokenizer.special_ids == SPECIAL[family]
    assert (tokenizer.start_id, tokenizer.end_id) == ((0, None) if family == "open_calm" else (1, 2))
    ids = tokenizer.encode("東京")
    framing = [token for token in (tokenizer.bos_id, tokenizer.pad_id) if token is not None]
    assert tokenizer.decode([*framing, *ids, *framing]) == tokenizer.decode(ids)


def test_the_vocabulary(tokenizer: Tokenizer, source: Path, theirs: Any) -> None:
    pieces = tokenizer.pieces()
    assert len(pieces) == tokenizer.vocab_size == max(theirs.get_vocab().values()) + 1
    assert {piece.text: id for id, piece in enumerate(pieces)} == theirs.get_vocab()
    assert not any(pieces[id].matches_text for id in theirs.all_special_ids)
    with pytest.raises(IndexError):
        tokenizer.decode([tokenizer.vocab_size])


def test_pickles_as_its_folder(tokenizer: Tokenizer) -> None:
    data = pickle.dumps(tokenizer)
    assert len(data) < 1000
    assert pickle.loads(data).encode("東京の猫") == tokenizer.encode("東京の猫")


def test_the_fingerprint_is_of_what_decides_the_ids(source: Path, tokenizer: Tokenizer) -> None:
    definition, ids = read_definition(source), tokenizer.special_ids
    other_form = json.loads(json.dumps(definition, indent=1))
    other_form |= {"post_processor": None, "decoder": None, "version": "2.0"}
    other_form["model"] |= {"later_option": None, "another": False}
    other_form["added_tokens"].reverse()
    if "merges" in other_form["model"]:
        other_form["model"]["merges"] = [" ".join(merge) for merge in other_form["model"]["merges"]]
    assert fingerprint(other_form, ids) == tokenizer.fingerprint
    assert fingerprint(definition, (*ids[:3], 77)) != tokenizer.fingerprint
    for other in (
        {"normalizer": {"type": "NFD"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"added_tokens": definition["added_tokens"][1:]},
        {"model": definition["model"] | {"unk_id": 1, "unk_token": "<s>"}},
    ):
        assert fingerprint(definition | other, ids) != tokenizer.fingerprint


def test_a_changed_vocabulary_is_refused(copy: Path) -> None:
    change(copy, TOKENIZER_FILE, lambda value: value["added_tokens"].pop())
    with pytest.raises(UserError, match=r"tokenizer\.json: has changed"):
        Tokenizer.load(copy)


def test_a_missing_or_damaged_file_is_refused(copy: Path) -> None:
    (copy / TOKENIZER_FILE).write_text("{")
    with pytest.raises(UserError, match=r"tokenizer\.json: is no JSON"):
        Tokenizer.load(copy)
    (copy / TOKENIZER_FILE).unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json: missing"):
        Tokenizer.load(copy)


def test_another_version_may_read_but_not_write_shards_and_must_give_the_same_ids(copy: Path) -> None:
    Tokenizer.load(copy).require_package()
    change(copy, MANIFEST_FILE, lambda value: value.update(package_version="0.1.9"))
    with pytest.raises(UserError, match=r"made with tokenizers 0\.1\.9.* install tokenizers==0\.1\.9"):
        Tokenizer.load(copy).require_package()
    change(copy, MANIFEST_FILE, lambda value: value.update(probes=[["猫", [5]]]))
    with pytest.raises(UserError, match=r"tokenizers .* turns '猫' into other ids than 0\.1\.9"):
        Tokenizer.load(copy)


def test_without_the_package(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'jp-llm\[export\]'"):
        Tokenizer.load(copy)


def test_single_characters_are_text_whatever_they_are_declared(tmp_path: Path) -> None:
    vocabulary = {character: place for place, character in enumerate("猫犬!\n")} | {"</s>": 4}
    backend = Backend(models.BPE(vocabulary, []))
    backend.add_special_tokens(["!", "</s>"])
    folder = write(tmp_path, backend, eos_token="</s>", pad_token="!")
    tokenizer = AdoptedTokenizer(folder, describe(folder), read_definition(folder))
    assert tokenizer.encode("猫!犬</s>\n") == [0, 2, 1, 3]
    assert tokenizer.decode([0, 2, 1, 4, 3]).replace(" ", "") == "猫!犬\n"
    assert (tokenizer.bos_id, tokenizer.start_id, tokenizer.end_id) == (None, 4, None)
