"""Slurm's short forms against generated lists, and against scontrol where a Slurm is at hand."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.hostlist import LONGEST, hosts, tasks_per_node

PREFIXES = st.from_regex(r"[a-z][a-z0-9.-]{0,6}[a-z]", fullmatch=True)


@st.composite
def bracketed(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A name of a list, and the hosts that it stands for; brackets are written by another hand than the parser."""
    text, expected = draw(PREFIXES), [""]
    expected = [text]
    for _ in range(draw(st.integers(0, 2))):
        items, numbers = [], []
        for _ in range(draw(st.integers(1, 3))):
            first, length = draw(st.integers(0, 120)), draw(st.integers(1, 4))
            width = draw(st.integers(1, 4))
            run = [str(number).zfill(width) for number in range(first, first + length)]
            items.append(run[0] if length == 1 else f"{run[0]}-{run[-1]}")
            numbers += run
        tail = draw(st.sampled_from(["", "-ib", "r"]))
        text += f"[{','.join(items)}]{tail}"
        expected = [f"{head}{number}{tail}" for head in expected for number in numbers]
    return text, expected


@given(st.lists(bracketed(), min_size=1, max_size=4))
def test_a_list_expands_to_its_hosts_in_order(parts: list[tuple[str, list[str]]]) -> None:
    assert hosts(",".join(text for text, _ in parts)) == [host for _, expanded in parts for host in expanded]


@given(st.text(alphabet="ab01-,[]() x", max_size=30))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        found = hosts(text)
    except UserError:
        return
    assert all(host and not set(host) & set("[], ") for host in found)


@pytest.mark.parametrize(
    "text", ["gpu[1-", "gpu]1[", "gpu[[1]]", "gpu[a-b]", "gpu[3-1]", "a,,b", ",a", "a b", "a[]", "a[1-99999999999]"]
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no list of hosts"):
        hosts(text)


def test_a_list_cannot_fill_the_memory() -> None:
    for text in ("a[0-9999][0-9999][0-9999]", ",".join(["a[0-9999]"] * 20), f"a[0-{LONGEST}]"):
        with pytest.raises(UserError):
            hosts(text)


@pytest.mark.parametrize("text", ["n[1-3,07-10],m5", "rack[0-1]-node[08-11],login", "a", "n[001-003]", "x[1,3,2]"])
def test_scontrol_agrees(text: str, tmp_path: Path) -> None:
    if shutil.which("scontrol") is None:
        pytest.skip("no scontrol here")
    # It reads a configuration even where it needs none.
    path = tmp_path / "slurm.conf"
    path.write_text("ClusterName=test\nSlurmctldHost=localhost\nNodeName=n1\nPartitionName=p Nodes=n1\n")
    shown = subprocess.run(
        ["scontrol", "show", "hostnames", text],
        env={"SLURM_CONF": str(path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        pytest.skip(f"scontrol does not answer: {shown.stderr.strip()[-200:]}")
    assert hosts(text) == shown.stdout.split()


def test_tasks_per_node() -> None:
    assert tasks_per_node("8(x2),4") == [8, 8, 4]
    assert tasks_per_node("2") == [2]
    for text in ("", "x", "8(x", "1(x99999999)"):
        assert tasks_per_node(text) == []
