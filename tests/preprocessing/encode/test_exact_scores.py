import io
from typing import Any

import pytest
import sentencepiece
from small_tokenizer import texts

from preprocessing.encode.exact_scores import GRID, exact_scores


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def trained(request: pytest.FixtureRequest) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter("\n".join(texts(100)).split("\n")),
        model_writer=model,
        model_type=request.param,
        vocab_size=600,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        user_defined_symbols=["\n"],
        num_threads=1,
        minloglevel=1,
    )
    return model.getvalue()


def processor(model: bytes) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def test_scores_move_to_the_nearest_point_of_the_grid(trained: bytes) -> None:
    before, after = processor(trained), processor(exact_scores(trained))
    ids = list(range(len(before)))
    assert after.id_to_piece(ids) == before.id_to_piece(ids)
    for old, new in zip(before.get_score(ids), after.get_score(ids), strict=True):
        assert (new * GRID).is_integer()
        assert abs(new - old) <= 0.5 / GRID


def test_nothing_else_changes(trained: bytes) -> None:
    exact = exact_scores(trained)
    assert len(exact) == len(trained)
    pieces = len(processor(trained))
    assert sum(old != new for old, new in zip(trained, exact, strict=True)) <= 4 * pieces + 1


def test_the_newline_becomes_a_normal_piece(trained: bytes) -> None:
    model, newline = exact_scores(trained), b"\n\x01\n\x15\x00\x00\x00\x00\x18"
    assert newline + b"\x04" in trained
    assert newline + b"\x01" in model
    exact = processor(model)
    assert exact.encode("猫\n猫")[1:-1].count(exact.piece_to_id("\n")) == 1


def test_a_second_pass_is_refused(trained: bytes) -> None:
    with pytest.raises(ValueError, match="newline is not a user-defined piece"):
        exact_scores(exact_scores(trained))


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not a SentencePiece model"):
        exact_scores(b"\x0b\x00\x00\x00")
