"""Files that are complete or absent, plug-ins by name, and who this process is."""

import errno
import fcntl
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jp_llm.runtime import plugin
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.files import (
    append_json_line,
    atomic_writer,
    fingerprint_of,
    read_json,
    read_json_lines,
    sha256_of,
    write_json,
)
from jp_llm.runtime.lock import locked


def _write_half(path: Path) -> None:
    with atomic_writer(path) as file:
        file.write(b"half")
        raise OSError("full")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_json(path, {"字": 1})
    with pytest.raises(OSError, match="full"):
        _write_half(path)
    assert read_json(path) == {"字": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_sha256_is_the_published_value(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_fingerprint_ignores_the_order_of_keys_only() -> None:
    assert fingerprint_of({"a": 1, "b": [1, 2]}) == fingerprint_of({"b": [1, 2], "a": 1})
    assert fingerprint_of({"a": 1, "b": [1, 2]}) != fingerprint_of({"a": 1, "b": [2, 1]})


def test_json_lines_are_appended(tmp_path: Path) -> None:
    for number in range(2):
        append_json_line(tmp_path / "x.jsonl", {"数": number})
    assert (tmp_path / "x.jsonl").read_text() == '{"数": 0}\n{"数": 1}\n'


def test_half_a_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append_json_line(path, {"step": 1})
    path.write_bytes(path.read_bytes() + b'{"step": ')
    append_json_line(path, {"step": 2})
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(UserError, match="another run is working"), locked(tmp_path / "run"):
        pass
    with locked(tmp_path / "run"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another folder"), locked(tmp_path / "file"):
        pass


def test_a_folder_that_is_about_to_be_given_back_is_waited_for(tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match="another run is working")
    with locked(tmp_path), refused, locked(tmp_path, patience_seconds=0.3):
        pass
    given_back = []
    with ExitStack() as stack:
        stack.enter_context(locked(tmp_path))
        stack.callback(given_back.append, True)
        holder = threading.Timer(0.5, stack.close)
        holder.start()
        with locked(tmp_path, patience_seconds=30):
            assert given_back
        holder.join()


def test_network_disks_lock_readable_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock_of_nfs(file: Any, operation: int) -> None:
        # nfs(5): flock becomes a lock of fcntl(2), which wants LOCK_SH readable and LOCK_EX writable.
        if not (file.readable() if operation & fcntl.LOCK_SH else file.writable()):
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", flock_of_nfs)
    for shared in (True, False):
        with locked(tmp_path, shared=shared):
            pass

    def no_locks(file: Any, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(UserError, match=r"\.lock: No locks available: this disk cannot lock files"), locked(tmp_path):
        pass


def test_plugins_are_found_by_the_name_of_their_file() -> None:
    assert plugin.names("jp_llm.optim.lr") == ["constant", "cosine", "linear", "wsd"]
    assert plugin.load("jp_llm.optim.lr", "cosine").__name__ == "Cosine"
    with pytest.raises(UserError, match="did you mean 'linear'"):
        plugin.load("jp_llm.optim.lr", "liner")


def test_errors_carry_all_problems_and_a_code() -> None:
    error = config_error(["one", "two"])
    assert error.problems == ("one", "two")
    assert error.code == ExitCode.CONFIG_REFUSED == 2
    assert UserError("x").code == ExitCode.PREFLIGHT_REFUSED == 3
