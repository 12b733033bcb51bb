"""What is said of a run that is started although by the plan it does not fit its cluster."""

from jp_llm.config.run import RunConfig
from jp_llm.plan.search import GIB, estimate
from jp_llm.plan.vocabulary import ASSUMED_VOCABULARY, of_size, with_vocabulary
from jp_llm.runtime.errors import UserError


def shortage(config: RunConfig, world_size: int) -> str | None:
    """How much memory is missing on the cluster that a run names; None if nothing is, if it names none, or if its
    layout is impossible, which others say. A warning, not a refusal: on GPUs the plan is computed, not measured."""
    cluster = config.cluster
    if cluster is None:
        return None
    try:
        config, _ = with_vocabulary(config)
    except UserError:
        # The dataset may be visible from the compute nodes alone.
        config = of_size(config, ASSUMED_VOCABULARY)
    if config.layout_problems(world_size):
        return None
    found = estimate(config, config.parallel.layout(world_size), cluster)
    if found.fits:
        return None
    if found.fits_host:
        needed = f"{found.memory.total / GIB:.1f} of {cluster.memory_gib:g} GiB on each device of {cluster.name}"
    else:
        host = found.memory.host * cluster.devices_per_node / GIB
        needed = f"{host:.1f} of {cluster.host_memory_gib:g} GiB of host memory on each node of {cluster.name}"
    return f"the run needs {needed} by the plan; launch/plan.py with the same words names layouts that fit"
