"""The Hydra seam: a door names an entry file, a schema and a function; the command line does the rest.

Hydra composes the files and parses overrides. Its own answer to a misspelt key is the advice to append it, so plain
overrides are passed in its force form and our schema judges every key; see `jp_llm.config.build`.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jp_llm.config.build import Schema, build, fields
from jp_llm.config.section import Section
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.plugin import nearest

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "configs"

_LAUNCHER_FLAG = re.compile(r"--local[_-]rank(=\d+)?$")
_OVERRIDE = re.compile(r"(?P<sign>\+\+?|~)?(?P<key>[\w./@-]+)(?:=(?P<value>.*))?$", re.DOTALL)


def run(entry: str, schema: type[Schema], function: Callable[[Schema], None], argv: Sequence[str] | None = None) -> int:
    """Compose `configs/<entry>.yaml` with the command line, validate it, call `function`, return the exit code."""
    words = [word for word in (sys.argv[1:] if argv is None else argv) if not _LAUNCHER_FLAG.match(word)]
    if any(word in ("-h", "--help") for word in words):
        print(help_text(entry, schema))
        return ExitCode.DONE
    try:
        function(build(schema, composed(entry, words)))
    except UserError as error:
        rank = os.environ.get("RANK", "0")
        if rank == "0" or error.code != ExitCode.CONFIG_REFUSED:
            where = "" if rank == "0" else f"process {rank}: "
            for problem in error.problems:
                print(f"{where}error: {problem}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return ExitCode.DONE


def composed(entry: str, overrides: Sequence[str], folder: Path = CONFIG_FOLDER) -> dict[str, Any]:
    """The nested dict that Hydra makes of `<entry>.yaml` and the overrides, interpolations resolved.

    Raises:
        UserError: an override that cannot be read, or a choice that does not exist in its group; all of them.
    """
    groups = _groups_of(folder, entry)
    parser = OverridesParser.create()
    prepared, problems = [], []
    for override in overrides:
        match = _OVERRIDE.match(override)
        if match is None or (match["value"] is None and match["sign"] != "~"):
            problems.append(f"{override!r} is not an override; write key=value (--help lists the keys)")
        elif (folder / match["key"]).is_dir() and match["sign"] is None:
            choices = sorted(file.stem for file in (folder / match["key"]).glob("*.yaml"))
            if match["key"] not in groups:
                problems.append(f"{match['key']}: {entry} has no such group{nearest(match['key'], sorted(groups))}")
            elif match["value"] not in [*choices, "null"]:
                problems.append(f"{match['key']}: no choice {match['value']!r}{nearest(match['value'] or '', choices)}")
            else:
                prepared.append(override)
        else:
            forced = override if match["sign"] else f"++{override}"
            try:
                parser.parse_override(forced)
                prepared.append(forced)
            except HydraException:
                problems.append(f"{override}: brackets, braces, commas and quotes in a value need \"key='value'\"")
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            tree = OmegaConf.to_container(compose(entry, prepared), resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        problems.append(_first_line(error))
    if problems:
        raise config_error(problems)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def help_text(entry: str, schema: type[Section]) -> str:
    """Groups with their choices, and every key with its default and meaning."""
    groups = sorted(_groups_of(CONFIG_FOLDER, entry))
    lines = [f"usage: {sys.argv[0]} {'[group=choice ...] ' if groups else ''}[key=value ...]"]
    for group in groups:
        choices = sorted(file.stem for file in (CONFIG_FOLDER / group).glob("*.yaml"))
        lines.append(f"  {group}={'|'.join(choices)}")
    lines += ["", "keys:"]
    for key, default, meaning in fields(schema):
        lines.append(f"  {key}={default!r}\n      {meaning}")
    return "\n".join(lines)


def _groups_of(folder: Path, entry: str) -> set[str]:
    """Groups in the defaults list of an entry file."""
    tree = yaml.safe_load((folder / f"{entry}.yaml").read_text(encoding="utf-8")) or {}
    found = set()
    for item in tree.get("defaults", []):
        if isinstance(item, dict):
            found |= {key.removeprefix("optional ").removeprefix("override ").lstrip("/") for key in item}
    return found


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
