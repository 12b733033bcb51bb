"""What can be said of the images without building them."""

import fnmatch
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAINING = ROOT / "docker" / "Dockerfile"
FOR_CPUS = ROOT / "docker" / "Dockerfile.cpu"
APPTAINER = ROOT / "docker" / "jp-llm.def"
both = pytest.mark.parametrize("path", [TRAINING, FOR_CPUS], ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, its words), comments and line breaks gone."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def words_of(path: Path, name: str) -> list[str]:
    return [words for instruction, words in instructions(path) if instruction == name]


@both
def test_the_base_is_pinned_by_a_tag_and_can_be_replaced(path: Path) -> None:
    (base,) = [words for words in words_of(path, "ARG") if words.startswith("BASE=")]
    assert re.fullmatch(r"BASE=[\w./-]+:[\w.-]*\d[\w.-]*", base)
    assert not base.endswith("latest")
    assert words_of(path, "FROM") == ["${BASE}"]


@both
def test_it_ends_as_a_user_without_rights(path: Path) -> None:
    # By number, so that a cluster can tell that it is not 0 without looking inside.
    assert words_of(path, "USER") == ["10001"]


@both
def test_nothing_is_fetched_past_the_package_managers_and_nothing_secret_is_named(path: Path) -> None:
    assert not words_of(path, "ADD")
    for _, words in instructions(path):
        assert not re.search(r"\b(curl|wget)\b", words)
        assert not re.search(r"(?i)password|secret|token|api_key|credential", words)


@both
def test_dependencies_are_installed_before_the_source_comes(path: Path) -> None:
    steps = [words for instruction, words in instructions(path) if instruction in ("RUN", "COPY")]
    order = [
        next(number for number, words in enumerate(steps) if wanted in words)
        for wanted in ("install.sh system", "pyproject.toml", "install.sh dependencies", "jp-llm . .")
    ]
    assert order == sorted(order)
    assert sum(words.endswith(" . .") for words in steps) == 1


@both
def test_only_the_script_installs(path: Path) -> None:
    for words in words_of(path, "RUN"):
        assert not re.search(r"\b(pip|apt|apt-get) (-|install|update)", words)


def test_torch_is_pinned_as_the_constraints_say() -> None:
    script = (ROOT / "docker" / "install.sh").read_text()
    (pin,) = re.findall(r"^TORCH=(torch==\S+)$", script, flags=re.MULTILINE)
    assert pin in (ROOT / "constraints.txt").read_text().splitlines()
    # One place to say it, and no second way to install.
    assert "torch==" not in (ROOT / "Makefile").read_text()
    assert "docker/install.sh" in (ROOT / "Makefile").read_text()


def test_the_image_for_training_has_every_launcher_and_an_init() -> None:
    (system,) = [words for words in words_of(TRAINING, "RUN") if "install.sh system" in words]
    assert {"openmpi-bin", "pdsh", "openssh-client", "libibverbs1", "ibverbs-providers", "tini"} <= set(system.split())
    assert words_of(TRAINING, "ENTRYPOINT") == ['["/usr/bin/tini", "--"]']
    assert any("DS_BUILD_OPS=0" in words for words in words_of(TRAINING, "ENV"))


def test_apptainer_installs_what_docker_installs() -> None:
    recipe = APPTAINER.read_text()
    (base,) = [words.removeprefix("BASE=") for words in words_of(TRAINING, "ARG") if words.startswith("BASE=")]
    assert re.search(r"^Bootstrap: docker$", recipe, flags=re.MULTILINE)
    assert re.search(rf"^From: {re.escape(base)}$", recipe, flags=re.MULTILINE)
    steps = re.findall(r"docker/install\.sh .+", re.sub(r"\\\n\s*", "", recipe))
    built = [step for words in words_of(TRAINING, "RUN") for step in re.findall(r"docker/install\.sh [^&]+", words)]
    assert [step.split() for step in steps] == [step.split() for step in built]
    (extras,) = re.findall(r"EXTRAS=(\S+)", recipe)
    assert any(f"EXTRAS={extras}" in words for words in words_of(TRAINING, "ENV"))
    for section in ("%files", "%post", "%environment", "%runscript", "%test", "%help"):
        assert recipe.count(f"\n{section}\n") == 1


def test_the_shell_of_the_recipe_is_sound() -> None:
    sections = re.split(r"^%(\w+)\n", APPTAINER.read_text(), flags=re.MULTILINE)
    for name, body in zip(sections[1::2], sections[2::2], strict=True):
        if name in ("post", "environment", "runscript", "test"):
            subprocess.run(["sh", "-n"], input=body, text=True, check=True)


def test_what_apptainer_copies_exists() -> None:
    files = APPTAINER.read_text().split("%files\n")[1].split("\n%")[0].split("\n")
    sources = [line.split()[0] for line in files if line.strip()]
    assert len(sources) > 5
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".venv",
        "runs",
        "corpora",
        "models",
        "wandb",
        ".deepspeed_env",
        ".env",
        "configs/.env.local",
        "keys/id_ed25519",
        "server.key",
        "jp_llm/__pycache__",
        ".mypy_cache",
        "tests/.pytest_cache",
        ".hypothesis",
        "jp_llm.egg-info",
    ],
)
def test_dockerignore_keeps_it_out(path: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    candidates = [path, *(pattern.removeprefix("**/") for pattern in patterns)]
    names = [path, Path(path).name]
    kept_out = any(
        path == pattern
        or (pattern.startswith("**/") and any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for name in names))
        for pattern in patterns
    )
    assert kept_out, candidates


def test_dockerignore_keeps_nothing_out_that_is_in_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for file in listed.split():
        parts = file.split(os.sep)
        for pattern in patterns:
            if pattern.startswith("**/"):
                hit = any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in parts)
            else:
                hit = fnmatch.fnmatch("/".join(parts[: pattern.count("/") + 1]), pattern)
            assert not hit or parts[0] == ".ci", f"{file} is kept out by {pattern}"
