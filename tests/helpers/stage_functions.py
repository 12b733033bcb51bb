"""Functions for stages in tests: worker processes import them by name."""

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import atomic_writer


def square(folder: str, number: int) -> dict[str, Any]:
    """Leaves a trace of each call."""
    with (Path(folder) / f"called-{number}").open("ab") as file:
        file.write(b"x")
    return {"square": number * number, "process": os.getpid()}


def fail(folder: str, number: int, how: str) -> dict[str, Any]:
    """Task 2 comes to grief, the others do not."""
    if number == 2:
        match how:
            case "user":
                raise UserError("a.gz: cut off", "b.gz: cut off", code=ExitCode.CONFIG_REFUSED)
            case "bug":
                raise ZeroDivisionError("division by zero")
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                signal.signal(signal.SIGSEGV, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(7)
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device", "documents/x.jsonl.zst")
    return square(folder, number)


def write_slowly(folder: str, number: int) -> dict[str, Any]:
    """Holds an unfinished file for a minute."""
    with atomic_writer(Path(folder) / f"output-{number}") as file:
        file.write(b"half")
        (Path(folder) / f"started-{number}").touch()
        time.sleep(60)
    return {}
