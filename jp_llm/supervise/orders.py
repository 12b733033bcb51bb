"""The file KILL as the supervisor writes it, told apart from that of a person."""

from contextlib import suppress
from pathlib import Path

from jp_llm.runtime.run_folder import RunFolder

_OWN_TEXT = "of the supervisor\n"


def give(folder: RunFolder) -> bool:
    """Order the run to save and stop; False if a person has ordered it already."""
    try:
        with folder.kill_order.open("x") as file:
            file.write(_OWN_TEXT)
    except FileExistsError:
        return _is_own(folder.kill_order)
    return True


def take_back(folder: RunFolder) -> None:
    """Remove the order of a supervisor that nobody obeyed; that of a person stays."""
    if _is_own(folder.kill_order):
        folder.kill_order.unlink(missing_ok=True)


def obey(folder: RunFolder) -> bool:
    """Whether a person wants the run to stop; as the run does, rename the order, so that the next start is none."""
    with suppress(FileNotFoundError):
        folder.kill_order.replace(_obeyed(folder))
        return True
    return False


def is_of_a_person(folder: RunFolder) -> bool:
    """Whether the order that the run has obeyed was not the supervisor's."""
    return not _is_own(_obeyed(folder))


def _obeyed(folder: RunFolder) -> Path:
    return folder.kill_order.with_name(f"{folder.kill_order.name}.obeyed")


def _is_own(path: Path) -> bool:
    try:
        return path.read_text(errors="replace") == _OWN_TEXT
    except OSError:
        return False
