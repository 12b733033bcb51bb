"""All that a run folder says, also that of a run that died in the middle of a line."""

import fcntl
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from jp_llm.report.lines import json_object, json_objects, mapping, number
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.lock import LOCK_FILE
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.shards.manifest import DatasetManifest

Numbers = NDArray[np.float64]

COLUMNS = (
    *("step", "consumed_tokens", "loss", "grad_norm", "learning_rate"),
    *("tokens_per_second", "mfu", "peak_memory_bytes", "seconds_left"),
)
_CHECKPOINT_FIELDS = (
    *("producer", "state", "layout", "seed"),
    *("config_sha256", "data_fingerprint", "tokenizer_fingerprint"),
)
_STANDS = ("end", "stop", "exit")
"""Events that say where the run stood."""
EVALUATION = "evaluation.json"


@dataclass
class Train:
    """Records of training steps, those that count and those of branches that were given up; NaN where none was."""

    columns: dict[str, Numbers]
    """By name, [n] each, in the order of the file."""
    counts: NDArray[np.bool_]
    """[n] whether no later record stands at this step or before it: after a resume or a rewind the later ones count."""

    def __getitem__(self, name: str) -> Numbers:
        return self.columns[name][self.counts]

    def known(self, name: str) -> Numbers:
        """The column without what was not recorded."""
        values = self[name]
        return values[np.isfinite(values)]

    def given_up(self, name: str) -> Numbers:
        """[n] the column in the order of the file, with NaN in place of the records that count."""
        return np.where(self.counts, np.nan, self.columns[name])


@dataclass
class RunRecord:
    """Of one run folder. What is not there is empty, and `notes` say so."""

    folder: Path
    name: str
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    train: Train = field(default_factory=lambda: _train(()))
    evaluations: dict[float, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """During training: step -> source -> measures."""
    repetition: dict[float, dict[str, Any]] = field(default_factory=dict)
    """Step -> record."""
    samples: dict[str, dict[float, str]] = field(default_factory=dict)
    """Prompt -> step -> completion."""
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """Of the newest checkpoint: `name` of its folder and fields of its manifest."""
    dataset: DatasetManifest | None = None
    replayed: DatasetManifest | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    """JSON of launch/evaluate.py."""
    is_alive: bool = False
    """Whether a process holds the run folder."""

    @property
    def last_step(self) -> int | None:
        """The newest step that anything speaks of since the last rewind."""
        rewinds = [place for place, event in enumerate(self.events) if event.get("event") == "rewind"]
        after, rewound = (rewinds[-1] + 1, number(self.events[rewinds[-1]].get("time"))) if rewinds else (0, math.nan)
        found = [number(mapping(self.checkpoint.get("state")).get("step"))]
        found += [number(event.get("step")) for event in self.events[after:] if event.get("event") in _STANDS]
        found += [float(self.train["step"][-1])] if len(self.train["step"]) else []
        found += [] if number(self.status.get("time")) < rewound else [number(self.status.get("step"))]
        known = [step for step in found if math.isfinite(step)]
        return int(max(known)) if known else None

    @property
    def last_start(self) -> float:
        """All that counts behind this step was trained since the last start."""
        found = -math.inf
        for event in self.events:
            if event.get("event") in ("start", "resume"):
                found = number(event.get("step"))
            elif event.get("event") == "rewind":
                found = min(found, number(event.get("to_step")))
        return found


def read_run(folder: Path, evaluation: Path | None = None) -> RunRecord:
    """Read a run folder.

    Args:
        folder: of the run.
        evaluation: JSON file of launch/evaluate.py; None takes that of the run folder, if there is one.

    Raises:
        UserError: nothing of a run lies there.
    """
    files = RunFolder(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the run_dir of launch/train.py")
    if not any(path.exists() for path in (files.metrics, files.events, files.status)):
        raise UserError(f"{folder}: no metrics.jsonl and nothing else of a run; name the run_dir of launch/train.py")
    run = RunRecord(folder, folder.name or folder.resolve().name)
    run.config = _config(files.resolved_config, run.notes)
    # Before its status: a run that ends while this reads must not seem to have died.
    run.is_alive = _is_held(folder)
    run.status = json_object(files.status, run.notes)
    run.plan = json_object(files.plan, run.notes, expected=False)
    run.events = list(json_objects(files.events, run.notes))
    run.train = _train(_train_records(run, files))
    if files.metrics.exists() and not len(run.train["step"]):
        run.notes.append("metrics.jsonl holds no training step: the run ended before the first was recorded.")
    _read_samples(run, files)
    run.checkpoint = _checkpoint(files, run.notes)
    data = mapping(run.config.get("data"))
    run.dataset = _dataset(data.get("path"), run.notes)
    run.replayed = _dataset(mapping(data.get("replay")).get("path"), run.notes)
    run.evaluation = json_object(evaluation or folder / EVALUATION, run.notes, expected=evaluation is not None)
    return run


def _config(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append(f"{path.name} is missing.")
        return {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        notes.append(f"{path.name} cannot be read: {error}.")
        return {}
    return mapping(found)


def _train_records(run: RunRecord, files: RunFolder) -> Iterable[dict[str, Any]]:
    """Those of training; the others are put where they belong."""
    for record in json_objects(files.metrics, run.notes):
        kind, step = record.get("kind"), number(record.get("step"))
        if not math.isfinite(step):
            continue
        if kind == "train":
            # It is written before what is measured behind the same step.
            _give_up(run.evaluations, step)
            _give_up(run.repetition, step)
            yield record
        elif kind == "eval":
            _give_up(run.evaluations, step)
            sources = mapping(record.get("sources"))
            run.evaluations[step] = {str(name): mapping(measures) for name, measures in sources.items()}
        elif kind == "repetition":
            _give_up(run.repetition, step)
            run.repetition[step] = record


def _give_up(records: dict[float, Any], step: float) -> None:
    """Forget what stands at the step of the next record or behind it; the steps ascend."""
    while records and next(reversed(records)) >= step:
        records.popitem()


def _train(records: Iterable[dict[str, Any]]) -> Train:
    columns = {name: array("d") for name in COLUMNS}
    for record in records:
        for name, values in columns.items():
            values.append(number(record.get(name)))
    found = {name: np.array(values, np.float64) for name, values in columns.items()}
    steps = found["step"]
    # The least step of all later records.
    least = np.minimum.accumulate(np.append(steps[1:], np.inf)[::-1])[::-1] if len(steps) else steps
    return Train(found, steps < least)


def _read_samples(run: RunRecord, files: RunFolder) -> None:
    if not files.samples.exists() and not run.repetition:
        return
    for record in json_objects(files.samples, run.notes):
        step = number(record.get("step"))
        if math.isfinite(step) and isinstance(record.get("completion"), str):
            steps = run.samples.setdefault(str(record.get("prompt", "")), {})
            _give_up(steps, step)
            steps[step] = record["completion"]
    # Those of a branch that was given up, and that the next one has not come to yet.
    newest = max([*run.train["step"][-1:], *run.repetition], default=math.inf)
    for steps in run.samples.values():
        _give_up(steps, math.nextafter(newest, math.inf))
    run.samples = {prompt: steps for prompt, steps in run.samples.items() if steps}


def _checkpoint(files: RunFolder, notes: list[str]) -> dict[str, Any]:
    """The newest one that has a manifest; the name that `latest` holds may be missing or wrong after a kill."""
    for path in files.checkpoints:
        if (path / "manifest.json").is_file():
            manifest = json_object(path / "manifest.json", notes)
            if manifest:
                return {"name": path.name} | {key: manifest.get(key) for key in _CHECKPOINT_FIELDS}
    return {}


def _dataset(path: Any, notes: list[str]) -> DatasetManifest | None:
    if not isinstance(path, str) or not path:
        return None
    try:
        return DatasetManifest.load(Path(path))
    except (UserError, OSError):
        notes.append(f"The dataset {path} is not there (any more), so its sources are not known.")
        return None


def _is_held(folder: Path) -> bool:
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
