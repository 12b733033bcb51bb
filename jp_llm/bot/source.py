"""Where a bot's texts come from: a pool, or a model."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jp_llm.bot.config import BotConfig
from jp_llm.texts.records import parse_object, read_lines

_BATCH = 8
"""Texts that are generated at the same time: some are rejected."""


def candidates(config: BotConfig) -> Iterator[str]:
    """Texts to be checked, one after the other; those of a model never end.

    Raises:
        UserError: the pool is damaged, the model cannot be opened, or a prompt is too long.
    """
    return _generated(config) if config.model else _of_pool(config)


def _of_pool(config: BotConfig) -> Iterator[str]:
    for record in read_lines(Path(config.texts).expanduser(), _parse):
        if record is not None:
            prompt = record.get("prompt")
            yield (prompt if config.with_prompt and isinstance(prompt, str) else "") + record["text"]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(line)
    except ValueError:
        if line.endswith(b"\n"):
            raise
        return None  # the last line, while somebody adds to the pool


def _generated(config: BotConfig) -> Iterator[str]:
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
            yield (completion.prompt if config.with_prompt else "") + completion.text
