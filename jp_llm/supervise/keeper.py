"""Runs one command and sees to it that nothing of it is left: `python keeper.py <pipe> <command...>`.

A process of its own between the supervisor and the launcher. Whatever the command started, also what left its process
group or lost its parent, becomes a child of this process (PR_SET_CHILD_SUBREAPER, prctl(2)) and is killed when the
command has ended, or when the supervisor closes the pipe, which happens also when the supervisor is killed.
Only the standard library, so that it starts at once.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


def main() -> int:
    """Exit code of the command; 128 + n if signal n ended it."""
    pipe = int(sys.argv[1])
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # A scheduler may signal every process of a job; the supervisor decides what that means.
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)

    os.set_inheritable(pipe, False)
    try:
        launcher = subprocess.Popen(sys.argv[2:], preexec_fn=prepare)
    except OSError as error:
        print(f"error: {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=_kill_when_closed, args=(pipe,), daemon=True).start()
    code = 0
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == launcher.pid:
            code = os.waitstatus_to_exitcode(status)
            break
    while _has_children():
        _kill_descendants()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
    return code if code >= 0 else 128 - code


def _kill_when_closed(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    _kill_descendants()


def _has_children() -> bool:
    return bool(_tree().get(os.getpid()))


def _kill_descendants() -> None:
    tree, left = _tree(), [os.getpid()]
    while left:
        for pid in tree.get(left.pop(), ()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            left.append(pid)


def _tree() -> dict[int, list[int]]:
    """Children of every process."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name of a program may hold spaces and brackets; what follows it may not.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            found.setdefault(parent, []).append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main())
