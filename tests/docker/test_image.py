"""Build the images and run the demo in one. No container engine is needed, but root, the network, 20 GB and patience:

    JP_LLM_CONTAINERS=1 pytest -s tests/docker/test_image.py

buildah builds as `docker build` would, over a Debian of debootstrap in place of the images that the Dockerfiles name.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FREE_GB = 20
CERTIFICATES = "/run/host-certificates.crt"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not os.environ.get("JP_LLM_CONTAINERS"), reason="builds images: set JP_LLM_CONTAINERS=1"),
]


def run(*words: str, limit: float) -> str:
    """Run a command to its end, in a session of its own that ends with it, and return what it printed."""
    print("+", shlex.join(words), flush=True)
    started = time.monotonic()
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except BaseException:
            os.killpg(process.pid, 9)
            raise
    assert process.returncode == 0, f"{shlex.join(words)}\n{output[-4000:]}"
    print(f"  {time.monotonic() - started:.0f} s", flush=True)
    return output


class Host:
    """What pip and apt are told on this machine, so that they ask the same servers in a build. It reaches the build by
    mounts and arguments, and never a file of the project."""

    def __init__(self, folder: Path) -> None:
        self.arguments: list[str] = []
        settings = self._pip()
        lines = ["[global]"]
        for key, value in settings.items():
            if key == "cert":
                self._mount(Path(value), CERTIFICATES)
                value = CERTIFICATES
            for word in value.split():
                path = Path(word.removeprefix("file://"))
                if key != "cert" and path.is_absolute() and path.exists():
                    # An index of files names them relative to its own folder.
                    path = path.parent if word.startswith("file://") else path
                    self._mount(path, str(path))
            lines.append(f"{key} = {value}")
        self._mount(self._written(folder / "pip.conf", lines), "/etc/pip.conf")
        if extra := settings.get("extra-index-url"):
            self.extra_index = ["--build-arg", f"PIP_EXTRA_INDEX_URL={extra}"]
        else:
            self.extra_index = []
        known = run("apt-config", "dump", limit=60).splitlines()
        acquire = [line for line in known if re.match(r"Acquire::(?!IndexTargets|cdrom)", line, re.IGNORECASE)]
        self._mount(self._written(folder / "apt.conf", acquire), "/etc/apt/apt.conf.d/99host")

    def _pip(self) -> dict[str, str]:
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        )
        found = re.findall(r"^([\w:]+)\.+([\w-]+)='(.*)'$", listed.stdout, flags=re.MULTILINE)
        # The environment is asked first by pip, and so it comes last here.
        found.sort(key=lambda setting: setting[0] == ":env:")
        wanted = ("index-url", "extra-index-url", "find-links", "cert", "default-timeout", "trusted-host", "proxy")
        return {key: value.replace("\\n", " ").strip() for _, key, value in found if key in wanted}

    def _mount(self, path: Path, inside: str) -> None:
        volume = f"{path}:{inside}:ro"
        if volume not in self.arguments:
            self.arguments += ["-v", volume]

    def _written(self, path: Path, lines: list[str]) -> Path:
        path.write_text("\n".join(lines) + "\n")
        return path


class Workshop:
    """A store of images in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._buildah = ["buildah", "--storage-driver", "vfs"]
        self._buildah += ["--root", str(folder / "images"), "--runroot", str(folder / "state")]
        self._host = Host(folder)

    def __call__(self, *words: str, limit: float = 600) -> str:
        return run(*self._buildah, *words, limit=limit).strip()

    def import_base(self, system: Path) -> None:
        """A folder with a whole system becomes the image `base`."""
        container = self("from", "scratch").splitlines()[-1]
        self("add", "-q", container, str(system), "/")
        self("commit", "-q", container, "base", limit=1800)
        self("rm", container)

    def build(self, dockerfile: str, name: str) -> str:
        """Build an image over `base` and return its size."""
        extra = self._host.extra_index if dockerfile.endswith(".cpu") else []
        self(
            *("bud", "--isolation", "chroot", "--build-arg", "BASE=localhost/base", *extra, *self._host.arguments),
            *("-f", str(ROOT / "docker" / dockerfile), "-t", name, str(ROOT)),
            limit=2 * 3600,
        )
        size = self("images", "--format", "{{.Size}}", f"localhost/{name}")
        print(f"  {name}: {size}", flush=True)
        return size

    def in_container(self, image: str, command: str, *, user: str | None = None, limit: float = 600) -> str:
        """Run a shell command in a fresh container."""
        container = self("from", f"localhost/{image}").splitlines()[-1]
        try:
            as_user = ["--user", user] if user else []
            return self("run", "--isolation", "chroot", *as_user, container, "--", "sh", "-c", command, limit=limit)
        finally:
            self("rm", container)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    if os.geteuid() != 0:
        pytest.skip("building without a container engine needs root")
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], check=False, timeout=300)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=False, timeout=600)
        missing = [name for name in missing if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} could not be installed")
    folder = Path(tempfile.mkdtemp(prefix="jp_llm_images_"))
    try:
        if shutil.disk_usage(folder).free < FREE_GB * 10**9:
            pytest.skip(f"{folder} has less than {FREE_GB} GB free")
        run("debootstrap", "--variant=minbase", "bookworm", str(folder / "debian"), limit=1800)
        made = Workshop(folder)
        made.import_base(folder / "debian")
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_image_for_cpus_is_built_and_runs_the_demo(workshop: Workshop) -> None:
    workshop.build("Dockerfile.cpu", "jp-llm-cpu")
    # The user, and what must not have stayed behind.
    state = workshop.in_container(
        "jp-llm-cpu", "id -u; ls /var/lib/apt/lists /var/cache/apt; ls -A /home/jp-llm; ls -A"
    )
    uid, *left = state.splitlines()
    assert uid == "10001"
    assert not {".git", "runs", "corpora", "models", ".cache", ".ci"} & set(left)
    assert not [line for line in left if line.endswith((".deb", "_Packages", "pkgcache.bin"))]
    # Any number can be the user, as with `docker run --user`.
    assert "run_dir" in workshop.in_container("jp-llm-cpu", "python launch/train.py --help", user="54321:54321")
    output = workshop.in_container("jp-llm-cpu", "make demo", limit=3 * 3600)
    print(output[-3000:])
    assert "7/7  the result" in output
    assert re.search(r"models/demo", output)


def test_every_step_of_the_image_for_training_runs_over_another_base(workshop: Workshop) -> None:
    # The steps are those that run over NVIDIA's image; CUDA itself is not there.
    workshop.build("Dockerfile", "jp-llm")
    commands = (
        "id -u; mpirun --version; pdsh -V; ssh -V; tini --version; deepspeed --version; python launch/train.py -h"
    )
    output = workshop.in_container("jp-llm", commands)
    assert output.splitlines()[0] == "10001"
    for expected in ("Open MPI", "pdsh", "OpenSSH", "tini version", "run_dir"):
        assert expected in output, output
