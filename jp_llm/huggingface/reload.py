"""Load a Hugging Face folder with transformers: offline, without remote code, in silence, and with a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from jp_llm.runtime.errors import UserError

_REMEDY = "copy the folder again, or export it again"


def load_model(folder: Path, dtype: torch.dtype) -> tuple[Any, dict[str, list[str]]]:
    """The causal language model of a folder, on the CPU, and what was wrong with its weights.

    transformers puts random numbers where a tensor is missing and goes on, so look at the report: {kind, such as
    missing_keys: names}, empty when all is well.

    Raises:
        UserError: it cannot be loaded at all.
    """
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers():
            model, info = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
    # Each library below it has errors of its own for a folder of somebody else.
    except Exception as error:
        raise UserError(f"{folder}: transformers cannot load the model: {error}; {_REMEDY}") from error
    return model.eval(), {kind: sorted(map(str, names)) for kind, names in info.items() if names}


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise UserError(f"{folder}: transformers cannot load the tokenizer: {error}; {_REMEDY}") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice on the console from transformers."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
