"""The checkpoints of a run: which there are, which is the newest good one, which are kept."""

import re
import shutil
from pathlib import Path

from jp_llm.checkpoint.format import MANIFEST
from jp_llm.runtime.errors import UserError

_NAME = re.compile(r"step_(\d{8,})$")


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
        entries = [entry for entry in self.folder.iterdir() if not entry.name.startswith(".")]
        found = [int(match[1]) for entry in entries if (match := _NAME.match(entry.name))]
        if entries and not found:
            raise UserError(
                f"{self.folder}: holds {entries[0].name!r} and no jp-llm checkpoint (step_N); choose another run_dir"
            )
        return sorted(found)

    def set_aside(self, step: int) -> Path:
        """Take a damaged checkpoint out of the way: it neither counts as kept nor is found again."""
        target = self.folder / f"damaged_{self.path(step).name}"
        shutil.rmtree(target, ignore_errors=True)
        self.path(step).rename(target)
        return target

    def prune(self, keep_last: int, keep_every_steps: int) -> None:
        """Delete what neither rule keeps. The manifest goes first, so that half a folder is never loaded."""
        steps = self.steps()
        for step in steps[:-keep_last]:
            if keep_every_steps == 0 or step % keep_every_steps:
                (self.path(step) / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(self.path(step))


def resolve(path: Path) -> Path:
    """The checkpoint that a person means: a step folder, or the newest one of a run folder.

    Raises:
        UserError: neither.
    """
    if (path / MANIFEST).is_file():
        return path
    store = CheckpointStore(path)
    steps = store.steps()
    if not steps:
        raise UserError(f"{path}: neither a checkpoint (no {MANIFEST}) nor a run folder with checkpoints")
    return store.path(steps[-1])
