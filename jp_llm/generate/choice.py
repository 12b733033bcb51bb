"""Choose the next token of every row from its logits: what transformers does to them, and a draw of the row's own.

transformers draws all rows of a batch from one random stream, so a text would depend on its neighbours. Here every row
brings a random number of its own per token, and the token is where that number falls in the summed probabilities.

B rows, T positions, V vocabulary
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jp_llm.generate.config import SamplingConfig

_HEAD = 512
"""Likeliest tokens among which top_p is looked for first; sorting a whole vocabulary costs several times as much."""
_NOBODY = -1
"""Stands left of a shorter history; no token is equal to it."""


class TokenChoice:
    """The controls of a `SamplingConfig`, in the order in which transformers applies them."""

    def __init__(self, sampling: SamplingConfig, never: set[int], ends: set[int]) -> None:
        """`never` are ids that no text may hold, `ends` those that end it."""
        from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

        self._window = sampling.repetition_window
        self._never, self._ends = sorted(never), sorted(ends)
        self._penalty: Any = None
        self._no_repeat: Any = None
        if sampling.repetition_penalty != 1.0:
            self._penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
        if sampling.no_repeat_ngram_size:
            self._no_repeat = NoRepeatNGramLogitsProcessor(sampling.no_repeat_ngram_size)
        self._warpers = _warpers(sampling) if sampling.do_sample else None

    def __call__(
        self, logits_BV: Tensor, histories: Sequence[list[int]], may_end: Sequence[bool], chances: Sequence[float]
    ) -> list[int]:
        """The next token of every row.

        Args:
            histories: ids of every row so far, the prompt included.
            may_end: whether the row may end here.
            chances: a number in [0, 1) for every row; decides what is drawn.
        """
        if self._penalty is not None:
            histories_BT = _rectangle([ids[-self._window :] if self._window else ids for ids in histories])
            # Another time the oldest token instead of nobody: a token that occurs twice is penalised once.
            oldest_B1 = torch.tensor([[ids[-self._window if len(ids) > self._window > 0 else 0]] for ids in histories])
            histories_BT = torch.where(histories_BT == _NOBODY, oldest_B1, histories_BT)
            logits_BV = self._penalty(histories_BT.to(logits_BV.device), logits_BV)
        if self._no_repeat is not None:
            logits_BV = self._no_repeat(_rectangle(histories).to(logits_BV.device), logits_BV)
        logits_BV = logits_BV.clone()
        logits_BV[:, self._never] = -torch.inf
        early = [row for row, may in enumerate(may_end) if not may]
        if early and self._ends:
            logits_BV[torch.tensor(early)[:, None], self._ends] = -torch.inf
        if self._warpers is None:
            greedy: list[int] = logits_BV.argmax(1).tolist()
            return greedy
        for warper in self._warpers:
            logits_BV = warper(None, logits_BV)
        return draw(logits_BV, chances)


def draw(logits_BV: Tensor, chances: Sequence[float]) -> list[int]:
    """One id per row with probability softmax(logits): the first whose summed probability is beyond the chance."""
    summed_BV = logits_BV.softmax(1).double().cumsum(1)
    chances_B1 = torch.tensor(chances, dtype=torch.float64, device=logits_BV.device)[:, None]
    # The sum may miss 1 by rounding; measured by its own end, no chance below 1 falls behind it.
    found: list[int] = torch.searchsorted(summed_BV, chances_B1 * summed_BV[:, -1:], right=True)[:, 0].tolist()
    return found


class TopP:
    """The smallest set of likeliest tokens with a probability together; as TopPLogitsWarper of transformers."""

    def __init__(self, top_p: float, head: int = _HEAD) -> None:
        self._top_p, self._head = top_p, head

    def __call__(self, _tokens_BT: Tensor | None, logits_BV: Tensor) -> Tensor:
        """All other logits become minus infinity."""
        size = min(self._head, logits_BV.shape[1])
        kept_BV, complete_B = self._filtered(logits_BV, size)
        if not complete_B.all():
            flat_B = ~complete_B
            kept_BV[flat_B], _ = self._filtered(logits_BV[flat_B], logits_BV.shape[1])
        return kept_BV

    def _filtered(self, logits_BV: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Filtered logits, and whether the set of each row is among its `size` likeliest tokens."""
        top_BK, ids_BK = logits_BV.topk(size)
        mass_BK = (top_BK - logits_BV.logsumexp(1, keepdim=True)).exp()
        before_BK = mass_BK.cumsum(1) - mass_BK
        inside_BK = before_BK < self._top_p
        inside_BK[:, 0] = True
        filtered_BV = torch.full_like(logits_BV, -torch.inf)
        filtered_BV.scatter_(1, ids_BK, top_BK.masked_fill(~inside_BK, -torch.inf))
        return filtered_BV, ~inside_BK[:, -1]


def _warpers(sampling: SamplingConfig) -> list[Any]:
    from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TypicalLogitsWarper

    warpers: list[Any] = []
    if sampling.temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        warpers.append(TopP(sampling.top_p))
    if sampling.min_p:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    if sampling.typical_p < 1.0:
        warpers.append(TypicalLogitsWarper(sampling.typical_p))
    return warpers


def _rectangle(histories: Sequence[list[int]]) -> Tensor:
    """[B, T], every history at the right."""
    width = max(map(len, histories))
    return torch.tensor([[_NOBODY] * (width - len(ids)) + ids for ids in histories])
