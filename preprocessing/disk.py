"""How much disk and time a corpus needs: per stage, from the sizes of the inputs and a measured sample.

A stage drops what the one before has left as soon as it is used, so that the peak is less than the sum.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jp_llm.runtime.errors import UserError
from jp_llm.shards.format import UINT16_LIMIT
from jp_llm.tokenizer.sources import manifest_of
from preprocessing.config import STAGES, CorpusConfig
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.estimate import deduplicate_key_bytes
from preprocessing.documents import CLEANED, DOCUMENTS
from preprocessing.measure import Measured, expansion, measured
from preprocessing.plan import Piece, Plan, Unit
from preprocessing.split import SPLIT_FOLDER

# Bytes per second of one core, measured on an AMD EPYC with AVX-512 (docs/preprocessing-engine.md).
_DECOMPRESS = {"gzip": 292e6, "zstd": 1024e6, "xz": 103e6, "bz2": 43e6}
_COMPRESS = 400e6
_DEDUPLICATE = {"exact": 35e6, "lines": 130e6, "near": 20e6, "paragraphs": 60e6, "select": 43e6}
_CLUSTER_SECONDS = 2.3e-6
"""Per document, by one process while the others wait."""
_ENCODE = 40e6
_HASH = 1000e6
_TRAIN_SECONDS = 600.0
_TRAIN_BYTES_PER_SECOND = 1e6
_UNKNOWN_CLEAN = 15e6
_UNKNOWN_DOCUMENT_BYTES = 1000.0
"""Of a source that cannot be measured."""
_ZSTD_RATIO = 2.74
_CHARACTERS_PER_TOKEN = 1.8
_BYTES_PER_CHARACTER = 3.0
_INDEX_BYTES = 16
"""Per document of a shard."""
_CLEARLY_ENOUGH = 20
"""With so many times the input free, nothing needs to be measured."""
SAMPLE_BYTES = 4 << 20


@dataclass(frozen=True)
class SourceEstimate:
    """One source."""

    source: str
    files: int
    units: int
    input_bytes: int
    raw_bytes: float
    """Decompressed."""
    large_bytes: float
    """Part of it that is split first."""
    split_seconds: float
    longest_split_seconds: float
    """Of one file, which is one process."""
    clean_seconds: float
    documents: float
    """That come out of cleaning."""
    text_bytes: float
    """Of their texts in UTF-8."""
    stored_bytes: float
    """The same as files of documents."""
    token_bytes: float
    """Of the shards."""
    is_measured: bool
    fetched: int
    """Units whose size is not known before they are fetched."""


@dataclass(frozen=True)
class StageEstimate:
    """Disk below the output folder, and time."""

    name: str
    peak_bytes: float
    end_bytes: float
    core_seconds: float
    alone_seconds: float = 0.0
    """Part of them in which one process works and the others wait."""
    longest_seconds: float = 0.0
    """Of the longest of the other tasks."""

    def wall_seconds(self, num_workers: int) -> float:
        """Time that so many processes need."""
        return self.alone_seconds + max((self.core_seconds - self.alone_seconds) / num_workers, self.longest_seconds)


def estimate_sources(config: CorpusConfig, plan: Plan, sample_bytes: int = SAMPLE_BYTES) -> list[SourceEstimate]:
    """Look at a few MB of each source."""
    return [_source(config, plan, source, sample_bytes) for source in config.sources]


def estimate_stages(config: CorpusConfig, sources: list[SourceEstimate]) -> list[StageEstimate]:
    """The stages of `config`, in order. Nothing is taken for a duplicate: documents are as large as what is cleaned."""
    split = sum(item.large_bytes for item in sources) / _ZSTD_RATIO
    stored_large = sum(item.stored_bytes * item.large_bytes / max(item.raw_bytes, 1) for item in sources)
    stored = sum(item.stored_bytes for item in sources)
    text = sum(item.text_bytes for item in sources)
    tokens = sum(item.token_bytes for item in sources)
    stages = []
    if split:
        seconds = sum(item.split_seconds for item in sources)
        longest = max(item.longest_split_seconds for item in sources)
        stages.append(StageEstimate("split", split, split, seconds, longest_seconds=longest))
    cleaning = stored - stored_large + max(split, stored_large)
    stages.append(StageEstimate("clean", cleaning, stored, sum(item.clean_seconds for item in sources)))
    if config.deduplicate:
        documents = sum(item.documents for item in sources)
        keys = deduplicate_key_bytes(config.deduplicate, round(documents), round(text))
        clustering = _CLUSTER_SECONDS * documents if config.deduplicate.near else 0.0
        seconds = sum(text / _DEDUPLICATE[step] for step in _steps(config.deduplicate)) + clustering
        stages.append(StageEstimate("deduplicate", stored + keys, stored, seconds, clustering))
    training = 0.0 if config.tokenizer.path else min(_TRAIN_SECONDS, text / _TRAIN_BYTES_PER_SECOND)
    stages.append(StageEstimate("tokenizer", stored, stored, training, training))
    if config.keep_documents:
        peak = end = stored + tokens
    else:
        peak, end = max(stored, tokens), tokens
    stages.append(StageEstimate("encode", peak, end, text / _ENCODE + (stored + tokens) / _HASH))
    wanted = STAGES[: 1 + max(STAGES.index(stage) for stage in config.stages)]
    return [stage for stage in stages if stage.name in ("split", *wanted)]


def free_bytes(folder: Path) -> int:
    """Free space for `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def used_bytes(folder: Path) -> int:
    """What stages have written below `folder` already, of the kinds that are estimated here."""
    total = 0
    for kind in (SPLIT_FOLDER, CLEANED, DOCUMENTS, "deduplicate", "shards"):
        for place, _, names in os.walk(folder / kind):
            for name in names:
                with suppress(FileNotFoundError):  # others are at work here
                    total += os.lstat(os.path.join(place, name)).st_size
    return total


def disk_problem(stages: list[StageEstimate], folder: Path) -> str | None:
    """Why the disk will not hold it."""
    worst = max(stages, key=lambda stage: stage.peak_bytes)
    free, used = free_bytes(folder), used_bytes(folder)
    if worst.peak_bytes <= free + used:
        return None
    return (
        f"output_dir: the stage {worst.name} needs about {_gigabytes(worst.peak_bytes)} below {folder}, where "
        f"{_gigabytes(free)} are free and {_gigabytes(used)} are in use by this corpus already; choose another disk, "
        "take less input, or set keep_documents=false (or check_disk=false if you know better)"
    )


def check_disk(config: CorpusConfig, plan: Plan, folder: Path) -> None:
    """Refuse what the disk will not hold.

    Raises:
        UserError: says which stage needs how much.
    """
    size = sum(file.size for files in plan.files.values() for file in files)
    if not config.check_disk or size * _CLEARLY_ENOUGH < free_bytes(folder):
        return
    if problem := disk_problem(estimate_stages(config, estimate_sources(config, plan)), folder):
        raise UserError(problem)


def _source(config: CorpusConfig, plan: Plan, source: str, sample_bytes: int) -> SourceEstimate:
    files = plan.files.get(source, [])
    units = [unit for unit in plan.units if unit.source == source]
    ratios = _ratios(config, plan, source)
    raw = sum(file.size * ratios[file.compression] for file in files)
    large = {item.path for item in plan.large if item.source == source}
    large_files = [file for file in files if file.path in large]
    large_raw = sum(file.size * ratios[file.compression] for file in large_files)
    split_seconds = [
        file.size * ratios[file.compression] * (1 / _DECOMPRESS[file.compression or ""] + 1 / _COMPRESS)
        for file in large_files
    ]
    whole = [Unit(source, 0, (Piece(item.path, item.name),), item.size) for item in plan.large if item.path in large]
    found = measured(config, source, [*units, *whole], sample_bytes)
    sample = found or Measured(
        raw_bytes=1_000_000_000,
        seconds=1e9 / _UNKNOWN_CLEAN,
        text_bytes=1_000_000_000,
        characters=int(1e9 / _BYTES_PER_CHARACTER),
        documents=int(1e9 / _UNKNOWN_DOCUMENT_BYTES),
        stored_bytes=int(1e9 / _ZSTD_RATIO),
    )
    scale = raw / sample.raw_bytes
    token_size = 2 if _vocab_size(config) < UINT16_LIMIT else 4
    tokens = sample.characters / _CHARACTERS_PER_TOKEN * token_size + sample.documents * _INDEX_BYTES
    return SourceEstimate(
        source=source,
        files=len(files),
        units=len(units) + round(large_raw / config.unit_bytes),
        input_bytes=sum(file.size for file in files),
        raw_bytes=raw,
        large_bytes=large_raw,
        split_seconds=sum(split_seconds),
        longest_split_seconds=max(split_seconds, default=0.0),
        clean_seconds=sample.seconds * scale,
        documents=sample.documents * scale,
        text_bytes=sample.text_bytes * scale,
        stored_bytes=sample.stored_bytes * scale,
        token_bytes=tokens * scale,
        is_measured=found is not None,
        fetched=sum(piece.fetched for unit in units for piece in unit.pieces),
    )


def _ratios(config: CorpusConfig, plan: Plan, source: str) -> Mapping[str | None, float]:
    """Decompressed per compressed bytes, for each way of compression."""
    kinds = {file.compression for file in plan.files.get(source, [])}
    return {
        kind: 1.0
        if kind is None
        else expansion(
            [file for file in plan.files[source] if file.compression == kind], config.max_decompression_ratio
        )
        for kind in kinds
    }


def _vocab_size(config: CorpusConfig) -> int:
    """Of the tokenizer that is given, which need not be there yet, or of the one to be trained."""
    if config.tokenizer.path:
        with suppress(UserError):
            return manifest_of(Path(config.tokenizer.path)).vocab_size
    return config.tokenizer.vocab_size


def _steps(config: DeduplicationConfig) -> Iterator[str]:
    """Passes over the text that deduplication makes."""
    yield "exact"  # hashes are taken and documents counted even if no copies are looked for
    yield from (step for step in ("lines", "near", "paragraphs") if getattr(config, step))
    yield "select"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
