"""Every layout of a cluster with its time and memory, the best first."""

from collections.abc import Callable, Iterator, Set
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
MICRO_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
VIRTUAL_STAGES = (1, 2, 4)
NEAR_TIE = 0.02
"""Among layouts that are so little slower than the fastest the simplest is taken: the estimate is not finer."""

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
    time: StepTime

    @cached_property
    def memory(self) -> RankMemory:
        """Of the fullest process."""
        return rank_memory(self.config, self.layout, device="cpu" if self.cluster.name == "cpu" else "cuda")

    @property
    def fits(self) -> bool:
        """Whether device and host memory suffice."""
        host = self.memory.host * self.cluster.devices_per_node
        return self.memory.total <= self.cluster.memory_gib * GIB and host <= self.cluster.host_memory_gib * GIB

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
    return Estimate(config, cluster, layout, step_time(config, layout, cluster))


@dataclass(frozen=True)
class Search:
    """All legal layouts of a run on a cluster, by expected time."""

    candidates: tuple[Estimate, ...]
    """Fastest first, whether they fit or not."""

    @cached_property
    def best(self) -> Estimate | None:
        """The simplest of those that fit and are nearly as fast as the fastest that does."""
        fastest = next((candidate for candidate in self.candidates if candidate.fits), None)
        if fastest is None:
            return None
        limit = fastest.time.total * (1 + NEAR_TIE)
        near = [candidate for candidate in self.candidates if candidate.time.total <= limit and candidate.fits]
        return min(near, key=lambda candidate: (candidate.complexity, candidate.time.total))

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


def search(config: RunConfig, cluster: ClusterConfig, held: Set[str] = frozenset(), *, lean: bool = False) -> Search:
    """Estimate every legal layout.

    Args:
        held: keys of `SEARCHED` whose value in `config` is wanted.
        lean: look only at what needs the least memory, to learn whether anything fits.
    """
    found = [estimate(choice, layout, cluster) for choice, layout in _choices(config, cluster, held, lean)]
    return Search(tuple(sorted(found, key=lambda candidate: candidate.time.total)))


def _choices(
    config: RunConfig, cluster: ClusterConfig, held: Set[str], lean: bool
) -> Iterator[tuple[RunConfig, Layout]]:
    parallel, train, world_size = config.parallel, config.train, cluster.world_size

    def values(key: str, free: tuple[Any, ...], configured: Any) -> tuple[Any, ...]:
        return (configured,) if key in held else free

    micro_batch_sizes = sorted(
        {*MICRO_BATCH_SIZES[: 1 if lean else None], *(() if lean else (train.micro_batch_size,))}
    )
    micro_batches = values("train.micro_batch_size", tuple(micro_batch_sizes), train.micro_batch_size)
    recomputing = values(
        "train.activation_checkpointing", (True,) if lean else (False, True), train.activation_checkpointing
    )
    # Stage 0 in bf16 runs as stage 1; compiled blocks know no stage 3; stage 0 cannot offload.
    stages = [0, 1, 2, 3] if train.precision == "fp32" and not parallel.offload_optimizer else [1, 2, 3]
    zero_stages = [stage for stage in stages if not (train.compile and stage == 3)]
    zero = values("parallel.zero_stage", tuple(zero_stages[-1:] if lean else zero_stages), parallel.zero_stage)
    gather = values("parallel.gather", ("per_micro_batch", "per_step"), parallel.gather)
    divisions = [
        (stage, policy)
        for stage in zero
        for policy in (gather if stage == 3 else (parallel.gather if "parallel.gather" in held else None,))
    ]
    allowed = _allowed(config, cluster, held)
    for virtual, size in product(
        values("parallel.virtual_stages", VIRTUAL_STAGES, parallel.virtual_stages), micro_batches
    ):
        own_train = train.model_copy(update={"micro_batch_size": size})
        own_parallel = parallel.model_copy(update={"virtual_stages": virtual})
        base = config.model_copy(update={"parallel": own_parallel, "train": own_train})
        for layout in base.legal_layouts(world_size):
            uneven = virtual > 1 and base.num_micro_batches(layout.data) % layout.pipeline
            if not allowed(layout) or (uneven and "parallel.virtual_stages" not in held):
                continue
            # A single data rank has nobody to divide its state with.
            own_divisions = divisions if layout.data > 1 or "parallel.zero_stage" in held else divisions[:1]
            for (stage, policy), recompute in product(own_divisions, recomputing):
                update = {
                    "zero_stage": stage,
                    "gather": policy,
                    "tensor": layout.tensor,
                    "pipeline": layout.pipeline,
                }
                yield (
                    base.model_copy(
                        update={
                            "parallel": own_parallel.model_copy(update=update),
                            "train": own_train.model_copy(update={"activation_checkpointing": recompute}),
                        }
                    ),
                    layout,
                )


def _allowed(config: RunConfig, cluster: ClusterConfig, held: Set[str]) -> Callable[[Layout], bool]:
    """Tensor groups stay inside a node unless the user wants otherwise: every layer would wait for the network."""

    def allowed(layout: Layout) -> bool:
        if "parallel.pipeline" in held and layout.pipeline != config.parallel.pipeline:
            return False
        if "parallel.tensor" in held:
            return layout.tensor == config.parallel.tensor
        return cluster.devices_per_node % layout.tensor == 0

    return allowed
