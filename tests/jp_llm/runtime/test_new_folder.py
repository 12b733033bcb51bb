"""A folder appears complete or not at all."""

import errno
import os
from pathlib import Path

import pytest

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.new_folder import new_folder

FILE = "content"


def make(target: Path, content: str) -> None:
    with new_folder(target) as folder:
        (folder / FILE).write_text(content)
        assert not (target / FILE).exists() or (target / FILE).read_text() != content


def make_and_fail(target: Path, error: BaseException) -> None:
    with new_folder(target) as folder:
        (folder / FILE).write_text("two")
        raise error


def test_takes_its_name_at_the_end(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "model", "one")
    assert (tmp_path / "deep" / "model" / FILE).read_text() == "one"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_takes_the_place_of_an_older_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    make(target, "one")
    (target / "left over").touch()
    make(target, "two")
    assert [path.name for path in target.iterdir()] == [FILE]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [UserError("not the same"), KeyboardInterrupt(), ValueError("bug")])
def test_after_an_error_the_old_folder_stands_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "model"
    make(target, "one")
    with pytest.raises(type(error)):
        make_and_fail(target, error)
    assert (target / FILE).read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_reported_with_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(UserError, match=r"model: could not be written: .*No space left"):
        make_and_fail(target, OSError(errno.ENOSPC, "No space left on device"))
    assert not list(tmp_path.iterdir())


def test_the_older_folder_comes_back_where_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    make(target, "one")
    rename = os.rename

    def full(source: Path, destination: Path) -> None:
        if source.suffix == ".tmp":
            raise OSError(errno.EIO, "a fault of the test")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(UserError, match="a fault of the test"):
        make(target, "two")
    assert (target / FILE).read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
