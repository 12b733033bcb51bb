"""Build an index: normalise file by file, put the parts together, then sort the seeds outside of memory.

A process holds one document, or one chunk of CHUNK_UNITS units with its seeds, or one range of hashes of about as many
seeds: about 0.3 GB, whatever the corpus, as long as no single document is larger than some 10 million characters.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jp_llm.near_copies import format as layout
from jp_llm.near_copies.characters import SEPARATOR, folded, shown_units
from jp_llm.near_copies.grams import SEED, STRIDE, seed_hashes
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of
from jp_llm.texts.documents import read_documents
from jp_llm.texts.records import read_objects

CHUNK_UNITS = 16 << 20
"""Compared units whose seeds are sorted at once; a multiple of STRIDE."""

_ROWS = 1 << 16
"""Documents whose ends are moved along at once: of short ones a corpus has hundreds of millions."""
_SCRATCH = "parts"
Result = TypeVar("Result")


def build_index(files: Sequence[Path], folder: Path, num_workers: int) -> layout.IndexManifest:
    """Index the documents of `files` into the empty `folder`; the manifest is written last.

    Raises:
        UserError: a file cannot be read, or there is no text.
    """
    scratch = folder / _SCRATCH
    scratch.mkdir(parents=True)
    with _workers(num_workers) as pool:
        parts = [(str(file), str(scratch / f"{number:05d}")) for number, file in enumerate(files)]
        hashes = _all(pool, normalise_file, parts)
        documents = _join([Path(part) for _, part in parts], folder)
        units = (folder / layout.COMPARED).stat().st_size // 2
        if units == documents:
            raise UserError("data: there is no text in it; name the documents that the model is trained on")
        if units > layout.MAX_UNITS:
            problem = f"data: {units:,} characters are more than an index holds ({layout.MAX_UNITS:,})"
            raise UserError(f"{problem}; divide the data, and name all indexes where they are used: index=[one,two]")
        runs = [(str(folder), start, str(scratch / f"{start:015d}.seeds")) for start in range(0, units, CHUNK_UNITS)]
        counts = _all(pool, sort_chunk, runs)
        _merge(pool, [Path(run) for _, _, run in runs], sum(counts), folder)
        shutil.rmtree(scratch)
        described = _all(pool, layout.described, [(folder / name,) for name in layout.FILES])
    manifest = layout.IndexManifest(
        documents=documents,
        characters=units - documents,
        seeds=sum(counts),
        data=dict(zip(map(str, files), hashes, strict=True)),
        files=dict(zip(layout.FILES, described, strict=True)),
    )
    layout.write_manifest(folder, manifest)
    return manifest


def _workers(number: int) -> Executor:
    if number == 1:
        return ThreadPoolExecutor(1)  # a process of its own would only cost its start
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))


def _all(pool: Executor, function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]) -> list[Result]:
    futures = [pool.submit(function, *each) for each in arguments]
    try:
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        problem = "a process was ended from outside, perhaps for its memory; take a smaller num_workers"
        raise UserError(problem) from error
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def normalise_file(source: str, part: str) -> str:
    """Write the arrays of one file's documents beside each other as `part` with the names of the index's files.

    Returns:
        SHA-256 of the file.
    """
    with ExitStack() as stack:
        out = {name: stack.enter_context(Path(f"{part}.{name}").open("wb")) for name in layout.TEXT_FILES}
        ends = np.zeros(len(layout.COLUMNS), dtype="<u8")
        for name, text in named_texts(Path(source)):
            ends += np.array(_write_document(out, name, text), dtype="<u8")
            out[layout.DOCUMENTS].write(ends.tobytes())
    return sha256_of(Path(source))


def named_texts(path: Path) -> Iterator[tuple[str, str]]:
    """What a document is called (author and title, or its id, or its file and number) and its text."""
    if path.suffix == ".txt":
        for text in read_documents(path):
            yield path.name, text.text
        return
    for number, record in enumerate(read_objects(path), start=1):
        meta = record.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        titled = ": ".join(str(meta[key]) for key in ("author", "title") if meta.get(key))
        yield titled or str(record.get("id") or f"{path.name}, document {number}"), record["text"]


def _write_document(out: Mapping[str, IO[bytes]], name: str, text: str) -> list[int]:
    """Write one document; returns how long it is in each of COLUMNS."""
    shown = shown_units(text)
    units = folded(shown)
    places = np.flatnonzero(units != SEPARATOR)
    anchors = places[:: layout.ANCHOR_STEP].astype("<u8")
    encoded = name.encode("utf-8", "replace")
    out[layout.COMPARED].write(np.append(units[places], np.uint16(SEPARATOR)).astype("<u2").tobytes())
    out[layout.SHOWN].write(shown.tobytes())
    out[layout.ANCHORS].write(anchors.tobytes())
    out[layout.NAMES].write(encoded)
    return [len(places) + 1, len(shown), len(anchors), len(encoded)]


def _join(parts: Sequence[Path], folder: Path) -> int:
    """Append the parts' files to each other, with the ends of the documents moved along; returns the documents."""
    row = 8 * len(layout.COLUMNS)
    with ExitStack() as stack:
        out = {name: stack.enter_context((folder / name).open("wb")) for name in layout.TEXT_FILES}
        base = np.zeros(len(layout.COLUMNS), dtype="<u8")
        for part in parts:
            for name in layout.TEXT_FILES:
                piece = Path(f"{part}.{name}")
                with piece.open("rb") as file:
                    if name == layout.DOCUMENTS:
                        ends = base
                        while content := file.read(_ROWS * row):
                            rows = np.frombuffer(content, dtype="<u8").reshape(-1, len(layout.COLUMNS)) + base
                            out[name].write(rows.astype("<u8").tobytes())
                            ends = rows[-1]
                        base = ends
                    else:
                        shutil.copyfileobj(file, out[name], 1 << 20)
                piece.unlink()
        return out[layout.DOCUMENTS].tell() // row


def sort_chunk(folder: str, start: int, run: str) -> int:
    """Write the seeds that begin in one chunk as sorted 64-bit numbers, hash above place; returns how many."""
    compared = layout.mapped(Path(folder), layout.COMPARED)
    # A seed that begins in this chunk may end in the next one, where none of its own begins before SEED - 1 units.
    hashes, places = seed_hashes(compared[start : start + CHUNK_UNITS + SEED - STRIDE], STRIDE)
    keys = hashes.astype("<u8") << np.uint64(32) | ((places + start) // STRIDE).astype("<u8")
    keys.sort()
    keys.tofile(run)
    return len(keys)


def _merge(pool: Executor, runs: Sequence[Path], total: int, folder: Path) -> None:
    """Merge sorted runs range by range of the hashes, each range written to its place of the sorted arrays."""
    ranges = max(1, -(-total * STRIDE // CHUNK_UNITS))
    bounds = [number * (1 << 64) // ranges for number in range(ranges)]
    inside = np.array([_cuts(_run(run), bounds) for run in runs])
    firsts = np.concatenate([[0], inside.sum(axis=0).cumsum()])
    for name in (layout.SEEDS, layout.PLACES):
        with (folder / name).open("wb") as file:
            file.truncate(4 * total)
    edges = np.concatenate([np.zeros((len(runs), 1), dtype=np.int64), inside.cumsum(axis=1)], axis=1)
    names = list(map(str, runs))
    _all(
        pool,
        merge_range,
        [(str(folder), names, edges[:, number : number + 2], int(firsts[number])) for number in range(ranges)],
    )


def _run(path: Path) -> NDArray[np.uint64]:
    return np.asarray(np.memmap(path, dtype="<u8", mode="r")) if path.stat().st_size else np.zeros(0, dtype="<u8")


def _cuts(keys: NDArray[np.uint64], bounds: Sequence[int]) -> NDArray[np.int64]:
    """How many of the sorted keys are in each of the ranges that begin at `bounds`."""
    return np.diff(np.searchsorted(keys, np.array(bounds, dtype="<u8")), append=len(keys))


def merge_range(folder: str, runs: Sequence[str], edges: NDArray[np.int64], first: int) -> None:
    """Sort what one range of hashes has in all runs and write it behind the `first` seeds before it.

    Args:
        edges: (runs, 2) where the range begins and ends in every run.
    """
    keys = np.concatenate([_run(Path(run))[start:end] for run, (start, end) in zip(runs, edges, strict=True)])
    keys.sort()
    for name, values in ((layout.SEEDS, keys >> np.uint64(32)), (layout.PLACES, keys & np.uint64(0xFFFFFFFF))):
        with (Path(folder) / name).open("r+b") as file:
            file.seek(4 * first)
            values.astype("<u4").tofile(file)
