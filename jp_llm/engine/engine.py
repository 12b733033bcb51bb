"""The engine: what one training step, one evaluation pass and one look at the state mean on these processes."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

from jp_llm.config.memory import chunks, largest_part
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.module import StageModule, with_gradient
from jp_llm.engine.pipeline.one_f_one_b import forward_only, schedule
from jp_llm.engine.pipeline.player import Player
from jp_llm.engine.replicas import Replicas
from jp_llm.engine.stopwatch import Stopwatch
from jp_llm.engine.tied import TiedEmbedding
from jp_llm.engine.working import working_weights
from jp_llm.engine.zero import MOMENTS, HookState, ZeroEngine, construction
from jp_llm.model.init import initial_values
from jp_llm.optim.groups import decays
from jp_llm.parallel.grid import Grid
from jp_llm.parallel.slices import Piece, flat_pieces
from jp_llm.parallel.tensor import sum_gradients

ReadPiece = Callable[[Piece, str], Tensor]
"""(piece, `weight` or a moment) -> its fp32 elements, flat."""

Judge = Callable[[float, float], str | None]
"""(loss, gradient norm) of a step, either of which may not be finite -> why its update must not be applied, or None."""


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. Losses are in nats, means over the predicted tokens of the global batch."""

    loss: float
    z_loss: float
    grad_norm: float
    """Before clipping; NaN if it was not finite."""
    applied: bool
    predicted_tokens: int
    """Of the global batch."""
    refused: str | None = None
    """Why it was not applied, in words."""
    votes: tuple[float, ...] = ()
    """Summed over all processes."""


@dataclass(frozen=True)
class _UnderWay:
    """A micro-batch between its forward and its backward pass through one chunk."""

    received: Tensor | None
    """Hidden states from the stage before."""
    output: Tensor
    """Hidden states, or the objective."""
    hooks: HookState


class Engine:
    """Trains one stage of the model on this process, in step with all others: ZeRO x tensor x pipeline parallel."""

    def __init__(self, config: RunConfig, device: torch.device, grid: Grid) -> None:
        """Every process calls this together; weights are undefined until `initialize` or `restore`."""
        self.config = config
        self.grid = grid
        parallel, precision = config.parallel, config.train.precision
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._num_chunks = parallel.virtual_stages
        with construction(parallel.zero_stage, precision, grid):
            module = StageModule(config, chunks(config)[grid.pipeline_rank], grid.tensor_axis)
        self.placements = module.placements()
        no_decay = {
            name for name, placed in self.placements.items() if not all(decays(part.name) for part in placed.slices)
        }
        if parallel.zero_stage < 3:
            # In the precision of training already: what DeepSpeed converts would be on the device twice for a moment.
            module.to(device=device, dtype=self.dtype)
        if config.train.compile:
            module.compile_blocks()
        sum_gradients(module, self.placements)
        self.zero = ZeroEngine(
            module,
            grid,
            self.placements,
            parallel=parallel,
            precision=precision,
            optim=config.optim,
            no_decay=no_decay,
            micro_batch_size=config.train.micro_batch_size,
            block_parameters=largest_part(config.model) // parallel.tensor,
        )
        vocabulary_rows = config.model.padded_vocab_size // parallel.tensor
        self._tied = TiedEmbedding(module, self.zero, (vocabulary_rows, config.model.hidden_size))
        self.replicas = Replicas(self.zero, self.placements, self._tied)
        """What this process holds in common with others, to be compared."""
        self._player = Player(grid, self._num_chunks, self.zero.device, self.dtype)
        self.forward_time = Stopwatch(self.zero.device)
        """Of the forward passes of training, until it is taken."""

    def initialize(self) -> None:
        """Set the state of step 0; weights are a function of seed and parameter name, whatever the layout."""
        for piece, state in self.state():
            values = initial_values(piece.part, self.config.model, self.config.seed)
            state["weight"].copy_(values.reshape(-1)[piece.start : piece.stop])
            for moment in MOMENTS:
                state[moment].zero_()
        self.zero.applied_updates = 0
        self._publish_weights()

    def restore(self, read: ReadPiece, applied_updates: int) -> None:
        """Set weights and moments from elsewhere."""
        for piece, state in self.state():
            for kind, tensor in state.items():
                tensor.copy_(read(piece, kind))
        self.zero.applied_updates = applied_updates
        self._publish_weights()

    def _publish_weights(self) -> None:
        self.zero.publish_weights()
        self._tied.publish()

    def state(self) -> Iterator[tuple[Piece, dict[str, Tensor]]]:
        """The fp32 state that this process holds, as views, piece by piece of canonical parameters."""
        for _, piece, state in self._pieces():
            yield piece, state

    def owned_state(self) -> Iterator[tuple[Piece, dict[str, Tensor]]]:
        """The part of `state` that this process saves; over all processes it is the whole model exactly once."""
        if self.zero.zero_stage == 0 and self.grid.data_rank > 0:
            return
        for parameter, piece, state in self._pieces():
            if self.placements[parameter].owned:
                yield piece, state

    def _pieces(self) -> Iterator[tuple[str, Piece, dict[str, Tensor]]]:
        for fragment in self.zero.fragments():
            begin = 0
            for piece in flat_pieces(self.placements[fragment.parameter].slices, fragment.start, fragment.stop):
                state = {kind: whole[begin : begin + piece.size] for kind, whole in fragment.state.items()}
                yield fragment.parameter, piece, state
                begin += piece.size

    def train_step(
        self,
        batch: Batch,
        learning_rate: float,
        *,
        votes: Sequence[float] = (),
        judge: Judge | None = None,
        before_update: Callable[[], None] | None = None,
    ) -> StepResult:
        """One update on one global batch, of which `batch` is the part of this process's data-parallel rank.

        Args:
            votes: numbers of this process that travel with the loss; as many on every process.
            judge: asked once before the update, with the same numbers on every process.
            before_update: called once all gradients are computed, with the weights that computed them still there.
        """
        micro_batches = batch.microbatches
        data_parallel_size = self.grid.layout.data
        num_tokens = batch.predicted_tokens
        if num_tokens is None:
            num_tokens = sum(micro_batch.targets_BT.numel() for micro_batch in micro_batches) * data_parallel_size
        sums = torch.zeros(2, dtype=torch.float64, device=self.zero.device)
        under_way: dict[tuple[int, int], _UnderWay] = {}

        def forward(chunk: int, number: int, received: Tensor | None) -> Tensor | None:
            micro_batch = micro_batches[number]
            if received is not None:
                received.requires_grad_()
            with self.forward_time.running():
                output = self._run(chunk, received, micro_batch, micro_batch.targets_BT)
            sent: Tensor | None = None
            if isinstance(output, tuple):
                objective, loss, z_loss = output
                sums.add_(torch.stack((loss, z_loss)).double())
                # The reduction over data parallel is a mean of the processes' sums.
                output = objective * (data_parallel_size / num_tokens)
            else:
                sent = output.detach()
            under_way[chunk, number] = _UnderWay(received, output, self.zero.hook_state())
            return sent

        def backward(chunk: int, number: int, gradient: Tensor | None) -> Tensor | None:
            held = under_way.pop((chunk, number))
            self.zero.backward(held.output if gradient is None else with_gradient(held.output, gradient), held.hooks)
            return None if held.received is None else held.received.grad

        actions = schedule(self.grid.layout.pipeline, len(micro_batches), self._num_chunks)[self.grid.pipeline_rank]
        shape = self._hidden_shape(micro_batches[0].tokens_BT)
        self._player.play(actions, hidden_shape=shape, forward=forward, backward=backward)
        self._tied.collect()
        loss_sum, z_loss_sum, *all_votes = self._over_all_processes(sums, votes).tolist()
        loss = loss_sum / num_tokens
        judged: list[tuple[float, float, str | None]] = []
        if before_update:
            before_update()

        def allowed(grad_norm: float) -> bool:
            numbers = self._agreed(loss, grad_norm)
            judged.append((*numbers, judge(*numbers) if judge else None))
            return judged[-1][-1] is None and math.isfinite(numbers[1])

        _, applied = self.zero.step(learning_rate, allowed)
        self._keep_copies_equal()
        self._tied.publish()
        ((loss, grad_norm, refused),) = judged
        return StepResult(
            loss=loss,
            z_loss=z_loss_sum / num_tokens,
            grad_norm=grad_norm,
            applied=applied,
            predicted_tokens=num_tokens,
            refused=refused if applied or refused else "the gradient norm is not finite",
            votes=tuple(all_votes),
        )

    @torch.no_grad()
    def summed_losses(self, micro_batches: Sequence[Microbatch]) -> float:
        """Loss in nats, summed over the tokens of all processes' micro-batches whose targets are not ignored.

        Every process must pass as many, of the same shapes over the data axis: a forward pass is a collective.
        """
        total = torch.zeros(1, dtype=torch.float64, device=self.zero.device)

        def take(output: tuple[Tensor, ...]) -> None:
            total.add_(output[1].double())

        # The more at a time, the less a pipeline waits; but a fast first stage keeps all that it has sent.
        most = 4 * self.grid.layout.pipeline
        for _, alike in groupby(micro_batches, key=lambda micro_batch: micro_batch.tokens_BT.shape):
            while some := list(islice(alike, most)):
                self._forward_only(some, [micro_batch.targets_BT for micro_batch in some], take)
        return float(self._over_all_processes(total))

    @torch.no_grad()
    def next_token_logits(self, tokens_BT: Tensor, positions_B: Tensor) -> Tensor:
        """[B, V] fp32 logits of what follows position `positions_B[b]` of row b; called by every process alike."""
        assert self.config.model.vocab_size is not None
        # A sequence is divided over the tensor axis; what is added on the right changes nothing to its left.
        missing = -tokens_BT.shape[1] % self.grid.layout.tensor
        tokens_BT = torch.nn.functional.pad(tokens_BT, (0, missing))
        logits_BV = torch.empty(len(tokens_BT), self.config.model.vocab_size, device=self.zero.device)
        micro_batch = Microbatch(tokens_BT, tokens_BT, None)
        self._forward_only([micro_batch], [positions_B], lambda output: logits_BV.copy_(output[0]))
        if self.grid.layout.pipeline > 1:
            torch.distributed.broadcast(logits_BV, self.grid.pipeline_ranks[-1], group=self.grid.pipeline_group)
        return logits_BV

    def _forward_only(
        self,
        micro_batches: Sequence[Microbatch],
        wanted: Sequence[Tensor],
        take: Callable[[tuple[Tensor, ...]], Any],
    ) -> None:
        """Run micro-batches of one shape through all stages; `take` gets each result on the last one."""

        def forward(chunk: int, number: int, received: Tensor | None) -> Tensor | None:
            output = self._run(chunk, received, micro_batches[number], wanted[number])
            if isinstance(output, tuple):
                take(output)
                return None
            return output

        pipeline = self.grid.layout.pipeline
        actions = forward_only(pipeline, len(micro_batches), self._num_chunks)[self.grid.pipeline_rank]
        self._player.play(actions, hidden_shape=self._hidden_shape(micro_batches[0].tokens_BT), forward=forward)

    def _run(
        self, chunk: int, received: Tensor | None, micro_batch: Microbatch, wanted: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        x = micro_batch.tokens_BT if received is None else received
        moved = (
            None if each is None else each.to(self.zero.device, non_blocking=True)
            for each in (x, wanted, micro_batch.document_ids_BT)
        )
        result: Tensor | tuple[Tensor, ...] = self.zero.forward(chunk, *moved)
        return result

    def _hidden_shape(self, tokens_BT: Tensor) -> tuple[int, int, int]:
        rows, length = tokens_BT.shape
        return rows, length // self.grid.layout.tensor, self.config.model.hidden_size

    def _keep_copies_equal(self) -> None:
        """Overwrite what several ranks of the tensor axis hold alike with what its owner has: fp32 state and weights.

        Their gradients are the same but for the order in which data-parallel ranks are added, which is up to the
        communicator of each. The difference would grow, and only the owner's state is saved.
        """
        if self.grid.layout.tensor == 1:
            return
        shared: dict[tuple[ProcessGroup, torch.dtype], list[Tensor]] = {}

        def share(parameter: str, tensors: Iterable[Tensor]) -> None:
            group = self.placements[parameter].gradient_group
            if group is not None:
                for tensor in tensors:
                    shared.setdefault((group, tensor.dtype), []).append(tensor.view(-1))

        for fragment in self.zero.fragments():
            share(fragment.parameter, fragment.state.values())
        for weight in working_weights(self.zero) if self.zero.zero_stage > 0 else ():
            share(weight.parameter, [weight.tensor])
        for (group, _), tensors in shared.items():
            values = torch.cat([tensor.to(self.zero.device) for tensor in tensors])
            torch.distributed.broadcast(values, torch.distributed.get_global_rank(group, 0), group=group)
            for tensor, value in zip(tensors, torch.split(values, [len(tensor) for tensor in tensors]), strict=True):
                tensor.copy_(value)

    def _agreed(self, loss: float, grad_norm: float) -> tuple[float, float]:
        """Loss and norm of process 0. Those of others may differ in the last bit, by the order of their reductions, and
        all must decide alike. A norm that is not finite on one process is so on all."""
        numbers = [loss, grad_norm] if self.grid.rank == 0 else [0.0, 0.0]
        numbers.append(0.0 if math.isfinite(grad_norm) else math.nan)
        reduced = torch.tensor(numbers, dtype=torch.float64, device=self.zero.device)
        torch.distributed.all_reduce(reduced)
        loss, grad_norm, unsound = reduced.tolist()
        return loss, grad_norm + unsound

    def _over_all_processes(self, sums: Tensor, votes: Sequence[float] = ()) -> Tensor:
        """What the last stages found, summed over data parallel (the ranks of a tensor axis have all found the same),
        and behind it the votes of every process, summed over all."""
        if not self.grid.is_last_stage or self.grid.tensor_rank > 0:
            sums.zero_()
        sums = torch.cat((sums, torch.tensor(votes, dtype=sums.dtype, device=sums.device)))
        torch.distributed.all_reduce(sums)
        return sums
