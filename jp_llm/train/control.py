"""What is asked of a run from outside: signals to any of its processes, files in its folder. Loads no torch."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder

STOP_SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
_SAME_SIGNAL_SECONDS = 10.0
"""Schedulers, launchers and terminals may each deliver one and the same order to a process, on a loaded machine seconds
apart."""
_OTHER_SIGNAL_SECONDS = 2.0
"""Two numbers so close are one order, too: some launchers turn INT into TERM."""
_LOOK_SECONDS = 1.0


class Signals:
    """The signals that this process received. Until `listen` it hears none."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first one."""
        self._at = 0.0

    def listen(self) -> "Signals":
        """From now on USR2, TERM and INT are an order to save and stop; another one later ends the process at once.

        Python runs a handler only between two lines of the main thread, which may stand in a collective for minutes.
        So the number is written to a pipe by C, and a thread reads it. Called from the main thread.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for number in STOP_SIGNALS:
            signal.signal(number, _do_nothing)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(reader,), daemon=True, name="signals").start()
        return self

    def _listen(self, reader: int) -> None:
        while numbers := os.read(reader, 1):
            if numbers[0] in STOP_SIGNALS:
                self.hear(signal.Signals(numbers[0]))

    def hear(self, number: signal.Signals) -> None:
        """One signal has come."""
        now = time.monotonic()
        if self.received is None:
            self.received, self._at = number, now
        elif now - self._at >= (_SAME_SIGNAL_SECONDS if number == self.received else _OTHER_SIGNAL_SECONDS):
            os._exit(128 + number)


def _do_nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Orders:
    """What all processes do after this step."""

    save: bool = False
    stop: bool = False
    reason: str = ""


@dataclass
class Control:
    """USR2, TERM and INT to any process, and the files SAVE and KILL, become one decision of all processes."""

    folder: RunFolder
    world: World
    signals: Signals = field(default_factory=Signals)
    stop_reason: str = ""
    """Of the stop that was ordered, if any."""
    _looked: float = float("-inf")
    _save: bool = False
    _kill: bool = False

    def votes(self) -> tuple[float, float, float, float]:
        """What this process knows of: file SAVE, file KILL, a signal, and if so its rank. To be summed over all."""
        self._look()
        signalled = self.signals.received is not None
        return float(self._save), float(self._kill), float(signalled), float(signalled * self.world.rank)

    def orders(self, votes: tuple[float, ...]) -> Orders:
        """From the sums, the same on every process. Files that are obeyed are renamed."""
        save, kill, signalled, ranks = votes
        if not save and not kill and not signalled:
            return Orders()
        reasons = []
        if save:
            reasons.append(self._obey(self.folder.save_order))
            self._save = False
        if kill:
            reasons.append(self._obey(self.folder.kill_order))
            self._kill = False
        if signalled:
            who = f"process {ranks:.0f}" if signalled == 1 else f"{signalled:.0f} processes"
            reasons.append(f"signal to {who}")
        reason, stop = ", ".join(reversed(reasons)), bool(kill or signalled)
        if stop:
            self.stop_reason = reason
        return Orders(save=True, stop=stop, reason=reason)

    def _look(self) -> None:
        # One process, and not at every step: a shared disk answers slowly.
        now = time.monotonic()
        if self.world.is_main and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._save = self.folder.save_order.exists()
            self._kill = self.folder.kill_order.exists()

    def _obey(self, order: Path) -> str:
        # Otherwise the run would stop again as soon as it is started again.
        if self.world.is_main and order.exists():
            order.replace(order.with_name(f"{order.name}.obeyed"))
        return f"file {order.name}"
