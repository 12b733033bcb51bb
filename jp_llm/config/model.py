"""`model`: the decoder."""

import math

from pydantic import Field, PositiveFloat, PositiveInt

from jp_llm.arch import registry
from jp_llm.arch.spec import LayerSpec
from jp_llm.config.section import Section
from jp_llm.runtime.plugin import nearest

VOCAB_MULTIPLE = 128
"""The vocabulary is padded once, to a multiple of this; every tensor-parallel degree divides it."""


class ModelConfig(Section):
    """Sizes come from `model/size=...`, switches from `model/arch=...`; every field may be overridden alone."""

    size: str = "custom"
    """Name of the size, for reports only."""
    arch: str = "llama"
    """One of gpt2, neox, llama, palm."""
    hidden_size: PositiveInt = 512
    """Width of the residual stream."""
    num_layers: PositiveInt = 6
    """Number of blocks."""
    num_attention_heads: PositiveInt = 8
    """Query heads; hidden_size / num_attention_heads is the size of a head."""
    num_key_value_heads: PositiveInt | None = None
    """Key/value heads; null takes the architecture's default (palm: 1, others: as many as query heads)."""
    intermediate_size: PositiveInt | None = None
    """Width inside the MLP; null takes the architecture's default (llama: 8/3, others: 4 times hidden_size)."""
    vocab_size: PositiveInt | None = None
    """Token ids in use; null takes it from the tokenizer of the data, which it must equal otherwise."""
    max_position_embeddings: PositiveInt = 2048
    """Longest context in tokens. Learned positions (gpt2) cannot grow later."""
    rope_theta: PositiveFloat = 10000.0
    """Base of the rotary frequencies."""
    partial_rotary_factor: float | None = Field(default=None, gt=0, le=1)
    """Share of each head that is rotated; null takes the architecture's default (neox: 0.25, others: 1)."""
    parallel_residual: bool | None = None
    """Attention and MLP read the same residual stream; null takes the architecture's way. neox alone can also be false:
    the MLP then reads what attention has added to (rinna's GPT-NeoX models)."""
    norm_eps: PositiveFloat = 1e-5
    """Added to the variance inside every norm."""
    qk_norm: bool = False
    """Normalise queries and keys per head before rotation (palm only: the other exported classes cannot carry it)."""
    tie_word_embeddings: bool | None = None
    """Use the embedding as the head; null takes the architecture's default (gpt2 and palm: true)."""
    logit_scale: PositiveFloat = 1.0
    """Logits are multiplied by this (palm only)."""
    initializer_range: PositiveFloat = 0.02
    """Standard deviation of the initial weights; projections back into the residual stream get it / sqrt(2 layers)."""
    document_mask: bool = False
    """Attend only inside a document and restart positions at its first token (slower: no flash kernel)."""

    @property
    def spec(self) -> LayerSpec:
        """Switches of the architecture, as this model sets them."""
        return registry.spec_of(self.arch, serial=self.parallel_residual is False)

    @property
    def head_dim(self) -> int:
        """Size of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def key_value_heads(self) -> int:
        """Number of key/value heads after defaults."""
        if self.num_key_value_heads is not None:
            return self.num_key_value_heads
        return 1 if self.spec.num_key_value_heads == "one" else self.num_attention_heads

    @property
    def mlp_size(self) -> int:
        """Width inside the MLP after defaults."""
        if self.intermediate_size is not None:
            return self.intermediate_size
        numerator, denominator = self.spec.intermediate_ratio
        multiple = self.spec.intermediate_multiple
        return math.ceil(self.hidden_size * numerator / denominator / multiple) * multiple

    @property
    def rotary_dim(self) -> int:
        """Rotated dimensions of each head; 0 with learned positions."""
        if self.spec.positions == "learned":
            return 0
        return int(self.head_dim * (self.partial_rotary_factor or self.spec.partial_rotary_factor))

    @property
    def tied(self) -> bool:
        """Whether the embedding is the head, after defaults."""
        return self.spec.tie_word_embeddings if self.tie_word_embeddings is None else self.tie_word_embeddings

    @property
    def padded_vocab_size(self) -> int:
        """Rows of embedding and head. Rows from vocab_size on are never counted, sampled or exported."""
        if self.vocab_size is None:
            raise ValueError("vocab_size is not known yet: it comes from the tokenizer of the data")
        return math.ceil(self.vocab_size / VOCAB_MULTIPLE) * VOCAB_MULTIPLE

    def problems(self) -> list[str]:
        if self.arch not in registry.names():
            return [f"arch: no architecture {self.arch!r}{nearest(self.arch, registry.names())}"]
        spec, heads = self.spec, self.num_attention_heads
        found = []
        if self.hidden_size % heads:
            found.append(f"num_attention_heads: {heads} heads do not divide hidden_size {self.hidden_size}")
        elif self.rotary_dim % 2:
            found.append(f"partial_rotary_factor: {self.rotary_dim} rotated dimensions of a head; must be even")
        if heads % self.key_value_heads:
            found.append(f"num_key_value_heads: {self.key_value_heads} does not divide num_attention_heads {heads}")
        if self.key_value_heads != heads and not spec.grouped_heads:
            found.append(
                f"num_key_value_heads: {self.arch} cannot be exported with fewer key/value heads than query heads; "
                "leave it null or choose model/arch=llama or palm"
            )
        if self.qk_norm and not spec.qk_norm:
            found.append(f"qk_norm: {self.arch} cannot be exported with it; choose model/arch=palm")
        if self.tied != spec.tie_word_embeddings and not spec.tying_can_change:
            found.append(f"tie_word_embeddings: {self.arch} runs elsewhere only with {spec.tie_word_embeddings}")
        if self.logit_scale != 1.0 and self.arch != "palm":
            found.append(f"logit_scale: {self.arch} has none; leave it at 1.0 or choose model/arch=palm")
        if self.partial_rotary_factor is not None and self.arch != "neox" and self.partial_rotary_factor != 1.0:
            found.append(f"partial_rotary_factor: {self.arch} rotates whole heads; leave it null or use neox")
        parallel = registry.spec_of(self.arch).residual != "serial"
        if self.parallel_residual not in (None, parallel) and not spec.residual_can_be_serial:
            found.append(f"parallel_residual: {self.arch} has only {str(parallel).lower()}; leave it null or use neox")
        return found
