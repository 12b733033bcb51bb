"""A stage as JSON, for processes that share only a folder. Only classes and functions of preprocessing are named in it.

The configuration of the corpus is not repeated with every task: each process has it.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import orjson

from jp_llm.config.section import Section
from preprocessing.config import CorpusConfig
from preprocessing.executor import Function, Stage, Task

_KIND = "@"
_FUNCTIONS = ("function", "if_stuck")


def stage_to_json(stage: Stage) -> bytes:
    """A stage, its tasks and their arguments.

    Raises:
        TypeError: an argument is no JSON value, tuple, path, dataclass or section.
    """
    tasks = [{**vars(task), "arguments": [_encoded(value) for value in task.arguments]} for task in stage.tasks]
    functions = {key: _name_of_function(getattr(stage, key)) for key in _FUNCTIONS}
    values = {**vars(stage), **functions, "tasks": tasks, "marks": str(stage.marks)}
    return orjson.dumps(values)


def stage_from_json(data: bytes, config: CorpusConfig) -> Stage:
    """What `stage_to_json` made, with the configuration of this process."""
    values = orjson.loads(data)
    tasks = [
        Task(
            **task
            | {
                "arguments": tuple(_decoded(value, config) for value in task["arguments"]),
                "removes": tuple(task["removes"]),
            }
        )
        for task in values["tasks"]
    ]
    functions = {key: _named(values[key]) if values[key] else None for key in _FUNCTIONS}
    return Stage(**values | functions | {"tasks": tasks, "marks": Path(values["marks"])})


def _encoded(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case CorpusConfig():
            return {_KIND: "config"}
        case Path():
            return {_KIND: "path", "value": str(value)}
        case tuple():
            return {_KIND: "tuple", "value": [_encoded(item) for item in value]}
        case list():
            return [_encoded(item) for item in value]
        case dict():
            return {_KIND: "dict", "value": {key: _encoded(item) for key, item in value.items()}}
        case Section():
            return {_KIND: "section", "class": _name_of(value), "value": value.model_dump(mode="json")}
    if dataclasses.is_dataclass(value):
        fields = {field.name: _encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {_KIND: "dataclass", "class": _name_of(value), "value": fields}
    raise TypeError(f"a task cannot be sent with {type(value).__name__} among its arguments")


def _decoded(value: Any, config: CorpusConfig) -> Any:
    if isinstance(value, list):
        return [_decoded(item, config) for item in value]
    if not isinstance(value, dict):
        return value
    content: Any = value.get("value")
    match value[_KIND]:
        case "config":
            return config
        case "path":
            return Path(content)
        case "tuple":
            return tuple(_decoded(item, config) for item in content)
        case "dict":
            return {key: _decoded(item, config) for key, item in content.items()}
        case "section":
            return _named(value["class"]).model_validate(content)
        case _:
            return _named(value["class"])(**{key: _decoded(item, config) for key, item in content.items()})


def _name_of_function(function: Function | None) -> str | None:
    return f"{function.__module__}:{function.__qualname__}" if function else None


def _name_of(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if module.partition(".")[0] != "preprocessing" or not attribute.isidentifier():
        raise ValueError(f"{name}: only what preprocessing defines can be sent")
    return getattr(importlib.import_module(module), attribute)
