"""Everything that can be wrong with a run and be found without torch: data, tokenizer, batch, run folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.config.run import RunConfig
from jp_llm.data.dataset import TokenDataset
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.tokenizer import Tokenizer

Value = TypeVar("Value")


@dataclass(frozen=True)
class Preflight:
    """What a run starts from."""

    config: RunConfig
    """With the vocabulary size of the tokenizer filled in."""
    train_data: TokenDataset
    validation_data: TokenDataset | None
    """None if no source has held-out text of a whole sample."""
    tokenizer: Tokenizer
    world: World

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer of the dataset."""
        return Path(self.config.data.path) / self.train_data.manifest.tokenizer.folder

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
    """Check what the configuration refers to.

    Raises:
        UserError: every problem that was found, in one error.
    """
    world = world_from(os.environ)
    problems = config.batch_problems(world.size)
    try:
        return _with_data(config, world, problems)
    except UserError as error:
        code = ExitCode.CONFIG_REFUSED if problems and len(problems) == len(error.problems) else error.code
        raise UserError(*error.problems, code=code) from None


def _with_data(config: RunConfig, world: World, problems: list[str]) -> Preflight:
    found = list(problems)
    folder = Path(config.data.path)
    _collect(found, lambda: CheckpointStore(Path(config.run_dir)).steps())
    manifest = _collect(found, lambda: DatasetManifest.load(folder))
    if manifest is None:
        raise UserError(*found)
    tokenizer = _collect(found, lambda: Tokenizer.load(folder / manifest.tokenizer.folder))
    if tokenizer is not None:
        found += _vocabulary_problems(config, manifest, tokenizer)
    damage = manifest.check_files(folder, hashes=config.data.verify_hashes and world.is_main)
    found += damage
    train = None if damage else _collect(found, lambda: _dataset(config, manifest, "train"))
    if found or train is None or tokenizer is None:
        raise UserError(*found)
    long_enough = any(manifest.tokens("validation", source) > config.seq_length for source in manifest.sources)
    model = config.model.model_copy(update={"vocab_size": tokenizer.vocab_size})
    return Preflight(
        config=config.model_copy(update={"model": model}),
        train_data=train,
        validation_data=_dataset(config, manifest, "validation") if long_enough else None,
        tokenizer=tokenizer,
        world=world,
    )


def _dataset(config: RunConfig, manifest: DatasetManifest, split: str) -> TokenDataset:
    return TokenDataset(
        Path(config.data.path),
        manifest,
        split=split,
        seq_length=config.seq_length,
        seed=config.seed,
        weights=config.data.weights if split == "train" else None,
    )


def _vocabulary_problems(config: RunConfig, manifest: DatasetManifest, tokenizer: Tokenizer) -> list[str]:
    found = []
    if tokenizer.fingerprint != manifest.tokenizer.fingerprint:
        found.append(
            f"{config.data.path}: the shards were made with tokenizer {manifest.tokenizer.fingerprint[:12]}, but the "
            f"tokenizer folder holds {tokenizer.fingerprint[:12]}; put the right one back, or encode the documents "
            "again with launch/preprocess.py into a new folder"
        )
    if config.model.vocab_size not in (None, tokenizer.vocab_size):
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
