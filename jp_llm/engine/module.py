"""The module that the engine trains: decoder and loss."""

import torch
from torch import Tensor, nn

from jp_llm.config.run import RunConfig
from jp_llm.model.decoder import Decoder
from jp_llm.model.loss import summed_loss


class LossHead(nn.Module):
    """Hidden states to loss sums, or to the logits of one position per row.

    It holds the head's weight (the embedding's, if tied) as its own parameter: ZeRO-3 gathers the parameters of a
    module for the time of its forward, and of no other.
    """

    def __init__(self, decoder: Decoder, config: RunConfig) -> None:
        super().__init__()
        weight = decoder.head_weight()
        assert weight is not None
        self.weight = weight
        self.config = config

    def forward(self, hidden_BTD: Tensor, wanted: Tensor) -> tuple[Tensor, ...]:
        """`wanted` is targets [B, T] for (objective, loss, z-loss), or positions [B] for ([B, V] fp32 logits,)."""
        model = self.config.model
        assert model.vocab_size is not None
        if wanted.ndim == 1:
            hidden_BD = hidden_BTD[torch.arange(len(wanted), device=wanted.device), wanted]
            return ((hidden_BD @ self.weight[: model.vocab_size].t()).float() * model.logit_scale,)
        loss, z_loss = summed_loss(
            hidden_BTD,
            self.weight,
            wanted,
            vocab_size=model.vocab_size,
            logit_scale=model.logit_scale,
            z_loss=self.config.optim.z_loss,
            chunk_tokens=self.config.train.loss_chunk_tokens,
        )
        return loss + z_loss, loss.detach(), z_loss.detach()


class TrainedModule(nn.Module):
    """Tokens to summed losses, or to next-token logits: the two things an engine asks of a model."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.decoder = Decoder(config.model, activation_checkpointing=config.train.activation_checkpointing)
        self.loss_head = LossHead(self.decoder, config)

    def forward(self, tokens_BT: Tensor, wanted: Tensor, document_ids_BT: Tensor | None = None) -> tuple[Tensor, ...]:
        """Token ids [B, T] and what `LossHead.forward` calls `wanted`; returns what it returns."""
        result: tuple[Tensor, ...] = self.loss_head(self.decoder(tokens_BT, document_ids_BT), wanted)
        return result
