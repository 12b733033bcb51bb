"""What would have to change for a run that does not fit."""

from collections.abc import Iterator, Set
from pathlib import Path

import yaml

from jp_llm.config.app import CONFIG_FOLDER
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.run import RunConfig
from jp_llm.plan.search import GIB, SEARCHED, Estimate, search

MOST_NODES = 4096


def remedies(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Iterator[str]:
    """Overrides under which the run fits, the smallest change first; nothing if none of these changes helps."""
    if held:
        freed = _fitting(config, cluster, frozenset())
        if freed is not None:
            changed = [word for word in freed.overrides if word.partition("=")[0] in held]
            yield f"{' '.join(changed or freed.overrides)} (instead of what you gave)"
    for offloaded in _offloaded(config, cluster, held):
        yield " ".join(offloaded.overrides)
    nodes = cluster.nodes
    while (nodes := nodes * 2) <= MOST_NODES:
        larger = cluster.model_copy(update={"nodes": nodes})
        found = _fitting(config, larger, held)
        if found is not None:
            yield f"cluster.nodes={nodes} {' '.join(found.overrides)}"
            break
    for device in _larger_devices(cluster):
        found = _fitting(config, device, held)
        if found is not None:
            size = f"cluster.nodes={device.nodes} cluster.devices_per_node={device.devices_per_node}"
            yield f"cluster={device.name} {size} {' '.join(found.overrides)}"
            break


def _offloaded(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Iterator[Estimate]:
    if config.parallel.offload_optimizer:
        return
    parallel = config.parallel.model_copy(update={"offload_optimizer": True})
    found = _fitting(config.model_copy(update={"parallel": parallel}), cluster, held)
    if found is not None:
        yield found


def _fitting(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Estimate | None:
    """The fastest of what fits with the smallest micro-batches and recomputation."""
    lean = search(config, cluster, held, lean=True)
    return next((candidate for candidate in lean.candidates if candidate.fits), None)


def _larger_devices(cluster: ClusterConfig) -> list[ClusterConfig]:
    """As many devices with more memory, the smallest first."""
    same_size = {"nodes": cluster.nodes, "devices_per_node": cluster.devices_per_node}
    files = sorted((CONFIG_FOLDER / "cluster").glob("*.yaml"))
    others = [ClusterConfig.model_validate(_values(path), strict=False) for path in files]
    larger = [
        other.model_copy(update=same_size)
        for other in others
        if other.memory_gib > cluster.memory_gib and (other.name == "cpu") == (cluster.name == "cpu")
    ]
    return sorted(larger, key=lambda other: (other.memory_gib, other.name))


def _values(path: Path) -> dict[str, object]:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))["cluster"]
    assert isinstance(values, dict)
    return values


def refusal(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> str:
    """Why nothing is possible, and the nearest of what is."""
    result = search(config, cluster, held)
    smallest = result.smallest
    where = f"{cluster.nodes} x {cluster.devices_per_node} {cluster.name}"
    if smallest is None:
        wanted = f" with {', '.join(sorted(held & set(SEARCHED)))} as given" if held else ""
        reason = f"cluster: no layout of {cluster.world_size} processes divides this model and batch{wanted}"
        if not held:
            reason += f"; make train.global_batch_size {config.train.global_batch_size} a multiple of the processes"
    else:
        reason = (
            f"cluster: nothing fits on {where} of {cluster.memory_gib:g} GiB; what comes nearest needs "
            f"{smallest.memory.total / GIB:.1f} GiB ({' '.join(smallest.overrides)})"
        )
    found = list(remedies(config, cluster, held))
    if not found:
        return f"{reason}; neither offloading nor more nodes nor a larger device helps: make the model smaller"
    return f"{reason}. Nearest that fits: " + "; or ".join(found)
