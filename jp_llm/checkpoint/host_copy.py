"""A copy of a state in host memory, so that training can change the state while the copy is written."""

import torch
from torch import Tensor

from jp_llm.checkpoint.writer import State
from jp_llm.parallel.slices import Piece


class HostCopy:
    """Room for the fp32 state of this process: 12 bytes per parameter held, kept from one save to the next.

    It is made once, at the start of a run, so that memory that is not there is missed before hours of training. For
    state on a GPU it is pinned, which makes the copy as fast as the bus.
    """

    def __init__(self, state: State) -> None:
        tensors = [tensor for _, values in state for tensor in values.values()]
        size = sum(tensor.numel() for tensor in tensors)
        self._flat = torch.empty(size, dtype=torch.float32, pin_memory=any(tensor.is_cuda for tensor in tensors))
        # An allocation that was never written to is only a promise of the operating system.
        self._flat.zero_()

    @torch.no_grad()
    def take(self, state: State) -> list[tuple[Piece, dict[str, Tensor]]]:
        """Copy a state of the size of the first one; what is returned stays valid until the next call."""
        copied, position = [], 0
        for piece, values in state:
            held = {}
            for kind, tensor in values.items():
                held[kind] = self._flat[position : position + tensor.numel()]
                held[kind].copy_(tensor, non_blocking=True)
                position += tensor.numel()
            copied.append((piece, held))
        if position != self._flat.numel():
            raise ValueError(f"a state of {position} elements, but {self._flat.numel()} were announced")
        if self._flat.is_pinned():
            torch.cuda.synchronize()
        return copied
