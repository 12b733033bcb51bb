import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from preprocessing.deduplicate.clusters import MAXIMUM_LEADERS, cluster, components, lead
from preprocessing.deduplicate.config import NearConfig
from preprocessing.deduplicate.minhash import similarities
from preprocessing.deduplicate.near import edges_name
from preprocessing.deduplicate.tables import Workspace, read_rows, write_array


def slow_components(size, edges):
    labels = list(range(size))
    changed = True
    while changed:
        changed = False
        for one, two in edges:
            least = min(labels[one], labels[two])
            changed |= labels[one] != least or labels[two] != least
            labels[one] = labels[two] = least
    return labels


def batches(edges, size):
    for first in range(0, len(edges), size):
        pairs = np.array(edges[first : first + size], dtype=np.uint32).reshape(-1, 2)
        yield pairs[:, 0], pairs[:, 1]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40), st.integers(1, 10))
def test_components_are_those_of_the_definition(edges, size):
    assert components(20, batches(edges, size)).tolist() == slow_components(20, edges)


@pytest.mark.parametrize("size", [1 << 20, 5000])
def test_long_chains(size):
    """The worst case for pointers: every vertex hangs on the one before, in forward and in random order."""
    chain = np.column_stack((np.arange(1, 50_000), np.arange(49_999))).astype(np.uint32)
    assert not components(50_000, batches(chain, size)).any()
    np.random.default_rng(0).shuffle(chain)
    assert not components(50_000, batches(chain, size)).any()
    assert not components(50_000, batches(chain[:, ::-1], size)).any()


def slow_lead(checks, clusters, minimum):
    """The rule, member by member."""
    leaders, owners = {}, []
    for member, group in enumerate(clusters):
        known = leaders.setdefault(group, [])
        for leader in known:
            if similarities(checks[member : member + 1], checks[leader : leader + 1])[0] >= minimum:
                owners.append(leader)
                break
        else:
            owners.append(member)
            known.append(member)
    return owners


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_leaders_are_those_of_the_rule(seed, minimum):
    rng = np.random.default_rng(seed)
    clusters = np.sort(rng.integers(0, 4, 30)).astype(np.uint32)
    checks = rng.integers(0, 2, (30, 8), dtype=np.uint8)
    owners, ratios, left = lead(checks, clusters, minimum)
    assert left == 0
    assert owners.tolist() == slow_lead(checks, clusters.tolist(), minimum)
    gone = owners != np.arange(30)
    assert (ratios[gone] == similarities(checks[gone], checks[owners[gone]]).astype(np.float32)).all()


def test_a_chain_of_small_changes_does_not_delete_unlike_texts():
    """a-b and b-c are alike, a-c are not: only b goes."""
    checks = np.zeros((3, 100), dtype=np.uint8)
    checks[1, :20] = 1
    checks[2, :40] = 1
    owners, _, _ = lead(checks, np.zeros(3, dtype=np.uint32), 0.7)
    assert owners.tolist() == [0, 0, 2]


def test_the_work_on_a_huge_cluster_is_bounded():
    rng = np.random.default_rng(0)
    checks = rng.integers(0, 256, (MAXIMUM_LEADERS + 50, 64), dtype=np.uint8)
    owners, _, left = lead(checks, np.zeros(len(checks), dtype=np.uint32), 0.7)
    assert owners.tolist() == list(range(len(checks)))
    assert left == 50


def written(folder, checks, edges):
    """Tables of two files, as the steps before leave them."""
    workspace = Workspace(str(folder))
    half = len(checks) // 2
    write_array(workspace.path("checks", 0), checks[:half])
    write_array(workspace.path("checks", 1), checks[half:])
    workspace.write_sources(["a", "b"])
    for band in range(4):
        write_array(workspace.path("edges", edges_name(band, 0, 1)), np.empty((0, 2), dtype=np.uint64))
    numbers = np.array([number if number < half else 1 << 32 | number - half for number in range(len(checks))])
    write_array(workspace.path("edges", edges_name(0, 0, 1)), numbers.astype(np.uint64)[np.array(edges)])
    return [half, len(checks) - half]


def decided(folder, tables):
    workspace = Workspace(str(folder))
    workspace.finish("near_duplicates", tables)
    found = [read_rows(path, 3).tolist() for path in workspace.decided("near_duplicates")]
    assert all(rows == sorted(rows) for rows in found)
    return sorted(row for rows in found for row in rows)


def test_members_that_come_in_several_pieces(tmp_path):
    """With little memory a cluster is read piece by piece; the leaders of the pieces before go on leading."""
    rng = np.random.default_rng(1)
    kinds = rng.integers(0, 256, (10, 16), dtype=np.uint8)
    checks = kinds[rng.integers(0, 10, 6000)]
    edges = [(number, 0) for number in range(1, 5000)] + [(number, 5000) for number in range(5001, 6000)]
    results, tables = [], []
    for name, memory in (("large", 1 << 30), ("small", 300_000)):
        documents = written(tmp_path / name, checks, edges)
        near = NearConfig(bands=4, rows=4)
        result = cluster(near, str(tmp_path / name), documents, 1, memory)
        tables.append(result.pop("tables"))
        results.append((result, decided(tmp_path / name, tables[-1])))
    assert tables == [1, 6]
    assert results[0] == results[1]
    result, rows = results[0]
    assert len(rows) == 6000 - 20
    assert result["clusters"] == 2
    assert result["dropped"]["sizes"] == {"4096": 1, "512": 1}
    assert [item["size"] for item in result["largest"]] == [5000, 1000]
    assert sum(result["dropped"]["by_source"].values()) == 5980


def test_too_little_memory_names_what_is_needed(tmp_path):
    checks = np.zeros((6000, 16), dtype=np.uint8)
    documents = written(tmp_path, checks, [(number, 0) for number in range(1, 6000)])
    near = NearConfig(bands=4, rows=4)
    with pytest.raises(UserError, match=r"deduplicate\.memory_bytes=100,000 is too little .* set it to 205,714"):
        cluster(near, str(tmp_path), documents, 1, 100_000)
    assert cluster(near, str(tmp_path), documents, 1, 205_714)["clustered"] == 6000
