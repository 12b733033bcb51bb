"""Is something wrong, and who is to blame: pure functions of what a watcher has seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.watch.heartbeat import Beat
from jp_llm.watch.process import Condition
from jp_llm.watch.stacks import Stack

PHASES = ("data", "step", "evaluate", "sample", "save", "end")
"""In the order in which a process goes through them again and again, once it has left `start`."""
FAR_PATIENCE = 2.0
"""Of other hosts, over `silence_seconds`: a client of NFS may go on showing the old file for a minute (acdirmax)."""

Kind = Literal["died", "failed", "stopped", "silent", "absent", "late"]


@dataclass(frozen=True)
class Seen:
    """One process, as a watcher sees it. Durations are in seconds of the watcher's own clock."""

    rank: int
    beat: Beat | None
    """None: it has not shown up."""
    silent: float
    """Since its last new heartbeat, or since the watcher began."""
    lasting: float
    """Since its phase or step was seen to change."""
    condition: Condition = "remote"
    unchanged: float = 0.0
    """Since its condition was seen to change."""

    @property
    def ended_well(self) -> bool:
        """Whether it has said goodbye, with no error."""
        return self.beat is not None and self.beat.state == "ended" and self.beat.code in (0, 85)

    @property
    def failed(self) -> bool:
        """Whether it has said goodbye with an error."""
        return self.beat is not None and self.beat.state == "ended" and not self.ended_well

    @property
    def is_left(self) -> bool:
        """Whether it takes part, as far as can be seen."""
        return self.condition != "gone" and not (self.ended_well or self.failed)

    @property
    def position(self) -> tuple[int, int]:
        """How far it has come: step, phase."""
        if self.beat is None:
            return (-1, -1)
        phase = self.beat.phase
        if phase == "start":
            # Also of a rewind: who has come out of it is in a step that was done before, but further all the same.
            return (-1, 0)
        # A room that is not listed here is one that is entered between two steps.
        return (self.beat.step, PHASES.index(phase) if phase in PHASES else PHASES.index("evaluate"))


@dataclass(frozen=True)
class Verdict:
    """What is wrong, and with whom."""

    kind: Kind
    culprits: tuple[Seen, ...]
    """All processes, where nobody differs from the others."""
    words: tuple[str, ...]
    """For a person, one line each."""


def trouble(seen: Sequence[Seen], settings: WatchdogConfig, patience: float = 1.0) -> dict[int, Kind]:
    """Ranks with which something is wrong; empty as long as all is well.

    Args:
        patience: factor on how long a phase may last, for a watcher that sees only some of the processes and leaves it
            to another one to speak first.
    """
    found: dict[int, Kind] = {}
    if not any(each.is_left for each in seen):
        # Nobody waits in vain. Whoever started the processes learns how they ended.
        return {each.rank: "late" for each in seen if _late(each, settings, patience)}
    # Who is further waits for the last ones, which may be in a phase that is allowed to take longer.
    last = min(each.position for each in seen if each.is_left)
    for each in seen:
        kind = _wrong(each, settings, patience)
        if kind is not None and not (kind == "late" and each.is_left and each.position > last):
            found[each.rank] = kind
    return found


def _wrong(each: Seen, settings: WatchdogConfig, patience: float) -> Kind | None:
    if each.ended_well or each.failed:
        # One that ended with an error is missed by the others, whether or not it is still there.
        failed = each.failed and each.lasting > settings.grace_seconds
        return "failed" if failed else "late" if _late(each, settings, patience) else None
    if each.condition == "gone":
        return "died" if each.unchanged > settings.grace_seconds else None
    if each.condition == "stopped":
        return "stopped" if each.unchanged > settings.silence_seconds else None
    if each.beat is None:
        return "absent" if each.silent > settings.other_seconds * patience else None
    if each.silent > _allowed_silence(each, settings):
        return "silent"
    return "late" if _late(each, settings, patience) else None


def _allowed_silence(each: Seen, settings: WatchdogConfig) -> float:
    if each.beat is not None and each.beat.phase == "start":
        # Loading libraries from a cold disk holds the lock of the interpreter, under which no heartbeat is written.
        return settings.other_seconds
    return settings.silence_seconds * (FAR_PATIENCE if each.condition == "remote" else 1.0)


def _late(each: Seen, settings: WatchdogConfig, patience: float) -> bool:
    if each.beat is None or (each.beat.state == "ended" and each.condition != "running"):
        return False
    is_step = each.beat.phase in ("data", "step") and not each.beat.first
    return each.lasting > (settings.step_seconds if is_step else settings.other_seconds) * patience


def verdict(
    seen: Sequence[Seen], found: Mapping[int, Kind], stacks: Mapping[int, Stack], settings: WatchdogConfig
) -> Verdict:
    """Who is to blame for what `trouble` has found.

    A process that is dead, stopped or silent is, also if it is not so for long enough to be trouble by itself. If all
    of them only take too long, it is whoever is behind the others; if none is, whoever stands outside of the collective
    in which the others wait, or elsewhere than most of them.

    Args:
        stacks: of processes that wrote theirs.
    """
    order: tuple[Kind, ...] = ("died", "failed", "stopped", "silent", "absent", "late")
    found = dict(found) | {each.rank: suspect for each in seen if (suspect := _suspect(each, settings))}
    kind = min(found.values(), key=order.index)
    if kind == "late":
        culprits, why = _behind([each for each in seen if not each.ended_well] or list(seen), stacks)
    else:
        culprits, why = tuple(each for each in seen if found.get(each.rank) == kind), ""
    lines = [_sentence(each, kind) for each in culprits[:8]] if len(culprits) < len(seen) or len(seen) == 1 else []
    if not lines:
        lines = [f"all {len(seen)} processes, the first of them: {_sentence(culprits[0], kind)}"]
    elif len(culprits) > 8:
        lines.append(f"and {len(culprits) - 8} more")
    if why:
        lines.append(why)
    for each in culprits[:8]:
        stack = stacks.get(each.rank)
        if stack is not None and stack.own is not None:
            lines.append(f"rank {each.rank} stands at {stack.own}")
    return Verdict(kind, culprits, tuple(lines))


def _suspect(each: Seen, settings: WatchdogConfig) -> Kind | None:
    """What would soon be found of this process."""
    if each.ended_well:
        return None
    if each.failed:
        return "failed"
    if each.condition == "gone":
        return "died"
    if each.condition == "stopped":
        return "stopped"
    return "silent" if each.beat is not None and each.silent > _allowed_silence(each, settings) / 2 else None


def _behind(seen: Sequence[Seen], stacks: Mapping[int, Stack]) -> tuple[tuple[Seen, ...], str]:
    last = min(each.position for each in seen)
    behind = tuple(each for each in seen if each.position == last)
    if len(behind) < len(seen):
        return behind, "the others are further and wait"
    outside = tuple(each for each in seen if each.rank in stacks and not stacks[each.rank].waits)
    if 0 < len(outside) < len(seen) and len(stacks) == len(seen):
        return outside, "the others wait in a collective"
    places = {rank: str(stack.own) for rank, stack in stacks.items()}
    counts = Counter(places.values())
    if len(counts) > 1:
        (_, most), (rare, least) = counts.most_common()[0], counts.most_common()[-1]
        if least < most:
            elsewhere = tuple(each for each in seen if places.get(each.rank) == rare)
            return elsewhere, f"most of the others stand at {counts.most_common()[0][0]}"
    return tuple(seen), ""


def _sentence(each: Seen, kind: Kind) -> str:
    beat = each.beat
    if beat is None:
        return f"rank {each.rank} has not shown up for {each.silent:.0f} s"
    where = f"{beat.phase} of step {beat.step}"
    what = {
        "died": f"is gone without a word since {each.unchanged:.0f} s (killed, or out of memory); it was in {where}",
        "failed": f"failed with exit code {beat.code} ({beat.reason}), and the others wait for it",
        "stopped": f"is stopped by a signal (SIGSTOP) since {each.unchanged:.0f} s; its last heartbeat was in {where}",
        "silent": f"gives no heartbeat for {each.silent:.0f} s; it was in {where}",
        "absent": "",
        "late": f"is in {where} for {each.lasting:.0f} s",
    }[kind]
    return f"rank {each.rank} on host {beat.host} (pid {beat.pid}) {what}"
