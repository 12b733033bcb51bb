"""Where a bot's texts come from: a pool, or a model."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jp_llm.bot.config import BotConfig
from jp_llm.texts.records import parse_object, read_lines

_BATCH = 8
"""Texts that are generated at the same time: some are rejected."""


@dataclass(frozen=True)
class Candidate:
    """A text of a pool or a model."""

    prompt: str
    text: str

    @property
    def written(self) -> str:
        """The whole text, by which it is known however it is posted."""
        return self.prompt + self.text


def candidates(config: BotConfig) -> Iterator[Candidate]:
    """Texts to be checked, one after the other; those of a model never end.

    Raises:
        UserError: the pool is damaged, the model cannot be opened, or a prompt is too long.
    """
    return _generated(config) if config.model else _of_pool(config)


def _of_pool(config: BotConfig) -> Iterator[Candidate]:
    for record in read_lines(Path(config.texts).expanduser(), _parse):
        if record is not None:
            prompt = record.get("prompt")
            yield Candidate(prompt if isinstance(prompt, str) else "", record["text"])


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(line)
    except ValueError:
        if line.endswith(b"\n"):
            raise
        return None  # the last line, while somebody adds to the pool


def _generated(config: BotConfig) -> Iterator[Candidate]:
    # torch is loaded only where a text is generated.
    from jp_llm.export.inference import open_model
    from jp_llm.generate.text import complete

    loaded = open_model(Path(config.model), "auto", "auto")
    generator = random.SystemRandom()
    while True:
        prompts = generator.choices(config.prompts, k=_BATCH)
        # Another seed every time: the configured one would write the texts of the last start again.
        sampling = config.sampling.model_copy(update={"seed": generator.getrandbits(31), "num_return_sequences": 1})
        for completion in complete(loaded, prompts, sampling, _BATCH):
            yield Candidate(completion.prompt, completion.text)
