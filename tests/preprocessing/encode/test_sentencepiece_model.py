import pytest
import sentencepiece

from preprocessing.encode.exact_scores import exact_scores
from preprocessing.encode.sentencepiece_model import FIRST_PIECES, bpe_model, without_setting


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def test_what_sentencepiece_reads() -> None:
    pieces = ["ab", "▁ab", "猫が", *"▁ab猫が"]
    loaded = processor(bpe_model(pieces))
    ids = list(range(loaded.vocab_size()))
    assert loaded.id_to_piece(ids) == [*FIRST_PIECES, *pieces]
    assert (loaded.unk_id(), loaded.bos_id(), loaded.eos_id(), loaded.pad_id()) == (0, 1, 2, 3)
    assert [id for id in ids if loaded.is_control(id)] == [1, 2, 3]
    assert [id for id in ids if loaded.is_byte(id)] == list(range(5, 261))
    assert loaded.get_score(ids[261:]) == [0, -1, -2, -3, -4, -5, -6, -7]


def test_the_first_piece_is_joined_first() -> None:
    pieces = list("abc▁")
    assert processor(bpe_model(["ab", "bc", *pieces])).encode("abc", out_type=str) == ["ab", "c"]
    assert processor(bpe_model(["bc", "ab", *pieces])).encode("abc", out_type=str) == ["a", "bc"]


def test_text_is_not_normalised() -> None:
    loaded = processor(bpe_model(["▁a", "▁", "a", "ア"]))
    assert loaded.encode("a  a ", out_type=str) == ["a", "▁", "▁a", "▁"]
    for text in (" a", "a ", "  ", "ｱ①\n\n ﾊﾟ", "<s>", "\0"):
        assert loaded.decode(loaded.encode(text)) == text


@pytest.mark.parametrize("pieces", [["a", "a"], ["a", ""], ["<s>"], ["<0x0A>"], ["\n"]])
def test_pieces_that_no_model_may_have_are_refused(pieces: list[str]) -> None:
    with pytest.raises(ValueError, match="must differ"):
        bpe_model(pieces)


def test_more_than_a_byte_of_everything() -> None:
    pieces = [chr(code) for code in range(0x4E00, 0x4E00 + 20_000)]
    loaded = processor(bpe_model(["一" * 200, *pieces]))
    assert loaded.vocab_size() == 261 + 20_001
    assert loaded.id_to_piece(261) == "一" * 200
    with pytest.raises(ValueError, match="newline"):
        exact_scores(bpe_model(pieces))


def test_a_setting_of_the_training_is_forgotten() -> None:
    model = bpe_model(["ab", "a", "b"])
    with_name = model + b"\x12\x08\xb2\x03\x05/name"  # another part of the trainer's settings: field 54
    assert processor(with_name).encode("ab") == [261]
    assert b"/name" in with_name
    assert b"/name" not in without_setting(with_name, "/name")
    assert without_setting(model, "/name") == model
    assert without_setting(with_name, "/other") == with_name
