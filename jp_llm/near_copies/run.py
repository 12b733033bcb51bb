"""`launch/index_near_copies.py` and `launch/find_near_copies.py`."""

import json
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jp_llm.near_copies.build import build_index
from jp_llm.near_copies.config import FindNearCopiesConfig, IndexNearCopiesConfig
from jp_llm.near_copies.format import MANIFEST
from jp_llm.near_copies.index import Match
from jp_llm.near_copies.verdict import NearCopyGuard
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.runtime.lock import locked
from jp_llm.runtime.new_folder import take_place
from jp_llm.texts.documents import find_files
from jp_llm.texts.records import parse_object, read_lines


def index(config: IndexNearCopiesConfig) -> None:
    """Build the index as configured; it takes its name when it is complete.

    Raises:
        UserError: the data cannot be read, or output_dir holds something that may not be replaced.
    """
    folder = Path(config.output_dir).expanduser().resolve()
    _check_target(folder, overwrite=config.overwrite)
    files = list(dict.fromkeys(find_files((Path(path).expanduser() for path in config.data), "train")))
    started = time.perf_counter()
    building = folder.with_name(f".{folder.name}.building")
    with locked(building):
        # Of a build that was killed nothing is kept: it takes minutes, and its data may have changed.
        new, old = building / "index", building / "old"
        if old.exists() and not folder.exists():
            os.rename(old, folder)  # killed just before the new one took its name
        shutil.rmtree(new, ignore_errors=True)
        try:
            manifest = build_index(files, new, config.processes)
            take_place(new, folder, old)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    size = sum(file["bytes"] for file in manifest.files.values())
    print(
        f"{folder}: {manifest.characters:,} characters of {manifest.documents:,} documents, {size / 1e6:,.0f} MB, "
        f"in {time.perf_counter() - started:.0f} s"
    )


def find(config: FindNearCopiesConfig) -> None:
    """Divide the texts into accepted and rejected ones; both files appear when all texts have been judged.

    Raises:
        UserError: an index or a line of the texts cannot be read, there are no texts, or a file is there that may not
            be replaced. Nothing is written then.
    """
    outputs = [Path(name).expanduser() for name in (config.accepted, config.rejected)]
    if not config.overwrite and (there := [path for path in outputs if path.exists()]):
        raise UserError(*(f"{path}: exists; overwrite=true replaces it; or choose another name" for path in there))
    guard = NearCopyGuard(config.index, config.limits)
    texts = Path(config.texts).expanduser()
    counts: Counter[str] = Counter()
    with atomic_writer(outputs[0]) as accepted, atomic_writer(outputs[1]) as rejected:
        for line, record in read_lines(texts, lambda line: (line, parse_object(line))):
            rejection = guard.rejection(record["text"])
            counts["accepted" if rejection is None else "rejected"] += 1
            if rejection is None:
                accepted.write(line.removesuffix(b"\n") + b"\n")
            else:
                reason, match = rejection
                rejected.write(_line({**record, "near_copy": {"reason": reason, **as_record(match)}}))
        if not counts:
            raise UserError(f"{texts}: holds no texts; nothing was written")
    print(
        f"{counts.total():,} texts: {counts['accepted']:,} accepted ({config.accepted}), {counts['rejected']:,} "
        f"rejected as near copies ({config.rejected})"
    )


def as_record(match: Match) -> dict[str, Any]:
    """A match as it is logged."""
    return {**asdict(match), "containment": round(match.containment, 4)}


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


def _check_target(folder: Path, *, overwrite: bool) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.is_dir() and (folder / MANIFEST).is_file():
        if not overwrite:
            raise UserError(f"{folder}: holds an index; set overwrite=true to replace it, or choose another output_dir")
    elif folder.exists():
        raise UserError(f"{folder}: exists and holds no index; choose another output_dir")
