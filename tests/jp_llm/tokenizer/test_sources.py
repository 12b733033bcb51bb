from pathlib import Path

import pytest
from other_tokenizers import open_calm
from small_tokenizer import small_tokenizer

from jp_llm.export.tokenizer import write_hf_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.sources import check, folder_of, manifest_of, take
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_calm(tmp_path_factory.mktemp("foreign"))


def run_folder(run: Path, ours: Tokenizer, steps: tuple[str, ...]) -> Path:
    for step in steps:
        ours.copy_to(run / "checkpoints" / step / "tokenizer")
    return run


def test_every_kind_of_folder_of_ours(ours: Tokenizer, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", ours, ("step_00000002",))
    ours.copy_to(tmp_path / "dataset" / "tokenizer")
    write_hf_tokenizer(ours, tmp_path / "hf", model_max_length=8)
    for path in (ours.folder, tmp_path / "dataset", run, run / "checkpoints" / "step_00000002", tmp_path / "hf"):
        check(path)
        assert manifest_of(path).sha256 == ours.fingerprint
        taken = take(path, tmp_path / "taken" / path.name)
        assert taken.fingerprint == ours.fingerprint
        assert taken.encode("猫") == ours.encode("猫")


def test_of_a_run_the_newest_checkpoint_with_a_tokenizer_counts(ours: Tokenizer, tmp_path: Path) -> None:
    steps = ("step_00000002", "step_123456789", "step_00000100", "abandoned_step_999999999", "damaged_step_999999999")
    run = run_folder(tmp_path, ours, steps)
    assert folder_of(run) == run / "checkpoints" / "step_123456789" / "tokenizer"
    (run / "checkpoints" / "step_123456789" / "tokenizer" / MANIFEST_FILE).unlink()
    assert folder_of(run) == run / "checkpoints" / "step_00000100" / "tokenizer"


def test_a_hugging_face_folder_is_adopted(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(foreign.iterdir())
    assert folder_of(foreign) is None
    check(foreign)
    assert manifest_of(foreign).vocab_size == 500
    assert take(foreign, tmp_path / "taken").fingerprint == manifest_of(foreign).sha256
    assert sorted(foreign.iterdir()) == before
    assert folder_of(tmp_path / "taken") == tmp_path / "taken"
    monkeypatch.setenv("HOME", str(foreign.parent))
    home = Path("~") / foreign.name
    check(home)
    assert take(home, tmp_path / "again").fingerprint == manifest_of(home).sha256


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    for action in (check, manifest_of, lambda path: take(path, tmp_path / "taken")):
        with pytest.raises(UserError, match="holds no tokenizer; name the folder of a tokenizer"):
            action(tmp_path)
