"""`cluster`: the hardware, as the planner sees it (`configs/cluster/<name>.yaml`)."""

from pydantic import PositiveFloat, PositiveInt

from jp_llm.config.section import Section


class ClusterConfig(Section):
    """Per device unless a field says otherwise. What a vendor publishes, and what was measured of it."""

    name: str
    """Of the file."""
    nodes: PositiveInt = 1
    """Machines with devices_per_node each."""
    devices_per_node: PositiveInt = 8
    """GPUs, or processes on a CPU machine."""
    memory_gib: PositiveFloat
    """Device memory in GiB."""
    peak_tflops: PositiveFloat
    """Dense bf16 TFLOP/s of the data sheet."""

    @property
    def world_size(self) -> int:
        """Processes."""
        return self.nodes * self.devices_per_node
