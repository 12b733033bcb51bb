"""Clusters of candidates, and who of a cluster goes.

Clusters are the connected components of the candidate pairs. A chain of small changes may join unlike texts, so only
members that are similar to a kept one go: members in order of their numbers, each is dropped if its estimated
similarity to one that was kept reaches the minimum, else it is kept (Charikar's leader clustering).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from preprocessing.deduplicate.config import NearConfig
from preprocessing.deduplicate.minhash import similarities
from preprocessing.deduplicate.near import checks_per_document
from preprocessing.deduplicate.pairs import Pairs
from preprocessing.deduplicate.tables import FILE_SHIFT, ORDINAL, Workspace, chunks, write_array

MAXIMUM_LEADERS = 64
"""Kept members that further ones of a cluster are compared with: bounds the work on a cluster of a million."""
SIMILARITY_UNIT = 1_000_000
"""Similarities are written as whole numbers of millionths."""
_LARGEST = 20
_MEMBERS_SHOWN = 10

Labels = NDArray[np.uint32]


def cluster(
    config: NearConfig, folder: str, documents: Sequence[int], sources: Sequence[str], memory_bytes: int
) -> dict[str, Any]:
    """Write (document, kept one, similarity in millionths) of every near duplicate, sorted by document.

    Args:
        documents: of each cleaned file.
        sources: of each cleaned file.

    Raises:
        UserError: the labels of all documents and the members of all clusters do not fit into `memory_bytes`.
    """
    workspace = Workspace(folder)
    numbering = _Numbering.of(documents)
    _require(8 * numbering.total, memory_bytes)
    size = max(min(memory_bytes // 256, 1 << 22), 1 << 10)
    labels = components(
        numbering.total,
        (numbering.dense(edges) for path in workspace.files("edges") for edges in chunks(path, 2, size)),
    )
    members = _members(labels, memory_bytes)
    found = _Found.nothing()
    unchecked = 0
    step = max(memory_bytes // (16 * checks_per_document(config)), 1 << 10)
    carried = np.empty(0, dtype=np.uint32)
    for first in range(0, len(members), step):
        chunk = members[first : first + step]
        if carried.size and labels[carried[0]] == labels[chunk[0]]:
            chunk = np.concatenate((carried, chunk))
        else:
            carried = carried[:0]
        checks = numbering.checks(workspace, chunk, checks_per_document(config))
        owners, ratios, left = lead(checks, labels[chunk], config.minimum_similarity)
        found = found.and_(_Found.among(chunk, owners, ratios, labels, new=len(carried)))
        unchecked += left
        last = labels[chunk] == labels[chunk[-1]]
        carried = chunk[last & (owners == np.arange(len(chunk)))][:MAXIMUM_LEADERS]
    order = np.argsort(found.dropped)
    numbers, kept_numbers = numbering.numbers(found.dropped[order]), numbering.numbers(found.owners[order])
    millionths = (found.similarities[order] * SIMILARITY_UNIT).round().astype(np.uint64)
    write_array(workspace.path("near_duplicates", 0), np.column_stack((numbers, kept_numbers, millionths)))
    sizes = np.unique(labels[members], return_counts=True)
    dropped = Pairs.of(
        numbers, kept_numbers, found.similarities[order].astype(np.float64), sizes[1], sources, config.seed
    )
    kept = Pairs.of(
        numbering.numbers(found.kept),
        numbering.numbers(found.firsts),
        found.kept_similarities.astype(np.float64),
        np.empty(0, dtype=np.int64),
        sources,
        config.seed,
    )
    return {
        "clusters": len(sizes[0]),
        "clustered": len(members),
        "unchecked": unchecked,
        "dropped": dropped.to_json(),
        "kept": kept.to_json(),
        "largest": _largest(numbering, labels, members, sizes),
    }


def components(size: int, batches: Iterator[tuple[Labels, Labels]]) -> Labels:
    """Least vertex of the connected component of each of `size` vertices, from batches of edges: uint32 [size].

    Hooking of roots to lesser roots and pointer jumping (Shiloach, Vishkin 1982), in numpy; labels only fall, so the
    result does not depend on the order of the edges.
    """
    labels = np.arange(size, dtype=np.uint32)
    for first, second in batches:
        first, second = _roots(labels, first), _roots(labels, second)
        while True:
            apart = first != second
            if not apart.any():
                break
            first, second = first[apart], second[apart]
            high, low = np.maximum(first, second), np.minimum(first, second)
            np.minimum.at(labels, high, low)
            first, second = _roots(labels, high), _roots(labels, low)
        while True:
            jumped = labels[labels]
            if np.array_equal(jumped, labels):
                break
            labels = jumped
    return labels


def _roots(labels: Labels, vertices: Labels) -> Labels:
    """Roots of vertices; their paths become shorter on the way."""
    parents = labels[vertices]
    while True:
        grandparents = labels[parents]
        if np.array_equal(parents, grandparents):
            return parents
        labels[vertices] = grandparents
        parents = labels[grandparents]


def lead(
    checks: NDArray[np.uint8], clusters: Labels, minimum_similarity: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Which member stays for each member of clusters, by the rule of this module.

    All clusters at once: in every round the first member of each cluster that is left leads, those similar to it go.

    Args:
        checks: of `MinHash.checks`: uint8 [members, checks].
        clusters: the cluster of each member; members of one follow one another: [members].

    Returns:
        For each member the place of the one that stays for it (itself if it stays), and the similarity to it; for one
        that stays, the similarity to the first of its cluster. Then, how many stay because there were too many leaders.
    """
    places = np.arange(len(clusters))
    owners = places.copy()
    ratios = np.zeros(len(clusters), dtype=np.float32)
    left = places
    for round_number in range(MAXIMUM_LEADERS):
        if not left.size:
            break
        new = np.ones(len(left), dtype=np.bool_)
        new[1:] = clusters[left[1:]] != clusters[left[:-1]]
        leader = left[new][np.cumsum(new) - 1]
        similar = similarities(checks[left], checks[leader])
        if round_number == 0:
            ratios[left] = similar
        gone = (similar >= minimum_similarity) & ~new
        owners[left[gone]] = leader[gone]
        ratios[left[gone]] = similar[gone]
        left = left[~gone & ~new]
    return owners, ratios, len(left)


@dataclass(frozen=True)
class _Numbering:
    """Documents of all files in one row of numbers without gaps."""

    starts: NDArray[np.int64]
    """Of each file, and the end."""

    @classmethod
    def of(cls, documents: Sequence[int]) -> "_Numbering":
        starts = np.zeros(len(documents) + 1, dtype=np.int64)
        np.cumsum(documents, out=starts[1:])
        if starts[-1] >= 1 << 32:
            raise UserError(f"{starts[-1]:,} documents: near duplicates are found among at most {1 << 32:,}")
        return cls(starts)

    @property
    def total(self) -> int:
        return int(self.starts[-1])

    def dense(self, edges: NDArray[np.uint64]) -> tuple[Labels, Labels]:
        """Both columns of document numbers without gaps."""
        dense = self.starts[(edges >> FILE_SHIFT).astype(np.int64)].astype(np.uint32)
        dense += (edges & ORDINAL).astype(np.uint32)
        return dense[:, 0], dense[:, 1]

    def numbers(self, dense: Labels) -> NDArray[np.uint64]:
        """Document numbers."""
        files = np.searchsorted(self.starts, dense, side="right") - 1
        return files.astype(np.uint64) << FILE_SHIFT | (dense - self.starts[files]).astype(np.uint64)

    def checks(self, workspace: Workspace, dense: Labels, width: int) -> NDArray[np.uint8]:
        """Checks of documents, read file by file: uint8 [documents, width]."""
        found = np.empty((len(dense), width), dtype=np.uint8)
        order = np.argsort(dense, kind="stable")
        ends = np.searchsorted(dense[order], self.starts)
        for file in np.flatnonzero(np.diff(ends)).tolist():
            rows = order[ends[file] : ends[file + 1]]
            table = np.memmap(workspace.path("checks", file), dtype=np.uint8, mode="r").reshape(-1, width)
            found[rows] = table[dense[rows] - self.starts[file]]
            del table  # the pages it touched count as memory of this process
        return found


@dataclass(frozen=True)
class _Found:
    """What has been decided so far, in numbers without gaps."""

    dropped: Labels
    owners: Labels
    similarities: NDArray[np.float32]
    kept: Labels
    """Members that stay, though not the first of their cluster."""
    firsts: Labels
    """Of their clusters."""
    kept_similarities: NDArray[np.float32]

    @classmethod
    def nothing(cls) -> "_Found":
        none, ratios = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.float32)
        return cls(none, none, ratios, none, none, ratios)

    @classmethod
    def among(
        cls, chunk: Labels, owners: NDArray[np.int64], ratios: NDArray[np.float32], labels: Labels, new: int
    ) -> "_Found":
        """Of the members of a chunk, from the `new`-th on."""
        stays = owners == np.arange(len(chunk))
        later = np.arange(len(chunk)) >= new
        gone, kept = ~stays & later, stays & later & (labels[chunk] != chunk)
        firsts = labels[chunk[kept]]
        return cls(chunk[gone], chunk[owners[gone]], ratios[gone], chunk[kept], firsts, ratios[kept])

    def and_(self, other: "_Found") -> "_Found":
        """Both."""
        return _Found(
            np.concatenate((self.dropped, other.dropped)),
            np.concatenate((self.owners, other.owners)),
            np.concatenate((self.similarities, other.similarities)),
            np.concatenate((self.kept, other.kept)),
            np.concatenate((self.firsts, other.firsts)),
            np.concatenate((self.kept_similarities, other.kept_similarities)),
        )


def _members(labels: Labels, memory_bytes: int) -> Labels:
    """Documents of clusters of two or more, cluster by cluster, in order."""
    joined = labels != np.arange(len(labels), dtype=np.uint32)
    joined[labels[joined]] = True
    count = int(np.count_nonzero(joined))
    _require(8 * len(labels) + 48 * count, memory_bytes)
    members = np.flatnonzero(joined).astype(np.uint32)
    return members[np.argsort(labels[members], kind="stable")]


def _require(needed: int, memory_bytes: int) -> None:
    """
    Raises:
        UserError: the memory that was granted does not suffice.
    """
    if needed > memory_bytes:
        raise UserError(
            f"deduplicate.memory_bytes={memory_bytes:,} is too little to join near duplicates; set it to {needed:,} or "
            "more, with at least so much memory for one process"
        )


def _largest(
    numbering: _Numbering, labels: Labels, members: Labels, sizes: tuple[Labels, NDArray[np.int64]]
) -> list[dict[str, Any]]:
    """The largest clusters, with the numbers of their first members."""
    shown = []
    for place in np.argsort(-sizes[1], kind="stable")[:_LARGEST].tolist():
        first = int(np.searchsorted(labels[members], sizes[0][place]))
        count = int(sizes[1][place])
        numbers = numbering.numbers(members[first : first + min(count, _MEMBERS_SHOWN)])
        shown.append({"size": count, "members": numbers.tolist()})
    return shown
