"""The first meeting of all processes: who is where, and whether they are about to do the same."""

import json
import os
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from jp_llm.config.layout import Layout
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError

PATIENCE = timedelta(minutes=15)
"""From the first process to the last; machines load torch at very different speeds from a shared disk."""

_LONGER = timedelta(minutes=1)

_meetings = count()


@dataclass(frozen=True)
class Member:
    """What one process says of itself."""

    rank: int
    node: str
    """Host name, with the number of the node where the launcher gives one."""
    local_rank: int
    device: str
    """Kind; of a GPU also what tells it from all others."""
    code: str
    """Fingerprint of the source code and the versions under it."""
    config: dict[str, Any]
    """The resolved configuration."""


def member(world: World, device: torch.device, config: dict[str, Any]) -> Member:
    """This process."""
    name = str(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name} {properties.uuid}"
    host = socket.gethostname()
    node = host if world.node is None else f"{host} (node {world.node})"
    return Member(world.rank, node, world.local_rank, name, _code(), config)


def meet(own: Member, world: World, layout: Layout) -> tuple[list[Member], Store]:
    """Wait for all processes and hear what they say; every process calls this, before any process group is made.

    Returns:
        All members in the order of ranks, and the store they met at, which must live until the process group is made.

    Raises:
        UserError: not all came, which may be otherwise at the next start (exit code 1); or they are about to do
            different things, by name (2). As far as process 0 lives, the same on every process.
    """
    store = _store(world)
    prefix = f"jp_llm/{next(_meetings)}"
    try:
        store.set(f"{prefix}/{own.rank}", json.dumps(asdict(own)))
        # Only process 0 needs all of them.
        members, absent = [own], []
        if world.is_main:
            if absent := _wait_for([f"{prefix}/{rank}" for rank in range(world.size)], store):
                verdict = {"code": ExitCode.UNEXPECTED, "problems": [_too_late(absent, world)]}
            else:
                members = [Member(**json.loads(store.get(f"{prefix}/{rank}"))) for rank in range(world.size)]
                verdict = {"code": ExitCode.CONFIG_REFUSED, "problems": disagreements(members, layout)}
            store.set(f"{prefix}/verdict", json.dumps(verdict))
        verdict = json.loads(store.get(f"{prefix}/verdict"))
        # Process 0 may hold the store, and must not take it away before all have read.
        store.add(f"{prefix}/read", 1)
        deadline = time.monotonic() + 30
        while verdict["problems"] and world.is_main and time.monotonic() < deadline:
            if store.add(f"{prefix}/read", 0) >= world.size - len(absent):
                break
            time.sleep(0.05)
    except RuntimeError as error:
        raise _unexpected(
            f"process 0, which holds the meeting at {_address()}, has left or cannot be reached any more: "
            f"{_first_line(error)}; look for the first error of process 0"
        ) from None
    if verdict["problems"]:
        raise UserError(*verdict["problems"], code=ExitCode(verdict["code"]))
    return members, store


def _store(world: World) -> Store:
    """Where the processes leave word for each other: held by process 0, or by torchrun. As torch itself makes it (in
    torch.distributed.rendezvous), but process 0 does not wait in it, so that it can say who is absent."""
    of_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    holds = world.is_main and not of_torchrun
    try:
        return TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            world.size,
            is_master=holds,
            # The others begin to wait when they have reached process 0, which waits for the last one.
            timeout=PATIENCE if holds else PATIENCE + _LONGER,
            wait_for_workers=False,
            multi_tenant=not of_torchrun,
        )
    except (RuntimeError, ValueError) as error:
        if holds:
            problem = f"process 0 cannot listen at {_address()}"
        else:
            problem = f"process {world.rank} did not reach process 0 at {_address()} within {_minutes()}"
        raise _unexpected(
            f"{problem} ({_first_line(error)}); MASTER_ADDR must be an address of the machine of process 0 that the "
            "others reach, MASTER_PORT free there"
        ) from None


def _wait_for(keys: list[str], store: Store) -> list[int]:
    """Positions of the keys that are not there when patience ends."""
    missing, deadline = list(range(len(keys))), time.monotonic() + PATIENCE.total_seconds()
    while missing:
        if store.check([keys[missing[0]]]):
            missing.pop(0)
        elif time.monotonic() < deadline:
            time.sleep(0.05)
        else:
            return [position for position in missing if not store.check([keys[position]])]
    return []


def disagreements(members: Sequence[Member], layout: Layout) -> list[str]:
    """Why these processes must not train together."""
    first = members[0]
    found = []
    for other in members[1:]:
        who = f"process {other.rank} on {other.node}"
        if other.config != first.config:
            keys = [f"{key} is {theirs!r}, on process 0 {ours!r}" for key, ours, theirs in _different(first, other)]
            found.append(f"{who} has another configuration: {'; '.join(keys[:3])}; give all the same words")
        if other.code != first.code:
            found.append(
                f"{who} runs other code than process 0 on {first.node}, or other versions of torch, DeepSpeed or "
                "Python; give all machines the same installation"
            )
    by_device = defaultdict(list)
    for one in members:
        if one.device != "cpu":
            by_device[one.device].append(one)
    for device, sharing in by_device.items():
        if len(sharing) > 1:
            ranks = ", ".join(str(one.rank) for one in sharing)
            found.append(
                f"processes {ranks} on {sharing[0].node} (LOCAL_RANK "
                f"{', '.join(str(one.local_rank) for one in sharing)}) share one GPU, {device}; start as many "
                "processes per machine as it has GPUs"
            )
    nodes = _by_node(members)
    spanning = any(len({members[rank].node for rank in group}) > 1 for group in _tensor_groups(layout))
    if spanning and len({len(ranks) for ranks in nodes.values()}) > 1:
        counts = ", ".join(f"{node} {len(ranks)}" for node, ranks in nodes.items())
        found.append(
            f"parallel.tensor: groups of {layout.tensor} would lie across machines with different numbers of "
            f"processes ({counts}); start a multiple of {layout.tensor} on each"
        )
    return found[:20]


def report(members: Sequence[Member], world: World, address: str) -> list[tuple[str, str]]:
    """Name and text of the lines that process 0 prints."""
    nodes = _by_node(members)
    processes = _counted(len(members), "process", "processes")
    on_nodes = _counted(len(nodes), "node", "nodes")
    rows = [("launch", f"{world.launcher}: {processes} on {on_nodes}, meeting at {address}")]
    for node, ranks in nodes.items():
        devices = sorted({members[rank].device.partition(" GPU-")[0] for rank in ranks})
        rows.append(("node", f"{node}: {_ranges(ranks)} on {', '.join(devices)}"))
    return rows


def _by_node(members: Sequence[Member]) -> dict[str, list[int]]:
    nodes: dict[str, list[int]] = {}
    for one in members:
        nodes.setdefault(one.node, []).append(one.rank)
    return nodes


def _tensor_groups(layout: Layout) -> list[list[int]]:
    return [list(range(start, start + layout.tensor)) for start in range(0, layout.world_size, layout.tensor)]


def _ranges(ranks: list[int]) -> str:
    """`ranks 0-3, 8`, from a rising list."""
    parts: list[list[int]] = []
    for rank in ranks:
        if parts and parts[-1][-1] == rank - 1:
            parts[-1][1:] = [rank]
        else:
            parts.append([rank])
    return f"{'rank' if len(ranks) == 1 else 'ranks'} " + ", ".join("-".join(map(str, part)) for part in parts)


def _different(first: Member, other: Member) -> list[tuple[str, Any, Any]]:
    ours, theirs = _flat(first.config), _flat(other.config)
    return [
        (key, ours.get(key), theirs.get(key)) for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)
    ]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {
        key: leaf
        for part, inner in value.items()
        for key, leaf in _flat(inner, f"{name}.{part}" if name else part).items()
    }


def _code() -> str:
    package = Path(__file__).parents[1]
    digest = sha256(f"{sys.version} {torch.__version__} {version('deepspeed')}".encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _too_late(absent: list[int], world: World) -> str:
    return (
        f"{_ranges(absent)} of {world.size} did not come to {_address()} within {_minutes()}: their machines did not "
        "start them, they ended at once, or they cannot reach that address; look at their output"
    )


def _unexpected(problem: str) -> UserError:
    return UserError(problem, code=ExitCode.UNEXPECTED)


def _address() -> str:
    return f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"


def _minutes() -> str:
    return _counted(round(PATIENCE.total_seconds() / 60), "minute", "minutes")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
