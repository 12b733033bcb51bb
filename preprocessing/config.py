"""The configuration of a corpus: what `launch/preprocess.py` reads."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from jp_llm.config.build import build, problems_of
from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.runtime import plugin
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.files import fingerprint_of
from preprocessing import presets
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.encode.train_tokenizer import TokenizerConfig
from preprocessing.step import Filter, Mapper, Reader

StageName = Literal["clean", "deduplicate", "tokenizer", "encode"]
STAGES: tuple[StageName, ...] = ("clean", "deduplicate", "tokenizer", "encode")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_JSON_LINES = re.compile(r"\.(jsonl|ndjson)(\.\w+)?$")
_RULES_OF_NAMES = "letters, digits, dots, hyphens and underscores only (it becomes part of file names)"
_NOT_CONTENT = (
    "output_dir",
    "num_workers",
    "backend",
    "stages",
    "on_damaged_file",
    "max_decompression_ratio",
    "max_task_seconds",
    "keep_documents",
    "check_disk",
    "dry_run",
)
"""Keys that cannot change a finished output, and may differ when a run is continued."""


class SourceConfig(Section):
    """One kind of raw text: how it is read, where it lies, what it goes through."""

    reader: dict[str, Any]
    """`type` is a file of preprocessing/readers (aozora, jsonl, text); the other keys are the fields of its class."""
    paths: OneOrSeveral = ()
    """Files, folders and patterns (raw/**/*.jsonl.gz). Files may be compressed with gzip, zstd, xz or bz2; tar archives
    are read member by member."""
    files: OneOrSeveral = ()
    """Patterns for the files inside folders and archives, e.g. ["*.txt"]; empty takes all."""
    steps: tuple[dict[str, Any], ...] = ()
    """In this order; `type` is a file of preprocessing/mappers or preprocessing/filters. `{preset: name}` stands for
    the steps in preprocessing/presets/<name>.yaml, or in a file of your own (steps.yaml)."""

    @field_validator("steps", mode="before")
    @classmethod
    def _without_presets(cls, value: Any) -> Any:
        return tuple(presets.expanded(value)) if isinstance(value, list | tuple) else value

    def build_reader(self) -> Reader:
        """The reader.

        Raises:
            UserError: exit code 2, unknown type or wrong keys, each relative to `reader`.
        """
        reader: Reader = _build(self.reader, {"preprocessing.readers": Reader})
        return reader

    def build_steps(self) -> list[Mapper | Filter]:
        """The steps, in order.

        Raises:
            UserError: see `build_reader`.
        """
        kinds: dict[str, type[Section]] = {"preprocessing.mappers": Mapper, "preprocessing.filters": Filter}
        return [_build(step, kinds) for step in self.steps]

    def problems(self) -> list[str]:
        kinds: dict[str, type[Section]] = {"preprocessing.mappers": Mapper, "preprocessing.filters": Filter}
        found = [f"reader.{problem}" for problem in _problems(self.reader, {"preprocessing.readers": Reader})]
        reader = None if found else self.build_reader()
        if reader is not None and not reader.takes_paths:
            found += ["paths: this reader takes none"] if self.paths else []
        elif not self.paths:
            found.append("paths: name files, folders or patterns, e.g. paths=[raw/*.jsonl.gz]")
        if self.reader.get("type") == "text":
            found += [
                f"paths: {path}: the reader text would take lines of JSON as they stand; set reader.type=jsonl (corpus="
                "finetune_jsonl), or rename the file"
                for path in self.paths
                if _JSON_LINES.search(path)
            ]
        for index, step in enumerate(self.steps):
            found += [f"steps.{index}.{problem}" for problem in _problems(step, kinds) or _missing_files(step, kinds)]
        return found + self._problems_of_order()

    def _problems_of_order(self) -> list[str]:
        """Steps behind others that destroy what they need."""
        types = [str(step.get("type")) for step in self.steps]
        mappers = [name for name in types if name in plugin.names("preprocessing.mappers")]
        found = []
        if "mojibake" in types and mappers and types.index("mojibake") > types.index(mappers[0]):
            found.append(f"steps: mojibake must stand before {mappers[0]}, which mends what it looks for")
        if "tweet_text" in mappers and mappers[0] != "tweet_text":
            found.append(f"steps: tweet_text must stand before {mappers[0]}, which moves the places of links and names")
        spaces = [step.get("ideographic_space") != "keep" for step in self.steps if step.get("type") == "whitespace"]
        if "lines" in types and any(spaces) and types.index("whitespace") < types.index("lines"):
            found.append("steps: lines must stand before whitespace, which removes the wide spaces of menus")
        return found

    def side_files(self) -> list[str]:
        """Files whose content decides what the steps do, each once."""
        return sorted({file for step in self.build_steps() for file in step.files()})


class CorpusTokenizerConfig(TokenizerConfig):
    """Take a tokenizer, or train one on the cleaned training documents."""

    path: str | None = None
    """A tokenizer that exists, which is copied: folder of a tokenizer, a dataset, a Hugging Face model, a checkpoint or
    a run; null trains one with the other keys."""

    def recipe(self) -> TokenizerConfig:
        """Without `path`."""
        return TokenizerConfig(**self.model_dump(exclude={"path"}))


class CorpusConfig(Section):
    """A whole corpus, from raw files to token shards (`configs/corpus.yaml`)."""

    name: str
    """For people, and for the records of a dataset."""
    output_dir: str
    """Folder of the dataset. Running the same command again continues it."""
    sources: dict[str, SourceConfig]
    """Name -> source, the best first: of equal documents the first stays. Names become folders, and keys of
    data.weights in training. `sources.<name>=null` leaves a source of the chosen corpus out."""
    stages: tuple[StageName, ...] = STAGES
    """What to do now; left out stages can follow later, in this order."""
    deduplicate: DeduplicationConfig | None = None
    """Remove what stands in the corpus more than once; null keeps everything."""
    validation_fraction: float = Field(default=0.01, ge=0, lt=1)
    """Share of the documents that is held out, decided by a hash of the text: copies stay on one side."""
    tokenizer: CorpusTokenizerConfig = CorpusTokenizerConfig()
    num_workers: PositiveInt | None = None
    """Processes; null takes one per core, or one per MPI rank. The output does not depend on it."""
    backend: Literal["auto", "local", "mpi", "slurm_array"] = "auto"
    """Who does the work: processes of this machine, MPI ranks (mpirun, srun), elements of a Slurm array, which share
    `output_dir`. auto takes what fits the launcher."""
    unit_bytes: PositiveInt = 64 << 20
    """Raw bytes (as on disk) per task: some 200 MB of text where it is compressed. Larger plain files of lines are
    divided, small files are put together."""
    split_above_bytes: PositiveInt = 2 << 30
    """Compressed files that are larger, and cannot be read in parts, are first cut into chunks of unit_bytes."""
    documents_file_bytes: PositiveInt = 64 << 20
    """Cleaned text per documents file, each of which becomes one shard; encoding holds about twice this in memory."""
    on_damaged_file: Literal["stop", "skip"] = "stop"
    """skip keeps the documents before the damage, counts the file as rejected (damaged_file) and goes on."""
    max_decompression_ratio: PositiveFloat = 200.0
    """Input that expands more, beyond its first 64 MiB, is taken for an attack."""
    max_task_seconds: PositiveFloat | None = None
    """A unit that takes longer to clean (or a file to split) is stuck: its worker is killed, and the run ends with its
    name. With on_damaged_file=skip the run goes on without it, and counts it as rejected (stuck; damaged_file where a
    file was being split)."""
    keep_documents: bool = True
    """false removes each documents file as soon as its shard is written."""
    check_disk: bool = True
    """Refuse to start when the disk will not hold what is expected."""
    dry_run: bool = False
    """Print units, disk and time that the run would need, and refuse (exit code 2) what the disk will not hold."""

    @field_validator("sources", mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        return (
            {name: source for name, source in value.items() if source is not None} if isinstance(value, dict) else value
        )

    def fingerprint(self) -> str:
        """SHA-256 of all keys that decide the content."""
        return fingerprint_of(self.content())

    def content(self) -> dict[str, Any]:
        """The keys that decide the content, as JSON."""
        return content_of(self.model_dump(mode="json"))

    def problems(self) -> list[str]:
        found = [f"{key}: must not be empty" for key in ("output_dir", "sources", "stages") if not getattr(self, key)]
        if not _NAME.fullmatch(self.name):
            found.append(f"name: {self.name!r}: {_RULES_OF_NAMES}")
        for name, source in self.sources.items():
            if not _NAME.fullmatch(name):
                found.append(f"sources.{name}: {_RULES_OF_NAMES}")
            found += problems_of(source, f"sources.{name}.")
        for name in sorted(set(self.tokenizer.source_weights or {}) - set(self.sources)):
            hint = plugin.nearest(name, list(self.sources))
            found.append(f"tokenizer.source_weights.{name}: no such source{hint}")
        lines = self.deduplicate.lines if self.deduplicate else None
        for name in sorted(set(lines.sources if lines and lines.sources else ()) - set(self.sources)):
            hint = plugin.nearest(name, list(self.sources))
            found.append(f"deduplicate.lines.sources: no source {name!r}{hint}")
        return found


def content_of(values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values of a configuration, as JSON, that decide the content."""
    content = {key: value for key, value in values.items() if key not in _NOT_CONTENT}
    if content.get("deduplicate"):
        content["deduplicate"] = {key: value for key, value in content["deduplicate"].items() if key != "memory_bytes"}
    return content


def _build(values: dict[str, Any], kinds: dict[str, type[Section]]) -> Any:
    """The section that `type` names, in the first of the packages that has it, filled with the other keys."""
    name = values.get("type")
    known = {plugin_name: package for package in kinds for plugin_name in plugin.names(package)}
    if not isinstance(name, str) or name not in known:
        hint = plugin.nearest(str(name), sorted(known))
        raise config_error([f"type: {'missing' if name is None else f'no {name!r} in {_rooms(kinds)}'}{hint}"])
    section = plugin.load(known[name], name)
    assert issubclass(section, kinds[known[name]])
    return build(section, {key: value for key, value in values.items() if key != "type"})


def _rooms(kinds: dict[str, type[Section]]) -> str:
    return " or ".join(package.replace(".", "/") for package in kinds)


def _problems(values: dict[str, Any], kinds: dict[str, type[Section]]) -> list[str]:
    try:
        _build(values, kinds)
    except UserError as error:
        return list(error.problems)
    return []


def _missing_files(values: dict[str, Any], kinds: dict[str, type[Section]]) -> list[str]:
    """Word lists and models of a step that do not exist."""
    step: Mapper | Filter = _build(values, kinds)
    return [f"{path}: no such file (looked from {Path.cwd()})" for path in step.files() if not Path(path).is_file()]
