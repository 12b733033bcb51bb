"""Compare, bit for bit, what several processes hold alike: a difference is a machine that computes or stores wrongly.

Held alike are the weights that the ranks of a data axis compute with (under ZeRO-3 as far as they are gathered; under
ZeRO-0 also fp32 weights and moments), what the ranks of a tensor axis have in common (norms, biases, shared key/value
heads; weights and fp32 state), and a tied embedding and its copy on the last pipeline stage. docs/replicas.md says what
is found when, and what is not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

from jp_llm.engine.fingerprint import fingerprint
from jp_llm.engine.tied import TiedEmbedding
from jp_llm.engine.working import working_weights
from jp_llm.engine.zero import ZeroEngine
from jp_llm.parallel.slices import Slice
from jp_llm.parallel.tensor import Placement
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.host import host_name

MOST_NAMED = 5


@dataclass(frozen=True)
class Difference:
    """A tensor whose copies are not equal."""

    tensor: str
    groups: tuple[tuple[int, ...], ...]
    """Ranks that have the same bits; the largest group first."""

    @property
    def odd_ranks(self) -> tuple[int, ...]:
        """All that have not what most have; all that hold it, where no majority has the same."""
        in_question = self.groups[1:] if self.has_majority else self.groups
        return tuple(sorted(rank for group in in_question for rank in group))

    @property
    def has_majority(self) -> bool:
        """Whether more than half of the copies are equal, so that the others are the wrong ones."""
        return 2 * len(self.groups[0]) > sum(len(group) for group in self.groups)


class ReplicaMismatch(UserError):
    """Copies differ; the same on every process."""

    def __init__(self, differences: tuple[Difference, ...], hosts: Mapping[int, str]) -> None:
        self.differences = differences
        self.hosts = {rank: hosts[rank] for difference in differences for rank in difference.odd_ranks}
        """Of the ranks that are in question."""
        shown = [_sentence(difference, hosts) for difference in differences[:MOST_NAMED]]
        if more := len(differences) - len(shown):
            shown.append(f"and {more} more tensors")
        super().__init__(
            "what processes must hold alike differs: " + "; ".join(shown),
            "nothing was saved; go on from the last checkpoint without the host that computes or stores wrongly "
            f"({', '.join(self.bad_hosts) or 'test ' + ' and '.join(sorted(set(self.hosts.values())))})",
            code=ExitCode.RERUN_ELSEWHERE,
        )

    @property
    def bad_hosts(self) -> tuple[str, ...]:
        """Hosts that are wrong for certain: outvoted, or the only one in question."""
        found = set()
        for difference in self.differences:
            hosts = {self.hosts[rank] for rank in difference.odd_ranks}
            if difference.has_majority or len(hosts) == 1:
                found |= hosts
        return tuple(sorted(found))


def _sentence(difference: Difference, hosts: Mapping[int, str]) -> str:
    named = ", ".join(f"process {rank} on {hosts[rank]}" for rank in difference.odd_ranks)
    if difference.has_majority:
        others = ", ".join(str(rank) for rank in difference.groups[0])
        return f"{difference.tensor} of {named} is not what it is on the others ({others})"
    return f"{difference.tensor} is not the same on {named}; which of them is wrong cannot be told"


@dataclass(frozen=True)
class _Held:
    name: str
    """The same on all processes that hold it alike, and on no other."""
    tensor: Tensor
    groups: tuple[ProcessGroup, ...]
    """Over which it is held alike."""


class Replicas:
    """What this process holds in common with others."""

    def __init__(self, zero: ZeroEngine, placements: Mapping[str, Placement], tied: TiedEmbedding) -> None:
        self._zero = zero
        self._grid = zero.grid
        self._placements = placements
        self._tied = tied

    def check(self) -> None:
        """Every process calls this together, between two steps or before an update.

        Raises:
            ReplicaMismatch: on every process, if anything differs anywhere.
        """
        if self._grid.layout.world_size == 1:
            return
        held = [each for each in self._held() if each.groups]
        prints = {each.name: fingerprint(each.tensor).to(self._zero.device) for each in held}
        differing: set[str] = set()
        axis = self._grid.tensor_axis
        # In this order on every process, whatever it holds.
        for group in (self._grid.data_group, axis.group, axis.key_value_group):
            if names := [each.name for each in held if group in each.groups]:
                own = torch.stack([prints[name] for name in names])
                everyone = torch.empty(len(own) * torch.distributed.get_world_size(group), dtype=own.dtype).to(own)
                torch.distributed.all_gather_into_tensor(everyone, own, group=group)
                differs = (everyone.view(-1, len(own)) != own).any(0).tolist()
                differing |= {name for name, wrong in zip(names, differs, strict=True) if wrong}
        with self._tied.held() as tensor:
            if tensor is not None:
                name = f"tied embedding, part {axis.rank + 1} of {axis.size}"
                prints[name] = fingerprint(tensor)
                differing |= {name} if self._tied.differs(prints[name]) else set()
        found = torch.tensor([len(differing)], device=self._zero.device)
        torch.distributed.all_reduce(found)
        if int(found):
            raise self._mismatch(differing, prints)

    def _held(self) -> Iterator[_Held]:
        data = (self._grid.data_group,) if self._grid.layout.data > 1 else ()
        for fragment in self._zero.fragments():
            name, shared = self._known_as(fragment.parameter)
            part = f" elements {fragment.start} to {fragment.stop}" if self._zero.zero_stage > 0 else ""
            for kind, tensor in fragment.state.items():
                groups = (*(data if self._zero.zero_stage == 0 else ()), *shared)
                yield _Held(f"{name}{part} ({kind}, fp32)", tensor, groups)
        if self._zero.zero_stage > 0:
            for weight in working_weights(self._zero):
                name, shared = self._known_as(weight.parameter)
                part = "" if weight.whole else f" part {self._grid.data_rank + 1} of {self._grid.layout.data}"
                yield _Held(f"{name}{part}", weight.tensor, (*(data if weight.whole else ()), *shared))

    def _known_as(self, parameter: str) -> tuple[str, tuple[ProcessGroup, ...]]:
        placed = self._placements[parameter]
        shared = () if placed.gradient_group is None else (placed.gradient_group,)
        return " + ".join(_box(part) for part in placed.slices), shared

    def _mismatch(self, differing: set[str], prints: Mapping[str, Tensor]) -> ReplicaMismatch:
        """Ask everyone who holds a tensor that differs somewhere: the more copies, the clearer which is wrong."""
        size = torch.distributed.get_world_size()
        everywhere: list[set[str]] = [set()] * size
        torch.distributed.all_gather_object(everywhere, differing)
        wanted = set().union(*everywhere)
        own = {name: int(prints[name]) for name in wanted if name in prints}
        answers: list[tuple[str, dict[str, int]]] = [("", {})] * size
        torch.distributed.all_gather_object(answers, (host_name(), own))
        differences = []
        for name in sorted(wanted):
            ranks_of: dict[int, list[int]] = {}
            for rank, (_, found) in enumerate(answers):
                if name in found:
                    ranks_of.setdefault(found[name], []).append(rank)
            groups = sorted((tuple(ranks) for ranks in ranks_of.values()), key=lambda ranks: (-len(ranks), ranks))
            differences.append(Difference(name, tuple(groups)))
        return ReplicaMismatch(tuple(differences), {rank: host for rank, (host, _) in enumerate(answers)})


def _box(part: Slice) -> str:
    if part.shape == part.whole:
        return part.name
    ranges = (f"{start}:{start + size}" for start, size in zip(part.offset, part.shape, strict=True))
    return f"{part.name}[{', '.join(ranges)}]"
