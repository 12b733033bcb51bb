"""Save a run and find the state to continue from."""

import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.checkpoint.format import Manifest, damage, read_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.checkpoint.writer import write
from jp_llm.engine.engine import Engine
from jp_llm.runtime.errors import UserError
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Events
from jp_llm.train.state import TrainState


class Saver:
    """Writes the checkpoints of one run, and keeps those that its configuration wants kept."""

    def __init__(self, preflight: Preflight) -> None:
        self.preflight = preflight
        self.data_fingerprint = preflight.train_data.fingerprint
        self.events = Events(preflight.run_dir, preflight.world)
        self.store = CheckpointStore(preflight.run_dir)

    def save(self, engine: Engine, state: TrainState, *, final: bool) -> None:
        """Write the checkpoint of this step; every process calls this together.

        A checkpoint that cannot be written (a full disk) is reported and training goes on with the older ones; only
        the final one must succeed.
        """
        config = self.preflight.config
        started = time.perf_counter()
        try:
            write(
                self.store.path(state.step),
                engine.owned_state(),
                counters=state.as_dict(),
                config=config.model_dump(mode="json"),
                parameters=parameter_shapes(config.model),
                tokenizer_folder=self.preflight.tokenizer_folder,
                tokenizer_fingerprint=self.preflight.tokenizer.fingerprint,
                data_fingerprint=self.data_fingerprint,
            )
        except OSError as error:
            message = f"checkpoint of step {state.step} could not be written: {error}"
            self.events.write("save_failed", step=state.step, error=str(error))
            if final:
                raise UserError(f"{message}; free the space and run the same command again") from error
            if self.preflight.world.is_main:
                print(f"warning: {message}; training goes on", file=sys.stderr, flush=True)
            return
        if self.preflight.world.is_main:
            try:
                self.store.prune(config.checkpoint.keep_last, config.checkpoint.keep_every_steps)
            except OSError as error:
                print(f"warning: an old checkpoint could not be deleted: {error}", file=sys.stderr, flush=True)
        self.events.write("save", step=state.step, seconds=round(time.perf_counter() - started, 3))

    def restore(self, engine: Engine) -> TrainState | None:
        """Load the newest good checkpoint into `engine`; None if the run has none.

        Raises:
            UserError: it belongs to another model, tokenizer or dataset, or none of the checkpoints is whole.
        """
        folder = self._newest_good()
        if folder is None:
            return None
        reader = CheckpointReader(folder)
        self._compare(folder, reader.manifest)
        state = TrainState(**reader.manifest.state)
        engine.restore(reader.read_piece, state.applied_updates)
        return state

    def _newest_good(self) -> Path | None:
        world = self.preflight.world
        bad: dict[int, list[str]] = {}
        # One process lists the folder, so that all of them look at the same checkpoints in the same order.
        listed: list[Any] = [self.store.steps() if world.is_main else None]
        torch.distributed.broadcast_object_list(listed)
        for step in reversed(listed[0]):
            found = self._damage(self.store.path(step))
            if not found:
                self._set_aside(bad)
                return self.store.path(step)
            bad[step] = found
        if bad:
            raise UserError(
                *(problem for found in bad.values() for problem in found),
                f"{self.store.folder}: no checkpoint is whole; restore one or choose another run_dir",
            )
        return None

    def _damage(self, folder: Path) -> list[str]:
        """What is wrong with a checkpoint; every process looks at its share of the files and learns of all."""
        world = self.preflight.world
        try:
            found = damage(folder, read_manifest(folder), part=world.rank, parts=world.size)
        except UserError as error:
            found = list(error.problems)
        except OSError as error:
            found = [f"{folder}: {error}"]
        everyone: list[Any] = [None] * world.size
        torch.distributed.all_gather_object(everyone, found)
        return sorted({problem for problems in everyone for problem in problems})

    def _set_aside(self, bad: dict[int, list[str]]) -> None:
        if not self.preflight.world.is_main:
            return
        for step, found in bad.items():
            target = self.store.set_aside(step)
            self.events.write("damaged_checkpoint", step=step, problems=found, moved_to=str(target))
            print(f"warning: damaged checkpoint moved to {target} ({found[0]})", file=sys.stderr, flush=True)

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
            problems.append(f"{folder} was trained on other data, data.weights, seed or train.seq_length")
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
