"""Plays a stage's list of actions: receives what an action needs, calls it, sends on what it returns."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import Work

from jp_llm.engine.pipeline.actions import Action, Edge, edges
from jp_llm.parallel.channels import channel, links
from jp_llm.parallel.grid import Grid

Forward = Callable[[int, int, Tensor | None], Tensor | None]
"""(chunk, micro-batch, hidden states from the virtual stage below or None on the first) -> hidden states for the one
above, or None on the last."""
Backward = Callable[[int, int, Tensor | None], Tensor | None]
"""(chunk, micro-batch, gradient from the virtual stage above or None on the last) -> gradient for the one below, or
None on the first."""


class _Message(NamedTuple):
    work: Work
    tensor: Tensor


class Player:
    """Moves hidden states and their gradients between the stages of one pipeline.

    Sends do not block: a tensor is kept until it has gone out (with gloo, which tells only who waits, to the end of
    `play`) and must not be changed after it was returned. A receive is asked for when its action is next and no sooner:
    on a GPU it occupies the device until the message comes, and a callback that waits for the whole device (an
    allocator that is out of memory, a kernel that is loaded at its first use) would wait for a neighbour that may be
    waiting likewise. Without virtual stages no such wait can close a circle
    (`tests/jp_llm/engine/pipeline/test_one_f_one_b.py`).

    Messages carry no tag, since NCCL has none: each is known by its place in the order
    of its channel, which `actions.check` proves equal on both ends; so gloo in the tests is as strict as NCCL.

    All stages of a pipeline make theirs at the same time. After an exception the channels hold messages that nobody
    reads: the process group is of no further use.

    Args:
        num_chunks: parts of the model on every stage (virtual stages).
        device: of all messages.
        dtype: of all messages.
    """

    def __init__(self, grid: Grid, num_chunks: int, device: torch.device, dtype: torch.dtype) -> None:
        self._grid = grid
        self._num_chunks = num_chunks
        self._device = device
        self._dtype = dtype
        self._shape: tuple[int, ...] = ()
        self._sending: deque[_Message] = deque()
        self._passed: dict[tuple[Edge, int], Tensor] = {}
        self._connect()

    def play(
        self,
        actions: Sequence[Action],
        *,
        hidden_shape: Sequence[int],
        forward: Forward,
        backward: Backward | None = None,
    ) -> None:
        """Do everything on the list of this stage, in order; returns when all messages have been handed over.

        Args:
            actions: this stage's part of a schedule; all stages play parts of the same.
            hidden_shape: of every message, [B, T / tensor-parallel size, D].
            backward: not needed where the list has only forwards.

        Raises:
            ValueError: a callback returned nothing, or another shape or dtype, where a message must be sent.
            RuntimeError: another stage died, or no message came within the timeout of the process group.
        """
        self._shape = tuple(hidden_shape)
        callbacks = {"forward": forward, "backward": backward}
        for action in actions:
            callback = callbacks[action.kind]
            if callback is None:
                raise ValueError(f"{action}, but no callback for it was given")
            source, target = self._edges(action)
            received = None if source is None else self._receive(source, action)
            result = callback(action.chunk, action.micro_batch, received)
            if target is not None:
                self._send(target, action, result)
        while self._sending:
            message = self._sending.popleft()
            message.work.wait()

    def _connect(self) -> None:
        """Send one number over each link, link by link: NCCL connects two processes at their first message and stops
        the host until both have come to it, which inside a schedule would be somewhere else on each of them."""
        ranks = self._grid.pipeline_ranks
        number = torch.zeros(1, dtype=self._dtype, device=self._device)
        for kind, lower in links(len(ranks), self._num_chunks):
            group = self._grid.channels[channel(kind, lower, len(ranks))]
            ends = ranks[lower], ranks[(lower + 1) % len(ranks)]
            source, target = ends if kind == "forward" else ends[::-1]
            if self._grid.rank == source:
                torch.distributed.send(number, target, group=group)
            elif self._grid.rank == target:
                torch.distributed.recv(number, source, group=group)

    def _edges(self, action: Action) -> tuple[Edge | None, Edge | None]:
        return edges(action, self._grid.pipeline_rank, self._grid.layout.pipeline, self._num_chunks)

    def _receive(self, source: Edge, action: Action) -> Tensor:
        if self._is_local:
            return self._passed.pop((source, action.micro_batch))
        buffer = torch.empty(self._shape, dtype=self._dtype, device=self._device)
        work = torch.distributed.irecv(buffer, self._peer(source), group=self._grid.channels[source.channel])
        assert work is not None
        work.wait()
        return buffer

    def _send(self, target: Edge, action: Action, result: Tensor | None) -> None:
        if result is None or tuple(result.shape) != self._shape or result.dtype != self._dtype:
            found = None if result is None else (tuple(result.shape), result.dtype)
            raise ValueError(f"{action} returned {found}; the next stage expects {(self._shape, self._dtype)}")
        tensor = result.detach().contiguous()
        if self._is_local:
            self._passed[target, action.micro_batch] = tensor
            return
        while self._sending and self._sending[0].work.is_completed():
            message = self._sending.popleft()
            message.work.wait()  # raises where sending failed
        work = torch.distributed.isend(tensor, self._peer(target), group=self._grid.channels[target.channel])
        assert work is not None
        self._sending.append(_Message(work, tensor))

    @property
    def _is_local(self) -> bool:
        """Whether all virtual stages stand here, so that tensors are passed on by hand."""
        return self._grid.layout.pipeline == 1

    def _peer(self, edge: Edge) -> int:
        """Global rank at the other end of an edge."""
        ranks = self._grid.pipeline_ranks
        low, high = edge.low % len(ranks), (edge.low + 1) % len(ranks)
        return ranks[high if low == self._grid.pipeline_rank else low]
