"""Lists of steps under a name: `steps: [{preset: swallow}]` stands for the steps in `swallow.yaml` of this folder.

A preset may contain other presets. A name that ends with .yaml is a file of the user's own.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from jp_llm.runtime import plugin

_FOLDER = Path(__file__).parent
_MAX_DEPTH = 8


def names() -> list[str]:
    """Presets that come with jp-llm."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def expanded(steps: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """`steps` with every `{preset: name}` replaced by the steps of that preset.

    Raises:
        ValueError: an unknown or damaged preset, other keys beside `preset`, or presets that contain each other.
    """
    for step in steps:
        if not isinstance(step, dict) or "preset" not in step:
            yield step
            continue
        if len(step) > 1:
            others = ", ".join(key for key in step if key != "preset")
            raise ValueError(f"preset {step['preset']}: takes no other keys ({others}); copy its steps to change them")
        if depth == _MAX_DEPTH:
            raise ValueError(f"preset {step['preset']}: presets contain each other")
        yield from expanded(_load(str(step["preset"])), depth + 1)


def _load(name: str) -> list[Any]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    if not path.is_file():
        hint = "" if path.suffix and "/" in name else plugin.nearest(name, names())
        raise ValueError(f"preset {name}: no such preset{hint}")
    try:
        steps = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"preset {name}: {path} is no YAML ({error})") from error
    if not isinstance(steps, list):
        raise ValueError(f"preset {name}: {path} must be a list of steps")
    return steps
