"""Everything that can be wrong with a run and be found without torch: data, tokenizer, batch, run folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.config.run import RunConfig
from jp_llm.optim.schedule import build_schedule
from jp_llm.runtime import plugin
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Preflight:
    """What a run starts from."""

    config: RunConfig
    """With the vocabulary size of the tokenizer filled in."""
    manifest: DatasetManifest
    tokenizer: Tokenizer
    world: World

    @property
    def data_folder(self) -> Path:
        """The dataset folder."""
        return Path(self.config.data.path)

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return Path(self.config.run_dir)


def check(config: RunConfig) -> Preflight:
    """Check what the configuration refers to.

    Raises:
        UserError: every problem that was found, in one error.
    """
    world = world_from(os.environ)
    problems = config.batch_problems(world.size)
    problems += _collect(lambda: build_schedule(config.optim.schedule, config.optim.schedule_options))
    problems += _logger_problems(config)
    if problems:
        raise config_error(problems)

    folder = Path(config.data.path)
    manifest = DatasetManifest.load(folder)
    tokenizer = Tokenizer.load(folder / manifest.tokenizer.folder)
    problems += manifest.check_files(folder, hashes=config.data.verify_hashes and world.is_main)
    problems += _vocabulary_problems(config, manifest, tokenizer)
    if config.data.weights is not None:
        problems += [
            f"data.weights.{name}: {folder} has no such source{plugin.nearest(name, list(manifest.sources))}"
            for name in config.data.weights
            if name not in manifest.sources
        ]
    problems += _collect(lambda: CheckpointStore(Path(config.run_dir)).steps())
    if problems:
        raise UserError(*problems)
    model = config.model.model_copy(update={"vocab_size": config.model.vocab_size or tokenizer.vocab_size})
    return Preflight(config.model_copy(update={"model": model}), manifest, tokenizer, world)


def _vocabulary_problems(config: RunConfig, manifest: DatasetManifest, tokenizer: Tokenizer) -> list[str]:
    found = []
    if tokenizer.fingerprint != manifest.tokenizer.fingerprint:
        found.append(
            f"{config.data.path}: the shards were made with tokenizer {manifest.tokenizer.fingerprint[:12]}, but the "
            f"tokenizer folder holds {tokenizer.fingerprint[:12]}; put the right one back, or encode the documents "
            "again with launch/preprocess.py into a new folder"
        )
    if config.model.vocab_size is not None and config.model.vocab_size < tokenizer.vocab_size:
        found.append(
            f"model.vocab_size: {config.model.vocab_size} is smaller than the tokenizer's {tokenizer.vocab_size}; "
            "leave it null"
        )
    return found


def _logger_problems(config: RunConfig) -> list[str]:
    known = plugin.names("jp_llm.train.loggers")
    found = [
        f"train.loggers: no logger {name!r}{plugin.nearest(name, known)}"
        for name in config.train.loggers
        if name not in known
    ]
    found += [
        f"train.loggers: {name} is not installed; pip install 'jp-llm[loggers]' or leave it out"
        for name in ("tensorboard", "wandb")
        if name in config.train.loggers and find_spec(name) is None
    ]
    return found


def _collect(action: Callable[[], object]) -> list[str]:
    try:
        action()
    except UserError as error:
        return list(error.problems)
    return []
