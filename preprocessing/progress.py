"""How far a stage is: a live line on a terminal, else a plain line now and then, both on stderr."""

import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

_SECONDS_BETWEEN_LINES = 30.0
_LIVE_PER_SECOND = 4.0


class Work(Protocol):
    """What is known of a task."""

    @property
    def size(self) -> int:
        """Share of the work: bytes."""


class Progress:
    """Shows tasks done, documents kept so far, rate and time left of one stage.

    The backend that runs the tasks says what is done, in any order; it may do so long after it was.
    """

    def __init__(self, stage_name: str, tasks: Sequence[Work], todo: Sequence[Work]) -> None:
        """
        Args:
            stage_name: stands first in the line.
            tasks: all tasks of the stage.
            todo: those that are not done yet.
        """
        self._name = stage_name
        self._tasks, self._tasks_done = len(tasks), len(tasks) - len(todo)
        self._size, self._size_done = sum(task.size for task in todo), 0
        self._documents_in = self._documents_out = 0
        self._start = self._shown = time.monotonic()
        self._live: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = _live(self)
            self._live.start()
        else:
            self._print()
        return self

    def done(self, task: Work, result: Mapping[str, Any] = MappingProxyType({})) -> None:
        """A task of `todo` has ended; of its result `documents_in` and `documents_out` are shown, if they are there.

        They stand in the result, or in its `counts`.
        """
        result = result.get("counts", result)
        self._tasks_done += 1
        self._size_done += task.size
        self._documents_in += result.get("documents_in", 0)
        self._documents_out += sum(result.get("documents_out", {}).values())
        now = time.monotonic()
        if self._live is None and (self._tasks_done == self._tasks or now - self._shown >= _SECONDS_BETWEEN_LINES):
            self._shown = now
            self._print()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def cells(self) -> list[str]:
        """What is known now: tasks, documents, size and rate, times."""
        elapsed = max(time.monotonic() - self._start, 1e-9)
        cells = [f"{self._tasks_done:,}/{self._tasks:,} tasks"]
        if self._documents_in:
            share = self._documents_out / self._documents_in
            cells.append(f"{self._documents_out:,} documents kept ({share:.1%})")
        if self._size_done:
            left = elapsed * (self._size - self._size_done) / self._size_done
            cells.append(f"{self._size_done / 1e6:,.1f} MB read  {self._size_done / elapsed / 1e6:,.1f} MB/s")
            cells.append(f"{_clock(elapsed)} elapsed, {_clock(left)} left")
        return cells

    @property
    def share(self) -> float:
        """Done of what was to do, by size."""
        return self._size_done / self._size if self._size else float(self._tasks_done == self._tasks)

    def __rich__(self) -> Any:
        """One line with a bar, made anew whenever the terminal is refreshed."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 2))
        line.add_row(f"{self._name:<11}", ProgressBar(total=1.0, completed=self.share, width=24), *self.cells())
        return line

    def _print(self) -> None:
        print(f"{self._name:<10} {'  '.join(self.cells())}", file=sys.stderr, flush=True)


def _live(progress: Progress) -> Any:
    """Imported only where it is shown."""
    from rich.console import Console
    from rich.live import Live

    # What others print meanwhile is theirs: stdout stays what it is.
    return Live(
        progress,
        console=Console(stderr=True),
        refresh_per_second=_LIVE_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=True,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
