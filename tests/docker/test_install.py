"""The install script: in which order it asks pip for what, and what it says where it cannot."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script needs, with commands of the system that do nothing."""
    folder = tmp_path / "checkout"
    (folder / "docker").mkdir(parents=True)
    shutil.copy(ROOT / "docker" / "install.sh", folder / "docker")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (tmp_path / "bin").mkdir()
    command(tmp_path, "c++", "exit 0")
    # Never the system of the tests.
    command(tmp_path, "apt-get", 'echo "apt-get $*" >>"$LOG"')
    return folder


def command(tmp_path: Path, name: str, body: str) -> Path:
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def venv_with_a_pip_that_notes(checkout: Path) -> None:
    """.venv, whose Python is this one but for `-m pip`, of which the words and what is on stdin are noted."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" != -m ]; then exec {sys.executable} "$@"; fi\n'
        'echo "$*" >>"$LOG"\n'
        'case "$*" in *stdin*) sed "s/^/  /" >>"$LOG" ;; esac\n'
    )
    python.chmod(0o755)


def install(checkout: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    path = f"{checkout.parent / 'bin'}:{os.environ['PATH']}"
    base = {"PATH": path, "HOME": str(checkout.parent), "LOG": str(checkout.parent / "log"), "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", str(checkout / "docker" / "install.sh"), *words],
        env=base | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def log_of(checkout: Path) -> list[str]:
    return (checkout.parent / "log").read_text().splitlines()


def test_torch_comes_first_by_its_pin_and_everything_is_constrained(checkout: Path) -> None:
    venv_with_a_pip_that_notes(checkout)
    found = install(checkout, "dependencies")
    assert found.returncode == 0, found.stderr
    first, second, *requirements = log_of(checkout)
    assert first == "-m pip install -q -c constraints.txt torch==2.13.0 numpy setuptools wheel"
    assert second == "-m pip install -q -c constraints.txt --no-build-isolation -r /dev/stdin"
    names = {line.strip() for line in requirements}
    assert {"deepspeed==0.19.8", "ruff>=0.14", "hydra-core>=1.3.2,<1.4", "mpi4py>=4.0"} <= names


def test_extras_can_be_chosen(checkout: Path) -> None:
    venv_with_a_pip_that_notes(checkout)
    assert install(checkout, "dependencies", EXTRAS="export").returncode == 0
    names = {line.strip() for line in log_of(checkout)}
    assert "transformers>=5.2" in names
    assert not any(name.startswith(("deepspeed", "ruff")) for name in names)
    found = install(checkout, "dependencies", EXTRAS="export,nonsense")
    assert found.returncode == 1
    assert "EXTRAS: pyproject.toml has no nonsense" in found.stderr


def test_the_package_comes_without_dependencies_and_is_checked(checkout: Path) -> None:
    venv_with_a_pip_that_notes(checkout)
    assert install(checkout, "package").returncode == 0
    assert log_of(checkout) == [
        "-m pip install -q -c constraints.txt --no-build-isolation --no-deps -e .",
        "-m pip check",
    ]


def test_the_package_before_its_dependencies_is_refused(checkout: Path) -> None:
    found = install(checkout, "package")
    assert found.returncode == 1
    assert "docker/install.sh dependencies" in found.stderr


def test_a_python_that_is_too_old_is_named(checkout: Path, tmp_path: Path) -> None:
    old = command(tmp_path, "python3.9", 'case "$1" in --version) echo "Python 3.9.18" ;; *) exit 1 ;; esac')
    found = install(checkout, "dependencies", PYTHON=str(old))
    assert found.returncode == 1
    assert "needs Python 3.11 to 3.13" in found.stderr
    assert "Python 3.9.18; try: make PYTHON=python3.11" in found.stderr


def test_a_python_that_is_not_there_is_named(checkout: Path) -> None:
    found = install(checkout, "dependencies", PYTHON="python3.99")
    assert found.returncode == 1
    assert found.stderr == "error: python3.99 is not installed; try: make PYTHON=python3.11\n"


def test_a_missing_compiler_is_said_before_anything_is_fetched(checkout: Path, tmp_path: Path) -> None:
    venv_with_a_pip_that_notes(checkout)
    (tmp_path / "bin" / "c++").unlink()
    for name in ("bash", "dirname", "cat", "sed"):
        os.symlink(shutil.which(name) or "", tmp_path / "bin" / name)
    found = install(checkout, "dependencies", PATH=str(tmp_path / "bin"))
    assert found.returncode == 1
    assert "no C++ compiler" in found.stderr
    assert "apt-get install g++" in found.stderr
    assert not (tmp_path / "log").exists()


def test_too_little_disk_is_said_before_anything_is_made(checkout: Path, tmp_path: Path) -> None:
    command(tmp_path, "df", r"printf 'Filesystem 1024-blocks Used Available\ndisk 9 9 1048576\n'")
    found = install(checkout, "dependencies")
    assert found.returncode == 1
    assert "has 1024 MB free, the installation needs at least 3 GB" in found.stderr
    assert not (checkout / ".venv").exists()


def test_an_unknown_step_is_refused(checkout: Path) -> None:
    found = install(checkout, "everything")
    assert found.returncode == 1
    assert "everything" in found.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages of the system")
def test_the_system_gets_what_is_missing_and_what_is_named(checkout: Path, tmp_path: Path) -> None:
    assert install(checkout, "system", "pdsh", "tini").returncode == 0
    update, installed = log_of(checkout)
    assert update == "apt-get update -q"
    assert installed.startswith("apt-get install -q -y --no-install-recommends ")
    assert {"pdsh", "tini"} <= set(installed.split())
    assert "g++" not in installed.split()
    command(tmp_path, "apt-get", "exit 100")
    found = install(checkout, "system", "pdsh")
    assert found.returncode == 1
    assert "apt-get update failed" in found.stderr
