"""From `data` of a configuration to the datasets of a run: training and held-out text, with or without replay."""

from functools import partial
from pathlib import Path

from jp_llm.config.data import DataConfig
from jp_llm.data.dataset import Dataset, TokenDataset
from jp_llm.data.replay import PREFIX, ReplayedDataset, tokenizer_problems
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest


def open_data(
    config: DataConfig, manifest: DatasetManifest, *, seq_length: int, seed: int, hashes: bool
) -> tuple[Dataset, Dataset | None]:
    """What is trained on, and the held-out text: None if no source has any of a whole sample.

    Args:
        manifest: of the dataset `config.path`.
        hashes: compare the bytes of all shards with their manifests, not the sizes alone.

    Raises:
        UserError: files are absent or damaged, a source does not fill a sample, or what is replayed was encoded with
            another tokenizer.
    """
    folder, replay = Path(config.path), config.replay
    problems = manifest.check_files(folder, hashes=hashes)
    old = None
    if replay is not None:
        try:
            old = DatasetManifest.load(Path(replay.path))
            problems += tokenizer_problems(manifest, old, config.path, replay.path)
            problems += old.check_files(Path(replay.path), hashes=hashes)
        except UserError as error:
            problems += [f"data.replay.path: {problem}" for problem in error.problems]
    if problems:
        raise UserError(*problems)
    dataset = partial(TokenDataset, seq_length=seq_length, seed=seed, documents=config.documents)
    train: Dataset
    train = main = dataset(folder, manifest, split="train", weights=config.weights)
    whole = config.documents == "whole"
    held_out: Dataset | None = None
    if _has_held_out(manifest, seq_length, whole=whole):
        held_out = held_out_main = dataset(folder, manifest, split="validation")
    if replay is None or old is None:
        return train, held_out
    try:
        replayed = dataset(Path(replay.path), old, split="train", prefix=PREFIX, leave_out_short=True)
    except UserError as error:
        raise UserError(*(f"data.replay.path: {problem}" for problem in error.problems), code=error.code) from None
    train = ReplayedDataset(main, replayed, replay.share)
    if _has_held_out(old, seq_length, whole=whole):
        held_out_old = dataset(Path(replay.path), old, split="validation", prefix=PREFIX)
        held_out = held_out_old if held_out is None else ReplayedDataset(held_out_main, held_out_old, replay.share)
    return train, held_out


def _has_held_out(manifest: DatasetManifest, seq_length: int, *, whole: bool) -> bool:
    """Whether any source has held-out text of one sample."""
    for source in manifest.sources:
        tokens = manifest.tokens("validation", source)
        if tokens > (manifest.documents("validation", source) if whole else seq_length):
            return True
    return False
