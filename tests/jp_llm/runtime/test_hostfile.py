"""Hostfiles, good and hostile."""

from pathlib import Path

import pytest

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.hostfile import read_hostfile


def written(folder: Path, text: str | bytes, mode: int = 0o644) -> Path:
    path = folder / "hosts"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_hosts_and_their_slots_in_order(tmp_path: Path) -> None:
    text = "# two machines\n\ngpu-2.example.org slots=8\n10.0.0.7\tslots=4\r\n  n1  slots=1024 \n"
    assert list(read_hostfile(written(tmp_path, text)).items()) == [
        ("gpu-2.example.org", 8),
        ("10.0.0.7", 4),
        ("n1", 1024),
    ]


HOSTILE = {
    "an option of ssh": "-oProxyCommand=touch${IFS}marker slots=8",
    "a file of pdsh": "^/etc/passwd slots=8",
    "a group of pdsh": "@all slots=8",
    "a list of pdsh": "n[1-9999] slots=8",
    "a substitution": "$(id) slots=8",
    "a second command": "n1;id slots=8",
    "backticks": "`id` slots=8",
    "a user name": "root@n1 slots=8",
    "two hosts in one": "n1,n2 slots=8",
    "the same host twice": "n1 slots=8\nn1 slots=8",
    "too many slots": "n1 slots=1000000",
    "no slot": "n1 slots=0",
    "more digits than a number has": "n1 slots=" + "9" * 5000,
    "something behind": "n1 slots=8 -oProxyCommand=id",
    "no slots": "n1",
    "a name from another alphabet": "gpu１ slots=8",
    "no text": b"\xff\xfe\x00n1 slots=8",
    "a null byte": b"n1\x00 slots=8",
    "nothing": "# nothing\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_entries_are_refused(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_hostfile(written(tmp_path, text))
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    assert len(caught.value.problems) == 1
    assert str(tmp_path / "hosts") in str(caught.value)
    assert len(str(caught.value)) < 400


def test_all_problems_are_named_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_hostfile(written(tmp_path, "n1 slots=8\n-x slots=1\nn1 slots=1\n"))
    assert [problem.split(": ")[0].rpartition(":")[2] for problem in caught.value.problems] == ["2", "3"]


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="chmod o-w"):
        read_hostfile(written(tmp_path, "n1 slots=8\n", mode=0o666))
