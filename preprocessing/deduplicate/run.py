"""Cleaned documents to documents that occur once.

    exact       hashes of all documents                            of each cleaned file
    exact-merge equal documents                                    of each range of hashes
    lines, lines-merge              short lines, and which of them are frequent
    near        signatures and band keys of what is left           of each cleaned file
    near-merge  candidates                                         of each band and range of keys
    clusters    who of the similar ones goes                       once
    paragraphs, paragraphs-merge    paragraphs of what is left, and which of them are repeated
    select      documents/ from cleaned/, whose files go           of each cleaned file

Near duplicates are looked for before paragraphs are taken away: a copy with one new sentence would otherwise stay as
that sentence, and a paragraph could vanish with the copy that it was left in.

Every step is a list of tasks with marks. Tables go as soon as the next step has used them; small ones that say what was
decided stay, so that a lost file of documents can be made again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jp_llm.runtime.files import write_json
from preprocessing.config import CorpusConfig
from preprocessing.deduplicate import clusters, exact, lines, near, report
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.pairs import Pairs
from preprocessing.deduplicate.select import select
from preprocessing.deduplicate.tables import FILE_SHIFT, ORDINAL, Workspace, parts_for
from preprocessing.documents import SPLITS, DocumentsFile
from preprocessing.executor import Function, Stage, Task
from preprocessing.plan import Unit

Results = list[dict[str, Any]]
StageRunner = Callable[[Stage], Results]
"""Results of a stage, whose unfinished tasks it does."""


def deduplicate(config: CorpusConfig, folder: Path, files: Sequence[DocumentsFile], perform: StageRunner) -> Results:
    """Write `documents/` from the files of `cleaned/`, which are removed one by one, and `deduplication.json`.

    Args:
        config: with `deduplicate` set.
        folder: output folder.
        files: the cleaned documents in the order of their sources: the first of equal documents stays.
        perform: runs a stage and returns the results of its tasks.

    Returns:
        For each file `counts`, its `Counts` as JSON: what was dropped (exact_duplicate, near_duplicate, too_short,
        lost_too_much) and changed (frequent_line, repeated_paragraph); and `documents`: what `select` wrote of it.

    Raises:
        UserError: a cleaned file is lost, or `memory_bytes` does not suffice.
    """
    assert config.deduplicate is not None
    return _Deduplication(config.deduplicate, folder, files, perform).run()


def forget_selected(folder: Path, units: Iterable[Unit]) -> None:
    """Select once more from units that are cleaned once more (their documents were lost): to be called before."""
    again = {f"select-{unit.source}-{split}-{unit.index:05d}" for unit in units for split in SPLITS}
    for mark in (folder / "marks" / "deduplicate" / "select").glob("select-*.json"):
        if mark.stem.rpartition("-")[0] in again:
            mark.unlink(missing_ok=True)


class _Deduplication:
    """One deduplication of one corpus."""

    def __init__(
        self, config: DeduplicationConfig, folder: Path, files: Sequence[DocumentsFile], perform: StageRunner
    ) -> None:
        self._config = config
        self._folder = folder
        self._files = files
        self._perform = perform
        self._workspace = Workspace(str(folder))
        self._sources = [file.source for file in files]
        self._seed = config.near.seed if config.near else 1

    def run(self) -> Results:
        config, workspace = self._config, self._workspace
        documents = [result["documents"] for result in self._of_files("exact", exact.keys_of_file)]
        copies = self._exact(sum(documents)) if config.exact else Pairs()
        workspace.remove("exact")
        frequent = self._lines(documents) if config.lines else 0
        workspace.remove("lines")
        found = self._near(documents) if config.near else None
        workspace.remove("edges", "checks")
        if config.paragraphs:
            self._paragraphs(documents)
        workspace.remove("paragraphs")
        shown = report.numbers_shown(copies, found)
        results = self._select(documents, shown)
        path = self._folder / report.REPORT_FILE
        if not path.exists():
            write_json(path, report.report(config, self._sources, results, frequent, copies, found))
        return results

    def _exact(self, documents: int) -> Pairs:
        parts = parts_for(documents, exact.BYTES_PER_ROW, self._config.memory_bytes)
        tasks = [(str(self._folder), part, parts, self._sources, self._seed) for part in range(parts)]
        copies = Pairs()
        for result in self._of_parts("exact-merge", exact.merge_exact, tasks):
            copies.add(Pairs.from_json(result), self._seed)
        return copies

    def _lines(self, documents: list[int]) -> int:
        """How many different lines are frequent."""
        assert self._config.lines is not None
        rows = sum(result["rows"] for result in self._of_files("lines", lines.lines_of_file, documents))
        parts = parts_for(rows, lines.BYTES_PER_ROW, self._config.memory_bytes)
        minimum = self._config.lines.minimum_documents
        tasks = [(str(self._folder), part, parts, minimum) for part in range(parts)]
        return sum(result["found"] for result in self._of_parts("lines-merge", lines.merge_lines, tasks))

    def _paragraphs(self, documents: list[int]) -> None:
        rows = sum(result["rows"] for result in self._of_files("paragraphs", lines.paragraphs_of_file, documents))
        parts = parts_for(rows, lines.BYTES_PER_ROW, self._config.memory_bytes)
        tasks = [(str(self._folder), part, parts) for part in range(parts)]
        self._of_parts("paragraphs-merge", lines.merge_paragraphs, tasks)

    def _near(self, documents: list[int]) -> dict[str, Any]:
        config = self._config
        assert config.near is not None
        signed = [result["signed"] for result in self._of_files("near", near.signatures_of_file, documents)]
        parts = parts_for(sum(signed), near.BYTES_PER_ROW, config.memory_bytes)
        tasks = [
            (str(self._folder), signed, band, part, parts) for band in range(config.near.bands) for part in range(parts)
        ]
        self._of_parts("near-merge", near.merge_band, tasks)
        self._workspace.remove("bands")
        arguments = (config.near, str(self._folder), documents, self._sources, config.memory_bytes)
        return self._of_parts("clusters", clusters.cluster, [arguments])[0]

    def _select(self, documents: list[int], shown: set[int]) -> Results:
        ordinals: dict[int, list[int]] = defaultdict(list)
        for document in sorted(shown):
            ordinals[document >> int(FILE_SHIFT)].append(document & int(ORDINAL))
        tasks = []
        for number, (file, count) in enumerate(zip(self._files, documents, strict=True)):
            config = self._config.for_source(file.source)
            arguments = (config, str(self._folder), file, number, count, ordinals[number])
            tasks.append(Task(f"select-{_name(file)}", arguments, file.size, (str(self._folder / file.name),)))
        return self._perform(self._stage("select", select, tasks))

    def _of_files(self, step: str, function: Function, documents: Sequence[int] | None = None) -> Results:
        """Results of a step over all cleaned files."""
        tasks = []
        for number, file in enumerate(self._files):
            arguments: tuple[Any, ...] = (str(self._folder), file.name, number)
            if documents is not None:
                arguments = (self._config.for_source(file.source), *arguments, documents[number])
            tasks.append(Task(f"{step}-{_name(file)}", arguments, file.size))
        return self._perform(self._stage(step, function, tasks))

    def _of_parts(self, step: str, function: Function, arguments: Sequence[tuple[Any, ...]]) -> Results:
        """Results of a step over ranges of hashes."""
        tasks = [Task(f"{step}-{number:05d}", values) for number, values in enumerate(arguments)]
        return self._perform(self._stage(step, function, tasks))

    def _stage(self, step: str, function: Function, tasks: Sequence[Task]) -> Stage:
        return Stage("deduplicate", function, tasks, self._folder / "marks" / "deduplicate" / step)


def _name(file: DocumentsFile) -> str:
    return f"{file.source}-{Path(file.name).name.removesuffix('.jsonl.zst')}"
