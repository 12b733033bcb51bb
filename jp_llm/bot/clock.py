"""Time, and waiting that a signal ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Protocol


class Clock(Protocol):
    """What a bot asks for the time."""

    def now(self) -> datetime:
        """With its time zone."""
        ...

    def wait_until(self, moment: datetime) -> bool:
        """Whether the moment has come; False if the bot is asked to end before."""
        ...


class SystemClock:
    """The clock of the machine; SIGTERM and SIGINT ask the bot to end."""

    _STEP_SECONDS = 30.0  # a suspended machine must not sleep on for as long as it was suspended

    def __init__(self) -> None:
        self._end = threading.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait_until(self, moment: datetime) -> bool:
        while (left := (moment - self.now()).total_seconds()) > 0:
            if self._end.wait(min(left, self._STEP_SECONDS)):
                return False
        return not self._end.is_set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, a signal lets the post that is under way be answered and written down, then ends the waiting."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._end.set()
