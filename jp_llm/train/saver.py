"""Save a run and find the state to continue from."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.checkpoint.format import Manifest, damage, read_manifest
from jp_llm.checkpoint.host_copy import HostCopy
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.checkpoint.writer import Contents, State, write
from jp_llm.engine.engine import Engine
from jp_llm.guard.interventions import Interventions
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.host import host_name
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Events
from jp_llm.train.state import TrainState

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Save:
    """A save that is under way."""

    step: int
    started: float
    stall_seconds: float
    """For how long training stood still."""
    ended: Future[float]
    """When it was committed (`time.perf_counter`)."""


class Saver:
    """Writes the checkpoints of one run, and keeps those that its configuration wants kept.

    Saving is asynchronous unless `checkpoint.asynchronous` says otherwise: training stands still while the state is
    copied to host memory, and one thread does the rest. At most one save is under way.
    """

    def __init__(self, preflight: Preflight) -> None:
        """Every process makes its own at the same time."""
        self.preflight = preflight
        self.data_fingerprint = preflight.train_data.fingerprint
        self.datasets = preflight.datasets()
        self.origin: dict[str, Any] = {}
        """What the run began with, as its checkpoints say; empty where the first weights were random."""
        self.events = Events(preflight.run_dir, preflight.world)
        self.store = CheckpointStore(preflight.run_dir)
        # The thread must not meet the collectives of training, and what it sends is in host memory.
        # Patient: a slow disk of one node must not end training.
        self._group = torch.distributed.new_group(backend="gloo", timeout=timedelta(hours=2))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._host_copy: HostCopy | None = None
        self._save: _Save | None = None

    def reserve(self, engine: Engine) -> None:
        """Take the host memory that asynchronous saves need."""
        if self.preflight.config.checkpoint.asynchronous:
            self._host_copy = HostCopy(engine.owned_state())

    def save(self, engine: Engine, state: TrainState, *, guard: dict[str, Any] | None = None, final: bool) -> None:
        """Begin the checkpoint of this step, and end it if it is the final one; every process calls this together.

        A checkpoint that cannot be written (a full disk) is reported and training goes on with the older ones; only
        the final one must succeed.

        Raises:
            UserError: the final checkpoint could not be written.
        """
        started = time.perf_counter()
        self.finish()
        contents = self._contents(state, guard)
        # Without a host copy the thread reads the state itself, and training waits for it.
        held = engine.owned_state() if self._host_copy is None else self._host_copy.take(engine.owned_state())
        ended = self._thread.submit(self._write, state.step, held, contents)
        if final or self._host_copy is None:
            wait([ended])
        self._save = _Save(state.step, started, time.perf_counter() - started, ended)
        if final and (problem := self._outcome()):
            raise UserError(f"{problem}; mend it (a full disk?) and run the same command again")

    def report(self) -> bool:
        """Say how the save that is under way ended, if it has; whether one is still under way."""
        if self._save is not None and self._save.ended.done():
            self.finish()
        return self._save is not None

    def finish(self) -> None:
        """Wait for the save that is under way, and say how it ended."""
        if problem := self._outcome():
            self._warn(f"{problem}; training goes on")

    def close(self) -> None:
        """Let the save that is under way end, also where training failed."""
        self._thread.shutdown()
        # Where a process died, the reason is on its way already.
        known = self._save is None or not isinstance(self._save.ended.exception(), OSError | None)
        if not known and (problem := self._outcome()):
            self._warn(problem)

    def _outcome(self) -> str | None:
        """Wait for the save that is under way and record how it ended; the problem if it could not be written."""
        save, self._save = self._save, None
        if save is None:
            return None
        try:
            ended = save.ended.result()
        except OSError as error:
            self.events.write("save_failed", step=save.step, error=str(error))
            return f"checkpoint of step {save.step} could not be written: {error}"
        self.events.write(
            "save",
            step=save.step,
            seconds=round(ended - save.started, 3),
            stall_seconds=round(save.stall_seconds, 3),
        )
        return None

    def _contents(self, state: TrainState, guard: dict[str, Any] | None) -> Contents:
        """Everything that the thread needs, as it is now."""
        config, world = self.preflight.config, self.preflight.world
        layout = config.parallel.layout(world.size)
        return Contents(
            state=state.as_dict(),
            guard=guard or {},
            origin=self.origin,
            seed=config.seed,
            layout={
                "world_size": world.size,
                "tensor": layout.tensor,
                "pipeline": layout.pipeline,
                "data": layout.data,
                "zero_stage": config.parallel.zero_stage,
            },
            config=config.model_dump(mode="json"),
            parameters=parameter_shapes(config.model),
            tokenizer_folder=self.preflight.tokenizer_folder,
            tokenizer_fingerprint=self.preflight.tokenizer.fingerprint,
            data_fingerprint=self.data_fingerprint,
            datasets=self.datasets,
        )

    def _write(self, step: int, state: State, contents: Contents) -> float:
        """Runs in the thread, on every process: write, commit, and delete what is no longer kept."""
        write(self.store.path(step), state, contents, self._group)
        ended = time.perf_counter()
        if self.preflight.world.is_main:
            config, guard = self.preflight.config.checkpoint, self.preflight.config.guard
            keep_behind = guard.rewind_steps if guard.enabled and guard.max_rewinds else 0
            try:
                self.store.point(step)
                self.store.prune(config.keep_last, config.keep_every_steps, keep_behind)
            except OSError as error:
                self._warn(f"the checkpoint of step {step} is safe, but tidying up after it failed: {error}")
        return ended

    def _warn(self, message: str) -> None:
        if self.preflight.world.is_main:
            print(f"warning: {message}", file=sys.stderr, flush=True)

    def from_main(self, find: Callable[[], Value]) -> Value:
        """What `find` returns on process 0, on every process; no save may be under way.

        Raises:
            UserError: it, or an OSError, was raised there.
        """
        found: list[Any] = [None, None]
        if self.preflight.world.is_main:
            try:
                found = [find(), None]
            except UserError as error:
                found = [None, error.problems]
            except OSError as error:
                found = [None, (str(error),)]
        torch.distributed.broadcast_object_list(found, group=self._group)
        value, problems = found
        if problems:
            raise UserError(*problems)
        return value  # type: ignore[no-any-return]

    def from_all(self, find: Callable[[], Value]) -> list[Value]:
        """What `find` returns on each process, on every process; no save may be under way.

        Raises:
            UserError: it, or an OSError, was raised on one of them.
        """
        value: Value | None = None
        problems: tuple[str, ...] = ()
        try:
            value = find()
        except UserError as error:
            problems = error.problems
        except OSError as error:
            problems = (str(error),)
        everyone: list[Any] = [None] * self.preflight.world.size
        torch.distributed.all_gather_object(everyone, (value, problems), group=self._group)
        if failed := sorted({problem for _, found in everyone for problem in found}):
            raise UserError(*failed)
        return [each for each, _ in everyone]

    def restore(
        self, engine: Engine, interventions: Interventions, *, known_good: int | None = None
    ) -> tuple[TrainState, dict[str, Any]] | None:
        """Load the newest good checkpoint that was not given up into `engine`: counters and the guard's memory; None if
        the run has none.

        Args:
            known_good: step of a checkpoint that was found whole a moment ago.

        Raises:
            UserError: it belongs to another model, tokenizer or dataset, or none of the checkpoints is whole.
        """
        self._require_one_folder()
        abandoned = self.from_main(lambda: self._abandoned(interventions))
        folder, bad = self._newest_good(abandoned, known_good)
        reader = None if folder is None else CheckpointReader(folder)
        if folder is not None and reader is not None:
            self._compare(folder, reader.manifest)
        # Only now: a run that is refused leaves everything as it is.
        if self.preflight.world.is_main:
            self._tidy(bad, None if reader is None else reader.manifest.state["step"], abandoned)
        if reader is None:
            return None
        state = TrainState(**reader.manifest.state)
        self.origin = reader.manifest.origin
        engine.restore(reader.read_piece, state.applied_updates)
        return state, reader.manifest.guard

    def before(self, wanted: int, latest: int) -> TrainState | None:
        """Counters of the newest good checkpoint that had not used the sample `wanted`; if there is none, of the oldest
        that had not used `latest`; None if there is none either. Every process calls this together."""
        positions = [each for each in self.from_main(self._positions) if each[1] <= latest]
        far = [each for each in positions if each[1] <= wanted]
        for step, _ in [*reversed(far), *positions[len(far) :]]:
            folder = self.store.path(step)
            if not self._damage(folder):
                return TrainState(**read_manifest(folder).state)
        return None

    def _positions(self) -> list[tuple[int, int]]:
        """Step and position in the data of each checkpoint that has its manifest whole, ascending."""
        found = []
        for step in self.store.steps():
            with suppress(UserError):  # damaged, which is found and said later
                found.append((step, int(read_manifest(self.store.path(step)).state["consumed_samples"])))
        return found

    def _abandoned(self, interventions: Interventions) -> list[int]:
        """Steps of checkpoints that a rewind has given up, but not yet set aside."""
        positions = self._positions() if interventions else []
        return [step for step, consumed in positions if interventions.abandon(consumed)]

    def _require_one_folder(self) -> None:
        """
        Raises:
            UserError: the processes do not see the same run folder, so that no checkpoint would ever be whole.
        """
        world, token = self.preflight.world, self.preflight.run_dir / f".shared_{os.getpid()}"
        name: list[Any] = [token.name]
        if world.is_main:
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
        torch.distributed.broadcast_object_list(name, group=self._group)
        seen = (self.preflight.run_dir / name[0]).exists()
        missing = None if seen else f"process {world.rank} on {host_name()}"
        everyone: list[Any] = [None] * world.size
        torch.distributed.all_gather_object(everyone, missing, group=self._group)
        if world.is_main:
            token.unlink(missing_ok=True)
        if blind := [text for text in everyone if text]:
            raise UserError(
                f"run_dir: {self.preflight.run_dir} is not the same folder for all processes ({blind[0]} does not see "
                "what process 0 wrote there); name one on a file system that all nodes share"
            )

    def _newest_good(
        self, abandoned: Sequence[int] = (), known_good: int | None = None
    ) -> tuple[Path | None, dict[int, list[str]]]:
        """The checkpoint to load, and what is wrong with newer ones."""
        bad: dict[int, list[str]] = {}
        # One process lists the folder, so that all of them look at the same checkpoints in the same order.
        steps = self.from_main(self.store.steps)
        for step in reversed([step for step in steps if step not in abandoned]):
            found = [] if step == known_good else self._damage(self.store.path(step))
            if not found:
                return self.store.path(step), bad
            bad[step] = found
        if bad:
            raise UserError(
                *(problem for found in bad.values() for problem in found),
                f"{self.store.folder}: no checkpoint is whole; restore one or choose another run_dir",
            )
        return None, bad

    def _damage(self, folder: Path) -> list[str]:
        """What is wrong with a checkpoint; every process looks at its share of the files and learns of all.

        Raises:
            UserError: it cannot be read at the moment, which says nothing about what is in it.
        """
        world = self.preflight.world
        unreadable = None
        try:
            found = damage(folder, read_manifest(folder), part=world.rank, parts=world.size)
        except UserError as error:
            found = list(error.problems)
        except OSError as error:
            found, unreadable = [], f"{folder}: {error}"
        everyone: list[Any] = [None] * world.size
        torch.distributed.all_gather_object(everyone, (found, unreadable), group=self._group)
        if failed := sorted({text for _, text in everyone if text}):
            raise UserError(*failed, "make it readable, or rename that folder to go on without it")
        return sorted({problem for problems, _ in everyone for problem in problems})

    def _tidy(self, bad: dict[int, list[str]], good: int | None, abandoned: Sequence[int] = ()) -> None:
        """Set aside what was given up; name what is wrong and set it aside, so that it is neither counted nor found
        again."""
        if abandoned:
            kept = self.store.abandon(abandoned)
            self.events.write("abandoned_checkpoints", steps=list(abandoned), kept=str(kept))
        if good is None:
            return
        if abandoned:
            self.store.point(good)
        if problem := self.store.latest_problem():
            self.events.write("wrong_latest", problem=problem)
            self._warn(problem)
        for step, found in bad.items():
            target = self.store.set_aside(step)
            self.events.write("damaged_checkpoint", step=step, problems=found, moved_to=str(target))
            self._warn(f"damaged checkpoint moved to {target} ({'; '.join(found)})")
        if bad or problem:
            self.store.point(good)

    def _compare(self, folder: Path, manifest: Manifest) -> None:
        """Refuse what cannot be continued; print what changed otherwise."""
        problems = []
        old, new = manifest.config, self.preflight.config.model_dump(mode="json")
        changed = _differences(old, new)
        for key in sorted(changed):
            if key.startswith("model.") and key != "model.size":
                problems.append(f"{key}: {changed[key][1]!r}, but {folder} was trained with {changed[key][0]!r}")
        if manifest.tokenizer_fingerprint != self.preflight.tokenizer.fingerprint:
            problems.append(
                f"{folder} was trained with tokenizer {manifest.tokenizer_fingerprint[:12]}, the data uses "
                f"{self.preflight.tokenizer.fingerprint[:12]}"
            )
        if manifest.data_fingerprint != self.data_fingerprint:
            problems.append(
                f"{folder} was trained on other data, data.weights, seed, data.documents, data.replay or "
                "train.seq_length"
            )
        if problems:
            raise UserError(*problems, "choose another run_dir for another run, or go back to the old configuration")
        if self.preflight.world.is_main:
            for key, (before, after) in sorted(changed.items()):
                if not key.startswith("model."):
                    print(f"changed since the checkpoint: {key} was {before!r}, now {after!r}", flush=True)


def _differences(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in old.keys() | new.keys():
            found |= _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
        return found
    return {} if old == new else {prefix: (old, new)}
