import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.parallel.slices import Slice, flat_pieces, whole_slice


def test_index_cuts_the_box_out_of_the_whole():
    whole = np.arange(24).reshape(4, 6)
    piece = Slice("x", whole=(4, 6), offset=(1, 2), shape=(2, 3))
    assert whole[piece.index].tolist() == [[8, 9, 10], [14, 15, 16]]
    assert piece.numel == 6


def test_a_whole_slice_is_everything():
    assert whole_slice("x", (4, 6)) == Slice("x", whole=(4, 6), offset=(0, 0), shape=(4, 6))


@pytest.mark.parametrize(
    ("offset", "shape"),
    [((3, 0), (2, 6)), ((-1, 0), (1, 6)), ((0, 0), (4, 7)), ((0,), (4,)), ((0, 0), (4,))],
)
def test_a_box_outside_the_whole_is_refused(offset, shape):
    with pytest.raises(ValueError, match="x: "):
        Slice("x", whole=(4, 6), offset=offset, shape=shape)


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_flat_pieces_of_any_partition_are_the_flattened_tensor(sizes, cuts):
    slices = [whole_slice(f"p{i}", (size, 2)) for i, size in enumerate(sizes)]
    arrays = {piece.name: np.random.default_rng(i).random(piece.shape) for i, piece in enumerate(slices)}
    flat = np.concatenate([arrays[piece.name].reshape(-1) for piece in slices])
    bounds = [0, *sorted(cuts), len(flat) + 3]  # the last part reaches into the padding of a partition
    parts = []
    for start, stop in itertools.pairwise(bounds):
        pieces = list(flat_pieces(slices, start, stop))
        assert all(piece.size > 0 for piece in pieces)
        found = [arrays[piece.part.name].reshape(-1)[piece.start : piece.stop] for piece in pieces]
        part = np.concatenate([np.empty(0), *found])
        assert np.array_equal(part, flat[start:stop])
        parts.append(part)
    assert np.array_equal(np.concatenate(parts), flat)
