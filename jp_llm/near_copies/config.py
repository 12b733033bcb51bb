"""What `launch/index_near_copies.py` and `launch/find_near_copies.py` read."""

import os
from pathlib import Path

from pydantic import PositiveInt

from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.near_copies.verdict import NearCopyLimits


class IndexNearCopiesConfig(Section):
    """Training text in, an index folder out."""

    data: OneOrSeveral = ()
    """Dataset folders (their training documents), .txt files (one document each), or .jsonl, .jsonl.gz and .jsonl.zst
    files (a "text" per line). Name all that the model has seen, also before fine-tuning."""
    output_dir: str = ""
    """Folder to write; it appears when it is complete."""
    overwrite: bool = False
    """Replace an index that is already in output_dir; it stays until the new one is complete."""
    num_workers: PositiveInt | None = None
    """Processes; null takes one per core. Files are divided among them, then chunks of text."""

    @property
    def processes(self) -> int:
        """`num_workers`, or the cores that this process may use."""
        return self.num_workers or len(os.sched_getaffinity(0))

    def problems(self) -> list[str]:
        found = []
        if not self.data:
            found.append("data: name dataset folders or files, e.g. data=[corpora/aozora]")
        if not self.output_dir:
            found.append("output_dir: name the folder to write, e.g. output_dir=indexes/aozora")
        return found


class FindNearCopiesConfig(Section):
    """Generated texts in, those to keep and those that are near copies out."""

    index: OneOrSeveral = ()
    """Folders that launch/index_near_copies.py wrote; a text is rejected that one of them rejects."""
    texts: str = ""
    """.jsonl file (also .gz, .zst) with a "text" per line, as launch/generate.py writes it."""
    accepted: str = ""
    """.jsonl file to write: the lines of texts that are accepted, byte for byte."""
    rejected: str = ""
    """.jsonl file to write: the records that are rejected, with the reason and the passage under "near_copy"."""
    overwrite: bool = False
    """Replace accepted and rejected if they are there; they stay until the new ones are complete."""
    limits: NearCopyLimits = NearCopyLimits()

    def problems(self) -> list[str]:
        examples = {"index": "indexes/aozora", "texts": "texts.jsonl"}
        examples |= {name: f"{name}.jsonl" for name in ("accepted", "rejected")}
        found = [
            f"{key}: must be named, e.g. {key}={value}" for key, value in examples.items() if not getattr(self, key)
        ]
        files = {name: getattr(self, name) for name in ("texts", "accepted", "rejected") if getattr(self, name)}
        if len({os.path.realpath(Path(file).expanduser()) for file in files.values()}) < len(files):
            found.append("texts, accepted and rejected: three different files, please")
        found += [
            f"{name}: {files[name]} is written without compression; give it a name that ends in .jsonl"
            for name in ("accepted", "rejected")
            if name in files and not files[name].endswith(".jsonl")
        ]
        return found
