"""What an imported model was: name, licence, hashes. It goes with the weights, so that a model card can say it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jp_llm.arch.registry import form_of
from jp_llm.huggingface.files import config_of
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of

CARD_FILE = "README.md"


def origin_of(
    reader: HuggingFaceReader,
    *,
    name: str | None = None,
    license: str | None = None,
    files_sha256: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """For `jp_llm.checkpoint.format.Manifest.origin`.

    Keys: name, class, license (null if it is not stated), dtypes of the files, config (config.json as it was), ignored
    (what of it has no effect here), files_sha256 of every file directly in the folder.

    Args:
        name: of the model on the hub; None takes the name of the folder.
        license: None where it is not known (see `stated_license`).
        files_sha256: hashes of the files; None hashes every file directly in the folder.
    """
    folder, values = reader.folder, config_of(reader.folder)
    if files_sha256 is None:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        files_sha256 = {path.name: sha256_of(path) for path in files}
    return {
        "name": name or folder.name,
        "class": form_of(reader.model.arch).class_name,
        "license": license,
        "dtypes": list(reader.dtypes),
        "config": values,
        "ignored": list(reader.notes),
        "files_sha256": dict(files_sha256),
    }


def stated_license(folder: Path) -> str | None:
    """What the front matter of a folder's README.md says.

    Raises:
        UserError: it is no YAML.
    """
    stated = card_fields(folder / CARD_FILE).get("license")
    return str(stated) if stated else None


def card_fields(path: Path) -> dict[str, Any]:
    """Front matter of a model card; empty where there is none.

    Raises:
        UserError: it is no YAML.
    """
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        return {}
    end = next(number for number, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    try:
        found = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: its front matter is no YAML ({error}); mend it, or delete the file") from None
    return found if isinstance(found, dict) else {}
