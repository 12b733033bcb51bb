"""What `launch/playground.py` reads (`configs/playground.yaml`). Loads no torch."""

import ipaddress
from typing import Literal

from pydantic import Field

from jp_llm.config.section import OneOrSeveral, Section


class PlaygroundConfig(Section):
    """A page on this machine on which a model can be tried."""

    model: OneOrSeveral = ()
    """A Hugging Face folder, a run folder (its newest checkpoint) or one step_N folder; several can be chosen from."""
    near_copies: str | None = None
    """Folder of launch/index_near_copies.py; every text is looked up in it."""
    prompt: str = "昔々、"
    """What stands in the page at first."""
    host: str = "127.0.0.1"
    """Where the page is served; only this machine may reach it."""
    port: int = Field(default=7860, ge=0, le=65535)
    """Port of the page; 0 takes a free one."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto computes in bf16 on a GPU and in fp32 on a CPU."""

    def problems(self) -> list[str]:
        found = []
        if not self.model:
            found.append("model: name a Hugging Face folder or a run folder, e.g. model=runs/first")
        if not _is_loopback(self.host):
            found.append(
                f"host: {self.host} would open the page to other machines, and it has no password; leave host out, "
                f"and reach it from elsewhere with: ssh -L {self.port}:127.0.0.1:{self.port} this-machine"
            )
        return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
