"""What an estimate means for the run: speed, days, cost, checkpoints; and the JSON of it (`plan.json`)."""

from dataclasses import asdict, dataclass
from typing import Any

from jp_llm.config.arithmetic import flops_per_token, num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.interval import checkpoint_bytes, checkpoint_interval
from jp_llm.plan.search import Estimate, estimate

SECONDS_PER_DAY = 86_400
MEMORY_PARTS = (
    *("weights", "gradients", "optimizer", "tied", "gathered", "activations", "loss"),
    *("communication", "step", "runtime", "margin"),
)
"""Of `RankMemory`, on the device."""


@dataclass(frozen=True)
class Checkpoints:
    """How large, how long and how often."""

    bytes: int
    stall_seconds: float
    """Training stands still: the copy to host memory, or the whole write if checkpoint.asynchronous is false."""
    write_seconds: float
    interval_seconds: float
    """Best time between two; not less than one takes to be written."""
    every_steps: int
    """The same as checkpoint.every_steps."""
    lost_share: float
    """Of all time, to stalls and to work that is done again after failures."""


@dataclass(frozen=True)
class Expectation:
    """Figures of one estimate."""

    estimate: Estimate

    @property
    def tokens_per_step(self) -> int:
        """Trained tokens."""
        return self.estimate.config.train.global_batch_size * self.estimate.config.seq_length

    @property
    def tokens(self) -> int:
        """The token budget of the run."""
        return self.tokens_per_step * self.estimate.config.train.num_steps

    @property
    def tokens_per_second(self) -> float:
        """Over all devices."""
        return self.tokens_per_step / self.estimate.time.total

    @property
    def tokens_per_second_per_device(self) -> float:
        """Of one of them."""
        return self.tokens_per_second / self.estimate.layout.world_size

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation (Chowdhery et al. 2022, appendix B), attention causal, as metrics.jsonl has it: of
        the peak in bf16, whatever the precision is."""
        config, cluster = self.estimate.config, self.estimate.cluster
        flops = self.tokens_per_second_per_device * flops_per_token(config.model, config.seq_length)
        return flops / (1e12 * cluster.peak_tflops)

    @property
    def days(self) -> float:
        """Of training alone."""
        return self.estimate.time.total * self.estimate.config.train.num_steps / SECONDS_PER_DAY

    @property
    def cost(self) -> float:
        """In the currency of the cluster."""
        return self.days * 24 * self.estimate.layout.world_size * self.estimate.cluster.price_per_device_hour

    @property
    def bubble_share(self) -> float:
        """Of a step."""
        return self.estimate.time.bubble / self.estimate.time.total

    @property
    def communication_share(self) -> float:
        """Of a step, waited for the network."""
        return self.estimate.time.communication / self.estimate.time.total

    @property
    def checkpoints(self) -> Checkpoints:
        """Size, and the interval at which least time is lost."""
        config, cluster, layout = self.estimate.config, self.estimate.cluster, self.estimate.layout
        size = checkpoint_bytes(config)
        write = size / (1e9 * cluster.storage_gb_per_second)
        stall = size / layout.world_size / (1e9 * cluster.host_link_gb_per_second)
        if not config.checkpoint.asynchronous:
            stall = write
        interval, lost = checkpoint_interval(stall, 3600 * cluster.hours_between_failures)
        if interval < write:
            # One after the other without a pause: the same sum of stalls and repeated work, at a longer interval.
            interval, failures = write, 3600 * cluster.hours_between_failures
            lost = stall / interval + interval / 2 / failures
        every = max(1, round(interval / self.estimate.time.total))
        return Checkpoints(size, stall, write, interval, every, lost)

    def to_json(self) -> dict[str, Any]:
        """All of it; bytes and seconds unless a name says otherwise."""
        config, cluster, layout = self.estimate.config, self.estimate.cluster, self.estimate.layout
        memory = self.estimate.memory
        return {
            "cluster": cluster.model_dump(mode="json"),
            "layout": {**asdict(layout), "micro_batches": config.num_micro_batches(layout.data)},
            "overrides": list(self.estimate.overrides),
            "fits": self.estimate.fits,
            "parameters": num_parameters(config.model),
            "tokens_per_step": self.tokens_per_step,
            "tokens": self.tokens,
            "step_seconds": self.estimate.time.total,
            "step_parts_seconds": asdict(self.estimate.time),
            "tokens_per_second": self.tokens_per_second,
            "tokens_per_second_per_device": self.tokens_per_second_per_device,
            "tokens_per_day": self.tokens_per_second * SECONDS_PER_DAY,
            "mfu": self.mfu,
            "days": self.days,
            "cost": self.cost,
            "currency": cluster.currency,
            "bubble_share": self.bubble_share,
            "communication_share": self.communication_share,
            "memory_bytes": {
                **{part: getattr(memory, part) for part in MEMORY_PARTS},
                "total": memory.total,
                "host": memory.host,
            },
            "checkpoint": asdict(self.checkpoints),
        }


def expected(config: RunConfig, world_size: int) -> dict[str, Any]:
    """plan.json of a run as it is configured, on the processes that it has (`launch/train.py` with a cluster)."""
    if config.cluster is None:
        raise ValueError("the configuration names no cluster")
    layout: Layout = config.parallel.layout(world_size)
    return Expectation(estimate(config, layout, config.cluster)).to_json()
