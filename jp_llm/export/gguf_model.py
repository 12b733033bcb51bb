"""A Hugging Face folder in the words of llama.cpp: metadata, names and layouts of the tensors.

Names come from the table of the `gguf` package. What llama.cpp computes was read in its sources (`src/models/gpt2.cpp`,
`gptneox.cpp`, `llama.cpp`, `command-r.cpp`) and is compared in the tests with the library where it is installed:

- Linear weights are [out, in]; q, k and v of GPT-2 and GPT-NeoX lie one after another in one matrix.
- LLaMA and Command R rotate neighbouring dimensions (interleaved), GPT-NeoX halves. Cohere's files are interleaved
  already.
- GELU is the tanh form everywhere, on CPUs from a table in half precision.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json

ARCHITECTURES = {"gpt2": "gpt2", "gpt_neox": "gptneox", "llama": "llama", "cohere": "command-r"}
"""model_type of config.json, and the name in a GGUF file."""

_QK_NORM_LAYERS = 64
"""llama.cpp loads Cohere's norms of queries and keys only in models of at least so many layers."""
_ACTIVATIONS = {"gpt2": "gelu_new", "gpt_neox": "gelu", "llama": "silu", "cohere": "silu"}


@dataclass(frozen=True)
class GGUFModel:
    """A Hugging Face model that llama.cpp can run."""

    folder: Path
    config: Any
    """As transformers understands config.json."""
    architecture: str

    @classmethod
    def open(cls, folder: Path) -> "GGUFModel":
        """Look at config.json and at the names of the tensors.

        Raises:
            UserError: llama.cpp has no such model; the message says what it lacks.
        """
        from transformers import AutoConfig

        from jp_llm.huggingface.reload import quiet_transformers

        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if config.model_type not in ARCHITECTURES:
            raise UserError(f"{folder}: {config.model_type} is none of {', '.join(ARCHITECTURES)}")
        model = cls(folder, config, ARCHITECTURES[config.model_type])
        if problems := list(model._problems()):
            raise UserError(*(f"{folder}: llama.cpp cannot run this model: {problem}" for problem in problems))
        return model

    def write_metadata(self, writer: Any) -> None:
        """Sizes and switches, into a `gguf.GGUFWriter`."""
        config = self.config
        writer.add_vocab_size(config.vocab_size)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_head_count(config.num_attention_heads)
        if self.architecture == "gpt2":
            writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
            writer.add_layer_norm_eps(config.layer_norm_epsilon)
            return
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        if self.architecture == "gptneox":
            share = config.rope_parameters.get("partial_rotary_factor", 1.0)
            writer.add_rope_dimension_count(int(self._head_dim * share))
            writer.add_parallel_residual(config.use_parallel_residual)
            writer.add_layer_norm_eps(config.layer_norm_eps)
            return
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_rope_dimension_count(self._head_dim)
        if self.architecture == "llama":
            writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        else:
            writer.add_layer_norm_eps(config.layer_norm_eps)
            writer.add_logit_scale(config.logit_scale)

    def names(self) -> dict[str, str]:
        """{name in the GGUF file: name in the folder}, in the order of the folder.

        Raises:
            KeyError: a tensor that llama.cpp has no place for.
        """
        import gguf

        arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        table = gguf.get_tensor_name_map(arch, self.config.num_hidden_layers)
        found = {}
        for key in self._places():
            name = table.get_name(key, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise KeyError(key)
            found[name] = key
        return found

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name in the GGUF file and shape of every tensor, rows first."""
        places = self._places()
        for name, key in self.names().items():
            with safe_open(self.folder / places[key], framework="pt") as file:
                shape = tuple(file.get_slice(key).get_shape())
            yield name, shape[::-1] if self._is_transposed(key) else shape

    def read(self, key: str) -> Tensor:
        """One tensor of the folder in float32 and in the layout of llama.cpp."""
        with safe_open(self.folder / self._places()[key], framework="pt") as file:
            tensor: Tensor = file.get_tensor(key).float()
        if self._is_transposed(key):
            return tensor.t().contiguous()
        if self.architecture == "gptneox" and ".query_key_value." in key:
            # Rows ordered head, then q, k, v.
            by_head = tensor.reshape(-1, 3, self._head_dim, *tensor.shape[1:])
            return by_head.transpose(0, 1).reshape(tensor.shape)
        if self.architecture == "llama" and re.search(r"\.[qk]_proj\.", key):
            halves = tensor.reshape(-1, 2, self._head_dim // 2, *tensor.shape[1:])
            return halves.transpose(1, 2).reshape(tensor.shape)
        return tensor

    @property
    def _head_dim(self) -> int:
        size: int = self.config.hidden_size // self.config.num_attention_heads
        return size

    def _is_transposed(self, key: str) -> bool:
        """GPT-2's Conv1D keeps [in, out]."""
        return self.architecture == "gpt2" and re.search(r"\.c_(attn|proj|fc)\.weight$", key) is not None

    def _places(self) -> dict[str, str]:
        """{tensor: file}."""
        index = self.folder / "model.safetensors.index.json"
        if index.exists():
            places: dict[str, str] = read_json(index)["weight_map"]
            return places
        with safe_open(self.folder / "model.safetensors", framework="pt") as file:
            return {key: "model.safetensors" for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)

    def _problems(self) -> Iterator[str]:
        config = self.config
        head = {"lm_head.weight", "embed_out.weight"} & self._places().keys()
        rope = getattr(config, "rope_parameters", None) or {}
        if rope.get("rope_type", "default") != "default":
            yield f"rope_type {rope['rope_type']} is not written by this export"
        activation = config.activation_function if self.architecture == "gpt2" else config.hidden_act
        if activation != _ACTIVATIONS[config.model_type]:
            yield f"{activation} is not the activation that it computes for this architecture"
        if self.architecture == "command-r":
            if config.use_qk_norm and config.num_hidden_layers < _QK_NORM_LAYERS:
                yield f"norms of queries and keys are read only from {_QK_NORM_LAYERS} layers on"
            if head:
                yield "a head of its own is not read for Cohere; its embedding is the head"
        if self.architecture == "gptneox":
            if not head:
                yield "GPT-NeoX needs a head of its own; this one is tied"
            if not config.attention_bias:
                yield "GPT-NeoX needs biases of the attention"
        if getattr(config, "head_dim", None) not in (None, self._head_dim):
            yield f"heads of {config.head_dim} are not hidden_size / heads"
        if self.architecture == "command-r" and config.use_qk_norm:
            return
        try:
            self.names()
        except KeyError as error:
            yield f"there is no place for the tensor {error.args[0]}"
