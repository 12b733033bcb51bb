"""Negative log-likelihood of documents, and of continuations, under a transformers model.

B windows, T positions, V vocabulary
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from jp_llm.evaluate.windows import windows
from jp_llm.export.inference import LoadedModel, encode
from jp_llm.texts.documents import Text

_IGNORED = -100
_SORTED_TOGETHER = 256
"""Windows that are put in order of length before they are batched, so that little is padding."""


@dataclass
class Score:
    """Sums over the documents of one source."""

    documents: int = 0
    characters: int = 0
    """Unicode code points."""
    bytes: int = 0
    """Of UTF-8."""
    tokens: int = 0
    """Predicted tokens: those of the text, and one end of document each; never the begin token."""
    unknown_tokens: int = 0
    """Tokens that stand for characters which the tokenizer cannot write."""
    changed_documents: int = 0
    """Documents that the tokenizer does not give back: what it loses or unifies the model need not predict."""
    nats: float = 0.0
    """Sum of -ln p over the predicted tokens."""

    def __add__(self, other: "Score") -> "Score":
        return Score(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def rates(self) -> dict[str, float | None]:
        """Perplexity per token, bits per token, character and byte; None where there is nothing to divide by."""
        bits = self.nats / math.log(2)
        return {
            "perplexity": math.exp(min(self.nats / self.tokens, 700)) if self.tokens else None,
            "bits_per_token": bits / self.tokens if self.tokens else None,
            "bits_per_character": bits / self.characters if self.characters else None,
            "bits_per_byte": bits / self.bytes if self.bytes else None,
        }


@dataclass(frozen=True)
class _Row:
    key: Hashable
    """What its nats are counted for."""
    inputs: list[int]
    targets: list[int]
    """One per input; _IGNORED where it does not count."""


def score(
    loaded: LoadedModel, texts: Iterable[Text], *, context: int, stride: int, batch_tokens: int
) -> dict[str, Score]:
    """Score every document by itself, its begin token as the only context; {source: sums}.

    Args:
        context, stride: see `jp_llm.evaluate.windows`.
        batch_tokens: most inputs (padding included) of a forward pass; a single longer window goes alone.
    """
    scores: dict[str, Score] = defaultdict(Score)
    rows = (row for text in texts for row in _rows(loaded, text, scores[text.source], context, stride))
    for source, nats in _nats(loaded, rows, batch_tokens):
        scores[str(source)].nats += nats
    return dict(scores)


def continuation_nats(
    loaded: LoadedModel, pairs: Sequence[tuple[list[int], list[int]]], *, context: int, batch_tokens: int
) -> list[float]:
    """-ln p of each continuation behind its context; the context loses its beginning where both are too long.

    Args:
        pairs: ids of (context, continuation), as `split_ids` gives them.

    Raises:
        ValueError: a continuation alone is longer than `context`.
    """
    rows = []
    for number, (seen, scored) in enumerate(pairs):
        if len(scored) > context:
            raise ValueError(f"a continuation of {len(scored)} tokens is longer than the context of {context}")
        tokens = [loaded.start_id, *seen, *scored][-(context + 1) :]
        targets = [_IGNORED] * (len(tokens) - 1 - len(scored)) + scored
        rows.append(_Row(number, tokens[:-1], targets))
    found = dict(_nats(loaded, iter(rows), batch_tokens))
    return [found[number] for number in range(len(pairs))]


def split_ids(tokenizer: Any, before: str, text: str) -> tuple[list[int], list[int]]:
    """Ids of `before + text`, divided where the ids of `before` alone end.

    Where a token reaches over the seam, the second part begins with it, so what is scored is always the whole text,
    written as the model has learned to write it, and never nothing.
    """
    whole, first = encode(tokenizer, before + text), encode(tokenizer, before)
    shared = next((place for place, (one, two) in enumerate(zip(whole, first, strict=False)) if one != two), None)
    seam = min(len(first), len(whole) - 1) if shared is None else shared
    return whole[:seam], whole[seam:]


def split_choices(tokenizer: Any, before: str, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Ids of `before` and of each text behind it, divided at the same place for all, so that their likelihoods compare.

    A text that shares a token with the end of `before` (「 after a full stop, often) would pay for that end alone.
    """
    pairs = [split_ids(tokenizer, before, text) for text in texts]
    seam = min(len(seen) for seen, _ in pairs)
    return [(seen[:seam], seen[seam:] + scored) for seen, scored in pairs]


def _nats(loaded: LoadedModel, rows: Iterator[_Row], batch_tokens: int) -> Iterator[tuple[Hashable, float]]:
    while together := list(itertools.islice(rows, _SORTED_TOGETHER)):
        for batch in _batches(together, batch_tokens):
            for row, nats in zip(batch, _losses(loaded, batch), strict=True):
                yield row.key, nats


def _rows(loaded: LoadedModel, text: Text, sums: Score, context: int, stride: int) -> Iterator[_Row]:
    """Count a document and cut it into windows."""
    ids = encode(loaded.tokenizer, text.text)
    end = loaded.tokenizer.eos_token_id
    tokens = [loaded.start_id, *ids] + ([] if end is None else [end])
    sums.documents += 1
    sums.characters += len(text.text)
    sums.bytes += len(text.text.encode())
    sums.tokens += len(tokens) - 1
    sums.unknown_tokens += ids.count(loaded.tokenizer.unk_token_id)
    back = loaded.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    sums.changed_documents += back != text.text
    if len(tokens) == 1:
        return
    for window in windows(len(tokens) - 1, context, stride):
        unscored = window.scored - window.start
        targets = [_IGNORED] * unscored + tokens[window.scored + 1 : window.stop + 1]
        yield _Row(text.source, tokens[window.start : window.stop], targets)


def _batches(rows: list[_Row], batch_tokens: int) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.inputs), reverse=True):
        if batch and len(batch[0].inputs) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    yield batch


@torch.inference_mode()
def _losses(loaded: LoadedModel, batch: list[_Row]) -> list[float]:
    """Summed -ln p of every row. Padding stands on the right, where causal attention never looks."""
    width = max(len(row.inputs) for row in batch)
    inputs_BT = torch.tensor([row.inputs + [0] * (width - len(row.inputs)) for row in batch], device=loaded.device)
    targets_BT = torch.tensor(
        [row.targets + [_IGNORED] * (width - len(row.targets)) for row in batch], device=loaded.device
    )
    logits_BTV = loaded.model(input_ids=inputs_BT, use_cache=False).logits
    losses = cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="none", ignore_index=_IGNORED
    )
    sums: list[float] = losses.view_as(targets_BT).double().sum(dim=1).tolist()
    return sums
