"""The vocabulary of a run that may have no dataset yet."""

from pathlib import Path

from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.manifest import TokenizerManifest

ASSUMED_VOCABULARY = 50_000
"""Where neither data nor model.vocab_size is named."""


def with_vocabulary(config: RunConfig) -> tuple[RunConfig, list[str]]:
    """The configuration with the vocabulary of its dataset, and what had to be assumed.

    Raises:
        UserError: the dataset cannot be read.
    """
    notes = []
    size = config.model.vocab_size
    if size is None and config.data.path:
        folder = Path(config.data.path)
        try:
            size = TokenizerManifest.load(folder / DatasetManifest.load(folder).tokenizer.folder).vocab_size
        except UserError as error:
            hint = "or give model.vocab_size= to plan without it"
            raise UserError(*(f"{problem}; {hint}" for problem in error.problems), code=error.code) from None
    elif size is None:
        size = ASSUMED_VOCABULARY
        notes.append(f"a vocabulary of {size:,} is assumed; name data.path or model.vocab_size")
    return of_size(config, size), notes


def of_size(config: RunConfig, vocabulary: int) -> RunConfig:
    """The configuration with so many tokens in its vocabulary."""
    return config.model_copy(update={"model": config.model.model_copy(update={"vocab_size": vocabulary})})
