"""Disks that cannot do what a run needs, played by the calls that fail on them."""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jp_llm.runtime.disk import require_disk
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import write_json
from jp_llm.runtime.lock import locked


def failing(number: int) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_an_ordinary_disk_is_left_as_it_was(tmp_path: Path) -> None:
    require_disk(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_hinders_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    for _ in range(2):  # in one process: in a container the next one has the same number
        require_disk(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("owner", "name", "number", "said", "code"),
    [
        # gcsfuse refuses to rename folders, mountpoint-s3 everything but new files.
        (Path, "rename", errno.EMFILE, "cannot rename a folder that holds a file", ExitCode.PREFLIGHT_REFUSED),
        (os, "replace", errno.EPERM, "cannot replace a file by another", ExitCode.PREFLIGHT_REFUSED),
        (Path, "mkdir", errno.EROFS, "cannot make folders", ExitCode.PREFLIGHT_REFUSED),
        (Path, "write_bytes", errno.ENOSPC, "cannot write files", ExitCode.PREFLIGHT_REFUSED),
        (Path, "rename", errno.EIO, "cannot rename", ExitCode.UNEXPECTED),
    ],
)
def test_what_a_disk_cannot_do_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, said: str, code: ExitCode
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(number))
        with pytest.raises(UserError, match=said) as caught:
            require_disk(tmp_path)
    assert caught.value.code == code
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_synchronised_is_lived_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def of_files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    write_json(tmp_path / "x.json", 1)
    assert (tmp_path / "x.json").read_text() == "1\n"
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_json(tmp_path / "x.json", 2)
    assert (tmp_path / "x.json").read_text() == "1\n"


def test_a_disk_without_locks_is_said_where_a_lock_is_not_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    with locked(tmp_path, required=False):
        assert "this disk cannot lock files" in capsys.readouterr().err
    with pytest.raises(UserError, match="this disk cannot lock files"), locked(tmp_path):
        pass
