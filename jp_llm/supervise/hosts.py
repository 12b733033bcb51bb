"""Hosts that a restart leaves out."""

from collections.abc import Iterable
from pathlib import Path

from jp_llm.runtime.files import atomic_writer
from jp_llm.runtime.run_folder import RunFolder


def bad_hosts(folder: RunFolder) -> list[str]:
    """The hosts in bad_hosts.txt, without comments."""
    if not folder.bad_hosts.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in folder.bad_hosts.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def add_bad_host(folder: RunFolder, host: str) -> None:
    """Remember a host for good."""
    if host not in bad_hosts(folder):
        with folder.bad_hosts.open("a", encoding="utf-8") as file:
            file.write(f"{host}\n")


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
