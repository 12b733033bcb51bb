"""`launch/evaluate.py`: held-out text in, perplexity and bits per character and byte out."""

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jp_llm
from jp_llm.evaluate.config import EvaluateConfig
from jp_llm.evaluate.score import Score, score
from jp_llm.export.inference import LoadedModel, open_model
from jp_llm.export.run import PROOF_FILE
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.files import read_json, sha256_of, write_json
from jp_llm.texts.documents import choose, find_files, read_texts


def run(config: EvaluateConfig) -> None:
    """Evaluate as configured, print the table, write the result file."""
    result = evaluate(config)
    print(table(result))
    if config.output is not None:
        write_json(Path(config.output), result)


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """The result as it is written to `output`.

    Raises:
        UserError: no model, no text, or a window that the model cannot take.
    """
    files = find_files(Path(path).expanduser() for path in config.data)
    loaded = open_model(Path(config.model), config.device, config.precision)
    context, stride = window_sizes(config, loaded.context)
    texts = choose((text for path in files for text in read_texts(path)), config.max_documents, config.max_characters)
    scores = score(loaded, texts, context=context, stride=stride, batch_tokens=config.batch_tokens)
    if not any(sums.characters for sums in scores.values()):
        raise UserError(f"data: there is no text in {', '.join(map(str, files))}")
    return {
        "format": 1,
        "total": _result(sum(scores.values(), Score())),
        "sources": {source: _result(sums) for source, sums in sorted(scores.items())},
        "settings": {
            "context_tokens": context,
            "stride_tokens": stride,
            "max_documents": config.max_documents,
            "max_characters": config.max_characters,
            "device": loaded.device.type,
            "dtype": str(loaded.model.dtype).removeprefix("torch."),
        },
        "model": _model_identity(config.model, loaded),
        "data": {str(path): sha256_of(path) for path in files},
        "versions": {"jp-llm": jp_llm.__version__, "torch": version("torch"), "transformers": version("transformers")},
    }


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
    """The figures as a Markdown table, sources first, then all of them together."""
    lines = [
        "| source | documents | characters | tokens | perplexity | bits/character | bits/byte |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for source, sums in [*result["sources"].items(), ("all", result["total"])]:
        rates = " | ".join(
            "-" if sums[key] is None else f"{sums[key]:.{digits}f}"
            for key, digits in (("perplexity", 2), ("bits_per_character", 4), ("bits_per_byte", 4))
        )
        lines.append(f"| {source} | {sums['documents']:,} | {sums['characters']:,} | {sums['tokens']:,} | {rates} |")
    return "\n".join(lines)


def _result(sums: Score) -> dict[str, Any]:
    return asdict(sums) | sums.rates()


def _model_identity(name: str, loaded: LoadedModel) -> dict[str, Any]:
    """Hashes of the files that were read, and what they were exported from, if that is recorded."""
    identity: dict[str, Any] = {
        "name": name,
        "folder": str(loaded.folder),
        "files_sha256": _hashes(loaded.folder, ("config.json", "*.safetensors")),
        "tokenizer_sha256": _hashes(loaded.folder, ("tokenizer*.json", "*.model")),
    }
    proof = loaded.folder / PROOF_FILE
    if proof.is_file():
        identity["origin"] = read_json(proof)["origin"]
    return identity


def _hashes(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return {path.name: sha256_of(path) for path in paths}
