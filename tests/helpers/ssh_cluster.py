"""A real ssh cluster on one machine: one sshd on two loopback addresses, which ssh knows as the hosts n1 and n2.

Keys and configurations lie in a temporary folder; nothing outside it is changed. Needs sshd, ssh and pdsh; where they
are missing they are installed if that is possible (Debian, root), otherwise `start` skips the test with the reason.
"""

import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_port

HOSTS = {"n1": "127.0.0.2", "n2": "127.0.0.3"}
PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client", "pdsh": "pdsh"}
INSTALL_SECONDS = 240


@dataclass(frozen=True)
class Cluster:
    """Two hosts that ssh reaches without a password."""

    folder: Path
    port: int

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`."""
        return self.folder / "ssh_config"

    @property
    def bin(self) -> Path:
        """To be put in front of PATH: its `ssh` always reads `ssh_config`."""
        return self.folder / "bin"

    @property
    def calls(self) -> Path:
        """Words of every call of `ssh`, one per line."""
        return self.folder / "calls"

    def hostfile(self, slots: int) -> Path:
        """One line per host."""
        path = self.folder / f"hostfile_{slots}"
        path.write_text("".join(f"{host} slots={slots}\n" for host in HOSTS))
        path.chmod(0o644)
        return path


@contextmanager
def start(folder: Path) -> Iterator[Cluster]:
    """Run the cluster as long as the context lasts."""
    _need_programs()
    cluster = Cluster(folder, free_port())
    _write(cluster)
    sshd = _program("sshd")
    assert sshd is not None
    with (folder / "sshd.log").open("w") as log:
        daemon = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        for host in HOSTS:
            _wait_for(cluster, host)
        yield cluster
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _need_programs() -> None:
    missing = [package for program, package in PACKAGES.items() if _program(program) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            try:
                subprocess.run(
                    ["apt-get", "-qq", *words],
                    env=environment,
                    timeout=INSTALL_SECONDS,
                    capture_output=True,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                break
        missing = [package for program, package in PACKAGES.items() if _program(program) is None]
    if missing:
        pytest.skip(f"no ssh cluster: {', '.join(missing)} missing, and not to be installed from here")
    if sys.platform != "linux":
        pytest.skip("no ssh cluster: 127.0.0.2 and 127.0.0.3 are addresses of this machine on Linux only")


def _program(name: str) -> str | None:
    # sshd insists on an absolute path, and is not always on the path of a user.
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _write(cluster: Cluster) -> None:
    folder = cluster.folder
    folder.chmod(0o700)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    authorized = folder / "authorized_keys"
    authorized.write_text((folder / "user_key.pub").read_text())
    authorized.chmod(0o600)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own folder, which a service would have made
    listen = "".join(f"ListenAddress {address}:{cluster.port}\n" for address in HOSTS.values())
    (folder / "sshd_config").write_text(
        f"{listen}HostKey {folder}/host_key\nAuthorizedKeysFile {authorized}\nPidFile {folder}/sshd.pid\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPubkeyAuthentication yes\nUsePAM no\n"
        # The folders of tests lie below one that everybody may write.
        f"StrictModes no\nPermitRootLogin prohibit-password\nAllowUsers {getpass.getuser()}\nMaxStartups 100\n"
    )
    known = folder / "known_hosts"
    host_key = (folder / "host_key.pub").read_text()
    known.write_text("".join(f"[{address}]:{cluster.port} {host_key}" for address in HOSTS.values()))
    cluster.ssh_config.write_text(
        "".join(f"Host {host}\n  HostName {address}\n" for host, address in HOSTS.items())
        + f"Host *\n  Port {cluster.port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user_key\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n  BatchMode yes\n"
        "  LogLevel ERROR\n"
    )
    cluster.bin.mkdir()
    ssh = cluster.bin / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$*" >> {cluster.calls}\nexec {_program("ssh")} -F {cluster.ssh_config} "$@"\n')
    ssh.chmod(0o755)


def _wait_for(cluster: Cluster, host: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = subprocess.run(
            [str(cluster.bin / "ssh"), host, "echo", "here"], capture_output=True, text=True, check=False
        )
        if answer.stdout.strip() == "here":
            return
        time.sleep(0.2)
    log = (cluster.folder / "sshd.log").read_text()
    pytest.skip(f"no ssh cluster: sshd started, but {host} does not answer: {answer.stderr.strip()} {log[-300:]}")
