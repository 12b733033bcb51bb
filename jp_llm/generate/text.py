"""Continue texts with a transformers model, in batches whose composition does not matter.

transformers draws all rows of a batch from one random stream, so a text would depend on its neighbours. Here every row
has its own stream and is drawn by the Gumbel-max trick (Maddison, Tarlow and Minka 2014, section 2): with independent
Gumbel noise g, argmax(log p + g) is distributed as p. So the search of transformers stays greedy and sees noisy logits.
What is left of a neighbour is the rounding of a matrix product in a batch of another shape.

B rows, T positions, V vocabulary
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jp_llm.export.inference import LoadedModel
from jp_llm.generate.config import SamplingConfig
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.runtime.errors import UserError


@dataclass(frozen=True)
class Completion:
    """One generated text."""

    prompt: str
    number: int
    """Which of the texts of this prompt, from 0."""
    text: str
    """What comes after the prompt."""
    tokens: list[int]
    """Its token ids, the end of the document included if the model put one."""


def complete(
    loaded: LoadedModel, prompts: Sequence[str], sampling: SamplingConfig, batch_size: int
) -> Iterator[Completion]:
    """Continue every prompt `num_return_sequences` times; texts come in the order of the prompts.

    Raises:
        UserError: a prompt is too long for the model's context.
    """
    encoded = [_encode(loaded, prompt) for prompt in prompts]
    _check_lengths(loaded, prompts, encoded, sampling.max_new_tokens)
    rows: list[tuple[str, list[int], int]] = []
    seen: Counter[str] = Counter()
    for prompt, ids in zip(prompts, encoded, strict=True):
        for _ in range(sampling.num_return_sequences):
            rows.append((prompt, ids, seen[prompt]))
            seen[prompt] += 1
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        seeds = [_row_seed(sampling.seed, prompt, number) for prompt, _, number in batch]
        for (prompt, _, number), tokens in zip(
            batch, _generate(loaded, [ids for _, ids, _ in batch], seeds, sampling), strict=True
        ):
            yield Completion(prompt, number, loaded.tokenizer.decode(tokens, skip_special_tokens=True), tokens)


def _encode(loaded: LoadedModel, prompt: str) -> list[int]:
    ids: list[int] = loaded.tokenizer(prompt)["input_ids"]
    return ids or [loaded.start_id]


def _check_lengths(loaded: LoadedModel, prompts: Sequence[str], encoded: list[list[int]], new_tokens: int) -> None:
    if loaded.context is None:
        return
    problems = []
    for number, (prompt, ids) in enumerate(zip(prompts, encoded, strict=True), start=1):
        if len(ids) + new_tokens > loaded.context:
            remedy = "lower max_new_tokens" if len(ids) < loaded.context else "shorten the prompt"
            problems.append(
                f"prompt {number} ({prompt[:20]!r}...): {len(ids)} tokens and max_new_tokens {new_tokens} are more "
                f"than the context of {loaded.context}; {remedy}"
            )
    if problems:
        raise UserError(*problems)


def _row_seed(seed: int, prompt: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed}:{number}:{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@torch.inference_mode()
def _generate(
    loaded: LoadedModel, prompts: list[list[int]], seeds: list[int], sampling: SamplingConfig
) -> list[list[int]]:
    """New token ids of every row, up to and including the end of the document."""
    from transformers import GenerationConfig

    tokenizer = loaded.tokenizer
    ends = _end_ids(loaded)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(ends), 0)
    width = max(map(len, prompts))
    tokens_BT = torch.tensor([[filler] * (width - len(ids)) + ids for ids in prompts], device=loaded.device)
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=loaded.device)
    control = {tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id} - {None, *ends}
    settings = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        min_new_tokens=sampling.min_new_tokens or None,
        do_sample=False,
        repetition_penalty=sampling.repetition_penalty,
        no_repeat_ngram_size=sampling.no_repeat_ngram_size,
        suppress_tokens=sorted(control) or None,
        eos_token_id=sorted(ends) or None,
        pad_token_id=filler,
    )
    with quiet_transformers():
        out_BT = loaded.model.generate(
            input_ids=tokens_BT,
            attention_mask=mask_BT,
            generation_config=settings,
            logits_processor=_processors(sampling, seeds, loaded.device),
        )
    return [_until_end(row, ends) for row in out_BT[:, width:].tolist()]


def _end_ids(loaded: LoadedModel) -> set[int]:
    configured = loaded.model.generation_config.eos_token_id
    if configured is None:
        configured = loaded.tokenizer.eos_token_id
    return set(configured) if isinstance(configured, list) else {configured} - {None}


def _until_end(row: list[int], ends: set[int]) -> list[int]:
    stop = next((place for place, token in enumerate(row) if token in ends), len(row) - 1)
    return row[: stop + 1]


def _processors(sampling: SamplingConfig, seeds: list[int], device: torch.device) -> Any:
    """What transformers does to the logits when it samples, and then the noise."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors = LogitsProcessorList()
    if not sampling.do_sample:
        return processors
    if sampling.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        processors.append(TopPLogitsWarper(sampling.top_p))
    # The CPU's generator gives the same numbers everywhere.
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def add_noise(_tokens_BT: Tensor, logits_BV: Tensor) -> Tensor:
        exponential_BV = torch.stack(
            [torch.empty(logits_BV.shape[1]).exponential_(generator=generator) for generator in generators]
        )
        return logits_BV - exponential_BV.log().to(device)  # -log of an exponential variable is Gumbel

    processors.append(add_noise)
    return processors
