"""The tokenizer that a path names, whatever kind of folder it is."""

from pathlib import Path

from jp_llm.runtime.run_folder import RunFolder
from jp_llm.tokenizer.adopt import EXPORTED_FOLDER, adopt, describe
from jp_llm.tokenizer.manifest import MANIFEST_FILE, TokenizerManifest
from jp_llm.tokenizer.tokenizer import Tokenizer

_INSIDE = "tokenizer"
"""Subfolder of datasets and checkpoints that holds their tokenizer."""


def folder_of(path: Path) -> Path | None:
    """The tokenizer folder of ours that `path` names, or None.

    `path` is such a folder, a dataset, a checkpoint, a run folder (then of its newest checkpoint) or a Hugging Face
    folder of launch/export_hf.py.
    """
    path = path.expanduser()
    steps = RunFolder(path).checkpoints
    places = [path, path / _INSIDE, path / EXPORTED_FOLDER, *(step / _INSIDE for step in steps)]
    return next((place for place in places if (place / MANIFEST_FILE).is_file()), None)


def manifest_of(path: Path) -> TokenizerManifest:
    """The manifest of the tokenizer that `path` names; that of a Hugging Face folder is made up. Writes nothing.

    Raises:
        UserError: there is none, or it is damaged.
    """
    folder = folder_of(path)
    return describe(path.expanduser()) if folder is None else TokenizerManifest.load(folder)


def check(path: Path) -> None:
    """Whether shards can be made with the tokenizer that `path` names.

    Raises:
        UserError: there is none, it is damaged, or another version of its package is installed.
    """
    folder = folder_of(path)
    if folder is None:
        describe(path.expanduser())
    else:
        Tokenizer.load(folder).require_package()


def take(path: Path, target: Path) -> Tokenizer:
    """Make `target` a tokenizer folder with the tokenizer that `path` names: copied, or adopted.

    Raises:
        UserError: there is none, or it is damaged.
    """
    folder = folder_of(path)
    return adopt(path.expanduser(), target) if folder is None else Tokenizer.load(folder).copy_to(target)
