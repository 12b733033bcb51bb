"""Raw files to token shards, stage by stage: clean, deduplicate, tokenizer, encode, then `dataset.json`.

Every stage leaves marks and skips what is marked: the same command continues a run that was stopped, and sums up one
that is finished.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json, write_json
from jp_llm.shards.format import dtype_name
from jp_llm.shards.manifest import DATASET_FILE, DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.tokenizer.manifest import LIBRARY, MANIFEST_FILE, MODEL_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.clean import clean_unit
from preprocessing.config import STAGES, CorpusConfig, CorpusTokenizerConfig
from preprocessing.counts import Counts
from preprocessing.deduplicate.run import deduplicate
from preprocessing.documents import CLEANED, DOCUMENTS, SPLITS, DocumentsFile, find_documents
from preprocessing.encode.tokenize import encode_file
from preprocessing.encode.train_tokenizer import train
from preprocessing.executor import Stage, Task, available_cores, run_stage
from preprocessing.output_folder import claimed
from preprocessing.plan import Planner, Unit, changes, fetched_units, find_files, plan_to_json, units_from_json
from preprocessing.report.write import write_reports
from preprocessing.streams import DamagedFile
from preprocessing.summary import SourceSummary, check_not_empty, table

_TOKENIZER_FOLDER = "tokenizer"


def run(config: CorpusConfig) -> None:
    """Do the stages of `config` that are not done yet and print what came out.

    Raises:
        UserError: inputs are missing or damaged, no documents are left, the disk is full, or the output folder belongs
            to another configuration. What was finished is kept.
    """
    with claimed(config) as folder:
        last = _last_stage(config, folder)
        _check_given_tokenizer(config, folder)
        units = _units(config, folder)
        summaries = {source: SourceSummary() for source in config.sources}
        for unit, counts in zip(units, _perform(config, _cleaning(config, folder, units)), strict=True):
            summaries[unit.source].counts.add(Counts.from_json(counts))
        check_not_empty(summaries, config.output_dir)
        if config.deduplicate and last >= STAGES.index("deduplicate"):
            cleaned = _documents(config, folder, CLEANED)
            removed = deduplicate(config, folder, cleaned, partial(_perform, config))
            for file, counts in zip(cleaned, removed, strict=True):
                summaries[file.source].deduplicated.add(Counts.from_json(counts))
        documents = _documents(config, folder, DOCUMENTS)
        if last >= STAGES.index("tokenizer"):
            _perform(config, _making_the_tokenizer(config, folder, documents), isolated=True)
        if last >= STAGES.index("encode"):
            encoding = _encoding(config, folder, documents)
            shards: dict[str, dict[str, list[ShardManifest]]] = {
                source: {split: [] for split in SPLITS} for source in config.sources
            }
            for task, result in zip(encoding.tasks, _perform(config, encoding), strict=True):
                source, split, _ = task.name.rsplit("-", 2)
                shard = ShardManifest.from_json(result["shard"])
                shards[source][split].append(shard)
                summaries[source].add_shard(split, shard, result["cpu_seconds"])
            _save_dataset(config, folder, shards)
        write_reports(folder, config, summaries)
        print(table(summaries))
        print(f"{folder}: {'ready for training' if last == STAGES.index('encode') else 'cleaned documents'}")


def _last_stage(config: CorpusConfig, folder: Path) -> int:
    """Index of the last stage to sum up: one that is asked for, or all of a finished corpus."""
    if (folder / DATASET_FILE).exists():
        return STAGES.index("encode")
    return max(STAGES.index(stage) for stage in config.stages)


def _perform(config: CorpusConfig, stage: Stage, *, isolated: bool = False) -> list[dict[str, Any]]:
    """Results of a stage, which is run if the configuration asks for it and must be finished otherwise."""
    if stage.name in config.stages:
        return run_stage(stage, config.num_workers or available_cores(), isolated=isolated)
    if left := stage.unfinished():
        raise UserError(
            f"stages: {', '.join(config.stages)} needs {stage.name}, of which {len(left):,} of {len(stage.tasks):,} "
            f"tasks are not done; add {stage.name} to stages"
        )
    return stage.results()


def _units(config: CorpusConfig, folder: Path) -> list[Unit]:
    """The plan: made anew from the inputs, which must not have changed since the folder was begun.

    The inputs of a finished stage are not looked at again; they may be gone.
    """
    path = folder / "marks" / "plan.json"
    before = read_json(path) if path.exists() else None
    if before is not None:
        units = units_from_json(before)
        if not _cleaning(config, folder, units).unfinished():
            return units
    problems: list[str] = []
    files, units = {}, []
    for name, source in config.sources.items():
        try:
            reader = source.build_reader()
            if (parts := reader.parts()) is not None:
                units += fetched_units(name, parts)
                continue
            files[name] = find_files(source.paths, source.files, config.max_decompression_ratio)
            planner = Planner(
                source=name,
                unit_bytes=config.unit_bytes,
                cut_at=reader.cut_at,
                select=source.files,
                max_ratio=config.max_decompression_ratio,
                skip_damaged=config.on_damaged_file == "skip",
            )
            units += planner.units(files[name])
        except UserError as error:
            problems += [f"sources.{name}.paths: {problem}" for problem in error.problems]
        except DamagedFile as error:
            problems.append(f"sources.{name}.paths: {error}. Fetch the file again, or set on_damaged_file=skip")
    if before is not None and not problems and (problems := changes(before["files"], files)):
        problems.append(f"{folder} was begun with other input files; bring them back, or choose another output_dir")
    if problems:
        raise UserError(*problems)
    write_json(path, plan_to_json(files, units))
    return units


def _documents(config: CorpusConfig, folder: Path, kind: str) -> list[DocumentsFile]:
    """The files as they were when all were written: one that is lost later must be missed, not forgotten."""
    path = folder / "marks" / f"{kind}.json"
    if not path.exists():
        write_json(path, [asdict(file) for file in find_documents(folder, kind, config.sources)])
    return [DocumentsFile(**values) for values in read_json(path)]


def _forget_lost_shards(folder: Path, encoding: Stage) -> None:
    """A shard that is absent or of another size is encoded anew. (Hashes: launch/check_shards.py.)"""
    for task in encoding.tasks:
        mark = encoding.mark(task)
        if mark.exists():
            shard = ShardManifest.from_json(read_json(mark)["shard"])
            if shard.bin_problems(folder) or shard.idx_problems(folder):
                mark.unlink()


def _check_documents(folder: Path, files: Iterable[DocumentsFile]) -> None:
    problems = []
    for file in files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size:
            unit = Path(file.name).name.split("-")[1]
            mark = folder / "marks" / "clean" / f"{file.source}-{unit}.json"
            problems.append(
                f"{path}: lost or changed since it was cleaned; bring it back, or delete {mark} and run the same "
                "command again"
            )
    if problems:
        raise UserError(*problems)


def _check_given_tokenizer(config: CorpusConfig, folder: Path) -> None:
    """What is wrong with it must not show after hours of cleaning."""
    given = config.tokenizer.path
    if given and "tokenizer" in config.stages and not any((folder / "marks" / "tokenizer").glob("*.json")):
        Tokenizer.load(Path(given)).require_library()


def _cleaning(config: CorpusConfig, folder: Path, units: list[Unit]) -> Stage:
    tasks = [Task(unit.name, (config, unit), unit.size) for unit in units]
    return Stage("clean", clean_unit, tasks, folder / "marks" / "clean")


def _making_the_tokenizer(config: CorpusConfig, folder: Path, documents: Sequence[DocumentsFile]) -> Stage:
    train_files = [file for file in documents if file.split == "train"]
    paths = [str(folder / file.name) for file in train_files]
    task = Task(
        "copy" if config.tokenizer.path else "train",
        (config.tokenizer, paths, str(folder / _TOKENIZER_FOLDER)),
        sum(file.size for file in train_files),
    )
    stage = Stage("tokenizer", make_tokenizer, [task], folder / "marks" / "tokenizer")
    if stage.unfinished():
        _check_documents(folder, train_files)
    return stage


def make_tokenizer(config: CorpusTokenizerConfig, files: list[str], output: str) -> dict[str, Any]:
    """Copy or train the tokenizer into the folder `output`."""
    started = time.process_time()
    if config.path is None:
        train([Path(file) for file in files], config.recipe(), Path(output))
    else:
        Tokenizer.load(Path(config.path))
        for name in (MODEL_FILE, MANIFEST_FILE):
            with atomic_writer(Path(output) / name) as target, (Path(config.path) / name).open("rb") as given:
                shutil.copyfileobj(given, target)
    return {"fingerprint": Tokenizer.load(Path(output)).fingerprint, "cpu_seconds": time.process_time() - started}


def _encoding(config: CorpusConfig, folder: Path, documents: Sequence[DocumentsFile]) -> Stage:
    numbers: Counter[tuple[str, str]] = Counter()
    tasks, files = [], {}
    for file in documents:
        index = numbers[file.source, file.split]
        numbers[file.source, file.split] += 1
        shard = folder / "shards" / file.source / f"{file.split}-{index:05d}"
        arguments = (str(folder / file.name), str(folder / _TOKENIZER_FOLDER), str(shard))
        tasks.append(Task(f"{file.source}-{file.split}-{index:05d}", arguments, file.size))
        files[tasks[-1].name] = file
    stage = Stage("encode", encode_documents, tasks, folder / "marks" / "encode")
    _forget_lost_shards(folder, stage)
    _check_documents(folder, [files[task.name] for task in stage.unfinished()])
    return stage


def encode_documents(documents: str, tokenizer_folder: str, prefix: str) -> dict[str, Any]:
    """Encode one documents file to one shard."""
    started = time.process_time()
    shard = encode_file(Path(documents), _tokenizer(tokenizer_folder), Path(prefix))
    return {"shard": shard.to_json(), "cpu_seconds": time.process_time() - started}


@lru_cache(maxsize=1)
def _tokenizer(folder: str) -> Tokenizer:
    """Loaded once per process."""
    return Tokenizer.load(Path(folder))


def _save_dataset(config: CorpusConfig, folder: Path, shards: dict[str, dict[str, list[ShardManifest]]]) -> None:
    tokenizer = Tokenizer.load(folder / _TOKENIZER_FOLDER)
    record = TokenizerRecord(
        folder=_TOKENIZER_FOLDER,
        fingerprint=tokenizer.fingerprint,
        library=LIBRARY,
        library_version=tokenizer.library_version,
        vocab_size=tokenizer.vocab_size,
        unk_id=tokenizer.unk_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
    )
    sources = {source: {split: tuple(shards[source][split]) for split in SPLITS} for source in shards}
    DatasetManifest(record, dtype_name(tokenizer.vocab_size), config.fingerprint(), sources).save(folder)
