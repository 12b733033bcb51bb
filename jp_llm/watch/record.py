"""What a watcher has seen of each process, by a clock of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jp_llm.watch.heartbeat import Beat
from jp_llm.watch.process import Condition
from jp_llm.watch.verdict import Seen


@dataclass
class _Entry:
    beat: Beat | None
    beat_at: float
    position_at: float
    condition: Condition = "remote"
    condition_at: float = 0.0


class Record:
    """Turns heartbeats into durations: what counts is when the watcher saw a change, for clocks of hosts differ.

    The clock stands still while the watcher itself is not running (a laptop that sleeps, a job that Slurm suspends), or
    cannot reach the disk: in that time it has seen nothing, and blames nobody.

    Args:
        ranks: of the processes that are watched.
        before: `Beat.time` of the heartbeats that were there when this start began, by rank: they may be old.
        loyalty: seconds without a heartbeat after which another process under the same rank is believed.
    """

    def __init__(self, ranks: Iterable[int], before: Mapping[int, float], *, loyalty: float) -> None:
        self._clock = 0.0
        self._loyalty = loyalty
        self._entries = {rank: _Entry(None, 0.0, 0.0) for rank in ranks}
        self._before = before

    def advance(self, seconds: float, most: float) -> None:
        """So much time has passed, of which at most `most` counts."""
        self._clock += min(seconds, most)

    def beat(self, rank: int, beat: Beat | None) -> None:
        """The heartbeat that was read now."""
        entry = self._entries.get(rank)
        if beat is None or entry is None or beat.time == self._before.get(rank) or beat == entry.beat:
            return
        if (
            entry.beat is not None
            and entry.beat.process != beat.process
            and self._clock - entry.beat_at < self._loyalty
        ):
            # One of them is left over from the start before, or was started in this folder by mistake and will be
            # refused: the one that goes on is ours.
            return
        if entry.beat is None or _position(beat) != _position(entry.beat):
            entry.position_at = self._clock
        entry.beat, entry.beat_at = beat, self._clock

    def condition(self, rank: int, condition: Condition) -> None:
        """What the kernel says now about a process of this host."""
        entry = self._entries[rank]
        if condition != entry.condition:
            entry.condition, entry.condition_at = condition, self._clock

    def seen(self) -> list[Seen]:
        """All processes as they stand."""
        return [
            Seen(
                rank=rank,
                beat=entry.beat,
                silent=self._clock - entry.beat_at,
                lasting=self._clock - entry.position_at,
                condition=entry.condition,
                unchanged=self._clock - entry.condition_at,
            )
            for rank, entry in self._entries.items()
        ]


def _position(beat: Beat) -> tuple[str, int, str, str]:
    return beat.process, beat.step, beat.phase, beat.state
