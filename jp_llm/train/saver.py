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
from jp_llm.train.records import Records
from jp_llm.train.state import TrainState


class Saver:
    """Writes the checkpoints of one run, and keeps those that its configuration wants kept."""

    def __init__(self, preflight: Preflight, data_fingerprint: str, records: Records) -> None:
        self.preflight = preflight
        self.data_fingerprint = data_fingerprint
        self.records = records
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
                tokenizer_folder=self.preflight.data_folder / self.preflight.manifest.tokenizer.folder,
                tokenizer_fingerprint=self.preflight.tokenizer.fingerprint,
                data_fingerprint=self.data_fingerprint,
            )
        except OSError as error:
            message = f"checkpoint of step {state.step} could not be written: {error}"
            self.records.event("save_failed", step=state.step, error=str(error))
            if final:
                raise UserError(f"{message}; free the space and run the same command again") from error
            if self.preflight.world.is_main:
                print(f"warning: {message}; training goes on", file=sys.stderr, flush=True)
            return
        if self.preflight.world.is_main:
            self.store.prune(config.checkpoint.keep_last, config.checkpoint.keep_every_steps)
        self.records.event("save", step=state.step, seconds=round(time.perf_counter() - started, 3))

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
        world, bad = self.preflight.world, []
        steps = self.store.steps()
        for step in reversed(steps):
            folder = self.store.path(step)
            try:
                found = damage(folder, read_manifest(folder), part=world.rank, parts=world.size)
            except UserError as error:
                found = list(error.problems)
            everyone: list[Any] = [None] * world.size
            torch.distributed.all_gather_object(everyone, found)
            found = sorted({problem for problems in everyone for problem in problems})
            if not found:
                return folder
            bad += found
            self.records.event("damaged_checkpoint", step=step, problems=found)
            if world.is_main:
                print(f"warning: {folder} is damaged ({found[0]}); trying an older one", file=sys.stderr, flush=True)
        if bad:
            raise UserError(*bad, f"{self.store.folder}: no checkpoint is whole; restore one or choose another run_dir")
        return None

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
