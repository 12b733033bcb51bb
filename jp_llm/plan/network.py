"""How long collectives take, by where their group lies."""

from dataclasses import dataclass

from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout


@dataclass(frozen=True)
class Link:
    """What the ranks of one group reach when all groups of their kind send at once."""

    size: int
    bytes_per_second: float
    """Bus bandwidth per rank."""
    start: float
    """Seconds before the first byte."""

    def ring(self, whole: float) -> float:
        """Seconds of an all-gather or reduce-scatter of `whole` bytes: (n - 1) / n of them pass every rank.

        Thakur et al. 2005, section 3; the bus bandwidth of nccl-tests (doc/PERFORMANCE.md) is defined so.
        """
        if self.size == 1:
            return 0.0
        return self.start + whole * (self.size - 1) / self.size / self.bytes_per_second

    def message(self, size: float) -> float:
        """Seconds of `size` bytes from one rank to another."""
        return self.start + size / self.bytes_per_second


@dataclass(frozen=True)
class Links:
    """The three axes of a layout."""

    tensor: Link
    data: Link
    pipeline: Link


def links(cluster: ClusterConfig, layout: Layout) -> Links:
    """Tensor ranks are neighbours, data ranks `tensor` apart, pipeline ranks `tensor x data` apart (`Layout`)."""
    return Links(
        tensor=_link(cluster, layout.tensor, 1),
        data=_link(cluster, layout.data, layout.tensor),
        pipeline=_link(cluster, layout.pipeline, layout.tensor * layout.data),
    )


def _link(cluster: ClusterConfig, size: int, stride: int) -> Link:
    """A ring enters and leaves each node once, and may use the adapters of all its ranks there; so a group with more
    ranks per node is faster between nodes, and one with a single rank per node has one adapter."""
    inside, outside = 1e9 * cluster.intra_node_gb_per_second, 1e9 * cluster.inter_node_gb_per_second
    if size == 1 or size * stride <= cluster.devices_per_node:
        return Link(size, inside, 1e-6 * cluster.intra_node_microseconds)
    per_node = max(1, cluster.devices_per_node // stride)
    return Link(size, min(inside, outside * per_node), 1e-6 * cluster.inter_node_microseconds)
