"""One trial on the page: a prompt and settings in; text, words about it and the verdict of the near-copy guard out."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jp_llm.export.inference import LoadedModel, encode
from jp_llm.generate.config import SamplingConfig
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.playground.stream import stream
from jp_llm.runtime.errors import UserError

Guard = Callable[[str], str]
"""A text in, the verdict in words out."""


@dataclass(frozen=True)
class Shown:
    """What the page shows."""

    text: str = ""
    words: str = ""
    verdict: str = ""


class Trials:
    """Models to try, one text at a time."""

    def __init__(self, models: Mapping[str, LoadedModel], guard: Guard | None) -> None:
        """
        Args:
            models: by the name that the page shows.
            guard: looks every text up; None for none.
        """
        self.models = models
        self._guard = guard
        self._one_at_a_time = threading.Lock()

    def run(self, model: str, prompt: str, settings: Mapping[str, Any]) -> Iterator[Shown]:
        """What to show after every token; errors for people are words."""
        try:
            with self._one_at_a_time:
                yield from self._run(self.models[model], prompt, settings)
        except UserError as error:
            yield Shown(words=str(error))

    def _run(self, loaded: LoadedModel, prompt: str, settings: Mapping[str, Any]) -> Iterator[Shown]:
        sampling, note = fitted(loaded, prompt, settings)
        begun, shown = time.perf_counter(), Shown()
        for progress in stream(loaded, prompt, sampling):
            seconds = max(time.perf_counter() - begun, 1e-9)
            words = f"{progress.tokens:,} tokens, {progress.tokens / seconds:,.1f} tokens/s{note}"
            shown = Shown(prompt + progress.text, words)
            yield shown
        if not shown.text.removeprefix(prompt):
            yield Shown(shown.text, "The model ended the text at once; try another seed or prompt.")
        elif self._guard is not None:
            yield Shown(shown.text, shown.words, self._guard(shown.text.removeprefix(prompt)))


def fitted(loaded: LoadedModel, prompt: str, settings: Mapping[str, Any]) -> tuple[SamplingConfig, str]:
    """The settings with no more new tokens than the context has room for, and words about that.

    Raises:
        UserError: there is no room, or a setting is not allowed.
    """
    try:
        sampling = SamplingConfig(**settings)
    except ValidationError as error:
        raise UserError(*(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())) from None
    if found := sampling.problems():
        raise UserError(*found)
    if loaded.context is None:
        return sampling, ""
    with quiet_transformers():
        length = 1 + len(encode(loaded.tokenizer, prompt))
    room = loaded.context - length
    if room < 1:
        raise UserError(
            f"The prompt has {length:,} tokens, but the context of this model is {loaded.context:,}, and at least one "
            "token must follow; shorten the prompt."
        )
    if room >= sampling.max_new_tokens:
        return sampling, ""
    note = f"; at most {room:,}, because the context of {loaded.context:,} holds the prompt of {length:,} too"
    least = min(sampling.min_new_tokens, room)
    return sampling.model_copy(update={"max_new_tokens": room, "min_new_tokens": least}), note


def open_guard(folder: Path) -> Guard:
    """The near-copy guard with the limits that it has by itself.

    Raises:
        UserError: there is no index in `folder`.
    """
    from jp_llm.near_copies.index import NearCopyIndex
    from jp_llm.near_copies.verdict import NearCopyLimits, verdict

    index, limits = NearCopyIndex.open(folder), NearCopyLimits()

    def judge(text: str) -> str:
        match = index.look_up(text)
        reason = verdict(match, limits)
        if reason is not None:
            return f"Rejected: {reason}"
        return (
            f"Accepted: the longest run in common with the training text has {match.longest_run} characters, and "
            f"{match.containment:.0%} of the text is in one passage of it."
        )

    return judge
