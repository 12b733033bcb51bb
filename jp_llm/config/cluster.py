"""`cluster`: the hardware, as the planner sees it (`configs/cluster/<name>.yaml`)."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from jp_llm.config.section import Section

Share = Annotated[float, Field(gt=0, le=1)]


class ClusterConfig(Section):
    """Per device unless a field says otherwise. `configs/cluster` holds what vendors publish and what runs reached.

    Any value may be overridden after a file is chosen: cluster=h100 cluster.nodes=4 cluster.price_per_device_hour=2.
    """

    name: str
    """Of the file."""
    device: Literal["cuda", "cpu"] = "cuda"
    """What the processes compute on; on the two memory is counted in different ways."""
    nodes: PositiveInt = 1
    """Machines with devices_per_node each."""
    devices_per_node: PositiveInt = 8
    """GPUs, or processes on a CPU machine."""
    memory_gib: PositiveFloat
    """Device memory in GiB; on a CPU machine, that of one process."""
    host_memory_gib: PositiveFloat
    """Memory of a whole node beside that of its devices, for parallel.offload_optimizer."""
    peak_tflops: PositiveFloat
    """Dense bf16 TFLOP/s of the data sheet."""
    fp32_tflops: PositiveFloat
    """TFLOP/s of the data sheet in float32, without TF32."""
    matmul_efficiency: Share
    """Share of the peak that large matrix products reach inside a training step."""
    attention_efficiency: Share
    """Share of the peak that the attention kernel reaches, causal FLOPs counted and forward and backward together."""
    wave_outputs: PositiveFloat
    """Elements of a product that the device works on at a time: multiprocessors x a tile of 128 x 128."""
    memory_gb_per_second: PositiveFloat
    """Bandwidth of the device memory on the data sheet."""
    memory_efficiency: Share
    """Share of that which elementwise kernels and the optimizer reach."""
    launch_microseconds: NonNegativeFloat
    """Time of the host to start one kernel."""
    intra_node_gb_per_second: PositiveFloat
    """Bus bandwidth of collectives between the devices of a node, each direction, as nccl-tests counts it."""
    intra_node_microseconds: NonNegativeFloat
    """Start of a collective inside a node."""
    inter_node_gb_per_second: PositiveFloat
    """What one device sends to other nodes, each direction: bandwidth of the node's adapters / devices_per_node."""
    inter_node_microseconds: NonNegativeFloat
    """Start of a collective between nodes."""
    overlap: Annotated[float, Field(ge=0, le=1)]
    """Share of the ZeRO-3 traffic under way beside computation that costs no time."""
    host_link_gb_per_second: PositiveFloat
    """Between a device and the memory of its node, each direction."""
    host_memory_gb_per_second: PositiveFloat
    """Bandwidth of the node's memory / devices_per_node, for an offloaded optimizer."""
    storage_gb_per_second: PositiveFloat
    """Writes of the whole job into the shared folder that holds run_dir."""
    price_per_device_hour: NonNegativeFloat
    """What an hour of one device costs; a rented machine's price / devices_per_node."""
    currency: str = "USD"
    """Of the price."""
    node_hours_between_failures: PositiveFloat
    """Mean time between failures of one node that end a run."""

    @property
    def world_size(self) -> int:
        """Processes."""
        return self.nodes * self.devices_per_node

    @property
    def hours_between_failures(self) -> float:
        """Mean time between failures of the whole job: nodes fail independently of each other."""
        return self.node_hours_between_failures / self.nodes

    @model_validator(mode="before")
    @classmethod
    def _is_chosen(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" not in values:
            keys = ", ".join(f"cluster.{key}" for key in values)
            raise PydanticCustomError(
                "cluster_not_chosen",
                "{keys} without a cluster; choose the hardware first, e.g. cluster=a100-80gb (--help lists the files)",
                {"keys": keys},
            )
        return values
