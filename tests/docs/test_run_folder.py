"""docs/run-folder.md promises names and fields: all that the source writes stand there, and nothing else."""

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

from jp_llm.guard.interventions import Intervention
from jp_llm.supervise.policy import Ending
from jp_llm.watch.heartbeat import Beat
from jp_llm.watch.verdict import PHASES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")


@cache
def sources() -> dict[str, ast.Module]:
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "jp_llm").rglob("*.py"))
    }


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {title}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Cells of a table, its heading left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(text: str) -> set[str]:
    """What stands between backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


DOCUMENTED = {name: words(row[1]) for row in rows("events.jsonl") for name in words(row[0])}


WRITERS = {"_event", "write_event"}
"""Functions whose last positional argument is an event, besides `Events.write`."""


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def constants(node: ast.expr) -> list[str]:
    """The values of an expression of which all possible values are written down."""
    if isinstance(node, ast.IfExp):
        return [*constants(node.body), *constants(node.orelse)]
    assert isinstance(node, ast.Constant), f"line {node.lineno}: what this event is called cannot be told from here"
    return [str(node.value)]


@cache
def written() -> dict[str, set[str | None]]:
    """Every event of the source, with the fields that stand at the call; None among them means that there are more."""
    found: dict[str, set[str | None]] = {}
    for node in (node for tree in sources().values() for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = node.func
        holder = name_of(function.value) if isinstance(function, ast.Attribute) else ""
        of_events = name_of(function) == "write" and holder.lower().lstrip("_") == "events"
        if of_events or name_of(function) in WRITERS:
            for event in constants(node.args[-1]):
                found.setdefault(event, set()).update(keyword.arg for keyword in node.keywords)
    return found


def keys_of(path: str, function: str) -> set[str]:
    """Keys of the first dictionary that is written down in a function."""
    body = next(n for n in ast.walk(sources()[path]) if isinstance(n, ast.FunctionDef) and n.name == function)
    literal = next(node for node in ast.walk(body) if isinstance(node, ast.Dict))
    return {key.value for key in literal.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def elsewhere() -> dict[str, set[str]]:
    """Fields that are handed on with ** are named elsewhere."""
    levels = {f"{what}_{level}" for what in ("loss", "grad_norm") for level in ("median", "sigma")}
    return {
        "attempt_end": {field.name for field in fields(Ending)},
        "rewind": Intervention.model_fields.keys() - {"time"},
        "skip": keys_of("jp_llm/train/loop.py", "_skip_event") | levels,
        "degenerate": keys_of("jp_llm/train/degenerate.py", "look") - {"kind"},
    }


def test_every_event_is_documented_and_nothing_else() -> None:
    assert written().keys() == DOCUMENTED.keys()
    assert len(DOCUMENTED) > 20


def test_every_field_of_an_event_is_documented_and_nothing_else() -> None:
    more = elsewhere()
    for event, found in written().items():
        assert (None in found) == (event in more), f"{event}: say in elsewhere() where its fields come from"
        assert found - {None} | more.get(event, set()) == DOCUMENTED[event], event


def test_nobody_else_writes_lines() -> None:
    names = {
        function.name
        for tree in sources().values()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Name) and node.id == "append_json_line" for node in ast.walk(function))
    }
    # Events.write, and log of the logger that writes metrics and samples
    assert names - {"write", "log"} <= WRITERS


def test_heartbeats() -> None:
    table = rows("heartbeats/rank_N.json")
    assert {name for row in table for name in words(row[0])} == {field.name for field in fields(Beat)}
    assert words(next(row[1] for row in table if row[0] == "`phase`")) == {"start", *PHASES}


def test_status() -> None:
    documented = {name for row in rows("status.json") for name in words(row[0])}
    assert documented == keys_of("jp_llm/train/status.py", "_write")
    assert documented == keys_of("jp_llm/watch/watcher.py", "_write_status")


def test_kinds_of_metrics() -> None:
    kinds = set()
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if path.startswith("jp_llm/train/") and isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "kind" and isinstance(value, ast.Constant):
                        kinds.add(value.value)
    row = next(row for row in rows("Files") if row[0] == "`metrics.jsonl`")
    assert kinds - {"sample"} == words(row[2])
