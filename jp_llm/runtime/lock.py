"""One run at a time in a folder, or the processes of one."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jp_llm.runtime.errors import UserError

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Create `folder` if need be and hold it, alone or with others that hold it `shared`.

    The lock goes with the process, however it ends.

    Raises:
        UserError: another run is working in it, or it cannot be written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # For reading too: NFS makes a shared lock of one that only a readable file can have.
        lock = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}; choose another folder") from error
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another run is working in this folder; wait for it, or stop it") from None
        except OSError as error:
            raise UserError(f"{lock.name}: {error.strerror}: this disk cannot lock files; choose another") from error
        yield
