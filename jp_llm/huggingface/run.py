"""`launch/import_hf.py`: Hugging Face folder in, verified checkpoint out."""

import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from jp_llm.arch.huggingface import UnsupportedModel, read_config
from jp_llm.checkpoint.format import MANIFEST
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.checkpoint.writer import Contents, write_weights
from jp_llm.huggingface.config import ImportConfig
from jp_llm.huggingface.files import config_of
from jp_llm.huggingface.open import is_huggingface, tokenizer_of
from jp_llm.huggingface.origin import origin_of, stated_license
from jp_llm.huggingface.parity import POSITIONS, compare_logits, random_batches
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.huggingface.reload import quiet_transformers
from jp_llm.model.source import load_native
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.new_folder import new_folder
from jp_llm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Verification:
    """What was compared between the checkpoint and the Hugging Face folder."""

    level: str
    tensors: int
    """Canonical parameters of which every number was compared."""
    max_logit: float = 0.0
    """Largest |logit|, computed in fp32 by transformers and by us."""
    max_difference: float = 0.0
    """Largest |difference| between the two."""


def run(config: ImportConfig) -> None:
    """Import as configured; print what the model is, what of it has no effect here, and what was compared."""
    target = Path(config.output_dir).expanduser().absolute()
    folder = Path(config.model).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: exists; choose another output_dir, or delete it")
    if not is_huggingface(folder) and ((folder / MANIFEST).is_file() or CheckpointStore(folder).folder.is_dir()):
        raise UserError(f"{folder}: is a checkpoint of jp-llm already; it can be trained on as it is")
    reader = HuggingFaceReader(folder)
    _check_effective(folder)
    with tempfile.TemporaryDirectory() as work:
        tokenizer = tokenizer_of(folder, Path(work) / "tokenizer", lower_case=config.lower_case)
        _check_vocabulary(reader, tokenizer)
        origin = origin_of(reader, name=config.name, license=config.license or stated_license(folder))
        _describe(reader, tokenizer, origin)
        with new_folder(target) as temporary:
            checkpoint = CheckpointStore(temporary).path(0)
            write_weights(
                checkpoint,
                {name: reader.shape(name) for name in reader.names},
                reader.read,
                Contents(
                    state={"step": 0, "consumed_samples": 0, "consumed_tokens": 0}
                    | {"applied_updates": 0, "skipped_updates": 0},
                    seed=0,
                    layout={"world_size": 1},
                    config={"model": reader.model.model_dump(mode="json")},
                    parameters={name: reader.shape(name) for name in reader.names},
                    tokenizer_folder=tokenizer.folder,
                    tokenizer_fingerprint=tokenizer.fingerprint,
                    data_fingerprint="",
                    origin=origin,
                ),
            )
            CheckpointStore(temporary).point(0)
            found = verify(checkpoint, reader, config.verify, vocabulary=tokenizer.vocab_size)
    print(f"{target}: {found.tensors} parameters, every number equal")
    if found.level == "full":
        print(f"logits equal: max |difference| {found.max_difference:.2e}, max |logit| {found.max_logit:.2f}")


def verify(checkpoint: Path, reader: HuggingFaceReader, level: str, *, vocabulary: int) -> Verification:
    """Read the checkpoint back and compare it with the Hugging Face folder; `level` as in `ImportConfig`.

    Args:
        vocabulary: ids below it are drawn to compare logits.

    Raises:
        UserError: they differ; the message says in what.
    """
    written = CheckpointReader(checkpoint)
    for name in reader.names:
        if not torch.equal(written.read(name), reader.read(name)):
            raise UserError(f"{checkpoint}: {name} is not what was read; check the disk and import again")
    if level == "structure":
        return Verification(level, len(written.names))
    batches = random_batches(vocabulary, reader.model.max_position_embeddings)
    with torch.inference_mode():
        decoder = load_native(written, reader.model)
        ours = [decoder.logits(decoder(tokens_BT)[:, -POSITIONS:]) for tokens_BT in batches]
        del decoder  # one of the two models in memory at a time
        try:
            largest, difference = compare_logits(reader.folder, batches, ours, surplus=True)
        except UserError as error:
            raise UserError(
                *(f"{reader.folder}: is not what transformers computes: {problem}" for problem in error.problems)
            ) from None
    return Verification(level, len(written.names), largest, difference)


def _check_effective(folder: Path) -> None:
    """We read config.json as transformers does: both ways give the same model.

    Raises:
        UserError: they do not, or transformers cannot read it.
    """
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            effective = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).to_dict()
        ours, theirs = read_config(config_of(folder)).fields, read_config(effective).fields
    except UnsupportedModel as error:
        raise UserError(*(f"{folder}: by transformers' reading, {problem}" for problem in error.problems)) from None
    # The checks of transformers have errors of their own.
    except Exception as error:
        raise UserError(f"{folder}: transformers cannot read config.json: {error}") from error
    if wrong := [key for key in ours if ours[key] != theirs[key]]:
        raise UserError(
            *(
                f"{folder}: {key} is {ours[key]!r} by our reading of config.json, {theirs[key]!r} by transformers'; "
                "please report this"
                for key in wrong
            )
        )


def _check_vocabulary(reader: HuggingFaceReader, tokenizer: Tokenizer) -> None:
    rows = reader.model.vocab_size or 0
    if tokenizer.vocab_size > rows:
        raise UserError(
            f"{reader.folder}: the tokenizer has {tokenizer.vocab_size} ids, the embedding {rows} rows; "
            "the two are not of the same model"
        )


def _describe(reader: HuggingFaceReader, tokenizer: Tokenizer, origin: dict[str, Any]) -> None:
    model = reader.model
    parameters = sum(prod(reader.shape(name)) for name in reader.names)
    parameters -= (model.padded_vocab_size - (model.vocab_size or 0)) * model.hidden_size * (1 if model.tied else 2)
    print(f"{reader.folder}: {origin['class']}, {parameters:,} parameters in {', '.join(reader.dtypes)}")
    print(f"licence: {origin['license'] or 'not stated; ask whoever published it'}")
    for name, sha256 in origin["files_sha256"].items():
        print(f"sha256 {sha256}  {name}")
    for key, value in model.model_dump(mode="json").items():
        print(f"model.{key}: {value}")
    print(f"tokenizer: {tokenizer.vocab_size} ids; the embedding has {model.vocab_size} rows")
    if tokenizer.decode(tokenizer.encode("ABC")).strip() == "abc":
        print("tokenizer: text is put into lower case")
    for note in reader.notes:
        print(f"note: {note}")
