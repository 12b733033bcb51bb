"""Everything that can be wrong with a run and be found without torch: data, tokenizer, batch, run folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.data.dataset import Dataset
from jp_llm.data.open import open_data
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.tokenizer import Tokenizer
from jp_llm.train.origin import pretrained_problems

Value = TypeVar("Value")


@dataclass(frozen=True)
class Preflight:
    """What a run starts from."""

    config: RunConfig
    """With the vocabulary size of the tokenizer filled in."""
    train_data: Dataset
    validation_data: Dataset | None
    """None if no source has held-out text of a whole sample."""
    tokenizer: Tokenizer
    world: World
    """The processes of the launcher, or those that a dry run is told to describe."""

    @property
    def layout(self) -> Layout:
        """How the processes are laid out."""
        return self.config.parallel.layout(self.world.size)

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer of the dataset."""
        return Path(self.config.data.path) / self.train_data.manifest.tokenizer.folder

    def datasets(self) -> dict[str, str]:
        """Fingerprint of each dataset folder: of data.path, then of the replay."""
        data = self.config.data
        found = {data.path: self.train_data.manifest.fingerprint}
        if data.replay is not None:
            found[data.replay.path] = DatasetManifest.load(Path(data.replay.path)).fingerprint
        return found

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return Path(self.config.run_dir)

    @property
    def evaluated_sources(self) -> tuple[str, ...]:
        """Sources that are trained on and have held-out text of a whole sample."""
        held_out = () if self.validation_data is None else self.validation_data.sources
        return tuple(source for source in self.train_data.sources if source in held_out)


def check(config: RunConfig) -> Preflight:
    """Check what the configuration refers to, and whether it fits the number of processes.

    Raises:
        UserError: every problem that was found, in one error; exit code 2 if all of them lie in the configuration.
    """
    world = planned_world(config)
    found: list[str] = []
    preflight = _with_data(config, world, found)
    # The vocabulary, which tensor parallelism divides, is known only now.
    refused = world_problems(config if preflight is None else preflight.config, world)
    if refused or found or preflight is None:
        raise UserError(*refused, *found, code=ExitCode.PREFLIGHT_REFUSED if found else ExitCode.CONFIG_REFUSED)
    return preflight


def planned_world(config: RunConfig) -> World:
    """The processes of the launcher, or those that a dry run is told to describe."""
    try:
        world = world_from(os.environ)
    except UserError:
        # One process inside an allocation for many may describe a run: it trains nothing.
        if not config.dry_run:
            raise
        world = World()
    planned = config.parallel.world_size if config.dry_run else None
    return world if planned is None else replace(world, size=planned, local_size=None)


def world_problems(config: RunConfig, world: World) -> list[str]:
    """What is wrong with a configuration that is sound in itself, over so many processes."""
    found = []
    if config.parallel.world_size not in (None, world.size):
        found.append(
            f"parallel.world_size: {config.parallel.world_size}, but the launcher started {world.size}; leave it null, "
            "or describe such a run with dry_run=true"
        )
    return found + config.layout_problems(world.size)


def _with_data(config: RunConfig, world: World, found: list[str]) -> Preflight | None:
    """None, and the reasons in `found`, if anything is missing."""
    folder = Path(config.data.path)
    _collect(found, lambda: CheckpointStore(Path(config.run_dir)).steps())
    manifest = _collect(found, lambda: DatasetManifest.load(folder))
    if manifest is None:
        return None
    tokenizer = _collect(found, lambda: Tokenizer.load(folder / manifest.tokenizer.folder))
    if tokenizer is not None:
        found += _vocabulary_problems(config, manifest, tokenizer)
    if tokenizer is not None and config.init_from and world.is_main:
        found += pretrained_problems(config, tokenizer)
    hashes = config.data.verify_hashes and world.is_main
    data = _collect(
        found,
        lambda: open_data(config.data, manifest, seq_length=config.seq_length, seed=config.seed, hashes=hashes),
    )
    if data is None or tokenizer is None:
        return None
    model = config.model.model_copy(update={"vocab_size": config.model.vocab_size or tokenizer.vocab_size})
    return Preflight(
        config=config.model_copy(update={"model": model}),
        train_data=data[0],
        validation_data=data[1],
        tokenizer=tokenizer,
        world=world,
    )


def _vocabulary_problems(config: RunConfig, manifest: DatasetManifest, tokenizer: Tokenizer) -> list[str]:
    found = []
    if tokenizer.fingerprint != manifest.tokenizer.fingerprint:
        found.append(
            f"{config.data.path}: the shards were made with tokenizer {manifest.tokenizer.fingerprint[:12]}, but the "
            f"tokenizer folder holds {tokenizer.fingerprint[:12]}; put the right one back, or encode the documents "
            "again with launch/preprocess.py into a new folder"
        )
    # A model that was trained elsewhere may have more rows than its tokenizer has tokens.
    if config.model.vocab_size not in (None, tokenizer.vocab_size) and not config.init_from:
        found.append(
            f"model.vocab_size: {config.model.vocab_size}, but the tokenizer of {config.data.path} has "
            f"{tokenizer.vocab_size}; leave it null"
        )
    room = config.model.max_position_embeddings - 1
    for prompt in config.train.sample_prompts if config.train.sample_every_steps else ():
        size = len(tokenizer.encode(prompt)) + 1
        if size > room:
            found.append(f"train.sample_prompts: {prompt[:20]!r}... has {size} tokens, the context holds {room + 1}")
    return found


def _collect(found: list[str], action: Callable[[], Value]) -> Value | None:
    """What `action` returns; None if it raised a UserError, whose problems join `found`."""
    try:
        return action()
    except UserError as error:
        found += error.problems
        return None
