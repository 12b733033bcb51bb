"""`manifest.json`: every input with the hash of what was read, every output with its SHA-256, configuration, versions.

It holds no times and no machines: equal corpora have equal manifests.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from jp_llm.runtime.files import sha256_of, write_json
from preprocessing.config import CorpusConfig
from preprocessing.documents import DocumentsFile
from preprocessing.execution.work import Perform
from preprocessing.executor import Stage, Task
from preprocessing.plan import Plan, Unit
from preprocessing.versions import versions

MANIFEST_FILE = "manifest.json"
_FILES_PER_TASK = 16


def save_manifest(
    config: CorpusConfig,
    folder: Path,
    plan: Plan,
    split: Sequence[dict[str, Any]],
    cleaned: Iterable[tuple[Unit, dict[str, Any]]],
    documents: Sequence[DocumentsFile],
    perform: Perform,
) -> None:
    """Hash the documents and shards (a stage of its own, by the workers) and write the manifest.

    Args:
        config: of the corpus.
        folder: output folder.
        plan: the inputs.
        split: results of splitting, for each of `plan.large`.
        cleaned: every unit with its result.
        documents: files of documents.
        perform: runs a stage.
    """
    read: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for unit, result in cleaned:
        for item in result["inputs"]:
            read[unit.source, item["file"]].append({key: item[key] for key in item if key != "file"})
    for large, result in zip(plan.large, split, strict=True):
        read[large.source, large.name].append({"blake2b": result["blake2b"]})
    inputs: dict[str, dict[str, Any]] = {
        source: {
            file.name: {"size": file.size, "edges": file.edges, "content": read[source, file.name]} for file in files
        }
        for source, files in plan.files.items()
    }
    for unit in plan.units:
        # By name only: what a reader fetches itself has no file that could be hashed.
        inputs.setdefault(unit.source, {}).update({part: {"fetched": True} for part in unit.fetched})
    write_json(
        folder / MANIFEST_FILE,
        {
            "config": config.fingerprint(),
            "versions": versions(),
            "inputs": inputs,
            "side_files": dict(plan.side_files),
            "outputs": _output_hashes(config, folder, documents, perform),
        },
    )


def _output_hashes(
    config: CorpusConfig, folder: Path, documents: Sequence[DocumentsFile], perform: Perform
) -> dict[str, str]:
    # An earlier run with keep_documents=false may have dropped some.
    names = [file.name for file in documents if config.keep_documents and (folder / file.name).exists()]
    names += sorted(
        path.relative_to(folder).as_posix()
        for part in ("rejects", "shards", "tokenizer")
        for path in (folder / part).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    sizes = {name: path.stat().st_size for name in names if (path := folder / name).exists()}
    groups = [names[start : start + _FILES_PER_TASK] for start in range(0, len(names), _FILES_PER_TASK)]
    tasks = [
        Task(f"{number:05d}-{_short_hash(group)}", (str(folder), group), sum(sizes.get(name, 0) for name in group))
        for number, group in enumerate(groups)
    ]
    results = perform(Stage("hash", hash_files, tasks, folder / "marks" / "hash"), False)
    return {name: digest for result in results for name, digest in result.items()} | {
        "dataset.json": sha256_of(folder / "dataset.json")
    }


def _short_hash(names: Sequence[str]) -> str:
    """So that a mark holds for these files only."""
    return blake2b("\n".join(names).encode(), digest_size=6).hexdigest()


def hash_files(folder: str, names: Sequence[str]) -> dict[str, Any]:
    """SHA-256 of files."""
    return {name: sha256_of(Path(folder) / name) for name in names}
