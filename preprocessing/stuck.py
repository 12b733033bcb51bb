"""Inputs that took longer than `max_task_seconds`, and that the run goes on without."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.files import atomic_writer
from preprocessing.clean import clean_unit
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts
from preprocessing.document import Rejected
from preprocessing.plan import Large, Unit


def reject_unit(config: CorpusConfig, unit: Unit, problem: str) -> dict[str, Any]:
    """What `clean_unit` returns and leaves for a unit without records, and one rejected record that names its files."""
    result = clean_unit(config, replace(unit, pieces=()))
    counts = Counts.from_json(result["counts"])
    counts.rejected["stuck"] += 1
    first, *_ = unit.pieces
    names = ", ".join(dict.fromkeys(piece.path for piece in unit.pieces))
    record = Rejected(first.path, None, first.start, "stuck", f"{problem}: {names}")
    with atomic_writer(Path(config.output_dir) / "rejects" / f"{unit.name}.jsonl") as file:
        file.write(orjson.dumps(asdict(record), option=orjson.OPT_APPEND_NEWLINE))
    return result | {"counts": counts.to_json()}


def reject_large(config: CorpusConfig, large: Large, problem: str) -> dict[str, Any]:
    """What `split_file` returns for a file that is damaged before its first record: it is counted when it is cleaned.

    Chunks that were written go with all others.
    """
    return {"chunks": [], "damage": f"{large.path}: {problem}", "blake2b": None}
