"""Job scripts, and what a real bash makes of them."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tiny import run_config

from jp_llm.submit.job import job_of
from jp_llm.submit.script import DOORS, render

WORDS = ["train.num_steps=6", "run_dir='runs/x y'"]
PYTHON = """#!/bin/bash
printf '%s\\0' "$@" > "$RECORD.arguments"
env --null > "$RECORD.environment"
pwd > "$RECORD.folder"
"""


def script(folder: Path, *words: str, run_dir: str | None = None, device: str = "cpu", **slurm: Any) -> str:
    values = {"nodes": 2, "tasks_per_node": 2, "working_directory": str(folder), **slurm}
    config = run_config(run_dir=run_dir or str(folder / "run"), slurm=values, train__device=device)
    return render(job_of(config), words or WORDS)


class Executed:
    """A script that ran, with a `python` that only writes down how it was called."""

    def __init__(self, folder: Path, text: str, environment: str = "venv", **variables: str) -> None:
        bin_folder = folder / environment / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "activate").write_text(f"export PATH={shlex.quote(str(bin_folder))}:$PATH\n")
        (bin_folder / "python").write_text(PYTHON)
        (bin_folder / "python").chmod(0o755)
        record = folder / "record"
        file = folder / "job.sbatch"
        file.write_text(text)
        variables = {**os.environ, "RECORD": str(record), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", **variables}
        self.result = subprocess.run(
            ["bash", str(file)], env=variables, cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
        assert self.result.returncode == 0, self.result.stderr
        self.arguments = self._read(record, "arguments").split("\0")[:-1]
        pairs = [line.split("=", 1) for line in self._read(record, "environment").split("\0") if "=" in line]
        self.environment = dict(pairs)
        self.folder = self._read(record, "folder").rstrip("\n")

    @staticmethod
    def _read(record: Path, name: str) -> str:
        path = Path(f"{record}.{name}")
        return path.read_text() if path.exists() else ""


def test_the_training_begins_with_exactly_the_words_of_the_command_line(tmp_path: Path) -> None:
    words = ["model.arch=llama", "run_dir='a b$HOME'", 'train.sample_prompts=[昔々、,"it\'s"]', "data.weights={a: 1}"]
    text = script(tmp_path, *words, venv="venv", cpus_per_task=4, environment={"A": "1 $HOME", "B": 2})
    ran = Executed(tmp_path, text)
    assert ran.arguments == [
        str(DOORS / "supervise.py"),
        "srun",
        "--kill-on-bad-exit=1",
        "--wait=60",
        "--export=ALL",
        "--cpus-per-task=4",
        "python",
        str(DOORS / "train.py"),
        *words,
    ]
    assert ran.folder == str(tmp_path)
    expected = {"A": "1 $HOME", "B": "2", "SRUN_CPUS_PER_TASK": "4", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    assert expected.items() <= ran.environment.items()


MARK = "mark"
ATTACKS = {
    "command substitution": f"$(touch {MARK})",
    "backticks": f"`touch {MARK}`",
    "semicolon": f"; touch {MARK}",
    "and": f"x && touch {MARK}",
    "pipe": f"x | touch {MARK}",
    "single quote": f"'; touch {MARK}; '",
    "double quote": f'"; touch {MARK}; "',
    "both quotes": f"""'"; touch {MARK}; "'""",
    "redirection": f"x > {MARK}",
    "background": f"x & touch {MARK} &",
    "comment and quote": f"#' ; touch {MARK} ; '",
    "variable": "$HOME ${PATH} $((1+1))",
    "leading dash": "-c touch",
    "glob and braces": "* ? [a] {a..b} ~",
    "process substitution": f"<(touch {MARK})",
    "history and escape": "!! \\",
    "ansi quote": f"$'\\x3b touch {MARK}'",
    "full width": "；ｔｏｕｃｈ　＄（ｉｄ）",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_nothing_that_a_user_names_is_executed(tmp_path: Path, attack: str) -> None:
    folder = tmp_path / attack.replace("/", "_").replace("\\", "_")
    folder.mkdir()
    name = f"venv {folder.name}"
    words = [f"run_dir={attack}", attack]
    text = script(
        folder,
        *words,
        run_dir=str(folder / folder.name),
        venv=name,
        comment=attack,
        environment={"ATTACK": attack},
        exclude="n9",
        container="apptainer",
        container_image=f"image{attack}",
        container_mounts=(f"/{attack}".replace(":", "_").replace(",", "_"),),
    )
    ran = Executed(folder, text, name)
    assert not list(tmp_path.rglob(MARK))
    assert ran.arguments[-len(words) :] == words
    assert ran.environment["ATTACK"] == attack
    assert ran.folder == str(folder)
    assert f"image{attack}" in ran.arguments
    lines = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert all(line.startswith("#SBATCH --") for line in lines)


def test_lines_of_sbatch_stand_before_the_first_command(tmp_path: Path) -> None:
    lines = script(tmp_path, "a=#SBATCH --wrap=id", comment="#SBATCH --wrap=id").splitlines()
    first_command = lines.index("set -e")
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])
    assert all(line.startswith("#") for line in lines[:first_command] if line)


def test_modules_are_loaded_by_the_shell_function_of_the_site(tmp_path: Path) -> None:
    text = script(tmp_path, venv="venv", modules=("cuda/12.8", "nccl"))
    function = '() {  echo "$*" > ' + shlex.quote(str(tmp_path / "loaded")) + "; }"
    Executed(tmp_path, text, **{"BASH_FUNC_module%%": function})
    assert (tmp_path / "loaded").read_text() == "load cuda/12.8 nccl\n"


def test_a_container_of_apptainer_holds_code_run_folder_and_data(tmp_path: Path) -> None:
    text = script(
        tmp_path,
        device="cuda",
        venv="venv",
        container="apptainer",
        container_image="x.sif",
        container_mounts=("/data:/d:ro",),
    )
    words = Executed(tmp_path, text).arguments
    inside = words[words.index("apptainer") :]
    mounts = [inside[position + 1] for position, word in enumerate(inside) if word == "--bind"]
    assert inside[:3] == ["apptainer", "exec", "--nv"]
    assert mounts == [str(DOORS.parent), str(tmp_path), str(tmp_path / "run"), str(tmp_path / "unused"), "/data:/d:ro"]
    begin = ["--pwd", str(tmp_path), "x.sif", "env", f"PYTHONPATH={DOORS.parent}", "python", str(DOORS / "train.py")]
    assert inside[-len(WORDS) - len(begin) :] == [*begin, *WORDS]


def test_a_container_of_pyxis_is_an_option_of_srun(tmp_path: Path) -> None:
    text = script(tmp_path, venv="venv", container="pyxis", container_image="nvcr.io#nvidia/pytorch:25.06-py3")
    words = Executed(tmp_path, text).arguments
    assert "--container-image=nvcr.io#nvidia/pytorch:25.06-py3" in words
    assert f"--container-workdir={tmp_path}" in words
    (mounts,) = (word for word in words if word.startswith("--container-mounts="))
    assert f"{DOORS.parent}:{DOORS.parent}" in mounts
    begin = ["env", f"PYTHONPATH={DOORS.parent}", "python", str(DOORS / "train.py")]
    assert words[-len(WORDS) - len(begin) : -len(WORDS)] == begin


def program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("bad_hosts", "replaced"),
    [("n1.cluster.example # HBM\nn3\n", True), ("n3\nunknown\n", False), ("\n", False), (None, False)],
)
def test_a_job_on_a_bad_host_makes_room_for_one_without_it(
    tmp_path: Path, bad_hosts: str | None, replaced: bool
) -> None:
    if bad_hosts is not None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "bad_hosts.txt").write_text(bad_hosts)
    site = tmp_path / "site"
    program(site, "sinfo", "printf '%s\\n' n1 n2 n3 n1")
    program(site, "scontrol", "echo n1; echo n2")
    submitted_file = shlex.quote(str(tmp_path / "submitted"))
    program(site, "sbatch", f"printf '%s\\n' \"$@\" > {submitted_file}; compgen -e | grep ^SLURM_ >> {submitted_file}")
    text = script(tmp_path, venv="venv", exclude="n[7-8]")
    ran = Executed(tmp_path, text, PATH=f"{site}:{os.environ['PATH']}", SLURM_CONF="here", SLURM_CONFIG="x")
    assert bool(ran.arguments) is not replaced
    assert (tmp_path / "submitted").exists() is replaced
    if replaced:
        submitted = (tmp_path / "submitted").read_text().splitlines()
        # Of the variables of the old job only where Slurm is.
        assert submitted == ["--exclude=n[7-8],n1,n3", str(tmp_path / "run" / "job.sbatch"), "SLURM_CONF"]
