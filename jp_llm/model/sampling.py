"""Completions during training: no cache, and the same number of forward passes on every process.

B prompts, T positions, V vocabulary
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

StepLogits = Callable[[Tensor, Tensor], Tensor]
"""tokens [B, T], last position of each row [B] -> logits of the next token [B, vocab_size]."""


@torch.no_grad()
def complete(
    step_logits: StepLogits,
    prompts: Sequence[Sequence[int]],
    *,
    num_tokens: int,
    eos_id: int,
    max_length: int,
    temperature: float,
    top_p: float,
    seed: int,
    device: torch.device | str = "cpu",
) -> list[list[int]]:
    """Continue all prompts together.

    `step_logits` is called exactly `num_tokens` times with tensors of one shape, whatever is drawn: it may be a
    collective operation of all processes, and a compiled model sees one shape. Rows are filled from the left, so
    what lies behind the last position of a row must not change its logits (causal attention).

    Args:
        num_tokens: largest number of new tokens per prompt.
        eos_id: ends a completion; not part of the result.
        max_length: context of the model; a completion ends where prompt and new tokens fill it.
        temperature, top_p: as in `next_tokens`.
        seed: of this call alone; the global random state is neither read nor changed.

    Returns:
        The new tokens of each prompt, without the prompt.

    Raises:
        ValueError: a prompt is empty or leaves no room in the context.
    """
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or min(lengths) < 1 or max(lengths) >= max_length:
        raise ValueError(f"prompts of {lengths} tokens; each must have at least 1 and fewer than {max_length}")
    width = min(max(lengths) + num_tokens, max_length)
    tokens_BT = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in zip(tokens_BT, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    generator = torch.Generator("cpu").manual_seed(seed)
    rows_B = torch.arange(len(prompts))
    next_B = torch.tensor(lengths)  # where the next token of each row goes
    running_B = torch.ones(len(prompts), dtype=torch.bool)
    for _ in range(num_tokens):
        logits_BV = step_logits(tokens_BT.to(device), (next_B - 1).to(device)).float().cpu()
        drawn_B = next_tokens(logits_BV, temperature, top_p, generator)
        running_B &= (drawn_B != eos_id) & (next_B < width)
        going = running_B.nonzero().flatten()
        tokens_BT[rows_B[going], next_B[going]] = drawn_B[going]
        next_B[going] += 1
    return [row[start:stop].tolist() for row, start, stop in zip(tokens_BT, lengths, next_B.tolist(), strict=True)]


def next_tokens(logits_BV: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> Tensor:
    """Draw one token per row, [B].

    Args:
        temperature: divides the logits; 0 takes the likeliest token.
        top_p: draw from the smallest set of likeliest tokens that holds this probability (Holtzman et al. 2020).
    """
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    sorted_BV, ids_BV = (logits_BV / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    outside_BV = sorted_BV.cumsum(dim=-1) - sorted_BV >= top_p
    outside_BV[:, 0] = False
    choice_B1 = torch.multinomial(sorted_BV.masked_fill(outside_BV, 0.0), 1, generator=generator)
    return ids_BV.gather(1, choice_B1).squeeze(1)
