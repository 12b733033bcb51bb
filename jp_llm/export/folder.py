"""Where a Hugging Face folder may be written."""

from pathlib import Path

from jp_llm.arch.huggingface import CONFIG_FILE as CONFIG_FILE
from jp_llm.runtime.errors import UserError


def check_target(target: Path, *, overwrite: bool) -> None:
    """Whether a Hugging Face folder may be written at `target`.

    Raises:
        UserError: something else is there, or a Hugging Face folder and `overwrite` is not set.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.is_dir() and (target / CONFIG_FILE).is_file():
        if not overwrite:
            raise UserError(f"{target}: holds a model; set overwrite=true to replace it, or choose another output_dir")
    elif target.exists() or target.is_symlink():
        raise UserError(f"{target}: exists and holds no Hugging Face model; choose another output_dir")
