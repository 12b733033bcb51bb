"""One weight, two stages: the embedding of the first pipeline stage as the head of the last.

The first stage owns it: parameter, moments, place in the norm and in checkpoints. The last stage works with a copy that
is sent after every change, and sends back the gradient that it has collected for it, once per step. So the weight
exists once for ZeRO of any stage, and its gradient is counted once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed
from torch import Tensor

from jp_llm.engine.module import TIED_GRADIENT, StageModule
from jp_llm.engine.zero import ZeroEngine


class TiedEmbedding:
    """Made on every process; acts only where a tied embedding and its head stand on different stages."""

    def __init__(self, module: StageModule, zero: ZeroEngine, shape: tuple[int, int]) -> None:
        """
        Args:
            shape: of the weight, or of the part of it that this rank of the tensor axis holds.
        """
        grid = zero.grid
        self._zero = zero
        self._module = module
        self._ranks = grid.pipeline_ranks[0], grid.pipeline_ranks[-1]
        self._lends = module.tied_gradient is not None
        self._borrows = module.loss_head is not None and module.loss_head.weight is None
        if not (self._lends or self._borrows):
            return
        self._group = grid.pipeline_group
        self._gradient = torch.zeros(shape, dtype=torch.float32, device=zero.device)
        if self._borrows:
            assert module.loss_head is not None
            dtype = torch.bfloat16 if zero.precision == "bf16" else torch.float32
            module.loss_head.lent = torch.zeros(shape, dtype=dtype, device=zero.device, requires_grad=True)
            module.loss_head.lent.register_post_accumulate_grad_hook(self._collect)  # type: ignore[no-untyped-call]

    def _collect(self, weight: Tensor) -> None:
        assert weight.grad is not None
        self._gradient += weight.grad
        weight.grad = None

    def publish(self) -> None:
        """Send the embedding to the head; to be called after every change of weights."""
        if self._lends:
            assert self._module.tied_gradient is not None
            with self._zero.whole(self._module.tied_gradient.weight) as weight:
                torch.distributed.send(weight.contiguous(), self._ranks[1], group=self._group)
        if self._borrows:
            assert self._module.loss_head is not None
            torch.distributed.recv(self._module.loss_head.lent.detach(), self._ranks[0], group=self._group)

    @contextmanager
    def held(self) -> Iterator[Tensor | None]:
        """The embedding on the first stage and the copy of it on the last; nothing where neither is."""
        if self._lends:
            assert self._module.tied_gradient is not None
            with self._zero.whole(self._module.tied_gradient.weight) as weight:
                yield weight
        else:
            yield self._module.loss_head.lent.detach() if self._borrows and self._module.loss_head else None

    def differs(self, fingerprint: Tensor) -> bool:
        """Whether the copy on the last stage has another fingerprint than this one, asked on the first; a fingerprint
        comes from each of the two."""
        if self._borrows:
            torch.distributed.send(fingerprint.reshape(1), self._ranks[0], group=self._group)
            return False
        copy = torch.empty_like(fingerprint.reshape(1))
        torch.distributed.recv(copy, self._ranks[1], group=self._group)
        return bool(copy != fingerprint)

    def collect(self) -> None:
        """Bring the gradient of the head to the embedding; to be called after the last backward pass of a step."""
        if self._borrows:
            torch.distributed.send(self._gradient, self._ranks[0], group=self._group)
            self._gradient.zero_()
        if self._lends:
            torch.distributed.recv(self._gradient, self._ranks[1], group=self._group)
            self._zero.backward(self._zero.forward(TIED_GRADIENT, self._gradient))
