"""The engine: what one training step, one evaluation pass and one look at the state mean on these processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.distributed
from torch import Tensor

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.model import ModelConfig
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.module import TrainedModule
from jp_llm.engine.zero import ZeroEngine, construction
from jp_llm.model.init import initial_values
from jp_llm.optim.groups import decays
from jp_llm.parallel.slices import Piece, Slice, flat_pieces

ReadPiece = Callable[[Piece, str], Tensor]
"""(piece, `weight` or a moment) -> its fp32 elements, flat."""

_PREFIX = "decoder."


def _largest_part(model: ModelConfig) -> int:
    """Parameters of a block, or of the embedding where that is larger."""
    shapes = parameter_shapes(model)
    block = sum(prod(shape) for name, shape in shapes.items() if name.startswith("layers.0."))
    return max(block, prod(shapes["embedding.weight"]))


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. Losses are in nats, means over the predicted tokens of the global batch."""

    loss: float
    z_loss: float
    grad_norm: float
    applied: bool


class Engine:
    """Data-parallel training of the whole model under any ZeRO stage."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        """Every process calls this together; weights are undefined until `initialize` or `restore`."""
        self.config = config
        stage, precision = config.parallel.zero_stage, config.train.precision
        with construction(stage, precision):
            module = TrainedModule(config)
        self.slices: dict[str, tuple[Slice, ...]] = module.decoder.slices()
        no_decay = {
            f"{_PREFIX}{name}" for name, slices in self.slices.items() if not all(decays(part.name) for part in slices)
        }
        if stage < 3:
            module.to(device)
        if config.train.compile:
            module.decoder.compile_blocks()
        self.zero = ZeroEngine(
            module,
            zero_stage=stage,
            precision=precision,
            optim=config.optim,
            no_decay=no_decay,
            micro_batch_size=config.train.micro_batch_size,
            block_parameters=_largest_part(config.model),
        )
        self.data_parallel_size = torch.distributed.get_world_size()

    def initialize(self) -> None:
        """Set the weights of step 0: a function of seed and parameter name, the same under every layout."""
        for piece, state in self.state():
            values = initial_values(piece.part, self.config.model, self.config.seed)
            state["weight"].copy_(values.reshape(-1)[piece.start : piece.stop])
        self.zero.publish_weights()

    def restore(self, read: ReadPiece, applied_updates: int) -> None:
        """Set weights and moments from elsewhere."""
        for piece, state in self.state():
            for kind, tensor in state.items():
                tensor.copy_(read(piece, kind))
        self.zero.applied_updates = applied_updates
        self.zero.publish_weights()

    def state(self) -> Iterator[tuple[Piece, dict[str, Tensor]]]:
        """The fp32 state that this process holds, as views, piece by piece of canonical parameters."""
        for fragment in self.zero.fragments():
            slices = self.slices[fragment.parameter.removeprefix(_PREFIX)]
            begin = 0
            for piece in flat_pieces(slices, fragment.start, fragment.stop):
                yield piece, {kind: whole[begin : begin + piece.size] for kind, whole in fragment.state.items()}
                begin += piece.size

    def owned_state(self) -> Iterator[tuple[Piece, dict[str, Tensor]]]:
        """The part of `state` that this process saves; over all processes it is the whole model exactly once."""
        replicated = self.zero.zero_stage == 0
        if not replicated or torch.distributed.get_rank() == 0:
            yield from self.state()

    def train_step(self, batch: Batch, learning_rate: float) -> StepResult:
        """One update on one global batch, of which `batch` is this process's part."""
        micro_batches = batch.microbatches
        num_tokens = sum(micro_batch.targets_BT.numel() for micro_batch in micro_batches) * self.data_parallel_size
        sums = torch.zeros(2, dtype=torch.float64, device=self.zero.device)
        for micro_batch in micro_batches:
            objective, loss, z_loss = self._run(
                micro_batch.tokens_BT, micro_batch.targets_BT, micro_batch.document_ids_BT
            )
            sums += torch.stack((loss, z_loss)).double()
            # The reduction over data parallel is a mean of the processes' sums.
            self.zero.backward(objective * (self.data_parallel_size / num_tokens))
        grad_norm, applied = self.zero.step(learning_rate)
        torch.distributed.all_reduce(sums)
        loss_sum, z_loss_sum = sums.tolist()
        return StepResult(loss_sum / num_tokens, z_loss_sum / num_tokens, grad_norm, applied)

    @torch.no_grad()
    def summed_losses(self, micro_batches: Sequence[Microbatch]) -> float:
        """Loss in nats, summed over the tokens of all processes' micro-batches whose targets are not ignored.

        Every process must pass as many: under ZeRO-3 a forward pass is a collective.
        """
        total = torch.zeros((), dtype=torch.float64, device=self.zero.device)
        for micro_batch in micro_batches:
            _, loss, _ = self._run(micro_batch.tokens_BT, micro_batch.targets_BT, micro_batch.document_ids_BT)
            total += loss.double()
        torch.distributed.all_reduce(total)
        return float(total)

    @torch.no_grad()
    def next_token_logits(self, tokens_BT: Tensor, positions_B: Tensor) -> Tensor:
        """[B, V] fp32 logits of what follows position `positions_B[b]` of row b; called by every process alike."""
        (logits_BV,) = self._run(tokens_BT, positions_B, None)
        return logits_BV

    def _run(self, tokens_BT: Tensor, wanted: Tensor, document_ids_BT: Tensor | None) -> tuple[Tensor, ...]:
        device = self.zero.device
        moved = [None if t is None else t.to(device, non_blocking=True) for t in (tokens_BT, wanted, document_ids_BT)]
        result: tuple[Tensor, ...] = self.zero.forward(*moved)
        return result
