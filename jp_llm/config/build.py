"""From a nested dict to a validated schema, with every problem at once, each under its dotted path."""

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from jp_llm.config.section import Section
from jp_llm.runtime.errors import config_error

Schema = TypeVar("Schema", bound=Section)


def build(schema: type[Schema], values: dict[str, Any], problems: Sequence[str] = ()) -> Schema:
    """Validate `values`: keys and types first, then the arithmetic between fields.

    `problems` found before are reported together with those found here.

    Raises:
        UserError: exit code 2, one line per problem. What is refused is set aside, to go on looking for other problems.
            Exit code 3 if a file that completes the values is damaged.
    """
    values, missing = schema.completed(values)
    found = [*problems, *missing]
    config = None
    while config is None:
        try:
            config = _parse(schema, values)
        except ValidationError as error:
            found += [_describe(schema, item) for item in error.errors(include_url=False)]
            less = _without(values, [item["loc"] for item in error.errors()])
            if less == values:
                break
            values = less
    if config is not None:
        found += problems_of(config)
    if found or config is None:
        raise config_error(found)
    return config


def problems_of(section: Section, prefix: str = "") -> list[str]:
    """`problems()` of a section and of every section inside it, with dotted paths."""
    found = [f"{prefix}{problem}" for problem in section.problems()]
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            found += problems_of(value, f"{prefix}{name}.")
    return found


def fields(schema: type[Section], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Dotted key, default and documentation of every field."""
    for name, field in schema.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}.")
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            yield f"{prefix}{name}", default, " ".join((field.description or "").split())


def _section_of(annotation: Any) -> type[Section] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _parse(schema: type[Schema], values: dict[str, Any]) -> Schema:
    # JSON mode keeps strict scalars while a YAML list may fill a tuple.
    return schema.model_validate_json(json.dumps(values))


def _without(values: dict[str, Any], locations: list[tuple[int | str, ...]]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(values))
    for location in locations:
        holder: Any = copy
        *path, last = location
        for key in path:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(last, None)
        elif path:
            # Inside a list or a refused value: the whole key goes.
            copy.pop(str(location[0]), None)
    return copy


def _describe(schema: type[Section], item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{path}: {item['msg'][:1].lower()}{item['msg'][1:]}, got {item['input']!r}"
    return f"{path}: no such key{nearest_key(schema, path)}"


def nearest_key(schema: type[Section], path: str) -> str:
    """`; did you mean x?`: the field with the most similar path, or with the same or a similar last word elsewhere."""
    known = [key for key, _, _ in fields(schema)]
    last = path.rsplit(".", 1)[-1]
    by_last = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
    same_parent = [key for key in known if key.rpartition(".")[0] == path.rpartition(".")[0]]
    for candidates in (
        difflib.get_close_matches(path, same_parent, n=1, cutoff=0.75),
        [by_last[word] for word in difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.75)],
        difflib.get_close_matches(path, known, n=1, cutoff=0.5),
    ):
        if candidates:
            return f"; did you mean {candidates[0]}?"
    return "; --help lists every key"
