"""Where groups lie, against the ranks of their members."""

import pytest
from clusters import ideal
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.config.layout import Layout
from jp_llm.plan.network import links

SIZES = st.sampled_from([1, 2, 4, 8])


@given(tensor=SIZES, data=SIZES, pipeline=SIZES, axis=st.sampled_from(["tensor", "data", "pipeline"]))
def test_a_group_that_spans_nodes_has_the_adapters_of_its_ranks_in_a_node(
    tensor: int, data: int, pipeline: int, axis: str
) -> None:
    layout = Layout(tensor, data, pipeline)
    cluster = ideal(intra_node_gb_per_second=100, inter_node_gb_per_second=5)
    place = {"tensor": 0, "data": 0, "pipeline": 0}
    members = [layout.rank_of(**{**place, axis: number}) for number in range(getattr(layout, axis))]
    nodes = [rank // cluster.devices_per_node for rank in members]
    reached = getattr(links(cluster, layout), axis)
    assert reached.bytes_per_second == (1e11 if len(set(nodes)) == 1 else min(1e11, 5e9 * nodes.count(0)))


def test_a_ring_carries_all_but_a_share_and_one_rank_carries_nothing() -> None:
    cluster = ideal(intra_node_gb_per_second=100, intra_node_microseconds=1e6)
    assert links(cluster, Layout(tensor=4)).tensor.ring(8e11) == pytest.approx(1 + 6)
    assert links(cluster, Layout(tensor=4)).data.ring(8e11) == 0
