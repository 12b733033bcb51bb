"""README.md of a Hugging Face folder: front matter, a description that follows from the files, a proof block.

Whatever comes from a configuration or a corpus is a value here, never markup: text is escaped, JSON and YAML stand in
fences longer than any run of backticks inside them.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import yaml

from jp_llm.arch.huggingface import config_json, name_rules
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.arch.registry import form_of
from jp_llm.config.model import ModelConfig
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.manifest import SENTENCEPIECE
from jp_llm.tokenizer.tokenizer import Tokenizer

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")
_VOCABULARY = ("embedding.weight", "positions.weight", "head.weight")


@dataclass(frozen=True)
class CardFacts:
    """What a model card says beyond the model itself."""

    name: str
    license: str
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    """Name of the imported model whose weights were the first ones."""
    training: dict[str, Any] | None = None
    """The resolved run configuration."""
    state: dict[str, int] | None = None
    """Counters of the training state: step, consumed_tokens, ..."""
    corpora: Mapping[str, DatasetManifest | None] = field(default_factory=dict)
    """The datasets, by what stands before the names of their sources: nothing, or `replay/`. None where one is no
    longer at hand."""


def model_card(facts: CardFacts, model: ModelConfig, tokenizer: Tokenizer, proof: dict[str, Any]) -> str:
    """The whole README.md."""
    parts = [
        _front_matter(facts),
        f"# {escape(facts.name)}",
        _introduction(facts),
        _usage(),
        "## Model",
        _table(("", ""), _model_rows(model)),
        "<details><summary>config.json</summary>\n\n"
        + fenced("json", json.dumps(config_json(model, tokenizer, proof["dtype"]), indent=2))
        + "\n\n</details>",
        "## Tokenizer",
        _table(("", ""), _tokenizer_rows(tokenizer)),
        "## Training data",
        _corpus(facts),
        "## Training",
        _training(facts),
        "## Limits",
        "The model repeats what its training text contains, mistakes, prejudice and possibly personal data included. "
        "Check what it says before you rely on it.",
        "## Proof",
        "Hashes of the files, the checkpoint they were made of, and what was compared between this folder, loaded with "
        "transformers, and the trained weights, rounded to the data type of the files: all stored numbers, token ids "
        "of test texts and, at level full, logits, computed in float32 by both.",
        fenced("json", json.dumps(proof, ensure_ascii=False, indent=2)),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: object) -> str:
    """A value as plain text inside Markdown: one line, no markup, no HTML."""
    return _MARKUP.sub(r"\\\1", html.escape(_one_line(text)))


def fenced(language: str, text: str) -> str:
    """A code block that `text` cannot leave."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _introduction(facts: CardFacts) -> str:
    if facts.base_model is None:
        return (
            "A Japanese language model, pretrained from nothing with jp-llm. It continues text; it has not been taught "
            "to follow instructions or to refuse."
        )
    trained = bool(facts.state and facts.state.get("step"))
    what = f"{escape(facts.base_model)}, trained further" if trained else f"{escape(facts.base_model)}, imported"
    return (
        f"{what} with jp-llm. What is said below about training and its data is about that alone; see the model card "
        f"of {escape(facts.base_model)} for what was before."
    )


def _one_line(text: object) -> str:
    return "".join(char for char in " ".join(str(text).split()) if char.isprintable())


def _front_matter(facts: CardFacts) -> str:
    fields: dict[str, Any] = {
        "language": ["ja"],
        "license": _one_line(facts.license),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["japanese", "jp-llm"],
    }
    if facts.base_model is not None:
        fields["base_model"] = _one_line(facts.base_model)
    if facts.datasets:
        fields["datasets"] = [_one_line(name) for name in facts.datasets]
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False, width=10**6)}---"


def _usage() -> str:
    return fenced(
        "python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'folder = "."  # this folder, or its name on the hub\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        'inputs = tokenizer("昔々、", return_tensors="pt")\n'
        "tokens = model.generate(**inputs, max_new_tokens=100, do_sample=True, top_k=500, top_p=0.95)\n"
        "print(tokenizer.decode(tokens[0], skip_special_tokens=True))",
    )


def _model_rows(model: ModelConfig) -> list[tuple[str, str]]:
    canonical = parameter_shapes(model)
    sizes = {name: prod(shape) for name, shape in canonical.items()}
    padding = model.padded_vocab_size - (model.vocab_size or 0)
    for name in sizes.keys() & {"embedding.weight", "head.weight"}:
        sizes[name] -= padding * model.hidden_size
    without = sum(size for name, size in sizes.items() if name not in _VOCABULARY)
    return [
        ("Architecture", f"{escape(model.arch)}, loaded as {form_of(model.arch).class_name}"),
        ("Parameters", f"{sum(sizes.values()):,}"),
        ("Parameters without embeddings and head", f"{without:,}"),
        ("Tensors in the files", f"{len(name_rules(model)):,}"),
        ("Layers × width × heads", f"{model.num_layers} × {model.hidden_size} × {model.num_attention_heads}"),
        ("Key/value heads", f"{model.key_value_heads}"),
        ("Width of the MLP", f"{model.mlp_size:,}"),
        ("Context in tokens", f"{model.max_position_embeddings:,}"),
        ("Embedding is the head", "yes" if model.tied else "no"),
    ]


def _tokenizer_rows(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    kind = escape(tokenizer.recipe["model_type"])
    ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "pad": tokenizer.pad_id}
    if tokenizer.package == SENTENCEPIECE:
        about = (f"SentencePiece {kind}, byte fallback", "sha256 of the SentencePiece model")
    else:
        about = (f"{kind}, taken over from another model", "sha256 of what decides the ids")
    return [
        ("Type", about[0]),
        ("Pieces", f"{tokenizer.vocab_size:,}"),
        (about[1], f"`{tokenizer.fingerprint}`"),
        ("Special ids", ", ".join(f"{name} {'none' if id is None else id}" for name, id in ids.items())),
    ]


def _corpus(facts: CardFacts) -> str:
    if facts.base_model is not None and not (facts.state and facts.state.get("step")):
        return "None here: the model is as it was imported."
    rows = [
        (
            escape(f"{prefix}{source}"),
            f"{corpus.documents('train', source):,}",
            f"{corpus.characters('train', source):,}",
            f"{corpus.bytes('train', source):,}",
            f"{corpus.tokens('train', source):,}",
        )
        for prefix, corpus in facts.corpora.items()
        if corpus is not None
        for source in corpus.sources
    ]
    parts = [_table(("Source", "Documents", "Characters", "UTF-8 bytes", "Tokens"), rows)] if rows else []
    if not rows or None in facts.corpora.values():
        which = "A replayed dataset" if rows else "The dataset"
        parts.append(f"{which} was not at hand when this card was written; its fingerprint is in the proof below.")
    return "\n\n".join(parts)


def _training(facts: CardFacts) -> str:
    parts = []
    if facts.state:
        parts.append(_table(("Counter", ""), [(escape(key), f"{value:,}") for key, value in facts.state.items()]))
    if facts.training is not None:
        text = yaml.safe_dump(facts.training, allow_unicode=True, sort_keys=False).rstrip()
        parts.append(f"<details><summary>Run configuration</summary>\n\n{fenced('yaml', text)}\n\n</details>")
    return "\n\n".join(parts) or "Not recorded."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
