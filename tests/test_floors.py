"""The floors of the house: imports go down, and the light rooms load nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Each room, and the rooms of ours that it may import besides itself. docs/architecture.md explains the picture.
GROUND = {"runtime", "config", "arch", "shards", "texts", "tokenizer", "page"}
ALLOWED: dict[str, set[str]] = {
    "runtime": set(),
    "arch": set(),
    "config": {"runtime", "arch"},
    "shards": {"runtime", "config"},
    "texts": {"runtime"},
    "tokenizer": {"runtime"},
    "page": {"runtime"},
    "parallel": {"runtime", "config"},
    "data": {"runtime", "config", "shards"},
    "optim": {"runtime", "config"},
    "model": {"config", "arch", "parallel"},
    "engine": {"runtime", "config", "arch", "data", "model", "optim", "parallel"},
    "checkpoint": {"runtime", "parallel"},
    "huggingface": GROUND | {"parallel", "checkpoint", "model"},
    "watch": {"runtime", "config"},
    "guard": {"runtime", "config"},
    "train": GROUND
    | {"parallel", "data", "model", "optim", "engine", "checkpoint", "huggingface", "watch", "guard", "plan"},
    "plan": GROUND,
    "supervise": GROUND | {"watch", "report"},
    "submit": GROUND | {"plan", "supervise"},
    "export": GROUND | {"parallel", "model", "checkpoint", "huggingface"},
    "near_copies": GROUND,
    "generate": GROUND | {"export", "checkpoint", "huggingface"},
    "evaluate": GROUND | {"export", "checkpoint", "huggingface", "generate", "near_copies"},
    "bot": GROUND | {"export", "generate", "near_copies"},
    "playground": GROUND | {"export", "huggingface", "generate", "near_copies"},
    "report": GROUND,
    "preprocessing": GROUND,
}
WITHOUT_TORCH = GROUND | {"preprocessing", "report", "near_copies", "watch", "guard", "plan", "supervise", "submit"}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "jp_llm" and len(parts) > 1:
        return parts[1]
    return parts[0] if parts[0] == "preprocessing" else None


def files() -> list[Path]:
    return sorted(path for top in ("jp_llm", "preprocessing") for path in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def faults(path: Path) -> Iterator[str]:
    """What a file does that it may not do."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    room = room_of(module)
    for imported in imports(path):
        other = room_of(imported)
        if room not in (None, "__init__", other) and other is not None and other not in ALLOWED[room]:
            yield f"{module}: {room} may not import {imported}"
        if room in WITHOUT_TORCH and imported.split(".")[0] in ("torch", "deepspeed", "transformers"):
            yield f"{module}: {room} imports {imported}"
        if imported == "pickle":
            yield f"{module} unpickles"
    if "trust_remote_code=True" in path.read_text():
        yield f"{module} trusts remote code"


def test_imports_go_down_and_nothing_unpickles_or_trusts_remote_code() -> None:
    assert len(files()) > 400
    assert [fault for path in files() for fault in faults(path)] == []


def test_every_room_has_its_line() -> None:
    rooms = {path.name for path in (ROOT / "jp_llm").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {"preprocessing"} == set(ALLOWED)


def test_light_rooms_load_no_torch_in_a_fresh_interpreter() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files()
        if room_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) in WITHOUT_TORCH
    ]
    code = f"""
import importlib, sys
for name in {modules!r} + ["jp_llm.train.preflight", "jp_llm.train.summary", "jp_llm.train.dry_run"]:
    importlib.import_module(name.removesuffix(".__init__"))
assert not {{"torch", "deepspeed", "transformers", "wandb"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
