"""Raw files to token shards, stage by stage: (split,) clean, deduplicate, tokenizer, encode, then `dataset.json`.

Every stage leaves marks and skips what is marked: the same command continues a run that was stopped, and sums up one
that is finished.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json
from jp_llm.shards.format import dtype_name
from jp_llm.shards.manifest import DATASET_FILE, DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.tokenizer.sources import check, take
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.clean import clean_unit
from preprocessing.config import STAGES, CorpusConfig, CorpusTokenizerConfig
from preprocessing.counts import Counts
from preprocessing.deduplicate.run import deduplicate, forget_selected
from preprocessing.disk import check_disk
from preprocessing.documents import SPLITS, DocumentsFile, has_size, in_split_order
from preprocessing.encode.tokenize import encode_file
from preprocessing.encode.train_tokenizer import train
from preprocessing.execution import local, mpi, slurm_array
from preprocessing.execution.launcher import chosen, launch
from preprocessing.execution.work import Perform
from preprocessing.executor import Stage, Task
from preprocessing.inputs import check_unchanged, in_order, plan_of
from preprocessing.manifest import save_manifest
from preprocessing.plan import Plan, Unit
from preprocessing.report.write import write_reports
from preprocessing.split import SPLIT_FOLDER, chunk_units, lost_chunks, split_file
from preprocessing.summary import SourceSummary, check_not_empty, table

_TOKENIZER_FOLDER = "tokenizer"


def run(config: CorpusConfig) -> None:
    """Do the stages of `config` that are not done yet, with the backend that it names, and print what came out.

    Raises:
        UserError: inputs are missing or damaged, no documents are left, the disk is full, or the output folder belongs
            to another configuration. What was finished is kept.
    """
    match chosen(config.backend, launch()):
        case "local":
            local.run(config, make)
        case "mpi":
            mpi.run(config, make)
        case "slurm_array":
            slurm_array.run(config, make)


def make(config: CorpusConfig, folder: Path, perform: Perform) -> None:
    """All stages, in one process that has others do the tasks."""
    last = _last_stage(config, folder)
    ready = partial(_perform, config, perform)
    _check_given_tokenizer(config, folder)
    plan, units, split = _planned(config, folder, ready)
    summaries = {source: SourceSummary() for source in config.sources}
    clean = _cleaning(config, folder, units)
    if "clean" in config.stages and (again := {task.name for task in clean.unfinished()}):
        forget_selected(folder, [unit for unit in units if unit.name in again])
    cleaning = ready(clean)
    for unit, result in zip(units, cleaning, strict=True):
        summaries[unit.source].counts.add(Counts.from_json(result["counts"]))
    shutil.rmtree(folder / SPLIT_FOLDER, ignore_errors=True)  # the chunks are gone, each with the mark of its unit
    check_not_empty(summaries, config.output_dir)
    documents = _documents(config, cleaning)
    if config.deduplicate and last >= STAGES.index("deduplicate"):
        selected = deduplicate(config, folder, documents, ready)
        for file, result in zip(documents, selected, strict=True):
            summaries[file.source].deduplicated.add(Counts.from_json(result["counts"]))
        documents = _documents(config, selected)
    if last >= STAGES.index("tokenizer"):
        ready(_making_the_tokenizer(config, folder, documents), isolated=True)
    if last >= STAGES.index("encode"):
        encoding = _encoding(config, folder, documents)
        shards: dict[str, dict[str, list[ShardManifest]]] = {
            source: {split: [] for split in SPLITS} for source in config.sources
        }
        for task, result in zip(encoding.tasks, ready(encoding), strict=True):
            source, split_name, _ = task.name.rsplit("-", 2)
            shard = ShardManifest.from_json(result["shard"])
            shards[source][split_name].append(shard)
            summaries[source].add_shard(split_name, shard, result["cpu_seconds"])
        _save_dataset(config, folder, shards)
        save_manifest(config, folder, plan, split, zip(units, cleaning, strict=True), documents, perform)
    write_reports(folder, config, summaries)
    print(table(summaries))
    print(f"{folder}: {'ready for training' if last == STAGES.index('encode') else 'cleaned documents'}")


def _last_stage(config: CorpusConfig, folder: Path) -> int:
    """Index of the last stage to sum up: one that is asked for, or all of a finished corpus."""
    if (folder / DATASET_FILE).exists():
        return STAGES.index("encode")
    return max(STAGES.index(stage) for stage in config.stages)


def _perform(config: CorpusConfig, perform: Perform, stage: Stage, *, isolated: bool = False) -> list[dict[str, Any]]:
    """Results of a stage, which is run if the configuration asks for it and must be finished otherwise."""
    name = "clean" if stage.name == "split" else stage.name
    if name in config.stages:
        return perform(stage, isolated)
    if left := stage.unfinished():
        raise UserError(
            f"stages: {', '.join(config.stages)} needs {name}, of which {len(left):,} of {len(stage.tasks):,} "
            f"tasks are not done; add {name} to stages"
        )
    return stage.results()


def _planned(
    config: CorpusConfig, folder: Path, ready: Callable[[Stage], list[dict[str, Any]]]
) -> tuple[Plan, list[Unit], list[dict[str, Any]]]:
    """The plan, all units, and what splitting large files gave.

    The plan is made anew from the inputs, which must not have changed since the folder was begun; those of a finished
    stage are not looked at again, they may be gone.
    """
    path = folder / "marks" / "plan.json"
    plan = Plan.from_json(path.read_bytes()) if path.exists() else None
    if plan is None or not _is_cleaned(config, folder, plan):
        now = plan_of(config)
        if plan is not None:
            check_unchanged(plan, now, folder)
        check_disk(config, now, folder)
        plan = now
        with atomic_writer(path) as file:
            file.write(plan.to_json())
    splitting = _splitting(config, folder, plan)
    split = ready(splitting) if plan.large else []
    return plan, _all_units(config, folder, plan, split), split


def _is_cleaned(config: CorpusConfig, folder: Path, plan: Plan) -> bool:
    splitting = _splitting(config, folder, plan)
    if splitting.unfinished():
        return False
    units = _all_units(config, folder, plan, splitting.results())
    return not _cleaning(config, folder, units).unfinished()


def _splitting(config: CorpusConfig, folder: Path, plan: Plan) -> Stage:
    """Large files to chunks; those whose chunks are lost, anew."""
    tasks = [Task(f"{large.source}-{large.index:05d}", (config, large), large.size) for large in plan.large]
    stage = Stage("split", split_file, tasks, folder / "marks" / "split")
    if tasks and not stage.unfinished():
        results = stage.results()
        cleaning = _cleaning(config, folder, _all_units(config, folder, plan, results))
        needed = {path: cleaning.mark(task) for task in cleaning.unfinished() for path in task.removes}
        for task, result in zip(tasks, results, strict=True):
            # Others may have used and removed a chunk meanwhile: then its mark is there.
            if any(not needed[path].exists() for path in lost_chunks(result, folder) if path in needed):
                stage.mark(task).unlink(missing_ok=True)
    return stage


def _all_units(config: CorpusConfig, folder: Path, plan: Plan, split: Sequence[dict[str, Any]]) -> list[Unit]:
    """Those of the plan, then those of its large files."""
    units = list(plan.units)
    numbers = Counter(unit.source for unit in units)
    for large, result in zip(plan.large, split, strict=True):
        more = list(chunk_units(large, result, folder, numbers[large.source]))
        numbers[large.source] += len(more)
        units += more
    return in_order(units, config.sources)


def _documents(config: CorpusConfig, results: Iterable[dict[str, Any]]) -> list[DocumentsFile]:
    """The files that tasks say they wrote, of which none is forgotten because it is lost later."""
    files = (DocumentsFile(**values) for result in results for values in result["documents"])
    return in_split_order(files, config.sources)


def _forget_lost_shards(folder: Path, encoding: Stage) -> None:
    """A shard that is absent or of another size is encoded anew. (Hashes: launch/check_shards.py.)"""
    for task in encoding.tasks:
        mark = encoding.mark(task)
        if mark.exists():
            shard = ShardManifest.from_json(read_json(mark)["result"]["shard"])
            if shard.bin_problems(folder) or shard.idx_problems(folder):
                mark.unlink()


def _check_documents(folder: Path, files: Iterable[DocumentsFile], used: Callable[[DocumentsFile], bool]) -> None:
    """Those that are needed must be there, unless others have `used` and removed them meanwhile."""
    problems = []
    for file in files:
        path = folder / file.name
        if not has_size(path, file.size) and not used(file):
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
        check(Path(given))


def _cleaning(config: CorpusConfig, folder: Path, units: list[Unit]) -> Stage:
    tasks = [
        Task(unit.name, (config, unit), unit.size, tuple(piece.chunk for piece in unit.pieces if piece.chunk))
        for unit in units
    ]
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
        _check_documents(folder, train_files, lambda file: stage.mark(task).exists())
    return stage


def make_tokenizer(config: CorpusTokenizerConfig, files: list[str], output: str) -> dict[str, Any]:
    """Copy, adopt or train the tokenizer into the folder `output`."""
    started = time.process_time()
    if config.path is None:
        train([Path(file) for file in files], config.recipe(), Path(output))
    else:
        take(Path(config.path), Path(output))
    return {"fingerprint": Tokenizer.load(Path(output)).fingerprint, "cpu_seconds": time.process_time() - started}


def _encoding(config: CorpusConfig, folder: Path, documents: Sequence[DocumentsFile]) -> Stage:
    numbers: Counter[tuple[str, str]] = Counter()
    tasks: dict[str, Task] = {}
    for file in documents:
        index = numbers[file.source, file.split]
        numbers[file.source, file.split] += 1
        shard = folder / "shards" / file.source / f"{file.split}-{index:05d}"
        arguments = (str(folder / file.name), str(folder / _TOKENIZER_FOLDER), str(shard))
        used = () if config.keep_documents else (arguments[0],)
        tasks[file.name] = Task(f"{file.source}-{file.split}-{index:05d}", arguments, file.size, used)
    stage = Stage("encode", encode_documents, list(tasks.values()), folder / "marks" / "encode")
    _forget_lost_shards(folder, stage)
    left = {task.name for task in stage.unfinished()}
    needed = [file for file in documents if tasks[file.name].name in left]
    _check_documents(folder, needed, lambda file: stage.mark(tasks[file.name]).exists())
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
        package=tokenizer.package,
        package_version=tokenizer.package_version,
        vocab_size=tokenizer.vocab_size,
        unk_id=tokenizer.unk_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
    )
    sources = {source: {split: tuple(shards[source][split]) for split in SPLITS} for source in shards}
    DatasetManifest(record, dtype_name(tokenizer.vocab_size), config.fingerprint(), sources).save(folder)
