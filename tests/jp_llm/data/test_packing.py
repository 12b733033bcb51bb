import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.data.packing import Packing, Pieces, pack, pieces_of

Lengths = st.lists(st.integers(0, 60), max_size=60)


def one_by_one(sizes: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing as it stands in books: sizes in each bin, in the order in which bins were opened."""
    bins: list[list[int]] = []
    for size in sorted(sizes, reverse=True):
        fitting = [found for found in bins if sum(found) + size <= capacity]
        if fitting:
            max(fitting, key=sum).append(size)
        else:
            bins.append([size])
    return bins


def contents(packing: Packing) -> list[list[tuple[int, int]]]:
    return [
        list(zip(packing.starts(window).tolist(), packing.sizes(window).tolist(), strict=True))
        for window in range(packing.num_windows)
    ]


@settings(deadline=None)
@given(lengths=Lengths, seq_length=st.integers(1, 25), closed=st.booleans())
def test_pieces_predict_every_token_but_the_first_of_its_document_once(
    lengths: list[int], seq_length: int, closed: bool
) -> None:
    pieces = pieces_of(np.array(lengths, np.int64), seq_length, closed=closed)
    predicted = [
        start + place
        for start, size in zip(pieces.starts.tolist(), pieces.sizes.tolist(), strict=True)
        for place in range(1, size)
    ]
    begins = np.cumsum([0, *lengths])[:-1].tolist()
    # What closes a document stands where the next one begins.
    expected = [
        begin + place
        for begin, length in zip(begins, lengths, strict=True)
        for place in range(1, length + closed)
        if length
    ]
    assert predicted == expected
    assert all(2 <= size <= seq_length + 1 for size in pieces.sizes.tolist())
    whole = [begin for begin, length in zip(begins, lengths, strict=True) if 1 < length + closed <= seq_length + 1]
    assert all(begin in pieces.starts.tolist() for begin in whole if lengths[begins.index(begin)])


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 30), max_size=80), capacity=st.integers(30, 45))
def test_packing_is_best_fit_decreasing(sizes: list[int], capacity: int) -> None:
    starts = np.arange(len(sizes), dtype=np.int64) * 100
    packing = pack(Pieces(starts, np.array(sizes, np.int32)), capacity)
    windows = contents(packing)
    assert sorted(piece for window in windows for piece in window) == list(zip(starts.tolist(), sizes, strict=True))
    assert all(window == sorted(window) for window in windows)
    assert all(0 < sum(size for _, size in window) <= capacity for window in windows)
    # Windows with the same room are alike, so that only the sums are the same whichever of them is taken.
    found = sorted(sum(size for _, size in window) for window in windows)
    assert found == sorted(map(sum, one_by_one(sizes, capacity)))
    assert packing.predicted.tolist() == [sum(size - 1 for _, size in window) for window in windows]


def test_nothing_is_packed_into_nothing() -> None:
    packing = pack(pieces_of(np.array([0, 1, 1], np.int64), 8), 9)
    assert packing.num_windows == 0
    assert packing.predicted.sum() == 0


def test_many_documents_leave_little_room() -> None:
    lengths = np.random.default_rng(0).geometric(1 / 300, 100_000).astype(np.int64)
    packing = pack(pieces_of(lengths, 1024), 1025)
    assert packing.predicted.sum() == (lengths - 1).sum()
    # Of all places, those that hold text.
    assert packing.pieces.sizes.sum() > 0.99 * 1025 * packing.num_windows
