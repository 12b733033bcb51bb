"""The decoder: embedding, blocks, final norm, head. All architectures are this one class with other switches.

B batch, T positions, S positions of this rank (T / size of the tensor axis), D hidden, V vocabulary (padded)
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.model import ModelConfig
from jp_llm.model.block import Block
from jp_llm.model.linear import ColumnLinear, VocabularyEmbedding
from jp_llm.model.loss import whole_logits
from jp_llm.model.norm import build_norm
from jp_llm.model.positions import Rotary, document_mask, document_positions, rotary_tables
from jp_llm.parallel.collectives import scatter_sequence
from jp_llm.parallel.slices import Slice
from jp_llm.parallel.tensor import Placement, Share, TensorAxis, placement


class Decoder(nn.Module):
    """A contiguous range of layers, with or without embedding and head; by default the whole model.

    Parameters are empty until `jp_llm.model.init.initialize` fills them. Layers keep their global number in
    parameter names. There is no dropout.

    Args:
        axis: the ranks over which every layer is divided, and between layers the positions.
        layers: global numbers of the layers that are built; None builds all.
        embedding: the input is token ids; otherwise hidden states of the layer before.
        head: build final norm and head; otherwise the output is the hidden states after the last layer. A tied head
            is the embedding: without that, there is only the norm.
        activation_checkpointing: keep only the input of each block and recompute the rest in the backward pass.

    Raises:
        ValueError: the ranks do not divide the heads, the inner dimensions of the MLP or the padded vocabulary.
    """

    def __init__(
        self,
        config: ModelConfig,
        axis: TensorAxis = TensorAxis(),
        *,
        layers: range | None = None,
        embedding: bool = True,
        head: bool = True,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.axis = axis
        self.activation_checkpointing = activation_checkpointing
        self.reads_tokens = embedding
        self.has_head = head
        vocabulary, hidden = config.padded_vocab_size, config.hidden_size
        self.embedding = VocabularyEmbedding(vocabulary, hidden, axis=axis) if embedding else None
        learned = embedding and config.spec.positions == "learned"
        self.positions = _embedding(config.max_position_embeddings, hidden) if learned else None
        self.layers = nn.ModuleDict(
            {str(number): Block(config, axis) for number in (range(config.num_layers) if layers is None else layers)}
        )
        self.final_norm = build_norm(config.spec, hidden, config.norm_eps) if head else None
        self.head = ColumnLinear(hidden, vocabulary, axis=axis, bias=False) if head and not config.tied else None

    def forward(self, x: Tensor, document_ids_BT: Tensor | None = None) -> Tensor:
        """
        Args:
            x: token ids [B, T], or hidden states [B, S, D] if there is no embedding.
            document_ids_BT: a number that changes where a document begins (`Microbatch.of`); attention then
                stays inside documents and positions restart with each. None makes each row one document.

        Returns:
            Hidden states [B, S, D], after the final norm if there is a head.

        Raises:
            ValueError: the ranks do not divide T, or T is more than max_position_embeddings.
        """
        length = x.shape[1] if self.reads_tokens else x.shape[1] * self.axis.size
        mask: Tensor | None = None
        if document_ids_BT is None:
            positions = torch.arange(length, device=x.device)
        else:
            positions = document_positions(document_ids_BT)
            mask = document_mask(document_ids_BT)
        hidden_BSD = self._embed(x, positions) if self.reads_tokens else x
        rotary: Rotary | None = None
        if self.config.rotary_dim:
            rotary = rotary_tables(positions, self.config.rotary_dim, self.config.rope_theta, hidden_BSD.dtype)
        for block in self.layers.values():
            if self.activation_checkpointing and torch.is_grad_enabled():
                hidden_BSD = checkpoint(block, hidden_BSD, rotary, mask, use_reentrant=False, preserve_rng_state=False)
            else:
                hidden_BSD = block(hidden_BSD, rotary, mask)
        return hidden_BSD if self.final_norm is None else self.final_norm(hidden_BSD)

    def _embed(self, tokens_BT: Tensor, positions: Tensor) -> Tensor:
        if tokens_BT.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"{tokens_BT.shape[1]} tokens are more than max_position_embeddings "
                f"{self.config.max_position_embeddings}"
            )
        per_rank = self.axis.divided(tokens_BT.shape[1], "positions of a sequence")
        assert self.embedding is not None
        hidden_BSD = scatter_sequence(self.embedding(tokens_BT), self.axis)
        if self.positions is None:
            return hidden_BSD
        own = slice(self.axis.rank * per_rank, (self.axis.rank + 1) * per_rank)
        summed_BSD: Tensor = hidden_BSD + self.positions(positions[..., own])
        return summed_BSD

    def head_weight(self) -> Tensor | None:
        """Weight of the head, the rows [V / size, D] of this rank; of all, those from vocab_size on are padding.

        None: the head is tied to an embedding that stands elsewhere.
        """
        if not self.has_head:
            raise ValueError("this part of the model has no head")
        owner = self.embedding if self.config.tied else self.head
        return None if owner is None else owner.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """`whole_logits` of hidden states [..., D] that are the same on all ranks of the axis."""
        weight = self.head_weight()
        if weight is None:
            raise ValueError("the weight of this head stands in another part of the model")
        assert self.config.vocab_size is not None
        return whole_logits(
            hidden, weight, vocab_size=self.config.vocab_size, logit_scale=self.config.logit_scale, axis=self.axis
        )

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile every block, in place, as one graph each (`torch.compile`); parameter names stay."""
        for block in self.layers.values():
            block.compile(fullgraph=True, backend=backend)

    def placements(self) -> dict[str, Placement]:
        """Parameter name -> what it is of the canonical parameters, and to whom else it belongs.

        Shapes come from the config, so it also holds while the parameters are partitioned or on the meta device.
        """
        shapes = parameter_shapes(self.config)
        result = {}
        for name, _ in self.named_parameters():
            path, _, kind = name.rpartition(".")
            module = self.get_submodule(path)
            parts: tuple[str, ...] = getattr(module, "parts", ())
            shares: dict[str, Share] = getattr(module, "shares", {})
            scope = path.rpartition(".")[0]
            names = [f"{scope}.{part}.{kind}" for part in parts] or [name]
            result[name] = placement([(each, shapes[each]) for each in names], shares.get(kind, Share()), self.axis)
        return result

    def slices(self) -> dict[str, tuple[Slice, ...]]:
        """The slices of `placements`."""
        return {name: place.slices for name, place in self.placements().items()}


def _embedding(rows: int, size: int) -> nn.Embedding:
    return nn.Embedding(rows, size, _weight=torch.empty(rows, size))  # a given weight is not drawn first
