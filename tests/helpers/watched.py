"""One process of a run that is watched, without torch: RANK=1 WORLD_SIZE=2 ... python tests/helpers/watched.py

Takes a step of 10 ms after another, like training in step with all others: it waits until every process has finished
the step before, of which each leaves a note in `run_dir`/notes (0 to begin with). What goes wrong, and when, says the
argument (JSON).
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import world_from
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import Pulse


def wait_for_others(notes: Path, step: int, size: int) -> None:
    for rank in range(size):
        while int((notes / str(rank)).read_text()) < step:
            time.sleep(0.002)


def note(notes: Path, rank: int, step: int) -> None:
    temporary = notes / f".{rank}"
    temporary.write_text(str(step))
    temporary.replace(notes / str(rank))


def work(order: dict[str, Any], pulse: Pulse, notes: Path) -> int:
    rank, size = pulse.world.rank, pulse.world.size
    fault = order["fault"] if order["fault"].get("rank", 0) == rank else {}
    for step in range(1, order["steps"] + 1):
        pulse.at("data", step)
        pulse.at("step", step)
        if fault.get("step") == step:
            kind = fault["kind"]
            if kind == "sleep":
                time.sleep(1000)
            elif kind == "hold":
                lock = ctypes.create_string_buffer(64)
                ctypes.PyDLL(None).pthread_mutex_lock(lock)
                ctypes.PyDLL(None).pthread_mutex_lock(lock)  # for ever, with the interpreter in its hands
            elif kind == "fail":
                raise RuntimeError("a fault of the test")
            elif kind == "exit":
                os._exit(7)
            elif kind == "save":
                pulse.at("save", step - 1)
                time.sleep(fault["seconds"])
            elif kind == "linger":
                pulse.close()
                time.sleep(1000)
        time.sleep(0.01)
        note(notes, rank, step)
        wait_for_others(notes, step, size)
    return 0


def main() -> int:
    order = json.loads(sys.argv[1])
    folder = RunFolder(Path(order["run_dir"]))
    world = world_from(os.environ)
    notes = folder.path / "notes"
    with Pulse(folder, world, WatchdogConfig.model_validate(order["settings"])) as pulse:
        code = work(order, pulse, notes)
        pulse.close(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
