"""Reload what was written with transformers and compare it with what we have, before anybody else does.

transformers re-initialises a tensor that is missing, takes a class's default for a field that is missing, and rebuilds
a tokenizer whose class it knows, all without an exception. So every value that was meant is compared.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import safe_open
from torch import Tensor

from jp_llm.arch.huggingface import config_json, name_rules
from jp_llm.config.model import ModelConfig
from jp_llm.export.source import RoundedSource
from jp_llm.export.tokenizer import probe_texts, verify_hf_tokenizer
from jp_llm.export.weights import DTYPES
from jp_llm.huggingface import transforms
from jp_llm.huggingface.parity import POSITIONS, compare_logits, random_batches
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.model.source import ParameterSource, load_native
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json
from jp_llm.tokenizer.tokenizer import Tokenizer

_OLD_NAMES = ("torch_dtype", "rope_theta", "rotary_emb_base", "rotary_pct")
"""Keys of config.json for transformers 4, which version 5 reads and drops."""


@dataclass(frozen=True)
class Verification:
    """What was compared, for the proof block of the model card."""

    level: str
    tensors: int
    """Tensors of the files."""
    texts: int
    """Texts whose token ids are the same."""
    positions: int = 0
    """Positions whose logits were compared."""
    max_logit: float = 0.0
    """Largest |logit| among them."""
    max_difference: float = 0.0
    """Largest |difference| between our logits and those of transformers, both computed in fp32."""


def verify(
    folder: Path, source: ParameterSource, model: ModelConfig, tokenizer: Tokenizer, *, dtype: str, level: str
) -> Verification:
    """Compare the Hugging Face folder with the parameters it was made of.

    `level` structure compares configuration, names, shapes, every stored number and token ids; full also computes
    logits with both, which shows that transformers does with them what we do.

    Raises:
        UserError: they differ; the message says in what.
    """
    rounded = RoundedSource(source, DTYPES[dtype])
    texts = probe_texts()
    with quiet_transformers():
        check_config(folder, config_json(model, tokenizer, dtype))
        verify_hf_tokenizer(tokenizer, folder, texts)
        tensors = check_numbers(folder, rounded, model)
        if level == "structure":
            return Verification(level, tensors, len(texts))
        batches = sample_tokens(model, tokenizer, texts)
        with torch.inference_mode():
            decoder = load_native(rounded, model)
            ours = [decoder.logits(decoder(tokens_BT)[:, -POSITIONS:]) for tokens_BT in batches]
            del decoder  # one of the two models in memory at a time
            try:
                largest, difference = compare_logits(folder, batches, ours)
            except UserError as error:
                _refuse(*error.problems)
    positions = sum(logits_BTV[..., 0].numel() for logits_BTV in ours)
    return Verification(level, tensors, len(texts), positions, largest, difference)


def check_config(folder: Path, meant: dict[str, Any]) -> None:
    """Every value that was meant is the one that transformers uses."""
    from transformers import AutoConfig

    used = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    wrong = [key for key, value in meant.items() if key not in _OLD_NAMES and used.get(key) != value]
    if wrong:
        _refuse(*(f"config.json means {key}={meant[key]!r}, transformers uses {used.get(key)!r}" for key in wrong))


def check_numbers(folder: Path, source: ParameterSource, model: ModelConfig) -> int:
    """Every tensor of the files, turned back, equals the parameters; names and shapes are those of the class.

    Returns the number of tensors. Memory is one tensor and the parameters it is made of.
    """
    rules = name_rules(model)
    expected = _class_shapes(folder)
    places = _places(folder)
    keys = {rule.key for rule in rules}
    problems = [f"{key} is in the files and belongs to nothing" for key in sorted(places.keys() - keys)]
    problems += [f"{key} is not in the files" for key in sorted(keys - places.keys())]
    problems += [f"{key} stands only in our table or only in transformers" for key in sorted(keys ^ expected.keys())]
    if problems:
        _refuse(*problems)
    for rule in rules:
        with safe_open(folder / places[rule.key], framework="pt") as file:
            tensor = file.get_tensor(rule.key).float()
        if tuple(tensor.shape) != expected[rule.key]:
            _refuse(f"{rule.key} is {tuple(tensor.shape)} in the files and {expected[rule.key]} in transformers")
        for name, restored in zip(rule.sources, transforms.restore(rule, tensor, model), strict=True):
            whole = source.read(name)
            if not whole.isfinite().all():
                raise UserError(
                    f"{name} holds NaN or infinity: the training had failed; choose an earlier checkpoint (or another "
                    "dtype than fp16, which ends at 65,504)"
                )
            if rule.transform == "vocabulary":
                whole, restored = whole[: model.vocab_size], restored[: model.vocab_size]
            if not torch.equal(whole, restored):
                _refuse(f"{rule.key} does not hold {name}")
    return len(rules)


def sample_tokens(model: ModelConfig, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tensor]:
    """Ids to compare logits on: those of `random_batches`, and in the first batch two rows of short texts."""
    random, *longer = random_batches(tokenizer.vocab_size, model.max_position_embeddings)
    length = random.shape[1]
    text: list[int] = []
    for probe in itertools.cycle(texts):
        text += [tokenizer.start_id, *tokenizer.encode(probe)[:30]]
        text += [] if tokenizer.end_id is None else [tokenizer.end_id]
        if len(text) >= 2 * length:
            break
    return [torch.cat([random, torch.tensor(text[: 2 * length]).view(2, length)]), *longer]


def _class_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names on disk and shapes that the class of config.json has; nothing is allocated."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    # The old name of GPT-NeoX's head, which transformers too uses on disk.
    head = "embed_out.weight" if config.model_type == "gpt_neox" else "lm_head.weight"
    shapes = {key.replace("lm_head.weight", head): tuple(value.shape) for key, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes[head]
    return shapes


def _places(folder: Path) -> dict[str, str]:
    """{tensor: file}."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        places: dict[str, str] = read_json(index)["weight_map"]
        return places
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {key: "model.safetensors" for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)


def _refuse(*problems: str) -> NoReturn:
    raise UserError(*(f"the export differs from the trained model, please report this: {each}" for each in problems))
