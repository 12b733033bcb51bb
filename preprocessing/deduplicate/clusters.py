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
from preprocessing.deduplicate.near import checks_per_document, edges_name
from preprocessing.deduplicate.pairs import Pairs
from preprocessing.deduplicate.tables import FILE_SHIFT, ORDINAL, Workspace, chunks, mapped, part_name, write_array

MAXIMUM_LEADERS = 64
"""Kept members that further ones of a cluster are compared with: bounds the work on a cluster of a million."""
SIMILARITY_UNIT = 1_000_000
"""Similarities are written as whole numbers of millionths."""
_LARGEST = 20
_MEMBERS_SHOWN = 10
_BLOCK = 1 << 20
_BYTES_PER_EDGE = 128
_BYTES_PER_MEMBER = 128
"""What a row takes while it is looked at, beside its checks."""
_CHECKS_HELD = 5
"""Times that checks are in memory: as read, of members and of leaders, and where they agree."""
_NO_SIZES = np.empty(0, dtype=np.int64)

Labels = NDArray[np.uint32]


def required(documents: int, clustered: int = 0) -> int:
    """Least `memory_bytes` that `cluster` can do with: an eighth of it goes to the edges or checks at hand.

    Labels (uint32) and truth for each document; sorted members with their labels and sizes of clusters for each member.
    """
    return (6 * documents + 24 * clustered) * 8 // 7


def require(documents: int, memory_bytes: int, clustered: int = 0) -> None:
    """
    Raises:
        UserError: the memory that was granted does not suffice.
    """
    needed = required(documents, clustered)
    if needed > memory_bytes:
        raise UserError(
            f"deduplicate.memory_bytes={memory_bytes:,} is too little to join near duplicates; set it to {needed:,} or "
            "more, with at least so much memory for one process"
        )


def cluster(
    config: NearConfig, folder: str, documents: Sequence[int], edge_parts: int, memory_bytes: int
) -> dict[str, Any]:
    """Write (document, kept one, similarity in millionths) of every near duplicate, in tables sorted by document.

    Args:
        documents: of each cleaned file.
        edge_parts: ranges of hashes that each band was divided into.

    Raises:
        UserError: the labels of all documents and the members of all clusters do not fit into `memory_bytes`.
    """
    workspace = Workspace(folder)
    sources = workspace.sources()
    numbering = _Numbering.of(documents)
    require(numbering.total, memory_bytes)
    edges = [
        workspace.path("edges", edges_name(band, part, edge_parts))
        for band in range(config.bands)
        for part in range(edge_parts)
    ]
    size = min(max(memory_bytes // (8 * _BYTES_PER_EDGE), 1 << 10), 1 << 22)
    labels = components(numbering.total, (numbering.dense(rows) for path in edges for rows in chunks(path, 2, size)))
    members = _members(labels, memory_bytes)
    starts = _starts(labels, members)
    nothing = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.float64)
    dropped = Pairs.of(*nothing, np.diff(starts, append=len(members)), sources, config.seed)
    kept = Pairs()
    unchecked = 0
    step = max(memory_bytes // (8 * (_CHECKS_HELD * checks_per_document(config) + _BYTES_PER_MEMBER)), 1 << 10)
    tables = -(-len(members) // step)
    carried = np.empty(0, dtype=np.uint32)
    for table in range(tables):
        chunk = members[table * step : (table + 1) * step]
        if carried.size and labels[carried[0]] == labels[chunk[0]]:
            chunk = np.concatenate((carried, chunk))
        else:
            carried = carried[:0]
        checks = numbering.checks(workspace, chunk, checks_per_document(config))
        owners, ratios, left = lead(checks, labels[chunk], config.minimum_similarity)
        del checks
        unchecked += left
        stays = owners == np.arange(len(chunk))
        new = np.arange(len(chunk)) >= len(carried)
        # By document, so that what holds for one file is read in one piece.
        gone = np.flatnonzero(~stays & new)
        gone = gone[np.argsort(chunk[gone])]
        numbers, others = numbering.numbers(chunk[gone]), numbering.numbers(chunk[owners[gone]])
        millionths = (ratios[gone] * SIMILARITY_UNIT).round().astype(np.uint64)
        name = part_name(table, tables)
        write_array(workspace.path("near_duplicates", name), np.column_stack((numbers, others, millionths)))
        similarity = ratios[gone].astype(np.float64)
        dropped.add(Pairs.of(numbers, others, similarity, _NO_SIZES, sources, config.seed), config.seed)
        later = np.flatnonzero(stays & new & (labels[chunk] != chunk))
        numbers, others = numbering.numbers(chunk[later]), numbering.numbers(labels[chunk[later]])
        similarity = ratios[later].astype(np.float64)
        kept.add(Pairs.of(numbers, others, similarity, _NO_SIZES, sources, config.seed), config.seed)
        last = labels[chunk] == labels[chunk[-1]]
        carried = chunk[last & stays][:MAXIMUM_LEADERS]
    return {
        "clusters": len(starts),
        "clustered": len(members),
        "unchecked": unchecked,
        "dropped": dropped.to_json(),
        "kept": kept.to_json(),
        "largest": _largest(numbering, members, starts),
        "tables": tables,
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
        while _jump(labels):
            pass
    return labels


def _jump(labels: Labels) -> bool:
    """Let every vertex point to where its parent points, block by block; whether that changed any."""
    changed = False
    for first in range(0, len(labels), _BLOCK):
        block = labels[first : first + _BLOCK]
        jumped = labels[block]
        changed |= not np.array_equal(jumped, block)
        block[:] = jumped
    return changed


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
            table = mapped(workspace.path("checks", file)).reshape(-1, width)
            found[rows] = table[dense[rows] - self.starts[file]]
            del table  # the pages it touched count as memory of this process
        return found


def _members(labels: Labels, memory_bytes: int) -> Labels:
    """Documents of clusters of two or more, cluster by cluster, in order."""
    joined = np.zeros(len(labels), dtype=np.bool_)
    for first in range(0, len(labels), _BLOCK):
        block = labels[first : first + _BLOCK]
        apart = block != np.arange(first, first + len(block), dtype=np.uint32)
        joined[first : first + len(block)] |= apart
        joined[block[apart]] = True
    count = int(np.count_nonzero(joined))
    require(len(labels), memory_bytes, count)
    keys = np.empty(count, dtype=np.uint64)
    filled = 0
    for first in range(0, len(labels), _BLOCK):
        places = np.flatnonzero(joined[first : first + _BLOCK]).astype(np.uint64) + np.uint64(first)
        keys[filled : filled + len(places)] = labels[places].astype(np.uint64) << np.uint64(32) | places
        filled += len(places)
    keys.sort()  # by cluster, then by document
    return keys.astype(np.uint32)


def _starts(labels: Labels, members: Labels) -> NDArray[np.int64]:
    """Place of the first member of each cluster."""
    clusters = labels[members]
    new = np.ones(len(members), dtype=np.bool_)
    new[1:] = clusters[1:] != clusters[:-1]
    return np.flatnonzero(new)


def _largest(numbering: _Numbering, members: Labels, starts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The largest clusters, with the numbers of their first members."""
    sizes = np.diff(starts, append=len(members))
    shown = []
    for place in np.argsort(-sizes, kind="stable")[:_LARGEST].tolist():
        first, count = int(starts[place]), int(sizes[place])
        numbers = numbering.numbers(members[first : first + min(count, _MEMBERS_SHOWN)])
        shown.append({"size": count, "members": numbers.tolist()})
    return shown
