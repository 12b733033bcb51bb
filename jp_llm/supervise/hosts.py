"""A hostfile without the hosts that a restart leaves out."""

from collections.abc import Iterable
from pathlib import Path

from jp_llm.runtime.files import atomic_writer


def write_hostfile_without(hosts: Iterable[str], source: Path, target: Path) -> tuple[int, int]:
    """A copy of a hostfile (`name slots=8` per line) without `hosts`; how many hosts it lost, and how many are left."""
    lines = source.read_text(encoding="utf-8").splitlines()
    short = {_short(host) for host in hosts}
    named = [line for line in lines if line.partition("#")[0].strip()]
    kept = [line for line in named if _short(line.split()[0]) not in short]
    with atomic_writer(target) as file:
        file.write("".join(f"{line}\n" for line in kept).encode())
    return len(named) - len(kept), len(kept)


def _short(host: str) -> str:
    """Without its domain and, as some launchers write it, its number of slots; an address as it is."""
    name = host.partition(":")[0]
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]
