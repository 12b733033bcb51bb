"""Whether transformers computes with a folder what our decoder computes, both in fp32 on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jp_llm.huggingface.reload import load_model
from jp_llm.runtime.errors import UserError

TOLERANCE = 1e-4
"""Largest difference of fp32 logits, for logits up to 10; above, 1e-5 of the largest logit."""

POSITIONS = 256
"""Positions of a row, its last ones, whose logits are compared: all logits of a long row would not fit."""

LONGEST = 4096
"""Positions of the longest row: some contexts would take days on a CPU."""


def random_batches(vocabulary: int, context: int) -> list[Tensor]:
    """Ids to compare logits on: two short rows, and one over the context (up to `LONGEST`) where that is longer: a
    rotation that is slightly off shows at its end."""
    generator = torch.Generator().manual_seed(0)
    length = min(context, POSITIONS)
    batches = [torch.randint(vocabulary, (2, length), generator=generator)]
    if context > length:
        batches.append(torch.randint(vocabulary, (1, min(context, LONGEST)), generator=generator))
    return batches


def compare_logits(
    folder: Path, batches: Sequence[Tensor], ours: Sequence[Tensor], *, surplus: bool = False
) -> tuple[float, float]:
    """Logits of transformers at the last positions of each batch against ours.

    Args:
        surplus: as in `load_reference`.

    Returns:
        The largest |logit| and the largest |difference|.

    Raises:
        UserError: they differ by more than `TOLERANCE`, or transformers does not find every tensor.
    """
    theirs = load_reference(folder, surplus=surplus)
    largest = difference = 0.0
    for tokens_BT, ours_BTV in zip(batches, ours, strict=True):
        theirs_BTV = theirs(input_ids=tokens_BT, use_cache=False, logits_to_keep=POSITIONS).logits
        if theirs_BTV.shape != ours_BTV.shape:
            raise UserError(
                f"transformers computes logits of shape {tuple(theirs_BTV.shape)}, we {tuple(ours_BTV.shape)}"
            )
        largest = max(largest, ours_BTV.abs().max().item())
        found = (theirs_BTV - ours_BTV).abs().max().item()
        # Written so that a NaN on either side is refused.
        if not found <= max(TOLERANCE, TOLERANCE / 10 * largest):
            raise UserError(f"logits differ by up to {found:.3g} (largest logit {largest:.3g})")
        difference = max(difference, found)
    return largest, difference


def load_reference(folder: Path, *, surplus: bool = False) -> Any:
    """The model as transformers loads it, in fp32, with no tensor missing or misshapen.

    Args:
        surplus: tensors that belong to nothing (old buffers) may be there.

    Raises:
        UserError: it is not so.
    """
    model, wrong = load_model(folder, torch.float32)
    if surplus:
        wrong.pop("unexpected_keys", None)
    if wrong:
        raise UserError(f"transformers reports {wrong}")
    return model
