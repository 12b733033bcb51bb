"""Clusters whose times can be computed by hand."""

from typing import Any

from jp_llm.config.cluster import ClusterConfig

ENDLESS = 1e30


def ideal(**changes: Any) -> ClusterConfig:
    """One node of 8 devices on which nothing takes time but what `changes` slow down."""
    values: dict[str, Any] = {
        "name": "ideal",
        "memory_gib": 80,
        "host_memory_gib": 1000,
        "peak_tflops": ENDLESS,
        "fp32_tflops": ENDLESS,
        "matmul_efficiency": 1.0,
        "attention_efficiency": 1.0,
        "wave_outputs": 1e-30,
        "memory_gb_per_second": ENDLESS,
        "memory_efficiency": 1.0,
        "launch_microseconds": 0,
        "intra_node_gb_per_second": ENDLESS,
        "intra_node_microseconds": 0,
        "inter_node_gb_per_second": ENDLESS,
        "inter_node_microseconds": 0,
        "overlap": 0,
        "host_link_gb_per_second": ENDLESS,
        "host_memory_gb_per_second": ENDLESS,
        "storage_gb_per_second": 1,
        "price_per_device_hour": 2,
        "node_hours_between_failures": 1000,
    }
    return ClusterConfig.model_validate({**values, **changes}, strict=False)
