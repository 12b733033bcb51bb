from pathlib import Path

import pytest
from other_tokenizers import change, open_calm
from small_tokenizer import small_tokenizer

from jp_llm.tokenizer.adopt import adopt
from jp_llm.tokenizer.adopted_tokenizer import AdoptedTokenizer
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("ours"))


def test_a_folder_is_opened_as_what_it_is(ours: Tokenizer, tmp_path: Path) -> None:
    adopted = adopt(open_calm(tmp_path / "source"), tmp_path / "adopted")
    assert isinstance(Tokenizer.load(ours.folder), SentencePieceTokenizer)
    assert isinstance(Tokenizer.load(adopted.folder), AdoptedTokenizer)
    assert (ours.package, adopted.package) == ("sentencepiece", "tokenizers")


def test_documents_begin_and_end(ours: Tokenizer) -> None:
    assert (ours.start_id, ours.end_id) == (1, 2)
    assert ours.special_ids == (ours.unk_id, ours.bos_id, ours.eos_id, ours.pad_id) == (0, 1, 2, 3)


def test_a_copy_is_the_same_tokenizer(ours: Tokenizer, tmp_path: Path) -> None:
    copy = ours.copy_to(tmp_path / "copy")
    assert copy.fingerprint == ours.fingerprint
    for path in ours.folder.iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()


def test_manifests_of_earlier_versions_are_read(ours: Tokenizer, tmp_path: Path) -> None:
    old = ours.copy_to(tmp_path).folder

    def rename(value: dict[str, object]) -> None:
        value["library"], value["library_version"] = value.pop("package"), value.pop("package_version")

    change(old, MANIFEST_FILE, rename)
    assert '"package"' not in (old / MANIFEST_FILE).read_text()
    loaded = Tokenizer.load(old)
    assert (loaded.package, loaded.package_version) == (ours.package, ours.package_version)
    loaded.require_package()
