"""Every layout of a cluster with its time and memory, the best first."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.memory import RankMemory, rank_memory
from jp_llm.plan.time import StepTime, step_time

GIB = 2**30
LARGEST_ODD_MICRO_BATCH, LARGEST_MICRO_BATCH = 16, 64
"""Every divisor of the batch is tried up to the first, powers of two up to the second."""
VIRTUAL_STAGES = (1, 2, 4)
NEAR_TIE = 0.02
"""Layouts that are so little slower than the fastest are as good: the estimate is not finer."""
TIGHT = 0.95
"""Of the device's memory. The memory of GPUs is computed, not measured: what needs more may not fit after all."""

SEARCHED = (
    "parallel.zero_stage",
    "parallel.gather",
    "parallel.tensor",
    "parallel.pipeline",
    "parallel.virtual_stages",
    "train.micro_batch_size",
    "train.activation_checkpointing",
)
"""Keys that the search decides; those that the user gives are held fixed."""


@dataclass(frozen=True)
class Estimate:
    """A run on a cluster under one layout."""

    config: RunConfig
    cluster: ClusterConfig
    layout: Layout

    @cached_property
    def time(self) -> StepTime:
        """Of one step."""
        return step_time(self.config, self.layout, self.cluster)

    @cached_property
    def memory(self) -> RankMemory:
        """Of the fullest process."""
        return rank_memory(self.config, self.layout, device=self.cluster.device)

    @property
    def fits(self) -> bool:
        """Whether device and host memory suffice; on a CPU they are one."""
        return self.memory.total <= self.cluster.memory_gib * GIB and self.fits_host

    @property
    def fits_host(self) -> bool:
        """Whether what a node's processes keep in host memory does."""
        host = 0 if self.cluster.device == "cpu" else self.memory.host * self.cluster.devices_per_node
        return host <= self.cluster.host_memory_gib * GIB

    @property
    def tight(self) -> bool:
        """Whether it fits with little to spare."""
        return self.memory.total > TIGHT * self.cluster.memory_gib * GIB

    @property
    def overrides(self) -> tuple[str, ...]:
        """What makes a run have this layout."""
        parallel, train = self.config.parallel, self.config.train
        words = [f"parallel.zero_stage={parallel.zero_stage}"]
        if parallel.zero_stage == 3:
            words.append(f"parallel.gather={parallel.gather_policy}")
        words += [f"parallel.tensor={parallel.tensor}", f"parallel.pipeline={parallel.pipeline}"]
        words.append(f"parallel.virtual_stages={parallel.virtual_stages}")
        if parallel.offload_optimizer:
            words.append("parallel.offload_optimizer=true")
        words.append(f"train.micro_batch_size={train.micro_batch_size}")
        words.append(f"train.activation_checkpointing={str(train.activation_checkpointing).lower()}")
        return tuple(words)

    @property
    def complexity(self) -> tuple[int, ...]:
        """Less is simpler: fewer cuts through the model first, then less recomputation and less division of state."""
        parallel = self.config.parallel
        return (
            self.layout.tensor * self.layout.pipeline,
            self.layout.pipeline * parallel.virtual_stages,
            self.config.train.activation_checkpointing,
            parallel.zero_stage,
            parallel.zero_stage == 3 and parallel.gather_policy == "per_step",
        )


def estimate(config: RunConfig, layout: Layout, cluster: ClusterConfig) -> Estimate:
    """The expectation of a run as it is configured."""
    return Estimate(config, cluster, layout)


@dataclass(frozen=True)
class Search:
    """All legal layouts of a run on a cluster, by expected time."""

    candidates: tuple[Estimate, ...]
    """Fastest first, whether they fit or not."""

    @cached_property
    def best(self) -> Estimate | None:
        """Of those that fit and are nearly as fast as the fastest that does: one that is not tight, and the simplest of
        these."""
        fastest = next((candidate for candidate in self.candidates if candidate.fits), None)
        if fastest is None:
            return None
        limit = fastest.time.total * (1 + NEAR_TIE)
        near = [candidate for candidate in self.candidates if candidate.time.total <= limit and candidate.fits]
        return min(near, key=lambda candidate: (candidate.tight, candidate.complexity, candidate.time.total))

    def kinds(self, count: int) -> list[Estimate]:
        """The best, then the fastest that fits of each other combination of ZeRO, tensor, pipeline, recomputation."""
        found: dict[Any, Estimate] = {}
        for candidate in ([self.best] if self.best else []) + list(self.candidates):
            if len(found) == count:
                break
            if _kind(candidate) not in found and candidate.fits:
                found[_kind(candidate)] = candidate
        return list(found.values())

    @property
    def smallest(self) -> Estimate | None:
        """What comes nearest to fitting."""
        return min(self.candidates, key=lambda candidate: candidate.memory.total, default=None)


def _kind(candidate: Estimate) -> tuple[object, ...]:
    parallel, train = candidate.config.parallel, candidate.config.train
    return parallel.zero_stage, parallel.tensor, parallel.pipeline, train.activation_checkpointing


def search(config: RunConfig, cluster: ClusterConfig, held: Set[str] = frozenset()) -> Search:
    """Estimate every legal layout.

    Args:
        held: keys of `SEARCHED` whose value in `config` is wanted.
    """
    found = [estimate(choice, layout, cluster) for choice, layout in _choices(config, cluster, held)]
    return Search(tuple(sorted(found, key=lambda candidate: candidate.time.total)))


def leanest(config: RunConfig, cluster: ClusterConfig, held: Set[str] = frozenset()) -> Estimate | None:
    """The fastest layout that fits with micro-batches of 1 and recomputation, where `held` allows these: without
    it nothing fits."""
    found = (estimate(choice, layout, cluster) for choice, layout in _choices(config, cluster, held, lean=True))
    return min((one for one in found if one.fits), key=lambda candidate: candidate.time.total, default=None)


def divisible(config: RunConfig, cluster: ClusterConfig, held: Set[str] = frozenset()) -> bool:
    """Whether any layout divides model and batch over the cluster."""
    return next(_choices(config, cluster, held, lean=True), None) is not None


def _choices(
    config: RunConfig, cluster: ClusterConfig, held: Set[str], *, lean: bool = False
) -> Iterator[tuple[RunConfig, Layout]]:
    parallel, train = config.parallel, config.train
    virtual_stages = (parallel.virtual_stages,) if "parallel.virtual_stages" in held else VIRTUAL_STAGES
    micro_batches = (1,) if lean else _micro_batches(config)
    recomputing = (True,) if lean else (False, True)
    if "train.micro_batch_size" in held:
        micro_batches = (train.micro_batch_size,)
    if "train.activation_checkpointing" in held:
        recomputing = (train.activation_checkpointing,)
    divisions = tuple(_divisions(config, held))
    for virtual, size in product(virtual_stages, micro_batches):
        own_parallel = parallel.model_copy(update={"virtual_stages": virtual})
        own_train = train.model_copy(update={"micro_batch_size": size})
        base = config.model_copy(update={"parallel": own_parallel, "train": own_train})
        trains = [own_train.model_copy(update={"activation_checkpointing": recompute}) for recompute in recomputing]
        for layout in base.legal_layouts(cluster.world_size):
            if not _wanted(base, layout, cluster, held):
                continue
            # A single data rank has nobody to divide its state with.
            shared = layout.data > 1 or "parallel.zero_stage" in held
            for stage, policy in divisions if shared else divisions[:1]:
                axes = {"tensor": layout.tensor, "pipeline": layout.pipeline, "zero_stage": stage, "gather": policy}
                divided = own_parallel.model_copy(update=axes)
                for one in trains:
                    yield base.model_copy(update={"parallel": divided, "train": one}), layout


def _micro_batches(config: RunConfig) -> tuple[int, ...]:
    batch = config.train.global_batch_size
    sizes = range(1, LARGEST_MICRO_BATCH + 1)
    tried = {size for size in sizes if batch % size == 0 and (size <= LARGEST_ODD_MICRO_BATCH or size.bit_count() == 1)}
    return tuple(sorted({*tried, config.train.micro_batch_size}))


def _divisions(config: RunConfig, held: Set[str]) -> Iterator[tuple[int, str | None]]:
    """(ZeRO stage, gather policy), the least division first."""
    parallel, train = config.parallel, config.train
    # Stage 0 in bf16 runs as stage 1, and cannot offload; compiled blocks know no stage 3.
    first = 0 if train.precision == "fp32" and not parallel.offload_optimizer else 1
    stages = range(first, 3 if train.compile else 4)
    for stage in (parallel.zero_stage,) if "parallel.zero_stage" in held else stages:
        if stage < 3:
            yield stage, None
        else:
            free = ("per_micro_batch", "per_step")
            yield from ((stage, policy) for policy in ((parallel.gather,) if "parallel.gather" in held else free))


def _wanted(config: RunConfig, layout: Layout, cluster: ClusterConfig, held: Set[str]) -> bool:
    """Left out unless they are given: tensor groups that span nodes, where every layer would wait for the network, and
    virtual stages where the stages do not divide the micro-batches, which costs what they save."""
    parallel = config.parallel
    if "parallel.pipeline" in held and layout.pipeline != parallel.pipeline:
        return False
    if "parallel.tensor" in held and layout.tensor != parallel.tensor:
        return False
    if "parallel.tensor" not in held and cluster.devices_per_node % layout.tensor:
        return False
    uneven = parallel.virtual_stages > 1 and config.num_micro_batches(layout.data) % layout.pipeline
    return "parallel.virtual_stages" in held or not uneven
