"""One start of the launcher: its processes, and its output on the terminal and in a file."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from jp_llm.supervise import keeper

_SECONDS_FOR_OUTPUT = 5.0


class Attempt:
    """A running launcher; nothing of it outlives `end`, or this process."""

    def __init__(self, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it in a session of its own: the keys of the terminal reach only the supervisor."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab", buffering=0)
        theirs, self._leash = os.pipe()
        # Isolated and without site-packages: it starts in milliseconds, whatever the environment holds.
        keeping = [sys.executable, "-I", "-S", keeper.__file__, str(theirs), *argv]
        self._process = subprocess.Popen(
            keeping,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs,),
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._copies = [
            threading.Thread(target=self._copy, args=pair, daemon=True)
            for pair in ((self._process.stdout, sys.stdout.fileno()), (self._process.stderr, sys.stderr.fileno()))
        ]
        for copy in self._copies:
            copy.start()

    def wait(self, seconds: float) -> int | None:
        """Exit code (128 + n after signal n), or None if it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> int:
        """Kill whatever is left, also after it ended by itself; the exit code."""
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1
        code = self._process.wait()
        deadline = time.monotonic() + _SECONDS_FOR_OUTPUT
        for copy in self._copies:
            # Somebody on this machine who is no child of ours may hold the other end.
            copy.join(max(0.0, deadline - time.monotonic()))
        self._log.close()
        return code if code >= 0 else 128 - code

    def _copy(self, source: IO[bytes], terminal: int) -> None:
        while data := os.read(source.fileno(), 1 << 16):
            for target in (terminal, self._log.fileno()):
                # A closed terminal or a full disk must not block the run.
                with contextlib.suppress(OSError, ValueError):
                    os.write(target, data)
