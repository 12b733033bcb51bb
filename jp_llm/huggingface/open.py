"""What a person names as a model, whatever wrote it: weights to read, and the tokenizer that belongs to them."""

from pathlib import Path

from jp_llm.checkpoint.format import TOKENIZER
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import resolve
from jp_llm.huggingface.files import CONFIG_FILE, refuse_adapter
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.tokenizer import Tokenizer

Weights = CheckpointReader | HuggingFaceReader
"""Both read whole canonical parameters and flat pieces of them."""


def open_weights(path: Path) -> Weights:
    """The weights of a Hugging Face folder, a step_N folder or the newest checkpoint of a run folder.

    Raises:
        UserError: there are none, they are damaged, or they are of a model that cannot be computed here.
    """
    path = _existing(path)
    return HuggingFaceReader(path) if is_huggingface(path) else CheckpointReader(resolve(path))


def tokenizer_of(path: Path, work: Path, *, lower_case: bool | None = None) -> Tokenizer:
    """The tokenizer of a Hugging Face folder, a step_N folder or the newest checkpoint of a run folder.

    Args:
        work: an empty or new folder, where the tokenizer of a Hugging Face folder is put for as long as it is used.
        lower_case: as in `jp_llm.huggingface.tokenizer.adopted_tokenizer`.

    Raises:
        UserError: there is none, or it is damaged or of a kind that cannot be read.
    """
    path = _existing(path)
    if is_huggingface(path):
        from jp_llm.huggingface.tokenizer import adopted_tokenizer

        return adopted_tokenizer(path, work, lower_case=lower_case)
    return Tokenizer.load(resolve(path) / TOKENIZER)


def is_huggingface(path: Path) -> bool:
    """Whether a folder is a Hugging Face model."""
    return (path / CONFIG_FILE).is_file()


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name a Hugging Face folder, a run folder or a step_N folder")
    refuse_adapter(path)
    return path
