import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from other_tokenizers import FAMILIES, llama, open_calm
from small_tokenizer import small_tokenizer, texts

from jp_llm.export.probe_texts import probe_texts
from jp_llm.export.tokenizer import SENTENCEPIECE_FOLDER, load_as_trained, verify_hf_tokenizer, write_hf_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.adopt import adopt
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer

PROBES = probe_texts()


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"), request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    write_hf_tokenizer(tokenizer, folder, model_max_length=64)
    return folder


def load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def change_json(source: Path, target: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Copy the two files and change one of them."""
    for file in ("tokenizer.json", "tokenizer_config.json"):
        value = json.loads((source / file).read_text())
        if file == name:
            change(value)
        (target / file).write_text(json.dumps(value))


def test_every_probe_has_our_ids_and_comes_back(tokenizer: Tokenizer, folder: Path) -> None:
    assert len(PROBES) == 2000
    assert [text for text in PROBES if tokenizer.decode(tokenizer.encode(text)) != text] == []
    verify_hf_tokenizer(tokenizer, folder, [*PROBES, *texts(50, seed=6)])


def test_real_text_has_our_ids(tokenizer: Tokenizer, folder: Path, real_data: Path) -> None:
    works = []
    with (
        (real_data / "aozora-akutagawa.tar.zst").open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member)
            if content is not None and len(works) < 80:
                works.append(content.read().decode("cp932"))
    assert sum(map(len, works)) > 200_000
    verify_hf_tokenizer(tokenizer, folder, works)


def test_what_transformers_loads(tokenizer: Tokenizer, folder: Path) -> None:
    loaded = load(folder)
    assert type(loaded).__name__ == "TokenizersBackend"
    assert loaded.model_max_length == 64
    assert (loaded.unk_token, loaded.bos_token, loaded.eos_token, loaded.pad_token) == ("<unk>", "<s>", "</s>", "<pad>")
    assert list(loaded("猫")) == ["input_ids", "attention_mask"]
    assert loaded("猫", "犬")["input_ids"] == [1, *tokenizer.encode("猫"), *tokenizer.encode("犬")]
    padded = loaded(["猫", ""], padding=True)["input_ids"]
    assert padded[1] == [1] + [3] * (len(padded[0]) - 1)


def test_control_pieces_in_text_are_characters_unless_asked_for(tokenizer: Tokenizer, folder: Path) -> None:
    loaded = load(folder)
    assert loaded("<s></s>")["input_ids"] == [1, *tokenizer.encode("<s></s>")]
    assert loaded("<s></s>", split_special_tokens=False)["input_ids"] == [1, 1, 2]


def test_our_own_files_are_kept_where_no_loader_looks(tokenizer: Tokenizer, folder: Path) -> None:
    assert Tokenizer.load(folder / SENTENCEPIECE_FOLDER).fingerprint == tokenizer.fingerprint
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "tokenizer.json",
        "tokenizer_config.json",
        f"{SENTENCEPIECE_FOLDER}/sentencepiece.model",
        f"{SENTENCEPIECE_FOLDER}/tokenizer_manifest.json",
    }


CONFIG, BACKEND = "tokenizer_config.json", "tokenizer.json"
MISTAKES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "a class that builds its own tokenizer": (CONFIG, lambda value: value.update(tokenizer_class="LlamaTokenizer")),
    "control pieces found in text": (CONFIG, lambda value: value.pop("split_special_tokens")),
    "other special ids": (CONFIG, lambda value: value.update(eos_token="<pad>")),
    "no <s> in front": (BACKEND, lambda value: value.update(post_processor=None)),
    "a space in front": (BACKEND, lambda value: value["pre_tokenizer"].update(prepend_scheme="always")),
    "normalised text": (BACKEND, lambda value: value.update(normalizer={"type": "NFKC"})),
    "no byte fallback": (BACKEND, lambda value: value["model"].update(byte_fallback=False)),
    "another way back": (BACKEND, lambda value: value["decoder"]["decoders"].pop(0)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_gate_notices(tokenizer: Tokenizer, folder: Path, tmp_path: Path, mistake: str) -> None:
    change_json(folder, tmp_path, *MISTAKES[mistake])
    with pytest.raises(UserError, match="transformers"):
        verify_hf_tokenizer(tokenizer, tmp_path, PROBES[:300])


def test_the_gate_notices_control_and_byte_pieces_that_match_text(tmp_path: Path) -> None:
    def reveal(value: dict[str, Any]) -> None:
        value["model"]["vocab"] = [[text, max(score, -50.0)] for text, score in value["model"]["vocab"]]

    unigram = small_tokenizer(tmp_path)
    write_hf_tokenizer(unigram, tmp_path / "hf", model_max_length=64)
    change_json(tmp_path / "hf", tmp_path, BACKEND, reveal)
    with pytest.raises(UserError, match="<"):
        verify_hf_tokenizer(unigram, tmp_path, PROBES)


def test_the_gate_notices_scores_whose_sums_are_not_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preprocessing.encode.train_tokenizer.exact_scores", lambda model: model)
    rounded = small_tokenizer(tmp_path)
    write_hf_tokenizer(rounded, tmp_path, model_max_length=64)
    with pytest.raises(UserError, match="transformers turns"):
        verify_hf_tokenizer(rounded, tmp_path, PROBES)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adopted_tokenizer_goes_out_as_it_came(tmp_path: Path, family: str) -> None:
    source = FAMILIES[family](tmp_path / "source")
    if family == "llama":
        change_json(source, source, CONFIG, lambda value: value.update(tokenizer_class="PreTrainedTokenizerFast"))
    tokenizer = adopt(source, tmp_path / "tokenizer")
    write_hf_tokenizer(tokenizer, tmp_path / "hf", model_max_length=64)
    assert files(tmp_path / "hf") == files(source)
    verify_hf_tokenizer(tokenizer, tmp_path / "hf", texts(20, seed=6))
    assert adopt(tmp_path / "hf", tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_a_class_that_would_rebuild_an_adopted_tokenizer_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = adopt(llama(tmp_path / "source"), tmp_path / "tokenizer")
    write_hf_tokenizer(tokenizer, tmp_path / "hf", model_max_length=64)
    assert "tokenizer_config.json now names PreTrainedTokenizerFast" in capsys.readouterr().err
    verify_hf_tokenizer(tokenizer, tmp_path / "hf", PROBES)
    before, after = (json.loads(files(tmp_path / name)[CONFIG]) for name in ("source", "hf"))
    assert after == before | {"tokenizer_class": "PreTrainedTokenizerFast"}
    assert files(tmp_path / "hf")[BACKEND] == files(tmp_path / "source")[BACKEND]


def test_a_class_of_the_publisher_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its program is never run: tokenizer.json says all that is needed, for the export and for generation."""
    source = open_calm(tmp_path / "source")
    mine = {"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["mine.MyTokenizer", None]}}
    change_json(source, source, CONFIG, lambda value: value.update(mine))
    tokenizer = adopt(source, tmp_path / "tokenizer")
    write_hf_tokenizer(tokenizer, tmp_path / "hf", model_max_length=64)
    assert "with the class 'MyTokenizer', transformers loads no tokenizer" in capsys.readouterr().err
    assert "auto_map" not in json.loads(files(tmp_path / "hf")[CONFIG])
    verify_hf_tokenizer(tokenizer, tmp_path / "hf", PROBES[:50])
    loaded = load_as_trained(source)
    assert "tokenizer.json is used as it is" in capsys.readouterr().err
    for text in texts(20, seed=6):
        assert loaded(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)


def test_the_gate_notices_what_differs_from_an_adopted_tokenizer(tmp_path: Path) -> None:
    tokenizer = adopt(open_calm(tmp_path / "source"), tmp_path / "tokenizer")
    other: Callable[[dict[str, Any]], object] = lambda value: value["model"]["merges"].reverse()  # noqa: E731
    change_json(tmp_path / "source", tmp_path / "source", BACKEND, other)
    with pytest.raises(UserError, match="transformers turns"):
        verify_hf_tokenizer(tokenizer, tmp_path / "source", PROBES[:50])
    open_calm(tmp_path / "source")
    change_json(tmp_path / "source", tmp_path / "source", CONFIG, lambda value: value.update(eos_token="<|padding|>"))
    with pytest.raises(UserError, match="transformers has eos 1, the tokenizer 0"):
        verify_hf_tokenizer(tokenizer, tmp_path / "source", PROBES[:50])


def test_files_that_changed_since_adoption_are_refused(tmp_path: Path) -> None:
    tokenizer = adopt(open_calm(tmp_path / "source"), tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / CONFIG).write_text("{}")
    assert (tmp_path / "tokenizer" / MANIFEST_FILE).is_file()
    with pytest.raises(UserError, match=r"tokenizer_config\.json: has changed since the tokenizer was adopted"):
        write_hf_tokenizer(tokenizer, tmp_path / "hf", model_max_length=64)
