from pathlib import Path
from typing import Any

import pytest
from small_tokenizer import small_tokenizer, texts
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from jp_llm.evaluate.tokenizers import open_tokenizer
from jp_llm.export.tokenizer import write_hf_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import write_json
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def save(backend: Any, folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **config})
    return folder


def test_ours_from_its_folder_and_from_a_dataset(ours: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").symlink_to(ours.folder)
    for place in (ours.folder, tmp_path):
        found = open_tokenizer(str(place))
        assert found.name == str(place)
        assert found.about["fingerprint"] == ours.fingerprint
        assert found.encode(["猫", "犬と"]) == [ours.encode("猫"), ours.encode("犬と")]
        assert found.byte_ids == set(range(5, 261))
        assert found.unknown_ids == {0}


def test_our_export_counts_like_ours(ours: Tokenizer, tmp_path: Path) -> None:
    write_hf_tokenizer(ours, tmp_path, model_max_length=8)
    found, mine = open_tokenizer(str(tmp_path)), open_tokenizer(str(ours.folder))
    assert (found.vocab_size, found.byte_ids, found.unknown_ids) == (mine.vocab_size, mine.byte_ids, mine.unknown_ids)
    documents = [*texts(5), "𠮷野家 <s>"]
    assert found.encode(documents) == mine.encode(documents)
    assert [found.decode(ids) for ids in found.encode(documents)] == documents
    assert found.about["package"] == "transformers"


def test_bytes_of_byte_level_bpe(tmp_path: Path) -> None:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        ["猫", "猫", "é"] * 9, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    found = open_tokenizer(str(save(backend, tmp_path)))
    assert found.unknown_ids == frozenset()
    for text, expected in {"猫": 0, "a": 0, "é": 0, "犬": 3, "猫犬a": 3}.items():
        (ids,) = found.encode([text])
        assert sum(id in found.byte_ids for id in ids) == expected, text
        assert found.decode(ids) == text


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "absent"), "nobody/no-such-model"):
        with pytest.raises(UserError, match="neither a tokenizer of ours") as caught:
            open_tokenizer(name)
        assert str(caught.value).startswith(name)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, ours: Tokenizer) -> None:
    monkeypatch.setattr("jp_llm.evaluate.tokenizers.find_spec", lambda name: None)
    assert open_tokenizer(str(ours.folder)).vocab_size == 700
    with pytest.raises(UserError, match=r"jp-llm\[export\]"):
        open_tokenizer("some/model")
