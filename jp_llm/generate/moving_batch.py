"""A batch whose rows come and go, so that texts that have ended cost nothing.

Every row ends at the last column of the key/value cache, whatever its length: new rows are computed apart and laid
beside the others, columns that nobody needs any more are cut off. The idea is the continuous batching of Orca (Yu et
al. 2022, section 4.1), with a rectangle of memory instead of pages.

B rows, T columns, V vocabulary
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from jp_llm.export.inference import LoadedModel


class MovingBatch:
    """Rows of a transformers model with full attention."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._cache: Any = None
        self._mask_BT = torch.zeros((0, 0), dtype=torch.long, device=loaded.device)
        """1 where a row has a token."""

    def add(self, prompts: list[list[int]]) -> Tensor:
        """Lay new rows under the others; returns the logits of their next tokens, [new rows, V]."""
        from transformers import DynamicCache

        width = max(map(len, prompts))
        mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=self._device)
        tokens_BT = torch.tensor([[0] * (width - len(ids)) + ids for ids in prompts], device=self._device)
        # Without the model's configuration every layer keeps all keys, also one that attends to a window only.
        cache = DynamicCache()
        logits_BV = self._forward(tokens_BT, mask_BT, cache)
        if len(self._mask_BT):
            width = max(width, self._mask_BT.shape[1])
            for old, new in zip(self._cache.layers, cache.layers, strict=True):
                new.keys = torch.cat([_widened(old.keys, width), _widened(new.keys, width)])
                new.values = torch.cat([_widened(old.values, width), _widened(new.values, width)])
            mask_BT = torch.cat([pad(part, (width - part.shape[1], 0)) for part in (self._mask_BT, mask_BT)])
        self._cache, self._mask_BT = cache, mask_BT
        return logits_BV

    def keep(self, rows: list[int]) -> None:
        """Take away all rows but these."""
        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        mask_BT = self._mask_BT[index]
        first = int(mask_BT.any(0).int().argmax()) if rows else 0
        self._mask_BT = mask_BT[:, first:]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[index, :, first:], layer.values[index, :, first:]

    def step(self, tokens: list[int]) -> Tensor:
        """Give every row its next token; returns the logits of the one after, [B, V]."""
        self._mask_BT = pad(self._mask_BT, (0, 1), value=1)
        tokens_BT = torch.tensor(tokens, device=self._device)[:, None]
        return self._forward(tokens_BT, self._mask_BT, self._cache)

    def _forward(self, tokens_BT: Tensor, mask_BT: Tensor, cache: Any) -> Tensor:
        places_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, -tokens_BT.shape[1] :]
        out = self._model(
            input_ids=tokens_BT,
            attention_mask=mask_BT,
            position_ids=places_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = out.logits[:, -1].float()
        return logits_BV


def _widened(tensor: Tensor, width: int) -> Tensor:
    """More columns on the left: [B, heads, T, head size] with T = width."""
    return pad(tensor, (0, 0, width - tensor.shape[2], 0))
