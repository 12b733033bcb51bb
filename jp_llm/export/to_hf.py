"""Write the files of a Hugging Face folder, one tensor at a time: memory does not grow with the model."""

from pathlib import Path
from typing import Any

from torch import Tensor

from jp_llm.arch.huggingface import ExportedModel, config_json, name_rules
from jp_llm.export.config import SAMPLING_TEMPERATURE, SAMPLING_TOP_P
from jp_llm.export.folder import CONFIG_FILE
from jp_llm.export.tokenizer import write_hf_tokenizer
from jp_llm.export.weights import DTYPES, write_weights
from jp_llm.huggingface import transforms
from jp_llm.model.source import ParameterSource
from jp_llm.runtime.files import write_json
from jp_llm.tokenizer.tokenizer import Tokenizer

GENERATION_CONFIG_FILE = "generation_config.json"


def write_model(
    folder: Path,
    source: ParameterSource,
    model: ExportedModel,
    tokenizer: Tokenizer,
    *,
    dtype: str,
    max_shard_bytes: int,
) -> dict[str, str]:
    """Write weights, config.json, generation_config.json and the tokenizer; returns {weight file: sha256}.

    `dtype` is a key of `jp_llm.export.weights.DTYPES`; the vocabulary is cut to `model.vocab_size`.
    """
    write_json(folder / CONFIG_FILE, config_json(model, tokenizer, dtype))
    write_json(folder / GENERATION_CONFIG_FILE, _generation_config(tokenizer))
    write_hf_tokenizer(tokenizer, folder, model_max_length=model.max_position_embeddings)
    rules = {rule.key: rule for rule in name_rules(model)}

    def read(key: str) -> Tensor:
        rule = rules[key]
        return transforms.export(rule, [source.read(name) for name in rule.sources], model)

    return write_weights(folder, transforms.tensor_shapes(model), read, dtype=DTYPES[dtype], max_bytes=max_shard_bytes)


def _generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    # No length here: a max_new_tokens in this file would win over the max_length of a caller.
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "do_sample": True,
        "temperature": SAMPLING_TEMPERATURE,
        "top_k": 0,
        "top_p": SAMPLING_TOP_P,
    }
