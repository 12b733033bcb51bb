import os
import signal
import threading
from datetime import timedelta

import pytest

from jp_llm.bot.clock import SystemClock


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_and_all_that_follow(number: signal.Signals) -> None:
    clock, before = SystemClock(), signal.getsignal(number)
    with clock.listening():
        assert clock.wait_until(clock.now())
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert not clock.wait_until(clock.now() + timedelta(hours=1))
        assert not clock.wait_until(clock.now())
    assert signal.getsignal(number) is before
