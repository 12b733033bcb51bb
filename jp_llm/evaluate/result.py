"""What a measurement leaves: a table on the console, a JSON file with hashes, a block in the model card."""

import json
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jp_llm
from jp_llm.evaluate.config import ModelSection
from jp_llm.export.folder import CONFIG_FILE
from jp_llm.export.inference import LoadedModel, model_hashes
from jp_llm.export.model_card import escape, fenced
from jp_llm.export.run import CARD_FILE, PROOF_FILE
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, read_json, write_json


def publish(config: ModelSection, title: str, result: dict[str, Any], table: str) -> None:
    """Print the table, write `output`, renew the block `title` of the model card if the model has one.

    Only a Hugging Face folder that was named as such has a card: what lies in a run folder is an export made on the
    way.

    Raises:
        UserError: the card cannot be written; the table and the file are there nevertheless.
    """
    print(table)
    if config.output is not None:
        write_json(Path(config.output), result)
    card = Path(config.model).expanduser() / CARD_FILE
    if not config.model_card or not card.is_file() or not (card.parent / CONFIG_FILE).is_file():
        return
    try:
        text = with_block(card.read_text(encoding="utf-8"), title, table, result)
        with atomic_writer(card) as file:
            file.write(text.encode())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{card}: the results cannot be added ({error}); set model_card=false to leave it") from error


def with_block(card: str, title: str, table: str, result: dict[str, Any]) -> str:
    """A model card with the results of one kind of measurement, between `<!-- evaluation: title -->` marks, in place
    of those of the last time; everything else is left as it is."""
    begin, end = f"<!-- evaluation: {title} -->", f"<!-- /evaluation: {title} -->"
    # No text inside can end the block, or begin another: `<` is written as JSON may write it.
    record = json.dumps(result, ensure_ascii=False, indent=2).replace("<", "\\u003c")
    block = (
        f"{begin}\n## Evaluation: {escape(title)}\n\n{table}\n\n"
        f"<details><summary>Settings, hashes and counts</summary>\n\n{fenced('json', record)}\n\n</details>\n{end}"
    )
    # From the last begin before an end: where somebody deleted an end, the text behind it stays.
    whole = f"{re.escape(begin)}(?:(?!{re.escape(begin)}).)*?{re.escape(end)}"
    renewed, count = re.subn(whole, lambda _: block, card, count=1, flags=re.DOTALL)
    return renewed if count else f"{card.rstrip()}\n\n{block}\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, figures to the right. Cells are escaped."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    """With so many digits behind the point; - where there is nothing."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """With one digit behind the point; - where there is nothing."""
    return "-" if value is None else f"{100 * value:.1f} %"


def common(config: ModelSection, loaded: LoadedModel) -> dict[str, Any]:
    """What stands in every result file: the format, the model by hash, versions."""
    return {
        "format": 1,
        "model": model_identity(config.model, loaded),
        "versions": {"jp-llm": jp_llm.__version__, "torch": version("torch"), "transformers": version("transformers")},
    }


def model_identity(name: str, loaded: LoadedModel) -> dict[str, Any]:
    """Hashes of the files that were read, and what they were exported from, if that is recorded."""
    identity: dict[str, Any] = {
        "name": name,
        "folder": str(loaded.folder),
        "files_sha256": model_hashes(loaded.folder),
    }
    proof = loaded.folder / PROOF_FILE
    if proof.is_file():
        identity["origin"] = read_json(proof)["origin"]
    return identity


def dtype_of(loaded: LoadedModel) -> str:
    """Data type of the weights, as torch names it."""
    return str(loaded.model.dtype).removeprefix("torch.")


def _cell(text: str) -> str:
    """Names of sources come from files: they may not open markup, nor end the cell. Figures stay readable."""
    return text if re.fullmatch(r"[\w ,.%±()–-]*", text) else escape(text)
