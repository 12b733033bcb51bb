"""How long does a supervised run take to recover from a kill, and how much of the time does it train?

    python benchmarks/recovery.py [minutes] [mean seconds between kills] [words for launch/train.py ...]

A tiny model on two CPU processes under `launch/supervise.py` saves every 50 steps. SIGKILL hits a random training
process at random moments (a Poisson process: the next kill is drawn when the last one has fallen, whether the run is
training, saving or starting; while no process is there, it waits for one). Per kill:

- detect: until the supervisor has noticed, ended what was left, and written `attempt_end`;
- restart: from there until the run says that it continues (back-off, launcher, imports, loading of the checkpoint);
- first step: from there until the first new training record.

A kill that falls before the run has recovered from the one before hides how long that would have taken: the table
counts kills with a recovery before the next one, the JSON line says how many there were of both.

Goodput is the share of the whole time that went into steps that count: the last step x the median time of a step
without kills, over the time from the start of the supervisor. The rest is starts, lost steps, saves and recovery.
"""

import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _report import report

from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "helpers"))
from tiny import write_dataset  # noqa: E402

PROCESSES = 2
POLL_SECONDS = 0.02
WORDS = [
    "model/size=nano",
    "model.num_layers=4",
    "train.num_steps=10000000",
    "train.global_batch_size=8",
    "train.micro_batch_size=4",
    "train.precision=fp32",
    "train.device=cpu",
    "train.eval_every_steps=0",
    "train.sample_every_steps=0",
    "checkpoint.every_steps=50",
    "supervise.backoff_seconds=0.5",
    "supervise.max_backoff_seconds=2.0",
    "supervise.max_restarts=100000",
    "supervise.same_step_deaths=1000",
]


@dataclass
class Follower:
    """The end of a file of JSON lines, with the time at which each line was seen."""

    path: Path
    position: int = 0
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def look(self) -> None:
        """Take in what is new; half a line is left for the next time."""
        if not self.path.exists() or self.path.stat().st_size == self.position:
            return
        now = time.time()
        with self.path.open("rb") as file:
            file.seek(self.position)
            whole, newline, _ = file.read().rpartition(b"\n")
        self.position += len(whole) + len(newline)
        for line in whole.split(b"\n"):
            # A kill leaves half lines, which the next writer ends.
            with suppress(ValueError):
                self.lines.append((now, json.loads(line)))


@contextmanager
def supervised(run_dir: Path, data: Path, words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A run that is gone afterwards."""
    launcher = [sys.executable, "tests/helpers/plain_launcher.py", str(PROCESSES), "launch/train.py"]
    command = [sys.executable, "launch/supervise.py", *launcher, *WORDS, f"data.path={data}", f"run_dir={run_dir}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    log = run_dir.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *words], cwd=ROOT, env=environment, stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def trainers(run_dir: Path) -> list[int]:
    """Process numbers of the ranks."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[1:2] == ["launch/train.py"] and f"run_dir={run_dir}" in words:
            found.append(int(path.parent.name))
    return found


def recoveries(kills: list[float], events: Follower, metrics: Follower, ended: float) -> list[dict[str, float]]:
    """The three parts for each kill that was over before the next one fell."""

    def after(moment: float, *kinds: str) -> float:
        times = (event["time"] for _, event in events.lines if event["event"] in kinds and event["time"] > moment)
        return min(times, default=math.inf)

    rows = []
    steps = [seen for seen, record in metrics.lines if record["kind"] == "train"]
    for kill, following in zip(kills, [*kills[1:], ended], strict=True):
        noticed = after(kill, "attempt_end")
        begun = after(noticed, "start", "resume")
        trained = min((seen for seen in steps if seen > begun), default=math.inf)
        if trained <= following:
            rows.append({"detect": noticed - kill, "restart": begun - noticed, "first step": trained - begun})
    return rows


def main(minutes: float, mean_seconds: float, words: list[str]) -> None:
    """Kill for so long, and report."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="recovery_") as name:
        data, run_dir = Path(name) / "data", Path(name) / "run"
        write_dataset(data, sources=("books",))
        folder = RunFolder(run_dir)
        events, metrics = Follower(folder.events), Follower(folder.metrics)
        kills: list[float] = []
        with supervised(run_dir, data, words) as process:
            started = time.time()
            deadline, due = started + 60 * minutes, started + chance.expovariate(1 / mean_seconds)
            while time.time() < deadline:
                if process.poll() is not None:
                    sys.exit(f"the supervisor has ended:\n{run_dir.with_suffix('.log').read_text()[-3000:]}")
                events.look()
                metrics.look()
                if time.time() >= due and (found := trainers(run_dir)):
                    os.kill(chance.choice(found), signal.SIGKILL)
                    kills.append(time.time())
                    due = kills[-1] + chance.expovariate(1 / mean_seconds)
                    print(f"kill {len(kills)} after {kills[-1] - started:.0f} s", file=sys.stderr, flush=True)
                time.sleep(POLL_SECONDS)
            ended = time.time()
            process.send_signal(signal.SIGTERM)
            process.wait(120)
        metrics.look()
        events.look()
    records = [record for seen, record in metrics.lines if record["kind"] == "train" and seen <= ended]
    if not records:
        sys.exit("the run never trained: more minutes, or fewer kills")
    tokens = records[-1]["consumed_tokens"] / records[-1]["step"]
    step_seconds = statistics.median(tokens / record["tokens_per_second"] for record in records)
    last_step = max(record["step"] for record in records)
    rows = recoveries(kills, events, metrics, ended)
    if not rows:
        sys.exit(f"of {len(kills)} kills the run recovered from none before the next: more minutes, or fewer kills")
    table = []
    for part in ("detect", "restart", "first step", "in all"):
        values = [sum(row.values()) if part == "in all" else row[part] for row in rows]
        table.append(
            {
                "part of a recovery": part,
                "mean (s)": statistics.mean(values),
                "median (s)": statistics.median(values),
                "longest (s)": max(values),
            }
        )
    report(
        "Recovery from random kills",
        table,
        minutes=minutes,
        mean_seconds_between_kills=mean_seconds,
        kills=len(kills),
        recovered_before_the_next=len(rows),
        goodput=round(last_step * step_seconds / (ended - started), 4),
        last_step=last_step,
        steps_trained_twice=len(records) - len({record["step"] for record in records}),
        step_seconds=round(step_seconds, 4),
        starts=sum(event["event"] == "attempt" for _, event in events.lines),
        recoveries=rows,
    )


if __name__ == "__main__":
    minutes, mean_seconds, *words = [*sys.argv[1:3], *("10", "30")[len(sys.argv[1:3]) :], *sys.argv[3:]]
    main(float(minutes), float(mean_seconds), words)
