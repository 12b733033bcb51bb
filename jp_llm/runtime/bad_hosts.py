"""Hosts that a restart leaves out: `bad_hosts.txt`, to which people may write too."""

from jp_llm.runtime.run_folder import RunFolder


def bad_hosts(folder: RunFolder) -> list[str]:
    """The hosts in the file, without comments."""
    if not folder.bad_hosts.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in folder.bad_hosts.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def add_bad_host(folder: RunFolder, host: str) -> None:
    """Remember a host for good."""
    if host in bad_hosts(folder):
        return
    with folder.bad_hosts.open("a+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
        # The last line of a file that a person wrote may have no end.
        file.write("\n" * (bool(text) and not text.endswith("\n")) + f"{host}\n")
