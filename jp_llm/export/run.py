"""`launch/export_hf.py`: checkpoint in, verified Hugging Face folder out."""

import shutil
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jp_llm
from jp_llm.checkpoint.format import MANIFEST, TOKENIZER, Manifest, damage
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import resolve
from jp_llm.config.build import build
from jp_llm.config.model import ModelConfig
from jp_llm.export.config import ExportConfig
from jp_llm.export.folder import check_target
from jp_llm.export.model_card import CardFacts, model_card
from jp_llm.export.to_hf import write_model
from jp_llm.export.verify import verify
from jp_llm.model.source import ParameterSource
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, fingerprint_of, sha256_of, write_json
from jp_llm.runtime.new_folder import new_folder
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.tokenizer.tokenizer import Tokenizer

PROOF_FILE = "proof.json"
CARD_FILE = "README.md"
"""The model card, as the Hugging Face hub names it."""


def run(config: ExportConfig) -> None:
    """Export as configured and print what was compared."""
    target = Path(config.output_dir).expanduser().absolute()
    check_target(target, overwrite=config.overwrite)
    checkpoint = resolve(Path(config.checkpoint).expanduser())
    proof = export_checkpoint(checkpoint, target, config)
    if note := _rounded(proof["origin"], config.dtype):
        print(f"note: {note}", file=sys.stderr)
    found = proof["verification"]
    print(f"{target}: {found['tensors']} tensors, token ids equal on {found['texts']} texts")
    if found["level"] == "full":
        print(
            f"logits equal on {found['positions']} positions: "
            f"max |difference| {found['max_difference']:.2e}, max |logit| {found['max_logit']:.2f}"
        )


def export_checkpoint(checkpoint: Path, target: Path, config: ExportConfig) -> dict[str, Any]:
    """Export one checkpoint folder to `target`; returns the proof block.

    Raises:
        UserError: the checkpoint is damaged, the target may not be written, or the verification failed.
    """
    reader = CheckpointReader(checkpoint)
    manifest = reader.manifest
    if problems := damage(checkpoint, manifest):
        raise UserError(*(f"{problem}; use another checkpoint of the run" for problem in problems))
    tokenizer = Tokenizer.load(checkpoint / TOKENIZER)
    model = build(ModelConfig, manifest.config["model"])
    facts = CardFacts(
        name=config.model_name or target.name,
        license=config.license or manifest.origin.get("license") or "other",
        datasets=config.datasets,
        base_model=manifest.origin.get("name"),
        training=manifest.config,
        state=manifest.state,
        corpora=_corpora(manifest),
    )
    origin = {
        "checkpoint": checkpoint.name,
        "manifest_sha256": sha256_of(checkpoint / MANIFEST),
        "producer": manifest.producer,
        "first_weights": manifest.origin,
        "state": manifest.state,
        "run_config_sha256": fingerprint_of(manifest.config),
        "data_fingerprint": manifest.data_fingerprint,
        "datasets": manifest.datasets,
    }
    return export(reader, model, tokenizer, target, config, facts, origin)


def export(
    source: ParameterSource,
    model: ModelConfig,
    tokenizer: Tokenizer,
    target: Path,
    config: ExportConfig,
    facts: CardFacts,
    origin: dict[str, Any],
) -> dict[str, Any]:
    """Write, verify and publish a Hugging Face folder; returns the proof block (also in proof.json and the card).

    Args:
        source: parameters that fit `model`.
        config: data type, file size, verification and overwriting are taken from it.
        origin: what the parameters come from, for the proof block.

    Raises:
        UserError: the target may not be written, or the folder differs from the parameters; nothing is left then.
    """
    if model.vocab_size is None:
        model = model.model_copy(update={"vocab_size": tokenizer.vocab_size})
    assert model.vocab_size is not None
    # An imported model may have more rows than its tokenizer has ids: they go out as they came.
    if model.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"the model has {model.vocab_size} token ids, the tokenizer {tokenizer.vocab_size}: not of the same run"
        )
    check_target(target, overwrite=config.overwrite)
    with new_folder(target) as folder:
        hashes = write_model(
            folder, source, model, tokenizer, dtype=config.dtype, max_shard_bytes=config.max_shard_bytes
        )
        if config.license_file is not None:
            _copy_license(Path(config.license_file).expanduser(), folder)
        verification = verify(folder, source, model, tokenizer, dtype=config.dtype, level=config.verify)
        others = (path for path in folder.rglob("*") if path.is_file() and path.name not in hashes)
        hashes |= {path.relative_to(folder).as_posix(): sha256_of(path) for path in others}
        proof = {
            "format": 1,
            "origin": origin,
            "dtype": config.dtype,
            "files_sha256": dict(sorted(hashes.items())),
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "verification": asdict(verification),
            "versions": _versions(),
        }
        write_json(folder / PROOF_FILE, proof)
        with atomic_writer(folder / CARD_FILE) as file:
            file.write(model_card(facts, model, tokenizer, proof).encode())
    return proof


def _rounded(origin: dict[str, Any], dtype: str) -> str | None:
    """What an export of imported weights loses that were not trained further."""
    before = origin["first_weights"].get("dtypes", [])
    if origin["state"].get("step") or dtype == "fp32" or set(before) <= {dtype}:
        return None
    return (
        f"the imported files were {' and '.join(before)}, and {dtype} rounds them; "
        f"dtype={before[0] if len(before) == 1 else 'fp32'} gives them back bit for bit"
    )


def _copy_license(path: Path, folder: Path) -> None:
    if not path.is_file():
        raise UserError(f"license_file: {path} is no file")
    shutil.copyfile(path, folder / "LICENSE")


def _corpora(manifest: Manifest) -> dict[str, DatasetManifest | None]:
    """The datasets of the run, as far as they still lie where they lay and are the same."""
    found: dict[str, DatasetManifest | None] = {}
    for number, (path, fingerprint) in enumerate(manifest.datasets.items()):
        try:
            corpus = DatasetManifest.load(Path(path))
        except UserError:
            corpus = None
        found["replay/" if number else ""] = corpus if corpus and corpus.fingerprint == fingerprint else None
    return found


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "tokenizers", "safetensors", "sentencepiece")
    return {"jp-llm": jp_llm.__version__} | {name: version(name) for name in packages}
