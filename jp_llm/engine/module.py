"""The module that one process trains: its parts of the decoder, and the loss where the head stands."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage
from jp_llm.model.decoder import Decoder
from jp_llm.model.loss import summed_loss, whole_logits
from jp_llm.parallel.collectives import gather_sequence
from jp_llm.parallel.tensor import Placement, TensorAxis

TIED_GRADIENT = -1
"""In place of a chunk: the input is the gradient that the head of the last stage has for the embedding."""


def with_gradient(output: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose backward pass gives `output` exactly this gradient.

    DeepSpeed wants the backward pass of a scalar; a stage without a loss has none.
    """
    scalar: Tensor = _WithGradient.apply(output, gradient)  # type: ignore[no-untyped-call]
    return scalar


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.dtype = output.dtype
        return torch.zeros((), dtype=torch.float32, device=output.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient.to(ctx.dtype), None


class LossHead(nn.Module):
    """Hidden states to loss sums, or to the logits of one position per row.

    It holds the head's weight (the embedding's, if tied) as its own parameter: ZeRO-3 gathers the parameters of a
    module for the time of its forward, and of no other. Where the embedding stands in another stage, `lent` is a copy
    of it (`jp_llm.engine.tied`).
    """

    lent: Tensor

    def __init__(self, decoder: Decoder, config: RunConfig, axis: TensorAxis) -> None:
        super().__init__()
        self.weight = decoder.head_weight()
        self.config = config
        self.axis = axis

    def forward(self, hidden_BSD: Tensor, wanted: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of this rank's part of the sequence.

        `wanted` is targets [B, T] for (objective, loss, z-loss), or positions [B] for ([B, V] fp32 logits,); every
        rank of the tensor axis gets the same.
        """
        model = self.config.model
        assert model.vocab_size is not None
        weight = self.lent if self.weight is None else self.weight
        hidden_BTD = gather_sequence(hidden_BSD, self.axis)
        if wanted.ndim == 1:
            hidden_BD = hidden_BTD[torch.arange(len(wanted), device=wanted.device), wanted]
            return (
                whole_logits(
                    hidden_BD, weight, axis=self.axis, vocab_size=model.vocab_size, logit_scale=model.logit_scale
                ),
            )
        loss, z_loss = summed_loss(
            hidden_BTD,
            weight,
            wanted,
            axis=self.axis,
            vocab_size=model.vocab_size,
            logit_scale=model.logit_scale,
            z_loss=self.config.optim.z_loss,
            chunk_tokens=self.config.train.loss_chunk_tokens,
        )
        return loss + z_loss, loss.detach(), z_loss.detach()


class TiedGradient(nn.Module):
    """Receives, on the first stage, what the last stage found for the weight they share."""

    def __init__(self, embedding_weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = embedding_weight

    def forward(self, gradient: Tensor) -> Tensor:
        """A scalar whose backward pass adds `gradient` to that of the embedding."""
        return with_gradient(self.weight, gradient)


class StageModule(nn.Module):
    """The chunks of one pipeline stage; without a pipeline, the whole model and its loss.

    Args:
        stages: one per chunk, from the first layers to the last.
        axis: tensor axis of this rank.
    """

    loss_head: LossHead | None
    tied_gradient: TiedGradient | None

    def __init__(self, config: RunConfig, stages: Sequence[Stage], axis: TensorAxis) -> None:
        super().__init__()
        chunks = [
            Decoder(
                config.model,
                axis,
                layers=stage.layers,
                embedding=stage.embedding,
                head=stage.head,
                activation_checkpointing=config.train.activation_checkpointing,
            )
            for stage in stages
        ]
        self.chunks = nn.ModuleList(chunks)
        self.loss_head = LossHead(chunks[-1], config, axis) if stages[-1].head else None
        embedding = chunks[0].embedding if config.model.tied and not stages[-1].head else None
        self.tied_gradient = None if embedding is None else TiedGradient(embedding.weight)

    def forward(
        self, chunk: int, x: Tensor, wanted: Tensor | None = None, document_ids_BT: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Token ids [B, T] (first chunk of the model) or hidden states [B, S, D] of this rank's S of T positions.

        Returns:
            Hidden states [B, S, D], or what `LossHead.forward` returns for `wanted` (last chunk of the model).
        """
        if chunk == TIED_GRADIENT:
            assert self.tied_gradient is not None
            scalar: Tensor = self.tied_gradient(x)
            return scalar
        hidden_BSD: Tensor = self.chunks[chunk](x, document_ids_BT)
        if self.loss_head is None or chunk < len(self.chunks) - 1:
            return hidden_BSD
        result: tuple[Tensor, ...] = self.loss_head(hidden_BSD, wanted)
        return result

    def placements(self) -> dict[str, Placement]:
        """Of every parameter, by its name here."""
        return {
            f"chunks.{number}.{name}": placement
            for number, chunk in enumerate(self._decoders())
            for name, placement in chunk.placements().items()
        }

    def compile_blocks(self) -> None:
        """Compile every block with torch.compile."""
        for chunk in self._decoders():
            chunk.compile_blocks()

    def _decoders(self) -> list[Decoder]:
        return cast(list[Decoder], list(self.chunks))
