"""Continue texts with a transformers model, in batches whose composition does not matter.

A text depends on its prompt, its number and the seed. What is left of its neighbours in the batch is the rounding of a
matrix product of another shape.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import torch

from jp_llm.export.inference import LoadedModel, encode
from jp_llm.generate.choice import TokenChoice
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.moving_batch import MovingBatch
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.runtime.errors import UserError

_REFILL = 8
"""New rows are taken in when this part of the batch is free; each time costs a pass of its own."""
_SEEN_BEFORE = 8
"""Tokens before the end of a text that are decoded with it."""


@dataclass(frozen=True)
class Task:
    """A text to be made."""

    prompt: str
    number: int
    """Which of the texts of this prompt, from 0."""


@dataclass(frozen=True)
class Completion:
    """One generated text."""

    prompt: str
    number: int
    """Which of the texts of this prompt, from 0."""
    text: str
    """What comes after the prompt, without the stop string; empty where the model ended the document at once."""
    tokens: list[int]
    """Its token ids, the end of the document or what holds the stop string included if the model put one."""
    finish_reason: Literal["end", "stop", "length"]
    """The model ended the document, wrote a stop string, or was cut off."""


def complete(
    loaded: LoadedModel, prompts: Sequence[str], sampling: SamplingConfig, batch_size: int
) -> Iterator[Completion]:
    """Continue every prompt `num_return_sequences` times; texts come in the order of the prompts.

    Raises:
        UserError: a prompt is too long for the model's context, or for max_length.
    """
    encoded = encode_prompts(loaded, prompts, sampling)
    return complete_tasks(loaded, tasks_of(prompts, sampling), encoded, sampling, batch_size)


def tasks_of(prompts: Sequence[str], sampling: SamplingConfig) -> list[Task]:
    """The texts that are asked for, in order; a prompt that stands there twice counts on."""
    tasks = []
    seen: Counter[str] = Counter()
    for prompt in prompts:
        for _ in range(sampling.num_return_sequences):
            tasks.append(Task(prompt, seen[prompt]))
            seen[prompt] += 1
    return tasks


def encode_prompts(loaded: LoadedModel, prompts: Sequence[str], sampling: SamplingConfig) -> dict[str, list[int]]:
    """Token ids of every prompt, behind the one that begins a text; whatever the tokenizer would put around them.

    Raises:
        UserError: a prompt and what shall follow are more than the model's context, or a minimum cannot be reached.
    """
    encoded: dict[str, list[int]] = {}
    problems = []
    for number, prompt in enumerate(prompts, start=1):
        if prompt not in encoded:
            encoded[prompt] = [loaded.start_id, *encode(loaded.tokenizer, prompt)]
        length = len(encoded[prompt])
        name = f"prompt {number} ({prompt[:20]!r}...): {length} tokens"
        new = _most_new_tokens(length, sampling)
        if new < 1:
            problems.append(f"{name} leave none of max_length {sampling.max_length}; raise it or shorten the prompt")
        elif loaded.context is not None and length + new > loaded.context:
            key = "max_new_tokens" if sampling.max_length is None else "max_length"
            problems.append(
                f"{name} and {key} {getattr(sampling, key)} are more than the context of {loaded.context}; "
                + (f"lower {key}" if length < loaded.context else "shorten the prompt")
            )
        elif _fewest_new_tokens(length, sampling) > new:
            key = "min_length" if sampling.min_length - length > new else "min_new_tokens"
            problems.append(
                f"{name} and at most {new} new ones do not reach {key} {getattr(sampling, key)}; lower {key}, or raise "
                + ("max_new_tokens" if sampling.max_length is None else "max_length")
            )
    if problems:
        raise UserError(*problems)
    return encoded


def complete_tasks(
    loaded: LoadedModel,
    tasks: Iterable[Task],
    encoded: Mapping[str, list[int]],
    sampling: SamplingConfig,
    batch_size: int,
) -> Iterator[Completion]:
    """Make the texts of `tasks`, whose prompts are in `encoded`, in their order; `batch_size` at the same time."""
    done: dict[int, Completion] = {}
    following = 0
    for place, completion in _finished(loaded, tasks, encoded, sampling, batch_size):
        done[place] = completion
        while following in done:
            yield done.pop(following)
            following += 1


@dataclass
class _Row:
    """A text that is being made."""

    place: int
    task: Task
    ids: list[int]
    """The prompt and what has been made."""
    fewest: int
    most: int
    """Tokens after the prompt."""
    chances: list[float]
    """Of every token that may come, in [0, 1)."""
    new: list[int] = field(default_factory=list)
    finish_reason: Literal["end", "stop", "length"] | None = None


def _finished(
    loaded: LoadedModel,
    tasks: Iterable[Task],
    encoded: Mapping[str, list[int]],
    sampling: SamplingConfig,
    batch_size: int,
) -> Iterator[tuple[int, Completion]]:
    """Places of tasks and their texts as they end."""
    with quiet_transformers():
        choose = TokenChoice(sampling, _never_drawn(loaded), set(loaded.end_ids))
    waiting = enumerate(tasks)
    batch = MovingBatch(loaded)
    rows: list[_Row] = []
    logits_BV = torch.empty(0)
    while True:
        free = batch_size - len(rows)
        if not rows or free * _REFILL >= batch_size:
            fresh = [_row(place, task, encoded[task.prompt], sampling) for place, task in islice(waiting, free)]
            if fresh:
                with torch.inference_mode():
                    new_BV = batch.add([row.ids for row in fresh])
                    logits_BV = torch.cat([logits_BV, new_BV]) if rows else new_BV
                rows += fresh
        if not rows:
            return
        with torch.inference_mode():
            may_end = [len(row.new) >= row.fewest for row in rows]
            tokens = choose(logits_BV, [row.ids for row in rows], may_end, [row.chances[len(row.new)] for row in rows])
        for row, token in zip(rows, tokens, strict=True):
            row.ids.append(token)
            row.new.append(token)
            row.finish_reason = _finish_reason(loaded, row, sampling.stop)
        ended = [row for row in rows if row.finish_reason is not None]
        if ended:
            batch.keep([index for index, row in enumerate(rows) if row.finish_reason is None])
            rows = [row for row in rows if row.finish_reason is None]
        if rows:
            with torch.inference_mode():
                logits_BV = batch.step([row.new[-1] for row in rows])
        for row in ended:
            yield row.place, _completion(loaded, row, sampling.stop)


def continuation(tokenizer: Any, before: list[int], new: list[int]) -> str:
    """The text of `new` behind `before`. Decoded alone it would lose a space in front, where a tokenizer has words
    begin with one.
    """
    first: str = tokenizer.decode(before, skip_special_tokens=True)
    whole: str = tokenizer.decode(before + new, skip_special_tokens=True)
    if whole.startswith(first):
        return whole[len(first) :]
    # Bytes that are no UTF-8 spoil those before them too.
    alone: str = tokenizer.decode(new, skip_special_tokens=True)
    return alone


def _row(place: int, task: Task, ids: list[int], sampling: SamplingConfig) -> _Row:
    most = _most_new_tokens(len(ids), sampling)
    digest = hashlib.sha256(f"{sampling.seed}:{task.number}:{task.prompt}".encode()).digest()
    # The CPU's generator gives the same numbers everywhere.
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return _Row(
        place=place,
        task=task,
        ids=list(ids),
        fewest=_fewest_new_tokens(len(ids), sampling),
        most=most,
        chances=torch.rand(most, generator=generator).tolist(),
    )


def _most_new_tokens(prompt_length: int, sampling: SamplingConfig) -> int:
    return sampling.max_new_tokens if sampling.max_length is None else sampling.max_length - prompt_length


def _fewest_new_tokens(prompt_length: int, sampling: SamplingConfig) -> int:
    return max(sampling.min_new_tokens, sampling.min_length - prompt_length)


def _never_drawn(loaded: LoadedModel) -> set[int]:
    """Control tokens that end nothing, and rows of the model beyond the tokenizer's tokens."""
    tokenizer = loaded.tokenizer
    control = {tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id} - {None, *loaded.end_ids}
    return control | (set(range(loaded.model.config.vocab_size)) - set(tokenizer.get_vocab().values()))


def _finish_reason(loaded: LoadedModel, row: _Row, stop: Sequence[str]) -> Literal["end", "stop", "length"] | None:
    if row.new[-1] in loaded.end_ids:
        return "end"
    if stop:
        # A character is at most four tokens (its bytes).
        tail = row.new[-4 * max(map(len, stop)) - 4 :]
        tail_text = continuation(loaded.tokenizer, row.ids[: -len(tail)][-_SEEN_BEFORE:], tail)
        if any(text in tail_text for text in stop):
            return "stop"
    return "length" if len(row.new) >= row.most else None


def _completion(loaded: LoadedModel, row: _Row, stop: Sequence[str]) -> Completion:
    assert row.finish_reason is not None
    text = continuation(loaded.tokenizer, row.ids[: -len(row.new)], row.new)
    found = [place for place in (text.find(each) for each in stop) if place >= 0]
    return Completion(
        row.task.prompt, row.task.number, text[: min(found, default=len(text))], row.new, row.finish_reason
    )
