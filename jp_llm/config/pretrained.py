"""The model section of a run that begins with the weights of another model. Loads no torch.

It is read from what lies beside the weights: `config.json` of a Hugging Face folder, or `manifest.json` of one of our
checkpoints.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jp_llm.arch.huggingface import CONFIG_FILE, UnsupportedModel, model_fields
from jp_llm.config.model import ModelConfig
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.files import read_json_object
from jp_llm.runtime.run_folder import RunFolder

MANIFEST_FILE = "manifest.json"
"""What every checkpoint of ours holds."""

_COPY = "copy the folder again"
_FREE = {"size", "document_mask", "initializer_range"}
"""Keys that say nothing about the weights."""
_MEANING = {
    "num_key_value_heads": "key_value_heads",
    "intermediate_size": "mlp_size",
    "tie_word_embeddings": "tied",
    "partial_rotary_factor": "rotary_dim",
}
"""Keys whose null stands for a value, and the property that tells it."""


def completed_model(given: Any, source: Path) -> tuple[Any, list[str]]:
    """The model section of a run that begins with the model at `source`, and which keys of `given` contradict it.

    Args:
        given: the model section as far as a person wrote it; null stands for what the model has.

    Raises:
        UserError: the files of the model are damaged.
    """
    if not isinstance(given, dict):
        return given, []
    try:
        fields = pretrained_fields(source)
    except UserError as error:
        if error.code != ExitCode.CONFIG_REFUSED:
            raise
        return given, list(error.problems)
    wanted = {key: value for key, value in given.items() if value is not None}
    wrong = [key for key, value in wanted.items() if _contradicts(key, value, fields)]
    # Whether documents were kept apart is a choice of that run, and not in config.json: both must give the same here.
    taken = {key: value for key, value in fields.items() if key != "document_mask"}
    # What is no key of a model is judged with all other keys.
    model = taken | {key: value for key, value in wanted.items() if key not in wrong}
    problems = [
        f"model.{key}: {wanted[key]!r}, but the model in {source} has {_meaning(key, fields)!r}; {_remedy(key)}"
        for key in wrong
    ]
    return model, problems


def pretrained_fields(path: Path) -> dict[str, Any]:
    """Every field of the model section of a Hugging Face folder, a step_N folder or a run folder.

    Raises:
        UserError: nothing of the kind is there, or it is a model that jp-llm does not have (exit code 2); or its files
            are damaged (exit code 3).
    """
    fields: Any
    if (path / CONFIG_FILE).is_file():
        values = read_json_object(path / CONFIG_FILE, _COPY)
        try:
            fields = model_fields(values)
        except UnsupportedModel as error:
            raise config_error([f"init_from: {path / CONFIG_FILE}: {problem}" for problem in error.problems]) from None
    else:
        folder = path if (path / MANIFEST_FILE).is_file() else newest_checkpoint(path)
        if folder is None:
            raise config_error([_nothing(path)])
        values = read_json_object(folder / MANIFEST_FILE, _COPY)
        config = values.get("config")
        fields = config.get("model") if isinstance(config, dict) else None
        if not isinstance(fields, dict):
            raise UserError(f"{folder / MANIFEST_FILE}: not the manifest of a jp-llm checkpoint; name another folder")
    try:
        return ModelConfig.model_validate(fields).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: its model section is of another version ({where}: {first['msg']})") from None


def newest_checkpoint(run_dir: Path) -> Path | None:
    """The newest checkpoint of a run folder whose manifest can be read; None if there is none.

    A damaged one is passed over: the run sets it aside, and the one before it holds the same model.
    """
    return next((folder for folder in RunFolder(run_dir).checkpoints if _is_readable(folder / MANIFEST_FILE)), None)


def _is_readable(path: Path) -> bool:
    try:
        read_json_object(path, _COPY)
    except (UserError, FileNotFoundError):
        return False
    return True


def _contradicts(key: str, value: Any, fields: dict[str, Any]) -> bool:
    if key in _FREE or key not in fields:
        return False
    try:
        return bool(_meaning(key, fields | {key: value}) != _meaning(key, fields))
    except (ValidationError, ArithmeticError):
        return True


def _meaning(key: str, fields: dict[str, Any]) -> Any:
    """The value of a key after defaults."""
    return getattr(ModelConfig.model_validate(fields), _MEANING[key]) if key in _MEANING else fields[key]


def _remedy(key: str) -> str:
    if key == "max_position_embeddings":
        return "leave it out; train.seq_length makes the sequences shorter"
    if key == "vocab_size":
        return "leave it out"
    return "leave it out (run=finetune leaves out model/size and model/arch, too)"


def _nothing(path: Path) -> str:
    kinds = "a Hugging Face folder (config.json), a step_N folder (manifest.json) or a run folder with checkpoints"
    if not path.exists():
        return f"init_from: {path}: no such folder; name {kinds}"
    if (path / "adapter_config.json").is_file():
        return f"init_from: {path}: holds a LoRA adapter only; merge it first (docs/finetuning.md) and name that folder"
    if RunFolder(path).checkpoints:
        return f"init_from: {path}: the manifest of none of its checkpoints can be read; copy the folder again"
    return f"init_from: {path}: is not {kinds}"
