"""What would have to change for a run that does not fit."""

from collections.abc import Iterator, Set
from pathlib import Path

import yaml

from jp_llm.config.app import CONFIG_FOLDER
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.run import RunConfig
from jp_llm.plan.search import GIB, SEARCHED, Search, divisible, leanest, search

MOST_NODES = 4096


def refusal(config: RunConfig, cluster: ClusterConfig, held: Set[str], found: Search) -> str:
    """Why nothing is possible, and the nearest of what is.

    Args:
        found: the search in which nothing fits.
    """
    if found.smallest is None:
        return _undivided(config, cluster, held)
    reason = (
        f"cluster: nothing fits on {cluster.nodes} x {cluster.devices_per_node} {cluster.name} of "
        f"{cluster.memory_gib:g} GiB; what comes nearest needs {found.smallest.memory.total / GIB:.1f} GiB "
        f"({' '.join(found.smallest.overrides)})"
    )
    offers = list(_remedies(config, cluster, held))
    if not offers:
        return f"{reason}; neither offloading nor more nodes nor a larger device helps: make the model smaller"
    return f"{reason}. Nearest that fits: " + "; or ".join(offers)


def _remedies(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Iterator[str]:
    """Overrides under which the run fits, the smallest change first; nothing if none of these changes helps."""
    # A single key first: the plan chooses its value, and those that were left to it anyway.
    for freed in [*({key} for key in SEARCHED if key in held), held]:
        if freed and leanest(config, cluster, held - freed) is not None:
            best = search(config, cluster, held - freed).best
            if best is not None:
                changed = [word for word in best.overrides if word.partition("=")[0] in freed]
                left = f"{' and '.join(sorted(freed))} left to the plan"
                yield f"{' '.join(changed)} (instead of what you gave, with {left})" if changed else left
                break
    if not config.parallel.offload_optimizer:
        parallel = config.parallel.model_copy(update={"offload_optimizer": True})
        offloaded = leanest(config.model_copy(update={"parallel": parallel}), cluster, held)
        if offloaded is not None:
            yield " ".join(offloaded.overrides)
    nodes = cluster.nodes
    while (nodes := nodes * 2) <= MOST_NODES:
        found = leanest(config, cluster.model_copy(update={"nodes": nodes}), held)
        if found is not None:
            yield f"cluster.nodes={nodes} {' '.join(found.overrides)}"
            break
    for device in _larger_devices(cluster):
        found = leanest(config, device, held)
        if found is not None:
            size = f"cluster.nodes={device.nodes} cluster.devices_per_node={device.devices_per_node}"
            yield f"cluster={device.name} {size} {' '.join(found.overrides)}"
            break


def _undivided(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> str:
    """That no layout divides model and batch, and a batch or a number of devices with which one does."""
    batch, wanted = config.train.global_batch_size, ""
    if held:
        wanted = f" with {', '.join(sorted(held))} as given"
    reason = f"cluster: no layout of {cluster.world_size} processes divides this model and batch {batch}{wanted}"
    offers = [
        *(f"train.global_batch_size={other}" for other in _batches(config, cluster, held)),
        *(
            f"cluster.nodes={nodes} cluster.devices_per_node={devices}"
            for nodes, devices in _sizes(cluster, config, held)
        ),
    ]
    if not offers and held and divisible(config, cluster):
        offers = ["the plan without what you gave"]
    return f"{reason}; possible: {'; or '.join(offers)}" if offers else reason


def _batches(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Iterator[int]:
    """The nearest batch that can be divided, if there is one."""
    wanted, world = config.train.global_batch_size, cluster.world_size
    micro_batch = config.train.micro_batch_size if "train.micro_batch_size" in held else 1
    shares = [micro_batch * data for data in range(1, world + 1) if world % data == 0]
    near = {max(1, wanted // share + more) * share for share in shares for more in (0, 1)}
    for batch in sorted(near, key=lambda batch: (abs(batch - wanted), batch)):
        train = config.train.model_copy(update={"global_batch_size": batch})
        if divisible(config.model_copy(update={"train": train}), cluster, held):
            yield batch
            return


def _sizes(cluster: ClusterConfig, config: RunConfig, held: Set[str]) -> Iterator[tuple[int, int]]:
    """The most nodes and devices per node, of those that are there, over which the run can be divided."""
    sizes = [(nodes, cluster.devices_per_node) for nodes in range(cluster.nodes - 1, 0, -1)]
    sizes += [(1, devices) for devices in range(cluster.devices_per_node - 1, 0, -1)]
    for nodes, devices in sizes:
        if divisible(config, cluster.model_copy(update={"nodes": nodes, "devices_per_node": devices}), held):
            yield nodes, devices
            return


def _larger_devices(cluster: ClusterConfig) -> list[ClusterConfig]:
    """As many devices with more memory, the smallest first."""
    same_size = {"nodes": cluster.nodes, "devices_per_node": cluster.devices_per_node}
    files = sorted((CONFIG_FOLDER / "cluster").glob("*.yaml"))
    others = [ClusterConfig.model_validate(_values(path), strict=False) for path in files]
    larger = [
        other.model_copy(update=same_size)
        for other in others
        if other.memory_gib > cluster.memory_gib and other.device == cluster.device
    ]
    return sorted(larger, key=lambda other: (other.memory_gib, other.name))


def _values(path: Path) -> dict[str, object]:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))["cluster"]
    assert isinstance(values, dict)
    return values
