"""How every benchmark ends: a Markdown table for people, and one JSON line for machines."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def report(title: str, rows: Sequence[Mapping[str, Any]], **extra: Any) -> None:
    """Print the rows as a Markdown table, then everything as one line of JSON.

    Args:
        title: the question that was measured.
        rows: name of the column -> value, the same columns in every row; units belong in the names.
        extra: what the JSON line should carry besides, e.g. the sizes that were measured.
    """
    columns = list(rows[0])
    print(f"\n## {title}\n")
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(_cell(row[column]) for column in columns)} |")
    print()
    print(json.dumps({"title": title, "rows": list(rows), **extra, **_circumstances()}, ensure_ascii=False))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _circumstances() -> dict[str, Any]:
    """Machine, versions and commit of this measurement."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: _version(package) for package in ("torch", "numpy")},
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that was measured, with + when files were changed since; None outside of a repository."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
