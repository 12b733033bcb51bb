"""Hosts that are left out."""

from pathlib import Path

import pytest

from jp_llm.supervise.hosts import write_hostfile_without


@pytest.mark.parametrize(
    ("lines", "bad", "kept", "counts"),
    [
        ("n1 slots=8\nn2 slots=8\n", ["n2"], "n1 slots=8\n", (1, 1)),
        ("n1 slots=8\nn11 slots=8\n", ["n1"], "n11 slots=8\n", (1, 1)),
        ("n1.site.jp slots=8\nn2:4\n", ["n1", "n2.site.jp"], "", (2, 0)),
        ("10.0.0.1 slots=2\n10.0.0.2 slots=2\n", ["10.0.0.2"], "10.0.0.1 slots=2\n", (1, 1)),
        ("# ours\n\nn1 slots=8\n", ["n9"], "n1 slots=8\n", (0, 1)),
    ],
)
def test_a_hostfile_without_some(
    tmp_path: Path, lines: str, bad: list[str], kept: str, counts: tuple[int, int]
) -> None:
    source, target = tmp_path / "hosts", tmp_path / "logs" / "hostfile"
    source.write_text(lines)
    assert write_hostfile_without(bad, source, target) == counts
    assert target.read_text() == kept
    assert source.read_text() == lines
