"""The decoder: embedding, blocks, final norm, head. All architectures are this one class with other switches.

B batch, T positions, D hidden, V vocabulary (padded)
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.model import ModelConfig
from jp_llm.model.block import Block
from jp_llm.model.linear import Linear
from jp_llm.model.norm import build_norm
from jp_llm.model.positions import Rotary, document_mask, document_positions, rotary_tables
from jp_llm.parallel.slices import Slice, whole_slice


class Decoder(nn.Module):
    """A contiguous range of layers, with or without embedding and head; by default the whole model.

    Parameters are empty until `jp_llm.model.init.initialize` fills them. Layers keep their global number in
    parameter names. There is no dropout.

    Args:
        layers: global numbers of the layers that are built; None builds all.
        embedding: the input is token ids; otherwise hidden states of the layer before.
        head: build final norm and head; otherwise the output is the hidden states after the last layer.
        activation_checkpointing: keep only the input of each block and recompute the rest in the backward pass.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        layers: range | None = None,
        embedding: bool = True,
        head: bool = True,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = activation_checkpointing
        self.reads_tokens = embedding
        vocabulary, hidden = config.padded_vocab_size, config.hidden_size
        # A tied head without the embedding holds its own copy of the embedding, under the same name.
        self.embedding = _embedding(vocabulary, hidden) if embedding or (head and config.tied) else None
        learned = embedding and config.spec.positions == "learned"
        self.positions = _embedding(config.max_position_embeddings, hidden) if learned else None
        self.layers = nn.ModuleDict(
            {str(number): Block(config) for number in (range(config.num_layers) if layers is None else layers)}
        )
        self.final_norm = build_norm(config.spec, hidden, config.norm_eps) if head else None
        self.head = Linear(hidden, vocabulary, bias=False) if head and not config.tied else None

    def forward(self, x: Tensor, document_ids_BT: Tensor | None = None) -> Tensor:
        """
        Args:
            x: token ids [B, T], or hidden states [B, T, D] if there is no embedding.
            document_ids_BT: a number that changes where a document begins (`Microbatch.of`); attention then
                stays inside documents and positions restart with each. None makes each row one document.

        Returns:
            Hidden states [B, T, D], after the final norm if there is a head.
        """
        mask: Tensor | None = None
        if document_ids_BT is None:
            positions = torch.arange(x.shape[1], device=x.device)
        else:
            positions = document_positions(document_ids_BT)
            mask = document_mask(document_ids_BT)
        hidden_BTD = self._embed(x, positions) if self.reads_tokens else x
        rotary: Rotary | None = None
        if self.config.rotary_dim:
            rotary = rotary_tables(positions, self.config.rotary_dim, self.config.rope_theta, hidden_BTD.dtype)
        for block in self.layers.values():
            if self.activation_checkpointing and torch.is_grad_enabled():
                hidden_BTD = checkpoint(block, hidden_BTD, rotary, mask, use_reentrant=False, preserve_rng_state=False)
            else:
                hidden_BTD = block(hidden_BTD, rotary, mask)
        return hidden_BTD if self.final_norm is None else self.final_norm(hidden_BTD)

    def _embed(self, tokens_BT: Tensor, positions: Tensor) -> Tensor:
        if tokens_BT.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"{tokens_BT.shape[1]} tokens are more than max_position_embeddings "
                f"{self.config.max_position_embeddings}"
            )
        assert self.embedding is not None
        hidden_BTD: Tensor = self.embedding(tokens_BT)
        return hidden_BTD if self.positions is None else hidden_BTD + self.positions(positions)

    def head_weight(self) -> Tensor:
        """Weight of the head, [V, D]: rows from vocab_size on are padding."""
        owner = self.embedding if self.head is None else self.head
        if self.final_norm is None or owner is None:
            raise ValueError("this part of the model has no head")
        weight: Tensor = owner.weight
        return weight

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> float32 [..., vocab_size], without the padding. For small inputs; training uses `loss.py`."""
        weight = self.head_weight()[: self.config.vocab_size]
        return nn.functional.linear(hidden, weight).float() * self.config.logit_scale

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile every block, in place, as one graph each (`torch.compile`); parameter names stay."""
        for block in self.layers.values():
            block.compile(fullgraph=True, backend=backend)

    def slices(self) -> dict[str, tuple[Slice, ...]]:
        """Parameter name -> the canonical pieces whose flattened contents, in order, are the flattened parameter.

        Shapes come from the config, so it also holds while the parameters are partitioned or on the meta device.
        """
        shapes = parameter_shapes(self.config)
        result = {}
        for name, _ in self.named_parameters():
            owner, _, kind = name.rpartition(".")
            parts: tuple[str, ...] = getattr(self.get_submodule(owner), "parts", ())
            scope = owner.rpartition(".")[0]
            names = [f"{scope}.{part}.{kind}" for part in parts] or [name]
            result[name] = tuple(whole_slice(each, shapes[each]) for each in names)
        return result


def _embedding(rows: int, size: int) -> nn.Embedding:
    return nn.Embedding(rows, size, _weight=torch.empty(rows, size))  # a given weight is not drawn first
