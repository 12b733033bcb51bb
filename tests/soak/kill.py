"""Does a run survive the death of any of its processes at any moment?

    python tests/soak/kill.py --kills 50 --processes 2 parallel.zero_stage=3

Trains a tiny model that saves after every step, kills one process with SIGKILL at a random moment (by steps, in the
middle of a save, or while the run starts), ends the others shortly after as a launcher does, and starts the same
command again until the run is finished. After every restart the run must have continued from the newest checkpoint
that was committed when the last process had died, and in the end every weight and moment must have the same bits as
in a run that nobody disturbed. What is wrong is printed, and the exit code is 1.

Overrides behind the options go to launch/train.py as they are.
"""

import argparse
import ctypes
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from ports import free_port  # noqa: E402
from tiny import TINY_WORDS, write_dataset  # noqa: E402

from jp_llm.checkpoint.format import KINDS  # noqa: E402
from jp_llm.checkpoint.reader import CheckpointReader  # noqa: E402
from jp_llm.checkpoint.store import CheckpointStore  # noqa: E402
from jp_llm.runtime.files import read_json_lines  # noqa: E402

STEPS_PER_KILL = 40
PATIENCE_SECONDS = 240.0
"""Without a new checkpoint for so long, a run counts as hung."""
POLL_SECONDS = 0.05
SAVE_POLL_SECONDS = 0.001
OVERRIDES = [
    *TINY_WORDS,
    "model.hidden_size=64",
    "model.num_layers=4",
    "model.num_attention_heads=4",
    "model.max_position_embeddings=32",
    "train.global_batch_size=16",
    "checkpoint.every_steps=1",
]


class WrongError(Exception):
    """The run did what it must not do."""


@dataclass
class Tally:
    """What happened to the disturbed runs."""

    kills: int = 0
    during_start: int = 0
    during_save: int = 0
    restarts: int = 0
    stale_latest: int = 0
    resumed: list[int] = field(default_factory=list)
    equal: list[bool] = field(default_factory=list)


class Ranks:
    """The processes of one attempt."""

    def __init__(self, count: int, run_dir: Path, overrides: list[str], logs: Path) -> None:
        self.logs = [logs / f"{time.time_ns()}_rank_{rank}.txt" for rank in range(count)]
        common = {
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
        }
        common |= {"OMP_NUM_THREADS": 1, "DS_ACCELERATOR": "cpu", "PYTHONPATH": ROOT}
        command = [sys.executable, "launch/train.py", *OVERRIDES, f"run_dir={run_dir}", *overrides]
        self.processes = []
        for rank, log in enumerate(self.logs):
            variables = {name: str(value) for name, value in (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}
            with log.open("w") as file:
                process = subprocess.Popen(
                    command, cwd=ROOT, env=os.environ | variables, stdout=file, stderr=file, preexec_fn=_die_with_parent
                )
            self.processes.append(process)

    def finished(self) -> bool:
        """Whether all of them have ended well.

        Raises:
            WrongError: one of them has ended otherwise, though nobody killed it.
        """
        codes = [process.poll() for process in self.processes]
        if any(codes):
            time.sleep(1)
            self.kill(range(len(codes)))
            tails = [log.read_text()[-3000:] for log in self.logs]
            raise WrongError("\n".join([f"a process ended by itself, exit codes {codes}", *tails]))
        return all(code == 0 for code in codes)

    def kill(self, ranks: range | list[int]) -> None:
        """SIGKILL, and wait until they are gone."""
        for rank in ranks:
            self.processes[rank].kill()
        for rank in ranks:
            self.processes[rank].wait()


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG (prctl(2)): also when this script is killed, no process of the run outlives it.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextmanager
def started(count: int, run_dir: Path, overrides: list[str], logs: Path) -> Iterator[Ranks]:
    """Processes that are gone afterwards, whatever happened."""
    ranks = Ranks(count, run_dir, overrides, logs)
    try:
        yield ranks
    finally:
        ranks.kill(range(count))


def newest(run_dir: Path) -> int:
    """Step of the newest committed checkpoint; 0 if there is none."""
    return max(CheckpointStore(run_dir).steps(), default=0)


def events(run_dir: Path, *kinds: str) -> list[dict[str, int]]:
    path = run_dir / "events.jsonl"
    return [event for event in read_json_lines(path) if event["event"] in kinds] if path.exists() else []


def content_hash(folder: Path) -> str:
    """Of every weight and moment, whatever layout wrote them."""
    reader, digest = CheckpointReader(folder), hashlib.sha256()
    for name in reader.names:
        for kind in KINDS:
            digest.update(reader.read(name, kind).numpy().data)
    return digest.hexdigest()


def wait_for(ranks: Ranks, run_dir: Path, happened: Callable[[], bool], poll_seconds: float = POLL_SECONDS) -> bool:
    """Whether it happened before the run finished.

    Raises:
        WrongError: the run hangs, or a process ended by itself.
    """
    position, deadline = newest(run_dir), time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if ranks.finished():
            return False
        if newest(run_dir) != position:
            position, deadline = newest(run_dir), time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > deadline:
            raise WrongError(f"no new checkpoint after step {position} for {PATIENCE_SECONDS} seconds")
        time.sleep(poll_seconds)
    return True


class Soak:
    """Runs in `folder`, disturbed and not."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.logs = folder, folder / "logs"
        self.logs.mkdir()
        self.processes: int = arguments.processes
        self.kills: int = arguments.kills
        self.num_steps: int = arguments.steps or STEPS_PER_KILL * max(arguments.kills, 1)
        self.chance = random.Random(arguments.seed)
        self.tally = Tally()
        write_dataset(folder / "data", sources=("books",))
        self.overrides = [f"data.path={folder / 'data'}", f"train.num_steps={self.num_steps}", *arguments.overrides]

    def undisturbed(self) -> str:
        """Hash of the run that nobody disturbs."""
        run_dir = self.folder / "undisturbed"
        with started(self.processes, run_dir, self.overrides, self.logs) as ranks:
            wait_for(ranks, run_dir, lambda: False)
        return content_hash(CheckpointStore(run_dir).path(self.num_steps))

    def disturbed(self, run_dir: Path) -> str:
        """Hash of a run that is killed until all kills are done."""
        while not self._attempt(run_dir):
            self.tally.restarts += 1
        if bad := events(run_dir, "damaged_checkpoint", "save_failed", "skip"):
            raise WrongError(f"a kill must not lead to this: {bad}")
        self.tally.stale_latest += len(events(run_dir, "wrong_latest"))
        return content_hash(CheckpointStore(run_dir).path(self.num_steps))

    def _attempt(self, run_dir: Path) -> bool:
        """One start of the run, up to a kill or to its end; whether it was the end."""
        committed, begun = newest(run_dir), len(events(run_dir, "start", "resume"))
        with started(self.processes, run_dir, self.overrides, self.logs) as ranks:
            during_start = self.tally.kills < self.kills and self.chance.random() < 0.1
            if during_start:
                time.sleep(self.chance.uniform(0, 6))
            elif not wait_for(ranks, run_dir, lambda: len(events(run_dir, "start", "resume")) > begun):
                raise WrongError("the run ended without saying that it began")
            else:
                event = events(run_dir, "start", "resume")[begun]
                if event["step"] != committed:
                    raise WrongError(f"step {committed} was committed, but the run continued from step {event['step']}")
                if committed:
                    self.tally.resumed.append(committed)
            if self.tally.kills == self.kills:
                return not wait_for(ranks, run_dir, lambda: False)
            if not during_start and not self._moment(ranks, run_dir, committed):
                return True
            ranks.kill([self.chance.randrange(self.processes)])
            # The others notice, or are stopped before they do.
            time.sleep(self.chance.choice((0, 0.05, 0.5)))
        self.tally.kills += 1
        self.tally.during_start += during_start
        self.tally.during_save += _interrupted_save(run_dir)
        print(f"kill {self.tally.kills}: {newest(run_dir)} of {self.num_steps} steps committed", flush=True)
        return False

    def _moment(self, ranks: Ranks, run_dir: Path, committed: int) -> bool:
        """Wait for the moment of the kill; False if the run is finished before."""
        target = committed + self.chance.randrange(self.num_steps // self.kills + 1)
        if not wait_for(ranks, run_dir, lambda: newest(run_dir) >= target):
            return False
        if self.chance.random() < 0.5:
            time.sleep(self.chance.uniform(0, 0.1))
        elif wait_for(ranks, run_dir, lambda: _interrupted_save(run_dir), SAVE_POLL_SECONDS):
            time.sleep(self.chance.uniform(0, 0.005))
        return True


def _interrupted_save(run_dir: Path) -> bool:
    """Whether there is a folder that is being written, and not one that is being deleted."""
    found = [int(path.name[6:-4]) for path in CheckpointStore(run_dir).folder.glob(".step_*.tmp")]
    return any(step > newest(run_dir) for step in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2, help="of the run; tensor x pipeline must divide it")
    parser.add_argument("--steps", type=int, help=f"of the run; default {STEPS_PER_KILL} per kill")
    parser.add_argument("--seed", type=int, default=0, help="of ranks and moments")
    parser.add_argument("overrides", nargs="*", help="for launch/train.py, e.g. parallel.tensor=2")
    arguments = parser.parse_args()
    # Like Ctrl-C: end the processes and remove the folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="kill_"))
    try:
        return soak(Soak(folder, arguments))
    finally:
        shutil.rmtree(folder)


def soak(work: Soak) -> int:
    """Disturb runs until all kills are done; print what happened."""
    begin, problem, tally = time.monotonic(), None, work.tally
    try:
        expected = work.undisturbed()
        while not tally.equal or tally.kills < work.kills:
            run_dir = work.folder / f"disturbed_{len(tally.equal)}"
            tally.equal.append(work.disturbed(run_dir) == expected)
            if not tally.equal[-1]:
                raise WrongError("the weights or moments differ from those of the undisturbed run")
    except WrongError as error:
        problem = str(error)
    rows = {
        "processes": work.processes,
        "steps per run": work.num_steps,
        "kills": tally.kills,
        "kills during a save": tally.during_save,
        "kills during the start": tally.during_start,
        "restarts": tally.restarts,
        "steps resumed from": ", ".join(str(step) for step in tally.resumed) or "none",
        "latest found one checkpoint behind": tally.stale_latest,
        "runs with the weights and moments of the undisturbed run": f"{sum(tally.equal)} of {len(tally.equal)}",
        "seconds": round(time.monotonic() - begin),
    }
    print("\n| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    if problem:
        print(f"\nwrong: {problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
