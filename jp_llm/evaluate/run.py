"""`launch/evaluate.py`: held-out text in, perplexity, bits per character and byte, and cloze accuracy out."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jp_llm.evaluate.cloze import cloze_items, cloze_table, score_items
from jp_llm.evaluate.config import EvaluateConfig
from jp_llm.evaluate.result import common, dtype_of, markdown_table, number, publish
from jp_llm.evaluate.score import Score, score
from jp_llm.export.inference import open_model
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.files import sha256_of
from jp_llm.texts.documents import Text, choose, find_files, read_documents

TITLE = "held-out text"


def run(config: EvaluateConfig) -> None:
    """Evaluate as configured, print the tables, write the result file."""
    result = evaluate(config)
    tables = [table(result)] + ([cloze_table(result["cloze"])] if "cloze" in result else [])
    publish(config, TITLE, result, "\n\n".join(tables))


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """The result as it is written to `output`.

    Raises:
        UserError: no model, no text, a window that the model cannot take, or too little text for cloze items.
    """
    files = find_files(Path(path).expanduser() for path in config.data)
    loaded = open_model(Path(config.model), config.device, config.precision)
    context, stride = window_sizes(config, loaded.context)
    cloze = {}
    if config.cloze.items:
        # Before the minutes of the rest: too little text for items, or too short a context, shows here.
        items = cloze_items(_texts(config, files), config.cloze)
        cloze["cloze"] = score_items(loaded, items, context=context, batch_tokens=config.batch_tokens)
    scores = score(loaded, _texts(config, files), context=context, stride=stride, batch_tokens=config.batch_tokens)
    if not any(sums.characters for sums in scores.values()):
        raise UserError(f"data: there is no text in {', '.join(map(str, files))}")
    return common(config, loaded) | {
        "total": _result(sum(scores.values(), Score())),
        "sources": {source: _result(sums) for source, sums in sorted(scores.items())},
        "settings": {
            "context_tokens": context,
            "stride_tokens": stride,
            "max_documents": config.max_documents,
            "max_characters": config.max_characters,
            "cloze": config.cloze.model_dump(),
            "device": loaded.device.type,
            "dtype": dtype_of(loaded),
        },
        "data": {str(path): sha256_of(path) for path in files},
        **cloze,
    }


def _texts(config: EvaluateConfig, files: Iterable[Path]) -> Iterator[Text]:
    return choose(
        (text for path in files for text in read_documents(path)), config.max_documents, config.max_characters
    )


def window_sizes(config: EvaluateConfig, model_context: int | None) -> tuple[int, int]:
    """Context and stride in tokens, after defaults."""
    context = config.context_tokens or model_context
    if context is None:
        raise config_error(["context_tokens: the model names no context; set it"])
    if model_context is not None and context > model_context:
        raise config_error([f"context_tokens: {context} is more than the model's context of {model_context}"])
    stride = config.stride_tokens or max(1, context // 2)
    if stride > context:
        raise config_error([f"stride_tokens: {stride} is more than the context of {context}"])
    return context, stride


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table, sources first, then all of them together; and what flatters them."""
    rows = []
    for source, sums in [*result["sources"].items(), ("all", result["total"])]:
        counts = [f"{sums[key]:,}" for key in ("documents", "characters", "tokens")]
        rates = [
            number(sums[key], digits)
            for key, digits in (("perplexity", 2), ("bits_per_character", 4), ("bits_per_byte", 4))
        ]
        rows.append([source, *counts, *rates])
    figures = markdown_table(
        ("source", "documents", "characters", "tokens", "perplexity", "bits/character", "bits/byte"), rows
    )
    changed, documents = result["total"]["changed_documents"], result["total"]["documents"]
    if not changed:
        return figures
    return (
        f"{figures}\n\nThe tokenizer does not give {changed:,} of {documents:,} documents back as they were (lost, "
        "unified or unknown characters): against a tokenizer that loses nothing, these figures flatter the model."
    )


def _result(sums: Score) -> dict[str, Any]:
    return asdict(sums) | sums.rates()
