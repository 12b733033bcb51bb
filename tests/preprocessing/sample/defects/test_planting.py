"""Planting: the raw text with its defects mended is the clean text, wherever things were planted."""

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.sample.defects.planting import Planting
from preprocessing.sample.document import repaired

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace"]), st.integers(0, 40), st.integers(0, 5), st.text("がＸ\n", max_size=4)
    ),
    max_size=8,
)


@given(st.text("あい\n", max_size=30), EDITS)
def test_mended_is_clean(text, edits):
    planting = Planting(text)
    for kind, start, length, new in edits:
        start = min(start, len(planting.clean))
        end = min(start + length, len(planting.clean))
        if kind == "replace":
            planting.replace(start, end, new, "replaced")
        elif planting.is_free(start):
            planting.insert(start, new, [(0, len(new), "inserted", {})])
    raw, defects = planting.raw()
    for defect in defects:
        assert raw[defect.start : defect.end] == defect.found
    assert repaired(raw, [defect.to_json() for defect in defects]) == planting.clean
    assert repaired(raw, [defect.to_json() for defect in defects], set()) == raw


def test_what_overlaps_is_refused():
    planting = Planting("あいうえお")
    assert planting.replace(1, 3, "X", "one")
    assert not planting.replace(2, 4, "Y", "two")
    raw, defects = planting.raw()
    assert raw == "あXえお"
    assert [defect.to_json() for defect in defects] == [
        {"type": "one", "start": 1, "end": 2, "found": "X", "clean": "いう"}
    ]


def test_marks_move_with_their_text():
    planting = Planting("あい")
    for text in ("[1]", "[2]", "[3]"):
        planting.insert(1, text, [(1, 2, "number", {})])
    raw, defects = planting.raw()
    assert raw == "あ[3][2][1]い"
    assert [defect.found for defect in defects] == ["3", "2", "1"]
