import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizer import small_tokenizer, texts

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.manifest import MANIFEST_FILE, MODEL_FILE
from jp_llm.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer, _blocks
from jp_llm.tokenizer.tokenizer import Piece, Tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40)
JAPANESE = st.text(st.sampled_from("あいがは。、……――「」東京猫  　\n\t0Aa髙\u3099👍"), max_size=60)
TEXT = ANY_TEXT | JAPANESE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(folder: Path, request: pytest.FixtureRequest) -> Tokenizer:
    return small_tokenizer(folder, request.param)


@pytest.fixture
def unigram(tmp_path: Path, folder: Path) -> Path:
    """A copy of a tokenizer folder that a test may damage."""
    made = small_tokenizer(folder).folder
    for name in (MODEL_FILE, MANIFEST_FILE):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def best_path(pieces: list[Piece], text: str) -> list[int]:
    """Viterbi in integers: the highest sum of scores; of equal ones, from the end, that with the longer last piece."""
    scores = {piece.text: (round(64 * piece.score), id) for id, piece in enumerate(pieces) if piece.matches_text}
    byte_ids = {piece.text: id for id, piece in enumerate(pieces) if not piece.matches_text}
    unknown = min(score for score, _ in scores.values()) - 640
    longest = max(map(len, scores))
    text = text.replace(" ", "▁")
    best: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(text) + 1):
        candidates = []
        for start in range(max(0, end - longest), end):
            score = scores.get(text[start:end], (unknown, 0) if start == end - 1 else None)
            if score is not None:
                candidates.append((best[start][0] + score[0], -start))
        best.append(max(candidates))
    ids, end = [], len(text)
    while end:
        start = -best[end][1]
        part = text[start:end]
        ids[:0] = [scores[part][1]] if part in scores else [byte_ids[f"<0x{byte:02X}>"] for byte in part.encode()]
        end = start
    return ids


@given(text=TEXT)
@settings(deadline=None)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(batch=st.lists(TEXT, max_size=6))
@settings(deadline=None)
def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer, batch: list[str]) -> None:
    assert [ids.tolist() for ids in tokenizer.encode_batch(batch)] == [tokenizer.encode(text) for text in batch]


@given(left=TEXT, right=TEXT)
@settings(deadline=None)
def test_the_ids_of_a_line_do_not_depend_on_its_neighbours(tokenizer: Tokenizer, left: str, right: str) -> None:
    newline = tokenizer.encode("\n")
    assert len(newline) == 1
    assert tokenizer.encode(f"{left}\n{right}") == tokenizer.encode(left) + newline + tokenizer.encode(right)


def test_a_long_text_is_its_lines(tokenizer: Tokenizer) -> None:
    lines = "\n".join(texts(100, seed=9)).split("\n")
    lines.insert(40, "".join(texts(30, seed=8)).replace("\n", ""))
    assert max(len(line.encode()) for line in lines) > 16 << 10, "no line is longer than a block"
    (newline,) = tokenizer.encode("\n")
    expected = [id for line in lines for id in [*tokenizer.encode(line), newline]]
    assert tokenizer.encode("\n".join(lines)) == expected[:-1]


def test_blocks_are_small_enough_for_exact_sums() -> None:
    text = "\n".join([*texts(200, seed=11), "長" * 9000, "", "\n" * 20_000, "猫" * 9000])
    blocks = list(_blocks(text.encode()))
    assert b"".join(blocks) == text.encode()
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(len(block) <= 16_384 or b"\n" not in block[:-1] for block in blocks)
    assert sum(map(len, blocks)) / len(blocks) > 12_000, "more blocks than needed"


def test_a_unigram_finds_the_best_path_in_exact_arithmetic(folder: Path) -> None:
    tokenizer = small_tokenizer(folder)
    pieces = tokenizer.pieces()
    probes = ["あ" * 99, "……――" * 40, "―…" * 77 + "。", " " * 33, "𠮷髙 >x<", *"\n".join(texts(10, seed=3)).split("\n")]
    for text in probes:
        assert tokenizer.encode(text) == best_path(pieces, text), text


def test_ids_are_int32_and_empty_texts_have_none(tokenizer: Tokenizer) -> None:
    empty, one = tokenizer.encode_batch(["", "猫"])
    assert empty.dtype == one.dtype == np.int32
    assert len(empty) == 0
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode_batch([""])[0].tolist() == []


def test_special_ids_are_dropped_by_decode_and_never_made_from_text(tokenizer: Tokenizer) -> None:
    special = (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    assert special == (0, 1, 2, 3)
    ids = tokenizer.encode("猫")
    assert tokenizer.decode([tokenizer.bos_id, *ids, tokenizer.eos_id, tokenizer.pad_id]) == "猫"
    assert not set(special) & set(tokenizer.encode("<unk><s></s><pad>𠮷"))


def test_decode_takes_numpy_ids_and_refuses_ids_beyond_the_vocabulary(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(np.array(tokenizer.encode("猫"), np.uint16)) == "猫"
    with pytest.raises(IndexError):
        tokenizer.decode([tokenizer.vocab_size])


def test_half_a_character_decodes_to_a_replacement(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode("𠮷")
    assert len(whole) == 4
    assert "\ufffd" in tokenizer.decode(whole[:3])


def test_pieces_are_the_vocabulary(tokenizer: Tokenizer) -> None:
    pieces = tokenizer.pieces()
    assert len(pieces) == tokenizer.vocab_size == 700
    assert [piece.text for piece in pieces[:5]] == ["<unk>", "<s>", "</s>", "<pad>", "\n"]
    assert sum(not piece.matches_text for piece in pieces) == 4 + 256
    assert [piece.text for piece in pieces if "\n" in piece.text] == ["\n"]


def test_pickles_as_its_folder(tokenizer: Tokenizer) -> None:
    data = pickle.dumps(tokenizer)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert copy.encode("東京の猫") == tokenizer.encode("東京の猫")
    assert copy.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"pad_id": -1}, "lacks"),
        ({"user_defined_symbols": []}, "newline"),
        ({"user_defined_symbols": ["\n", "\n\n"]}, "newline"),
    ],
)
def test_models_of_another_make_are_refused(tmp_path: Path, option: dict[str, Any], problem: str) -> None:
    model = io.BytesIO()
    options = {"byte_fallback": True, "vocab_size": 600, "user_defined_symbols": ["\n"], "pad_id": 3, "minloglevel": 1}
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts(100)),
        model_writer=model,
        hard_vocab_limit=False,
        num_threads=1,
        **options | option,
    )
    with pytest.raises(ValueError, match=problem):
        SentencePieceTokenizer.create(tmp_path, model.getvalue(), {})
    assert not list(tmp_path.iterdir())


def test_a_changed_model_is_refused(unigram: Path) -> None:
    model = bytearray((unigram / MODEL_FILE).read_bytes())
    model[len(model) // 2] ^= 1
    (unigram / MODEL_FILE).write_bytes(model)
    with pytest.raises(UserError, match=r"sentencepiece\.model: its bytes have changed"):
        Tokenizer.load(unigram)


def test_a_missing_model_is_refused(unigram: Path) -> None:
    (unigram / MODEL_FILE).unlink()
    with pytest.raises(UserError, match=r"sentencepiece\.model: missing"):
        Tokenizer.load(unigram)


def test_other_ids_than_when_it_was_made_are_refused(unigram: Path) -> None:
    change_manifest(unigram, package_version="0.1.99", probes=[["猫", [5]]])
    with pytest.raises(UserError, match=r"turns '猫' into other ids than 0\.1\.99.* install sentencepiece==0\.1\.99"):
        Tokenizer.load(unigram)


def test_another_version_of_the_package_may_read_but_not_write_shards(unigram: Path) -> None:
    Tokenizer.load(unigram).require_package()
    change_manifest(unigram, package_version="0.1.99")
    tokenizer = Tokenizer.load(unigram)
    assert tokenizer.package_version == "0.1.99"
    with pytest.raises(UserError, match=rf"0\.1\.99, but {sentencepiece.__version__} is installed"):
        tokenizer.require_package()
