"""What a run begins with that does not begin with random weights: where it lies, its hashes, its tokenizer.

Loads no torch, except for the files of a Hugging Face folder.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jp_llm.arch.huggingface import CONFIG_FILE
from jp_llm.checkpoint.format import MANIFEST, damage, read_manifest
from jp_llm.checkpoint.store import CheckpointStore, resolve
from jp_llm.config.model import ModelConfig
from jp_llm.config.run import RunConfig
from jp_llm.huggingface.files import weight_files
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, read_json_lines, sha256_of
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.tokenizer.tokenizer import Tokenizer

_PROOF_FILE = "proof.json"
"""Hashes of the files of a Hugging Face folder that jp-llm exported."""


@dataclass(frozen=True)
class Origin:
    """A Hugging Face folder or a step_N folder."""

    path: Path

    @classmethod
    def find(cls, path: Path) -> "Origin":
        """What a person means: one of these folders, or the newest good checkpoint of a run folder.

        Raises:
            UserError: it is none of them, or no checkpoint is whole.
        """
        path = path.expanduser()
        return cls(path if (path / CONFIG_FILE).is_file() else resolve(path))

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is one of ours."""
        return (self.path / MANIFEST).is_file()

    def hashes(self, part: int = 0, parts: int = 1) -> dict[str, str]:
        """SHA-256 of the files that decide the weights: of the manifest, which holds those of all others, or of the
        configuration and the weights of a Hugging Face folder.

        Args:
            part, parts: only every parts-th file is read, beginning with `part`.

        Raises:
            UserError: a file of weights is missing.
        """
        names = [MANIFEST]
        if not self.is_checkpoint:
            names = [CONFIG_FILE, *(file.name for file in weight_files(self.path))]
        return {name: sha256_of(self.path / name) for name in names[part::parts]}

    def damage(self, hashes: dict[str, str], part: int = 0, parts: int = 1) -> list[str]:
        """What differs from the files as they were written, as far as it was written down.

        Args:
            hashes: those of all files.
            part, parts: as in `hashes`.
        """
        if self.is_checkpoint:
            return damage(self.path, read_manifest(self.path), part=part, parts=parts)
        proof = self.path / _PROOF_FILE
        if not proof.is_file():
            return []
        try:
            known = read_json(proof)["files_sha256"]
            wanted = {name: known[name] for name in known if name == CONFIG_FILE or name.endswith(".safetensors")}
        except (ValueError, TypeError, KeyError):
            return [f"{proof}: damaged; copy the folder again"]
        return [
            f"{self.path / name}: {'missing' if name not in hashes else 'sha256 differs from ' + _PROOF_FILE}"
            for name, value in wanted.items()
            if hashes.get(name) != value
        ]

    def tokenizer_fingerprint(self) -> str:
        """Of the tokenizer that the model was trained with.

        Raises:
            UserError: there is none, or it is damaged or of a kind that jp-llm cannot use.
        """
        if self.is_checkpoint:
            return read_manifest(self.path).tokenizer_fingerprint
        from jp_llm.huggingface.open import tokenizer_of

        with tempfile.TemporaryDirectory() as work:
            return tokenizer_of(self.path, Path(work)).fingerprint

    def problems(self, model: ModelConfig) -> list[str]:
        """What is wrong with its files, as far as their names, sizes and headers tell, as weights of `model`."""
        if self.is_checkpoint:
            return damage(self.path, read_manifest(self.path), hashes=False)
        # Imported late: it loads torch.
        from jp_llm.huggingface.reader import HuggingFaceReader

        try:
            found = HuggingFaceReader(self.path).model
        except UserError as error:
            return list(error.problems)
        if found.tied == model.tied:
            return []
        return [
            f"{self.path}: its head is a tensor of its own that differs from the embedding, though {CONFIG_FILE} does "
            f"not say so; write tie_word_embeddings false into {CONFIG_FILE}, or begin with an imported copy "
            "(launch/import_hf.py)"
        ]


def pretrained_problems(config: RunConfig, tokenizer: Tokenizer) -> list[str]:
    """Why a run cannot begin with `init_from`, or why that is not what it began with; nothing where it is gone, and the
    run has a checkpoint of its own.

    Args:
        tokenizer: of the dataset.
    """
    assert config.init_from
    path, has_checkpoint = Path(config.init_from).expanduser(), bool(_steps(config))
    try:
        if has_checkpoint:
            return _exchanged(config, path)
        origin = Origin.find(path)
        if problems := origin.problems(config.model):
            return [f"init_from: {problem}" for problem in problems]
        fingerprint = origin.tokenizer_fingerprint()
    except UserError as error:
        return [] if has_checkpoint else [f"init_from: {problem}" for problem in error.problems]
    if fingerprint != tokenizer.fingerprint:
        return [
            f"data.path: {config.data.path} was encoded with tokenizer {tokenizer.fingerprint[:12]}, but the model of "
            f"init_from={path} has {fingerprint[:12]}, so every word would be read as another one; encode the text "
            f"with the model's own: {_how_to_encode(path)} output_dir=<a new folder>, and name that folder as data.path"
        ]
    if (config.model.vocab_size or tokenizer.vocab_size) < tokenizer.vocab_size:
        return [
            f"init_from: the model in {path} has {config.model.vocab_size} token ids, its tokenizer "
            f"{tokenizer.vocab_size}; model and tokenizer do not belong together"
        ]
    return []


def _how_to_encode(path: Path) -> str:
    # Imported late: with what it needs to read tokenizers.
    from jp_llm.huggingface.tokenizer import needs_conversion

    command = "python launch/preprocess.py corpus=... tokenizer.path="
    if not needs_conversion(path):
        return f"{command}{path}"
    imported = "<imported folder>"
    return (
        f"python launch/import_hf.py model={path} output_dir={imported}, which makes its tokenizer.json, then "
        f"{command}{imported}"
    )


def begun_with(folder: RunFolder) -> dict[str, Any] | None:
    """The last event `init` of a run; None if there is none."""
    if not folder.events.is_file():
        return None
    found = [event for event in read_json_lines(folder.events) if isinstance(event, dict)]
    return next((event for event in reversed(found) if event.get("event") == "init"), None)


def _steps(config: RunConfig) -> list[int]:
    try:
        return CheckpointStore(Path(config.run_dir)).steps()
    except UserError:
        return []  # said elsewhere


def _exchanged(config: RunConfig, path: Path) -> list[str]:
    """Whether another model is named than the one that the run began with. The same place may hold a newer checkpoint
    by now, and another place the same files."""
    run_dir = Path(config.run_dir)
    before = begun_with(RunFolder(run_dir))
    if before is None and not read_manifest(resolve(run_dir)).origin:
        return [
            f"init_from: {run_dir} holds a run that began with random weights, which would be continued instead; "
            "choose another run_dir, or leave out init_from to continue it"
        ]
    if before is None or before.get("init_from") == config.init_from or not path.exists():
        return []
    if Origin.find(path).hashes() == before.get("sha256"):
        return []
    return [
        f"init_from: {path} is not the model that {config.run_dir} began with ({before.get('source')}); choose another "
        "run_dir for another run, or name that model to continue this one"
    ]
