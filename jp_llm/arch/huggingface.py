"""From canonical parameters and sizes to Hugging Face names and config.json, and back. Pure data, no torch."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jp_llm.arch import registry
from jp_llm.arch.config_reader import ConfigReader
from jp_llm.arch.config_reader import UnsupportedModel as UnsupportedModel
from jp_llm.arch.parameters import DecoderShape, parameter_shapes
from jp_llm.arch.registry import form_of
from jp_llm.arch.spec import ConfigValues, NameRule

CONFIG_FILE = "config.json"
"""What every Hugging Face model folder holds."""
DTYPE_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Our word for a data type, and the word of config.json."""


class ExportedModel(DecoderShape, ConfigValues, Protocol):
    """What an export must know of a model (`jp_llm.config.model.ModelConfig` has it)."""


class SpecialIds(Protocol):
    """Control ids of the tokenizer (`jp_llm.tokenizer.tokenizer.Tokenizer` has them)."""

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def pad_id(self) -> int | None: ...


def name_rules(model: DecoderShape) -> list[NameRule]:
    """One rule per tensor of the Hugging Face files, in the order of the forward pass.

    Raises:
        ValueError: the table of the architecture leaves a canonical parameter unused, or uses or fills a name twice.
    """
    shapes = parameter_shapes(model)
    filled = _filled(form_of(model.arch).rules, model.num_layers)
    rules = [rule for rule in filled if any(source in shapes for source in rule.sources)]
    canonical = Counter(list(shapes))
    used = Counter(source for rule in rules for source in rule.sources)
    keys = Counter(rule.key for rule in rules)
    wrong = [*(used - canonical), *(canonical - used), *(keys - Counter(set(keys)))]
    if wrong:
        raise ValueError(f"{model.arch}: the name table must use and fill every name once; wrong: {', '.join(wrong)}")
    return rules


def config_json(model: ExportedModel, ids: SpecialIds, dtype: str) -> dict[str, Any]:
    """Every field of config.json: a field that is left out would take a default that differs between classes.

    `dtype` is a key of `DTYPE_NAMES`. transformers 4 reads it as torch_dtype.
    """
    form = form_of(model.arch)
    return {
        "architectures": [form.class_name],
        "model_type": form.model_type,
        "vocab_size": model.vocab_size,
        "bos_token_id": ids.bos_id,
        "eos_token_id": ids.eos_id,
        "pad_token_id": ids.pad_id,
        "tie_word_embeddings": model.tied,
        "initializer_range": model.initializer_range,
        "use_cache": True,
        "dtype": DTYPE_NAMES[dtype],
        "torch_dtype": DTYPE_NAMES[dtype],
        **form.config(model),
    }


@dataclass(frozen=True)
class ImportedConfig:
    """What a config.json of somebody else means here."""

    fields: dict[str, Any]
    """Of `jp_llm.config.model.ModelConfig`."""
    ignored: tuple[str, ...]
    """What it says besides that has no effect here, in words."""


def read_config(config: Mapping[str, Any]) -> ImportedConfig:
    """The model that a config.json describes, with the defaults of its class where keys are missing.

    Raises:
        UnsupportedModel: our decoder cannot compute it; all reasons at once.
    """
    arch = _arch_of(config)
    form, reader = form_of(arch), ConfigReader(config)
    reader.common(form.class_name)
    fields = {"size": "imported", "arch": arch} | form.fields(reader)
    hidden, heads = fields["hidden_size"], fields["num_attention_heads"]
    head_dim = reader.integer("head_dim", None)
    if hidden % heads:
        reader.problems.append(f"{heads} attention heads do not divide the width {hidden}")
    elif head_dim not in (None, hidden // heads):
        reader.refuse("head_dim", f"must be the width by the heads here, {hidden} / {heads} = {hidden // heads}")
    if reader.problems:
        raise UnsupportedModel([f"config.json: {problem}" for problem in reader.problems])
    return ImportedConfig(fields, tuple(reader.ignored))


def model_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `jp_llm.config.model.ModelConfig` from a config.json, with old or new keys.

    Raises:
        UnsupportedModel: our decoder cannot compute the model; all reasons at once.
    """
    return read_config(config).fields


def buffer_names(model: DecoderShape) -> set[str]:
    """Tensors of old files that are no parameters."""
    templates = form_of(model.arch).buffers
    return {template.format(layer=layer) for template in templates for layer in range(model.num_layers)}


def _arch_of(config: Mapping[str, Any]) -> str:
    by_type = {form_of(arch).model_type: arch for arch in registry.names()}
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in by_type:
        return by_type[model_type]
    classes = ", ".join(f"{kind} ({form_of(arch).class_name})" for kind, arch in sorted(by_type.items()))
    named = ", ".join(map(str, config.get("architectures") or ())) or "no class"
    raise UnsupportedModel([f"config.json: model_type {model_type!r} ({named}) cannot be read; can be: {classes}"])


def _filled(rules: tuple[NameRule, ...], num_layers: int) -> Iterator[NameRule]:
    """The rules with every `{layer}` and `{kind}` filled in, layer by layer."""
    for inside, group in itertools.groupby(rules, key=lambda rule: "{layer}" in rule.key):
        templates = list(group)
        for layer in range(num_layers if inside else 1):
            for rule in templates:
                for kind in ("weight", "bias") if "{kind}" in rule.key else ("",):
                    sources = tuple(source.format(layer=layer, kind=kind) for source in rule.sources)
                    yield NameRule(rule.key.format(layer=layer, kind=kind), sources, rule.transform)
