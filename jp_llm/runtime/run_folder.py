"""Names of what lies in a run folder: a stable interface for people, scripts and every room."""

import re
from dataclasses import dataclass
from pathlib import Path

_STEP = re.compile(r"step_\d{8,}")


@dataclass(frozen=True)
class RunFolder:
    """`run_dir`, which every process of a run sees under the same path."""

    path: Path

    @property
    def resolved_config(self) -> Path:
        """The whole configuration, defaults filled in."""
        return self.path / "config.resolved.yaml"

    @property
    def plan(self) -> Path:
        """What was expected of the run, if its cluster was named."""
        return self.path / "plan.json"

    @property
    def events(self) -> Path:
        """What happened, one JSON object per line; only ever appended to."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """Training and evaluation records, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Completions of the prompts, one JSON object per line."""
        return self.path / "samples.jsonl"

    @property
    def interventions(self) -> Path:
        """Batches that are left out for ever; every restart obeys it."""
        return self.path / "interventions.json"

    @property
    def status(self) -> Path:
        """How the run stands or how it ended, as its main process says."""
        return self.path / "status.json"

    @property
    def heartbeats(self) -> Path:
        """One file per process."""
        return self.path / "heartbeats"

    @property
    def stacks(self) -> Path:
        """Stacks of processes that stood still."""
        return self.path / "stacks"

    @property
    def bad_hosts(self) -> Path:
        """Hosts that a restart leaves out, one per line."""
        return self.path / "bad_hosts.txt"

    @property
    def checkpoints(self) -> list[Path]:
        """Every step_N folder, the newest first; whether it is whole is not looked at."""
        # By number: a run of more than 99,999,999 steps has longer names.
        steps = [path for path in self.path.glob("checkpoints/step_*") if _STEP.fullmatch(path.name)]
        return sorted(steps, key=lambda path: int(path.name.removeprefix("step_")), reverse=True)

    @property
    def save_order(self) -> Path:
        """Created by a person: save now and go on."""
        return self.path / "SAVE"

    @property
    def kill_order(self) -> Path:
        """Created by a person: save now and stop."""
        return self.path / "KILL"

    @property
    def done(self) -> Path:
        """There when the last step is saved."""
        return self.path / "DONE"

    @property
    def logs(self) -> Path:
        """Output of the launcher, one file per start."""
        return self.path / "logs"
