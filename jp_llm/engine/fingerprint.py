"""A hash of the bits of a tensor, computed where the tensor lies: 8 bytes to compare instead of the tensor."""

from functools import cache

import torch
from torch import Tensor

_ROW = 2**16
_ROWS_AT_ONCE = 16
"""What is computed for so many rows is in memory at once: 8 bytes per element, 8 MB."""
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def fingerprint(tensor: Tensor) -> Tensor:
    """Hash of the raw bits, a scalar int64 on the device of `tensor`.

    The bits of each element, read as an integer, times an odd number that belongs to its place, summed modulo 2^64; the
    sums of rows of 65,536 again in the same way, until one is left. Integers add up to the same in any order. An odd
    number has an inverse modulo 2^64, so whatever changes in a single element always changes the hash. Changes in
    several elements cancel each other as often as random numbers would: not more often than once in 2^32 for fp32 and
    once in 2^48 for bf16 (the worst case are two sign bits), mostly once in 2^60 and less.
    """
    integers = tensor.detach().contiguous().reshape(-1).view(_INTEGERS[tensor.element_size()])
    while True:
        integers = _sums_of_rows(integers)
        if len(integers) == 1:
            return integers[0]


def _sums_of_rows(integers: Tensor) -> Tensor:
    odd = _odd_numbers(integers.device)
    whole = len(integers) // _ROW * _ROW
    batches = torch.split(integers[:whole].view(-1, _ROW), _ROWS_AT_ONCE)
    sums = [(rows.long() * odd).sum(-1) for rows in batches]
    rest = integers[whole:].long()
    if len(rest) or not whole:
        sums.append((rest * odd[: len(rest)]).sum(-1, keepdim=True))
    return torch.cat(sums)


@cache
def _odd_numbers(device: torch.device) -> Tensor:
    # Made on the CPU, whose generator gives the same numbers everywhere.
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-(2**63), 2**63 - 1, (_ROW,), generator=generator).bitwise_or_(1).to(device)
