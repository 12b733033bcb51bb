"""Where prompts come from: the command line and a file."""

import json
from collections.abc import Iterator
from pathlib import Path

from jp_llm.generate.config import GenerateConfig
from jp_llm.runtime.errors import UserError


def read_prompts(config: GenerateConfig) -> list[str]:
    """`prompts`, then those of `prompts_file`; one empty prompt where there are none.

    Raises:
        UserError: the file is absent, not UTF-8, or a line of a .jsonl file has no text "prompt".
    """
    prompts = list(config.prompts)
    if config.prompts_file is not None:
        prompts += _file_prompts(Path(config.prompts_file).expanduser())
        if not prompts:
            raise UserError(f"{config.prompts_file}: holds no prompts; leave prompts_file out to begin a document")
    return prompts or [""]


def _file_prompts(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"prompts_file: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"prompts_file: {path} is not UTF-8 at byte {error.start}; convert it first") from error
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        yield _json_prompt(path, number, line) if path.suffix == ".jsonl" else line


def _json_prompt(path: Path, number: int, line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"prompts_file: {path}, line {number} is not JSON: {error}") from error
    prompt = record.get("prompt") if isinstance(record, dict) else None
    if not isinstance(prompt, str):
        raise UserError(f'prompts_file: {path}, line {number} has no text under "prompt"')
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"prompts_file: {path}, line {number} is no text: {error.reason}") from error
    return prompt
