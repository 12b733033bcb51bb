"""A run: everything it is made of."""

from dataclasses import dataclass

from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Loader
from jp_llm.engine.engine import Engine
from jp_llm.guard.guard import Guard
from jp_llm.optim.schedule import Schedule
from jp_llm.train.control import Control
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Records
from jp_llm.train.replica_check import ReplicaCheck
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState
from jp_llm.train.status import LastWords
from jp_llm.train.straggler import Stragglers
from jp_llm.train.throughput import Throughput
from jp_llm.watch.heartbeat import Pulse


@dataclass
class Run:
    """`jp_llm.train.build` puts it together; the loop moves `state` on, a rewind moves it back."""

    preflight: Preflight
    engine: Engine
    loader: Loader
    schedule: Schedule
    state: TrainState
    records: Records
    saver: Saver
    throughput: Throughput
    guard: Guard
    control: Control
    pulse: Pulse
    last_words: LastWords
    stragglers: Stragglers
    replicas: ReplicaCheck

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.preflight.config
