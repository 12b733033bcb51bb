"""A text while it is being made."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from jp_llm.export.inference import LoadedModel, encode
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.text import Completion, complete, continuation


class _Left(Exception):
    """Nobody waits for the text any more."""


@dataclass(frozen=True)
class Progress:
    """How far a text has come."""

    text: str
    """What comes after the prompt."""
    tokens: int
    is_whole: bool


def stream(loaded: LoadedModel, prompt: str, sampling: SamplingConfig) -> Iterator[Progress]:
    """Continue a prompt as `jp_llm.generate.text.complete` does, and show the text after every token.

    The tokens are seen on their way back into the model, so every way to choose them is that of `launch/generate.py`.
    Whoever stops asking ends the work at the next token.

    Raises:
        UserError: the prompt is too long for the model's context.
    """
    before = [loaded.start_id, *encode(loaded.tokenizer, prompt)]
    found: SimpleQueue[int | Completion | BaseException] = SimpleQueue()
    left = threading.Event()
    worker = threading.Thread(target=_work, args=(loaded, prompt, sampling, found, left), daemon=True)
    worker.start()
    tokens: list[int] = []
    try:
        while True:
            news = found.get()
            if isinstance(news, BaseException):
                raise news
            if isinstance(news, Completion):
                yield Progress(news.text, len(news.tokens), is_whole=True)
                return
            tokens.append(news)
            # Half a character is not shown: the next token may complete it.
            text = continuation(loaded.tokenizer, before, tokens).rstrip("\ufffd")
            yield Progress(text, len(tokens), is_whole=False)
    finally:
        left.set()
        worker.join()


def _work(
    loaded: LoadedModel,
    prompt: str,
    sampling: SamplingConfig,
    found: "SimpleQueue[int | Completion | BaseException]",
    left: threading.Event,
) -> None:
    passes = 0

    def look(_module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        """Before every pass: the first reads the prompt, each other one the token that was chosen last."""
        nonlocal passes
        if left.is_set():
            raise _Left
        if passes:
            found.put(int(named["input_ids"][0, -1]))
        passes += 1

    hook = loaded.model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        found.put(next(complete(loaded, [prompt], sampling, batch_size=1)))
    except _Left:
        pass
    except BaseException as error:
        found.put(error)
    finally:
        hook.remove()
