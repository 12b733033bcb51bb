#!/usr/bin/env bash
# Installs jp-llm into .venv of this checkout. `make install`, the Dockerfiles and the Apptainer recipe all come here.
#
#   docker/install.sh                 everything below; what is there already is left alone
#   docker/install.sh system [NAME..] packages of the system (Debian, Ubuntu; as root), and the named ones on top
#   docker/install.sh dependencies    .venv, and in it all that jp-llm needs: pyproject.toml and constraints.txt suffice
#   docker/install.sh package         jp-llm itself, from this checkout
#
# PYTHON (python3), VENV (.venv) and EXTRAS (all of pyproject.toml, comma separated) choose otherwise. Which index pip
# asks is pip's own configuration.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
EXTRAS=${EXTRAS:-train,export,corpus,loggers,lora,tasks,gguf,bot,playground,dev}
# Asked for first and by exact pin: a range would let pip choose, and on a machine without GPU fetch gigabytes of CUDA.
# Whether this is the CUDA build or the one for CPUs is up to the index: PyPI's for x86-64 Linux is CUDA.
TORCH=torch==2.13.0
LEAST_FREE_GB=3

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

has_compiler() { command -v c++ >/dev/null || command -v g++ >/dev/null; }

python_answers() {
    "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

python_makes_venvs() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

install_system() {
    local wanted=("$@")
    has_compiler || wanted+=(g++)
    command -v "$PYTHON" >/dev/null && python_makes_venvs || wanted+=(python3-venv)
    # A Python of the system has its headers in a package of its own, and some dependencies are built from source.
    if ! "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null; then
        wanted+=(python3-dev)
    fi
    [ ${#wanted[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "note: missing from the system, perhaps needed later: ${wanted[*]}" >&2
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q || fail "apt-get update failed: is there a network, and does /etc/apt name a mirror?"
    apt-get install -q -y --no-install-recommends "${wanted[@]}" ||
        fail "apt-get could not install: ${wanted[*]}"
}

check_python() {
    command -v "$PYTHON" >/dev/null || fail "$PYTHON is not installed; try: make PYTHON=python3.11"
    python_answers ||
        fail "jp-llm needs Python 3.11 to 3.13, $PYTHON is $("$PYTHON" --version 2>&1); try: make PYTHON=python3.11"
    python_makes_venvs ||
        fail "$PYTHON has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
}

check_compiler() {
    has_compiler ||
        fail "no C++ compiler, which some dependencies are built with; on Debian and Ubuntu: apt-get install g++"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge $((LEAST_FREE_GB * 1024 * 1024)) ] ||
        fail "$PWD has $((free_kb / 1024)) MB free, the installation needs at least $LEAST_FREE_GB GB"
}

# The dependencies of the project and of EXTRAS, one per line. Not `pip install .[...]`, which wants the source: an image
# keeps its layer of dependencies when the source changes.
requirements() {
    EXTRAS=$EXTRAS "$VENV/bin/python" - <<'PYTHON'
import os
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = [name for name in os.environ["EXTRAS"].split(",") if name]
if unknown := [name for name in extras if name not in project["optional-dependencies"]]:
    sys.exit(f"error: EXTRAS: pyproject.toml has no {', '.join(unknown)}")
found = dict.fromkeys(project["dependencies"])
for name in extras:
    found |= dict.fromkeys(project["optional-dependencies"][name])
print("\n".join(found))
PYTHON
}

pip() { "$VENV/bin/python" -m pip "$@"; }

install_dependencies() {
    check_python
    if [ ! -x "$VENV/bin/python" ]; then
        check_disk
        "$PYTHON" -m venv "$VENV" || fail "$VENV could not be made"
    fi
    local list
    list=$(requirements)
    check_compiler
    pip install -q -c constraints.txt "$TORCH" numpy setuptools wheel
    # Without isolation a package that is built from source sees the torch that is there, and fetches no other.
    pip install -q -c constraints.txt --no-build-isolation -r /dev/stdin <<<"$list"
}

install_package() {
    [ -x "$VENV/bin/python" ] || fail "no $VENV yet; run: docker/install.sh dependencies"
    pip install -q -c constraints.txt --no-build-isolation --no-deps -e .
    pip check
}

case "${1:-all}" in
    system) install_system "${@:2}" ;;
    dependencies) install_dependencies ;;
    package) install_package ;;
    all)
        install_system
        install_dependencies
        install_package
        ;;
    *) fail "docker/install.sh [system NAME.. | dependencies | package], not: $*" ;;
esac
