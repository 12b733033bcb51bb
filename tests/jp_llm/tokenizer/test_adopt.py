import json
from pathlib import Path

import pytest
from other_tokenizers import FAMILIES, change, llama, open_calm, rinna
from small_tokenizer import small_tokenizer

from jp_llm.export.tokenizer import write_hf_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.adopt import adopt, describe, losses_of
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer

CONFIG, BACKEND = "tokenizer_config.json", "tokenizer.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, make in FAMILIES.items():
        make(folder / name)
    return folder


@pytest.fixture
def source(made: Path, tmp_path: Path) -> Path:
    """The byte-level tokenizer, in a folder that a test may damage."""
    return copied(made / "open_calm", tmp_path / "source")


def copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_files_are_copied_byte_for_byte(source: Path, tmp_path: Path) -> None:
    (source / "special_tokens_map.json").write_text('{"pad_token":   "<|padding|>"}')
    (source / "chat_template.jinja").write_text("{{ messages }}")
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "config.json").write_text('{"eos_token_id": 0}')
    tokenizer = adopt(source, tmp_path / "adopted")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "adopted").iterdir()}
    del kept[MANIFEST_FILE]
    names = (BACKEND, CONFIG, "special_tokens_map.json", "chat_template.jinja")
    assert kept == {name: (source / name).read_bytes() for name in names}
    assert set(tokenizer.files) == set(names)
    assert tokenizer.recipe["model_type"] == "bpe"


def test_what_is_adopted_twice_is_the_same(source: Path, tmp_path: Path) -> None:
    one = adopt(source, tmp_path / "one")
    assert adopt(tmp_path / "one", tmp_path / "two").fingerprint == one.fingerprint == describe(source).sha256


def test_a_folder_that_we_exported_gives_our_own_tokenizer(tmp_path: Path) -> None:
    ours = small_tokenizer(tmp_path)
    write_hf_tokenizer(ours, tmp_path / "hf", model_max_length=64)
    tokenizer = adopt(tmp_path / "hf", tmp_path / "adopted")
    assert (type(tokenizer), tokenizer.fingerprint) == (type(ours), ours.fingerprint)
    assert {path.name for path in (tmp_path / "adopted").iterdir()} == {path.name for path in ours.folder.iterdir()}


@pytest.mark.parametrize(("family", "said"), [("rinna", True), ("llama", False)])
def test_what_is_lost_is_said_once(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, said: bool
) -> None:
    tokenizer = adopt(made / family, tmp_path / "adopted")
    printed = capsys.readouterr().err
    if said:
        assert "does not keep every text as it is" in printed
        assert len(printed.splitlines()) == 1
        assert "'１２３' becomes '123'" in losses_of(tokenizer)
        assert any("\\n" in loss for loss in losses_of(tokenizer))
    else:
        assert printed == ""
        assert losses_of(tokenizer) == []
    Tokenizer.load(tmp_path / "adopted")
    assert capsys.readouterr().err == ""


def test_where_special_tokens_are_found(source: Path) -> None:
    def ids() -> tuple[int | None, ...]:
        found = describe(source)
        return found.unk_id, found.bos_id, found.eos_id, found.pad_id

    (source / "config.json").write_text('{"bos_token_id": 7, "eos_token_id": [8, 9], "pad_token_id": 100000}')
    assert ids() == (0, 0, 0, 1), "the files of the tokenizer come first"
    change(source, CONFIG, lambda value: [value.pop(f"{name}_token") for name in ("unk", "bos", "eos", "pad")])
    assert ids() == (None, 7, 8, None), "an id beyond the vocabulary is none"
    (source / "special_tokens_map.json").write_text('{"eos_token": {"content": "<|padding|>"}, "bos_token": null}')
    assert ids() == (None, None, 1, None)
    (source / "config.json").unlink()
    (source / "special_tokens_map.json").unlink()
    (source / "generation_config.json").write_text('{"eos_token_id": 1}')
    assert ids() == (None, None, 1, None)


@pytest.mark.parametrize("lists_added_tokens", [False, True])
def test_which_file_counts_where_two_name_a_token(source: Path, lists_added_tokens: bool) -> None:
    from transformers import AutoTokenizer

    (source / "special_tokens_map.json").write_text('{"eos_token": "<|padding|>"}')
    if lists_added_tokens:
        added = {"0": {"content": "<|endoftext|>", "special": True}, "1": {"content": "<|padding|>", "special": True}}
        change(source, CONFIG, lambda value: value.update(added_tokens_decoder=added))
    theirs = AutoTokenizer.from_pretrained(source, local_files_only=True)
    assert describe(source).eos_id == theirs.eos_token_id == (0 if lists_added_tokens else 1)


def test_without_bos_eos_begins_documents(source: Path, tmp_path: Path) -> None:
    change(source, CONFIG, lambda value: value.update(bos_token=None, pad_token=None))
    tokenizer = adopt(source, tmp_path / "adopted")
    assert tokenizer.special_ids == (0, None, 0, None)
    assert (tokenizer.start_id, tokenizer.end_id) == (0, None)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / BACKEND).write_text("{"), r"tokenizer\.json: is no JSON"),
        (lambda folder: (folder / BACKEND).write_text("[]"), r"tokenizer\.json: must be a JSON object"),
        (lambda folder: change(folder, BACKEND, lambda value: value.pop("model")), "not the file of a tokenizer"),
        (
            lambda folder: change(folder, BACKEND, lambda value: value["model"]["merges"].append(["猫", "犬"])),
            r"tokenizer\.json: damaged, or too new for tokenizers",
        ),
        (
            lambda folder: change(folder, BACKEND, lambda value: value["added_tokens"][1].update(id=7)),
            r"tokens do not have the ids that it gives them \(<\|padding\|>\)",
        ),
        (lambda folder: (folder / CONFIG).write_text("{"), r"tokenizer_config\.json: is no JSON"),
        (lambda folder: (folder / CONFIG).write_text("[]"), r"tokenizer_config\.json: must be a JSON object"),
        (
            lambda folder: change(folder, CONFIG, lambda value: value.update(eos_token="<end>")),
            r"eos_token is '<end>', which tokenizer\.json does not hold; name a token",
        ),
        (
            lambda folder: change(folder, CONFIG, lambda value: value.update(bos_token={"content": "<|endoftext|>"})),
            r'cannot read bos_token as an object without "__type": "AddedToken"; write its text alone',
        ),
        (
            lambda folder: change(folder, CONFIG, lambda value: value.update(bos_token=None, eos_token=None)),
            "names neither a bos nor an eos token",
        ),
        (
            lambda folder: (folder / "added_tokens.json").write_text('{"<new>": 500}'),
            r"lacks added tokens that other files name \('<new>' = 500\)",
        ),
        (
            lambda folder: change(
                folder, CONFIG, lambda value: value.update(added_tokens_decoder={"1": {"content": "<|endoftext|>"}})
            ),
            r"lacks added tokens that other files name \('<\|endoftext\|>' = 1\)",
        ),
        (
            lambda folder: (folder / BACKEND).unlink(),
            r"\(tokenizer_config\.json\) has no tokenizer\.json; load it with",
        ),
    ],
)
def test_what_cannot_be_adopted_is_named(source: Path, tmp_path: Path, damage: object, problem: str) -> None:
    assert callable(damage)
    damage(source)
    with pytest.raises(UserError, match=problem):
        adopt(source, tmp_path / "adopted")
    assert not (tmp_path / "adopted").exists()


def test_folders_without_tokenizer_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; name the folder of a tokenizer, a dataset"):
        adopt(tmp_path / "absent", tmp_path / "adopted")
    with pytest.raises(UserError, match="holds no tokenizer; name the folder"):
        adopt(tmp_path, tmp_path / "adopted")
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(UserError, match=r"\(spiece\.model\) has no tokenizer\.json; import the model.*import_hf"):
        adopt(tmp_path, tmp_path / "adopted")


def test_families_differ(made: Path) -> None:
    assert len({describe(made / name).sha256 for name in FAMILIES}) == len({open_calm, llama, rinna}) == 3
    assert json.loads((made / "llama" / BACKEND).read_text())["model"]["byte_fallback"]
