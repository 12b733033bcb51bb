"""The list of hosts that are left out, which people write to as well."""

from pathlib import Path

import pytest

from jp_llm.runtime.bad_hosts import add_bad_host, bad_hosts
from jp_llm.runtime.run_folder import RunFolder


def test_a_person_may_write_the_list_too(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert bad_hosts(folder) == []
    folder.bad_hosts.write_text("n3  # ECC errors since Monday\n\n# n4 is fine again\nn3\n")
    for host in ("n7", "n7", "n3"):
        add_bad_host(folder, host)
    assert bad_hosts(folder) == ["n3", "n7"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "n1\nn4\n"),
        ("", "n1\nn4\n"),
        ("n3", "n3\nn1\nn4\n"),
        ("n3 # n1 is fine", "n3 # n1 is fine\nn1\nn4\n"),
        ("n4\nn1", "n4\nn1"),
    ],
)
def test_every_host_has_its_line(before: str | None, after: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    if before is not None:
        folder.bad_hosts.write_text(before)
    for host in ("n1", "n4", "n1"):
        add_bad_host(folder, host)
    assert folder.bad_hosts.read_text() == after
