"""The supervisor around a launcher that only pretends to train: no torch, so a start costs milliseconds."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jp_llm.runtime.files import read_json_lines

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 20
HEAD = """
import json, os, signal, socket, subprocess, sys, time
from pathlib import Path
run_dir = Path([word.partition("=")[2] for word in sys.argv if word.startswith("run_dir=")][0])
start = len(list((run_dir / "logs").glob("start_*.log")))

def write(path, **values):
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(values))
    temporary.replace(path)

def ended(state, code, step=0, reason=""):
    write(run_dir / "status.json", state=state, code=code, step=step, reason=reason, host=socket.gethostname(),
          pid=os.getpid(), time=time.time())
    if state == "done":
        write(run_dir / "DONE", step=step)
    sys.exit(code)

def begun(step=0):
    with (run_dir / "events.jsonl").open("a") as file:
        event = {"event": "start", "step": step, "consumed_samples": 8 * step, "global_batch_size": 8}
        file.write(json.dumps(event) + "\\n")

def beat(rank, step, state="running", **more):
    values = dict(rank=rank, step=step, host=socket.gethostname(), pid=os.getpid(), phase="step", time=time.time())
    write(run_dir / "heartbeats" / f"rank_{rank:05d}.json", state=state, **(values | more))

def wait_for(path):
    while not path.exists():
        time.sleep(0.02)
"""


class Supervised:
    """A supervisor with a script of the test as its launcher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
            self.environment.pop(name, None)
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: str, *words: str, launcher: tuple[str, ...] = ()) -> None:
        script = self.folder / "train.py"
        script.write_text(HEAD + body)
        settings = ["supervise.backoff_seconds=0.01", f"train.num_steps={NUM_STEPS}", "optim.warmup_steps=1"]
        settings += ["data.path=unused", f"run_dir={self.run_dir}", *words]
        command = [sys.executable, "launch/supervise.py", "--", sys.executable, *launcher, str(script), *settings]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, seconds: float = 60.0) -> tuple[int, str]:
        assert self.process is not None
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, output + errors

    def run(self, body: str, *words: str, launcher: tuple[str, ...] = ()) -> tuple[int, str]:
        self.start(body, *words, launcher=launcher)
        return self.end()

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_json_lines(self.run_dir / "events.jsonl") if event["event"] == kind]

    def processes(self) -> list[int]:
        """Every process that has the run folder among its words, but the supervisor."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if str(self.run_dir).encode() in words and b"supervise.py" not in words:
                found.append(int(path.parent.name))
        return found

    def wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline, f"{path} does not come"
            time.sleep(0.02)
