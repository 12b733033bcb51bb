"""A model to run: a Hugging Face folder, or a checkpoint that is exported on the way.

`launch/generate.py` and `launch/evaluate.py` see transformers models only, so what they say of a checkpoint is what a
user of the exported model will see.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import jp_llm
from jp_llm.checkpoint.format import MANIFEST
from jp_llm.checkpoint.store import resolve
from jp_llm.export.config import ExportConfig
from jp_llm.export.folder import CONFIG_FILE
from jp_llm.export.run import PROOF_FILE, export_checkpoint
from jp_llm.export.tokenizer import load_as_trained
from jp_llm.huggingface.files import refuse_adapter
from jp_llm.huggingface.reload import load_model
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, sha256_of
from jp_llm.tokenizer.adopt import describe

Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["auto", "bf16", "fp32"]
_DECIDING = (
    *("*.safetensors", "*.bin", "*.index.json", "*.model", "config.json", "generation_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt"),
)
"""By name: results and texts of this model may lie in the same folder, as JSON too."""


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model and its tokenizer, as transformers loads them."""

    model: Any
    tokenizer: Any
    folder: Path
    """The Hugging Face folder."""
    device: torch.device
    start_id: int
    """Id that stands before the first token of a text: bos, or eos where there is none."""
    end_ids: frozenset[int]
    """Ids that end a text: those of the generation settings, else that of the tokenizer; none where none is known."""
    context: int | None
    """Longest context in tokens; None where the model names none."""


def open_model(path: Path, device: Device, precision: Precision) -> LoadedModel:
    """Load a Hugging Face folder, a checkpoint or the newest checkpoint of a run folder.

    Args:
        device: auto takes a GPU if there is one.
        precision: auto computes in bf16 on a GPU and in fp32 on a CPU.

    Raises:
        UserError: there is no model at `path`, or not all of it could be loaded.
    """
    folder = huggingface_folder(path)
    place = torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device: there is no GPU that torch can use; take device=cpu")
    half = precision == "bf16" or (precision == "auto" and place.type == "cuda")
    tokenizer = load_as_trained(folder)
    model, wrong = load_model(folder, torch.bfloat16 if half else torch.float32)
    # A surplus tensor (an old buffer) does no harm to a model of somebody else.
    if lost := [name for kind, names in wrong.items() if kind != "unexpected_keys" for name in names]:
        raise UserError(f"{folder}: weights are missing or misshapen: {', '.join(lost)}; copy the folder again")
    return LoadedModel(
        model=model.to(place),
        tokenizer=tokenizer,
        folder=folder,
        device=place,
        start_id=_start_id(folder, tokenizer),
        end_ids=_end_ids(model, tokenizer),
        context=getattr(model.config, "max_position_embeddings", None),
    )


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text alone: no begin, no end, and characters that spell a control token stay characters."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return ids


def model_hashes(folder: Path) -> dict[str, str]:
    """{file: SHA-256} of what decides the texts of a Hugging Face folder: weights, configuration, tokenizer."""
    files = {path for pattern in _DECIDING for path in folder.glob(pattern)}
    return {path.name: sha256_of(path) for path in sorted(files)}


def huggingface_folder(path: Path) -> Path:
    """`path` itself if it is a Hugging Face folder; otherwise the export of the checkpoint that it names.

    That export holds the trained fp32 weights and stays beside the checkpoints, in `exported/`, until somebody deletes
    it. It is written anew when the checkpoint under the same name is another one.
    """
    path = path.expanduser()
    if (path / CONFIG_FILE).is_file():
        return path
    if not path.exists():
        raise UserError(f"{path}: no such folder; name a Hugging Face folder, a run folder or a checkpoint")
    refuse_adapter(path)
    checkpoint = resolve(path).absolute()
    inside_run = checkpoint.parent.name == "checkpoints"
    target = (checkpoint.parents[1] if inside_run else checkpoint.parent) / "exported" / checkpoint.name
    known = read_json(target / PROOF_FILE) if (target / PROOF_FILE).is_file() else None
    if (
        known is not None
        and known["origin"]["manifest_sha256"] == sha256_of(checkpoint / MANIFEST)
        and known["versions"]["jp-llm"] == jp_llm.__version__
    ):
        return target
    print(f"{checkpoint}: exporting to {target}, once", file=sys.stderr)
    config = ExportConfig(checkpoint=str(checkpoint), output_dir=str(target), dtype="fp32", overwrite=True)
    export_checkpoint(checkpoint, target, config)
    return target


def _start_id(folder: Path, tokenizer: Any) -> int:
    """What training would begin documents with: config.json too may name the bos token."""
    if tokenizer.bos_token_id is not None:
        return int(tokenizer.bos_token_id)
    try:
        known = describe(folder)
    except UserError as error:
        # Without a tokenizer.json that we can read, what transformers knows counts.
        if tokenizer.eos_token_id is None:
            raise UserError(*error.problems) from None
        return int(tokenizer.eos_token_id)
    start = known.eos_id if known.bos_id is None else known.bos_id
    assert start is not None  # `describe` refuses a tokenizer without both
    return start


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    if configured is None:
        configured = tokenizer.eos_token_id
    return frozenset(configured) if isinstance(configured, list) else frozenset({configured} - {None})
