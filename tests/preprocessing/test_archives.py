import io
import tarfile

import pytest
from raw import tar

from jp_llm.texts.streams import DamagedFile
from preprocessing.archives import is_tar, members

FILES = {f"works/{number}.txt": f"第{number}話".encode() * 200 for number in range(30)}
LAST_MEMBER = tar(FILES).index(b"works/29.txt")


def listed(data: bytes) -> dict[str, bytes | str]:
    """Name -> content, or why it is refused."""
    return {
        member.name: member.stream.read() if member.stream else str(member.refused)
        for member in members(io.BytesIO(data), "a.tar")
    }


def header(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_members_in_their_order():
    data = tar(FILES)
    assert is_tar(data)
    assert not is_tar(b"x" * 600)
    assert listed(data) == FILES
    assert [member.index for member in members(io.BytesIO(data), "a.tar")] == list(range(30))


def test_folders_are_passed_over_and_counted_in_the_index():
    data = tar([(header("works", tarfile.DIRTYPE), b""), (header("works/1.txt"), b"text")])
    assert [(member.index, member.name) for member in members(io.BytesIO(data), "a.tar")] == [(1, "works/1.txt")]


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (header("link", tarfile.SYMTYPE, "/etc/passwd"), "link"),
        (header("link", tarfile.LNKTYPE, "works/1.txt"), "link"),
        (header("pipe", tarfile.FIFOTYPE), "device"),
        (header("disk", tarfile.BLKTYPE), "device"),
        (header("/etc/cron.d/job"), "unsafe_name"),
        (header("works/../../job"), "unsafe_name"),
        (header("line\nfeed"), "unsafe_name"),
    ],
)
def test_hostile_members_are_refused_and_named(info, reason):
    assert listed(tar([(info, b""), (header("good.txt"), b"text")])) == {info.name: reason, "good.txt": b"text"}


def test_names_that_are_no_utf8_keep_their_bytes():
    data = tar({"X" * 4: b"text"}).replace(b"XXXX", "猫犬".encode("cp932"), 1)
    checksum = 256 + sum(data[:148]) + sum(data[156:512])
    data = data[:148] + b"%06o\0 " % checksum + data[156:]
    assert list(listed(data)) == [r"\x94L\x8c\xa2"]


@pytest.mark.parametrize("keep", [512, 700, 3000, LAST_MEMBER, LAST_MEMBER - 1])
def test_a_cut_archive_is_damaged_even_between_members(keep):
    with pytest.raises(
        DamagedFile,
        match=r"^a\.tar: (works/\d+\.txt: the tar archive is cut off|the tar archive is damaged after 29 entries)",
    ):
        listed(tar(FILES)[:keep])


def test_a_broken_header_in_the_middle_is_no_end():
    data = bytearray(tar(FILES))
    data[2048 * 5 + 10] ^= 1
    with pytest.raises(DamagedFile, match="after 5 entries"):
        listed(bytes(data))


def test_an_archive_behind_the_archive_is_not_lost():
    with pytest.raises(DamagedFile, match="more data follows the end mark"):
        listed(tar(FILES) + tar(FILES))
