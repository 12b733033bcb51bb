"""A Hugging Face folder appears complete or not at all."""

import errno
from pathlib import Path

import pytest

from jp_llm.export.folder import CONFIG_FILE, new_folder
from jp_llm.runtime.errors import UserError


def make(target: Path, content: str, *, overwrite: bool = False) -> None:
    with new_folder(target, overwrite=overwrite) as folder:
        (folder / CONFIG_FILE).write_text(content)
        assert not (target / CONFIG_FILE).exists() or (target / CONFIG_FILE).read_text() != content


def make_and_fail(target: Path, error: BaseException) -> None:
    with new_folder(target, overwrite=True) as folder:
        (folder / CONFIG_FILE).write_text("two")
        raise error


def test_takes_its_name_at_the_end(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "model", "one")
    assert (tmp_path / "deep" / "model" / CONFIG_FILE).read_text() == "one"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    make(tmp_path / "model", "one")
    assert (tmp_path / "model" / CONFIG_FILE).read_text() == "one"


def test_an_older_model_is_replaced_only_on_request(tmp_path: Path) -> None:
    target = tmp_path / "model"
    make(target, "one")
    (target / "left over").touch()
    with pytest.raises(UserError, match="set overwrite=true"):
        make(target, "two")
    assert (target / CONFIG_FILE).read_text() == "one"
    make(target, "two", overwrite=True)
    assert [path.name for path in target.iterdir()] == [CONFIG_FILE]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_else_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "file":
        target.write_text("precious")
    elif kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("precious")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no Hugging Face model"):
        make(target, "one", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("error", [UserError("not the same"), KeyboardInterrupt(), ValueError("bug")])
def test_after_an_error_the_old_model_stands_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "model"
    make(target, "one")
    with pytest.raises(type(error)):
        make_and_fail(target, error)
    assert (target / CONFIG_FILE).read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_reported_with_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(UserError, match=r"model: could not be written: .*No space left"):
        make_and_fail(target, OSError(errno.ENOSPC, "No space left on device"))
    assert not list(tmp_path.iterdir())
