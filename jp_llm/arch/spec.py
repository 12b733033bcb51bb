"""What distinguishes one decoder architecture from another, as data. Loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from jp_llm.arch.config_reader import ConfigReader


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """Switches of the one decoder in `jp_llm/model`.

    Residual orders, with `x` the residual stream:
        serial:              x = x + attention(norm_1(x));  x = x + mlp(norm_2(x))
        parallel:            x = x + attention(norm_1(x)) + mlp(norm_2(x))
        parallel_one_norm:   n = norm_1(x);  x = x + attention(n) + mlp(n)
    """

    norm: Literal["layer_norm", "layer_norm_without_bias", "rms_norm"]
    residual: Literal["serial", "parallel", "parallel_one_norm"]
    mlp: Literal["gelu", "gelu_tanh", "swiglu"]
    positions: Literal["learned", "rotary"]
    bias: bool
    """Bias on every linear layer (never on the head)."""
    tie_word_embeddings: bool
    """Default; the Hugging Face class of the architecture must be able to carry a change of it."""
    num_key_value_heads: Literal["all", "one"] = "all"
    """Default number of key/value heads: as many as query heads, or one (multi-query)."""
    partial_rotary_factor: float = 1.0
    """Default share of each head's dimensions that is rotated."""
    intermediate_ratio: tuple[int, int] = (4, 1)
    """Default intermediate_size / hidden_size as a fraction."""
    intermediate_multiple: int = 1
    """The default intermediate size is rounded up to a multiple of this."""
    grouped_heads: bool = False
    """Whether fewer key/value heads than query heads can be exported."""
    qk_norm: bool = False
    """Whether normalised queries and keys can be exported."""
    tying_can_change: bool = True
    """Whether the exported class runs everywhere with the other choice of tying."""
    residual_can_be_serial: bool = False
    """Whether the exported class can also compute `serial` where `residual` is `parallel`."""


Transform = Literal[
    "copy", "vocabulary", "transpose", "qkv_columns", "qkv_heads", "interleaved_rows", "interleaved_columns"
]
"""How canonical parameters become one Hugging Face tensor; `jp_llm/huggingface/transforms.py` carries them out."""


@dataclass(frozen=True)
class NameRule:
    """One family of Hugging Face tensors, and the canonical parameters that each of them is made of.

    `{layer}` stands for every layer and `{kind}` for weight and bias. Where the sizes of a model have none of the
    sources (no bias, a tied head) there is no such tensor.
    """

    key: str
    sources: tuple[str, ...]
    transform: Transform = "copy"


class ConfigValues(Protocol):
    """What config.json is made of (`jp_llm.config.model.ModelConfig` has it)."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def key_value_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def mlp_size(self) -> int: ...
    @property
    def vocab_size(self) -> int | None: ...
    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def rope_theta(self) -> float: ...
    @property
    def partial_rotary_factor(self) -> float | None: ...
    @property
    def parallel_residual(self) -> bool | None: ...
    @property
    def norm_eps(self) -> float: ...
    @property
    def qk_norm(self) -> bool: ...
    @property
    def tied(self) -> bool: ...
    @property
    def logit_scale(self) -> float: ...
    @property
    def initializer_range(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class HuggingFaceForm:
    """The transformers class that computes the same function, its names on disk and its config.json."""

    class_name: str
    model_type: str
    rules: tuple[NameRule, ...]
    config: Callable[[ConfigValues], dict[str, Any]]
    """Fields of config.json that only this class has; the common ones are in `jp_llm/arch/huggingface.py`."""
    fields: Callable[[ConfigReader], dict[str, Any]]
    """The way back: fields of `jp_llm.config.model.ModelConfig` from those of config.json."""
    buffers: tuple[str, ...] = ()
    """Tensors that old files hold and that follow from config.json: masks and rotary frequencies."""
