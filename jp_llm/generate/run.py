"""`launch/generate.py`: prompts in, texts out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jp_llm.export.inference import open_model
from jp_llm.generate.config import GenerateConfig, SamplingConfig
from jp_llm.generate.text import Completion, complete
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer


def run(config: GenerateConfig) -> None:
    """Generate as configured; to the file `output`, or to the console."""
    prompts = read_prompts(config)
    loaded = open_model(Path(config.model), config.device, config.precision)
    completions = complete(loaded, prompts, config, config.batch_size)
    if config.output is None:
        for completion in completions:
            print(f"{completion.prompt}{completion.text}\n{'─' * 40}", flush=True)
        return
    settings = {key: getattr(config, key) for key in SamplingConfig.model_fields}
    count = 0
    with atomic_writer(Path(config.output)) as file:
        for completion in completions:
            file.write((json.dumps(_record(completion, settings), ensure_ascii=False) + "\n").encode())
            count += 1
    print(f"{config.output}: {count} texts of {len(prompts)} prompts")


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
    return prompt


def _record(completion: Completion, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": completion.prompt,
        "text": completion.text,
        "tokens": completion.tokens,
        "number": completion.number,
        "seed": settings["seed"],
        "settings": settings,
    }
