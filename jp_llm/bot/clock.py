"""Time, and waiting that a signal ends."""

import signal
import time
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

    # A suspended machine must not sleep on for as long as it was suspended, and a signal must not wait. No event is
    # waited for: the handler that sets it may interrupt the very code that holds its lock, and then nothing ever ends.
    _STEP_SECONDS = 0.5

    def __init__(self) -> None:
        self._is_over = False

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait_until(self, moment: datetime) -> bool:
        while not self._is_over and (left := (moment - self.now()).total_seconds()) > 0:
            time.sleep(min(left, self._STEP_SECONDS))
        return not self._is_over

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
        self._is_over = True
