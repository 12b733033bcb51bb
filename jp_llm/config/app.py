"""The Hydra seam: a door names an entry file, a schema and a function; the command line does the rest.

Hydra composes the files that the group choices name. Values are set afterwards, without asking Hydra whether the key
exists (its answer to a misspelt key is the advice to append it): our schema judges every key, see
`jp_llm.config.build`.
"""

import os
import re
import signal
import sys
import time
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
from jp_llm.runtime.env import rank_from
from jp_llm.runtime.errors import ExitCode, UserError, code_of, config_error
from jp_llm.runtime.plugin import nearest
from jp_llm.runtime.words import expanded, refuse_mangled

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "configs"

_LAUNCHER_FLAG = re.compile(r"--local[_-]rank(=\d+)?$")
_KEY = re.compile(r"[\w./-]+")
SECONDS_FOR_PROCESS_0 = 10.0


def run(
    entry: str,
    schema: type[Schema],
    function: Callable[[Schema], ExitCode | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Compose `configs/<entry>.yaml` with the command line, validate it, call `function`, return the exit code.

    `function` returns None for DONE.
    """
    words = [word for word in (sys.argv[1:] if argv is None else argv) if not _LAUNCHER_FLAG.match(word)]
    if any(word in ("-h", "--help") for word in words):
        print(help_text(entry, schema))
        return ExitCode.DONE
    try:
        refuse_mangled(words)
        tree, problems = composed(entry, words)
        return function(build(schema, tree, problems)) or ExitCode.DONE
    except UserError as error:
        _say(error.problems, is_known_to_all=error.code == ExitCode.CONFIG_REFUSED)
        return error.code
    except OSError as error:
        if error.errno is None:
            raise
        _say([f"{error.filename or 'input or output'}: {error.strerror}"])
        return code_of(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _say(problems: Sequence[str], *, is_known_to_all: bool = False) -> None:
    """Once for all processes: a launcher ends them as soon as one has ended, so process 0 speaks first. Where it knows
    of nothing, this process is still there a little later."""
    rank = rank_from(os.environ)
    if rank:
        # What is over needs no saving: whoever listened to signals must not outlive the launcher's.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_FOR_PROCESS_0)
        if is_known_to_all:
            return
    where = f"process {rank}: " if rank else ""
    for problem in problems:
        print(f"{where}error: {problem}", file=sys.stderr)


def composed(entry: str, overrides: Sequence[str], folder: Path = CONFIG_FOLDER) -> tuple[dict[str, Any], list[str]]:
    """The nested dict of `<entry>.yaml`, the chosen group files and then the values, interpolations resolved.

    Returns:
        The dict, and what is wrong with the overrides (or files of them, `@file`); those that are wrong are left out.

    Raises:
        UserError: the files cannot be composed.
    """
    groups = _groups_of(folder, entry)
    choices, values, problems = [], {}, []
    for override in expanded(overrides):
        key, equals, text = override.partition("=")
        if not equals or not _KEY.fullmatch(key):
            problems.append(f"{override!r} is not an override; write key=value (--help lists the keys)")
        elif key in groups:
            known = [*_choices(folder, key), "null"]
            if text in known:
                choices.append(override)
            else:
                problems.append(f"{key}: no choice {text!r}{nearest(text, known)}")
        elif "/" in key:
            problems.append(f"{key}: {entry} has no such group{nearest(key, sorted(groups))}")
        else:
            try:
                values[key] = _value(text)
            except yaml.YAMLError:
                problems.append(f"{override}: brackets, braces and quotes must close")
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            tree = compose(entry, choices)
        OmegaConf.set_struct(tree, False)
        for key, value in values.items():
            # Merging keeps what a group file says about the other keys of a section.
            is_section = isinstance(value, dict) and "." not in key
            OmegaConf.update(tree, key, value, merge=is_section, force_add=True)
        for key in sorted(OmegaConf.missing_keys(tree)):
            problems.append(f"{key}: must be given; add {key}=... to the command")
            OmegaConf.update(tree, key, None)
        result = OmegaConf.to_container(tree, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        unchosen = re.search(r"You must specify '([\w/]+)'", str(error))
        problem = f"{unchosen[1]}: choose one of {', '.join(_choices(folder, unchosen[1]))}" if unchosen else ""
        raise config_error([*problems, problem or _first_line(error)]) from None
    assert isinstance(result, dict)
    return {str(key): value for key, value in result.items()}, problems


def _value(text: str) -> Any:
    """What stands behind the equals sign, by Hydra's grammar; that has no Japanese without quotes, so else as YAML."""
    try:
        return OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return yaml.safe_load(text)


def _choices(folder: Path, group: str) -> list[str]:
    return sorted(file.stem for file in (folder / group).glob("*.yaml"))


def help_text(entry: str, schema: type[Section]) -> str:
    """Groups with their choices, and every key with its default and meaning."""
    groups = sorted(_groups_of(CONFIG_FOLDER, entry))
    lines = [f"usage: {sys.argv[0]} {'[group=choice ...] ' if groups else ''}[key=value ...] [@file ...]"]
    for group in groups:
        lines.append(f"  {group}={'|'.join(_choices(CONFIG_FOLDER, group))}")
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
