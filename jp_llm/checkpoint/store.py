"""The checkpoints of a run: which there are, which is the newest good one, which are kept."""

import re
import shutil
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from jp_llm.checkpoint.format import MANIFEST, damage, read_manifest
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer

LATEST = "latest"
_NAME = re.compile(r"step_(\d{8,})$")
_ABANDONED = "abandoned_"


def temporary_name(folder: Path) -> Path:
    """Where a checkpoint stands while it is written or deleted; whatever has such a name is nobody's."""
    return folder.with_name(f".{folder.name}.tmp")


class CheckpointStore:
    """`run_dir`/checkpoints."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / "checkpoints"

    def path(self, step: int) -> Path:
        """Folder of the checkpoint after `step`."""
        return self.folder / f"step_{step:08d}"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint folder, ascending.

        Raises:
            UserError: the folder holds something, but no checkpoint of ours.
        """
        if not self.folder.is_dir():
            return []
        entries = [entry for entry in self.folder.iterdir() if not entry.name.startswith((".", _ABANDONED, LATEST))]
        found = [int(match[1]) for entry in entries if (match := _NAME.match(entry.name))]
        if entries and not found:
            raise UserError(
                f"{self.folder}: holds {entries[0].name!r} and no jp-llm checkpoint (step_N); choose another run_dir"
            )
        return sorted(found)

    def point(self, step: int) -> None:
        """Let `latest` name the checkpoint after `step`."""
        with atomic_writer(self.folder / LATEST) as file:
            file.write(f"{self.path(step).name}\n".encode())

    def latest_problem(self) -> str | None:
        """What is wrong with `latest`, which is for people and scripts: what is there counts, not what it says."""
        newest = self.path(self.steps()[-1]).name
        path = self.folder / LATEST
        if not path.is_file():
            return f"{path}: missing; the newest checkpoint is {newest}"
        text = path.read_bytes().decode(errors="replace")
        return None if text == f"{newest}\n" else f"{path}: says {text.strip()!r}; the newest checkpoint is {newest}"

    def set_aside(self, step: int) -> Path:
        """Take a damaged checkpoint out of the way: it neither counts as kept nor is found again."""
        name = f"damaged_{self.path(step).name}"
        targets = (self.folder / (name if number == 1 else f"{name}_{number}") for number in count(1))
        target = next(target for target in targets if not target.exists())
        self.path(step).rename(target)
        return target

    def abandon(self, steps: Sequence[int]) -> Path | None:
        """Take checkpoints out of the way that must not be continued. The newest of them is kept for people to look
        at, as the only one: those of earlier times are deleted with the others."""
        target = None
        for step in sorted(steps):
            for old in self.folder.glob(f"{_ABANDONED}*"):
                _delete(old)
            target = self.folder / f"{_ABANDONED}{self.path(step).name}"
            self.path(step).rename(target)
        if steps and not self.steps():
            (self.folder / LATEST).unlink(missing_ok=True)
        return target

    def prune(self, keep_last: int, keep_every_steps: int, keep_behind_steps: int = 0) -> None:
        """Delete what no rule keeps.

        Args:
            keep_last: so many of the newest.
            keep_every_steps: multiples of it; 0 keeps none of them.
            keep_behind_steps: one at least so far behind the newest (the oldest, while none is), and what is needed so
                that there will be one after later saves; 0 keeps none of them.
        """
        steps = self.steps()
        behind = _behind(steps, keep_behind_steps) if steps and keep_behind_steps else ()
        for step in steps[:-keep_last]:
            if (keep_every_steps == 0 or step % keep_every_steps) and step not in behind:
                _delete(self.path(step))


def _behind(steps: list[int], distance: int) -> tuple[int, ...]:
    """The newest that is `distance` behind, and the one that is going to take its place."""
    first = max((step for step in steps if step <= steps[-1] - distance), default=steps[0])
    return first, min((step for step in steps if step >= first + distance), default=first)


def _delete(folder: Path) -> None:
    """It loses its name first, so that half a folder is never loaded; what a kill leaves, the next save deletes."""
    nameless = temporary_name(folder.with_name(folder.name.removeprefix(_ABANDONED)))
    shutil.rmtree(nameless, ignore_errors=True)
    folder.rename(nameless)
    shutil.rmtree(nameless)


def resolve(path: Path) -> Path:
    """The checkpoint that a person means: a step folder, or the newest good one of a run folder.

    Good is what has its manifest whole and every file in its size; what is passed over is said on stderr.

    Raises:
        UserError: neither, or none of them is good.
    """
    if (path / MANIFEST).is_file():
        return path
    store = CheckpointStore(path)
    steps = store.steps()
    if not steps:
        raise UserError(f"{path}: neither a checkpoint (no {MANIFEST}) nor a run folder with checkpoints")
    if problem := store.latest_problem():
        print(f"warning: {problem}", file=sys.stderr, flush=True)
    bad: list[str] = []
    for folder in (store.path(step) for step in reversed(steps)):
        try:
            found = damage(folder, read_manifest(folder), hashes=False)
        except UserError as error:
            found = list(error.problems)
        if not found:
            for problem in bad:
                print(f"warning: {problem}; {folder.name} is used", file=sys.stderr, flush=True)
            return folder
        bad += found
    raise UserError(*bad, f"{store.folder}: no checkpoint is whole")
