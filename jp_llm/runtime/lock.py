"""One run at a time in a folder, or the processes of one."""

import errno
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jp_llm.runtime.errors import ExitCode, UserError, code_of

LOCK_FILE = ".lock"
_POLL_SECONDS = 0.2
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def locked(
    folder: Path,
    *,
    shared: bool = False,
    patience_seconds: float = 0.0,
    busy: ExitCode = ExitCode.PREFLIGHT_REFUSED,
    required: bool = True,
) -> Iterator[None]:
    """Create `folder` if need be and hold it, alone or with others that hold it `shared`.

    The lock goes with the process, however it ends; `patience_seconds` waits for one that is about to end. Where it is
    not `required`, a disk that cannot lock files is said on stderr and lived with.

    Raises:
        UserError: another run is working in it (exit code `busy`), or it cannot be written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # For reading too: NFS makes a shared lock of one that only a readable file can have.
        lock = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: {error.strerror}; choose another folder", code=code_of(error)
        ) from error
    with lock:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    problem = f"{folder}: another run is working in this folder; wait for it, or stop it"
                    raise UserError(problem, code=busy) from None
            except OSError as error:
                if not required and error.errno in _NO_LOCKS:
                    print(
                        f"warning: {folder}: this disk cannot lock files ({error.strerror}), so nothing keeps a second "
                        "run out of this folder; start one at a time",
                        file=sys.stderr,
                        flush=True,
                    )
                    break
                problem = f"{lock.name}: {error.strerror}: this disk cannot lock files; choose another"
                raise UserError(problem, code=code_of(error)) from error
            time.sleep(_POLL_SECONDS)
        yield
