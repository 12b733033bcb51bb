"""JSON Lines files of a run, one line at a time: a long run has a million of them, and a run that died half a line."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.files import read_json

_LARGEST = 1e100
"""Nothing that is measured is larger, and sums and ratios of smaller numbers are finite; 1 over it counts as 0."""


def json_objects(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; what could not be read is said in `notes`."""
    unreadable, cut = 0, False
    try:
        with path.open("rb") as file:
            for line in file:
                found = _parsed(line)
                if found is not None:
                    yield found
                elif line.strip():
                    unreadable, cut = unreadable + 1, not line.endswith(b"\n")
    except FileNotFoundError:
        notes.append(f"{path.name} is missing.")
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {error.strerror}.")
    if unreadable:
        end = "; the file ends in the middle of a line" if cut else ""
        notes.append(f"{path.name}: {unreadable:,} line{'s' * (unreadable > 1)} could not be read{end}.")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except ValueError:
        try:
            # Reads NaN too, which is no JSON.
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def json_object(path: Path, notes: list[str], *, expected: bool = True) -> dict[str, Any]:
    """The object in a JSON file, {} if there is none; why not is said in `notes`."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        if expected:
            notes.append(f"{path.name} is missing.")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{path.name} cannot be read: {error}.")
        return {}
    if not isinstance(found, dict):
        notes.append(f"{path.name} holds no object.")
        return {}
    return found


def number(value: Any) -> float:
    """A number that can be reckoned with, or NaN for everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value) if abs(value) >= 1 / _LARGEST else 0.0
    return math.nan


def mapping(value: Any) -> dict[str, Any]:
    """A mapping, or {} for everything else."""
    return value if isinstance(value, dict) else {}
