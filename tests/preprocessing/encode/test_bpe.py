import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import texts, write_documents

from jp_llm.export.probe_texts import probe_texts
from jp_llm.export.tokenizer import verify_hf_tokenizer, write_hf_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.shards.reader import ShardReader
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.sample import Sample
from preprocessing.encode.tokenize import encode_file
from preprocessing.encode.train_tokenizer import TokenizerConfig, train

ROOT = Path(__file__).resolve().parents[3]
CONFIG = TokenizerConfig(trainer="tokenizers", model_type="bpe", vocab_size=600)


def change(**changes: object) -> TokenizerConfig:
    return TokenizerConfig(**(CONFIG.model_dump() | changes))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("bpe") / "train-0.jsonl.zst", texts(200))


@pytest.fixture(scope="module")
def tokenizer(documents: Path) -> Tokenizer:
    return train([documents], CONFIG, documents.parent / "tokenizer")


def pieces(tokenizer: Tokenizer) -> set[str]:
    return {piece.text for piece in tokenizer.pieces() if piece.matches_text}


def by_hand(learnt: list[str], text: str) -> list[str]:
    """BPE as published: of all neighbours that a piece unites, the one learnt first; of equal ones the leftmost."""
    ranks = {piece: rank for rank, piece in enumerate(learnt)}
    parts = list(text)
    while pairs := [
        (ranks[parts[place] + parts[place + 1]], place)
        for place in range(len(parts) - 1)
        if parts[place] + parts[place + 1] in ranks
    ]:
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_text_is_joined_in_the_order_of_learning(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.pieces()
    known = pieces(tokenizer)
    learnt = [piece.text for piece in vocabulary[261:] if len(piece.text) > 1]
    for line in "\n".join(texts(20, seed=3)).split("\n"):
        kept = "".join(character for character in line.replace(" ", "▁") if character in known)
        assert [vocabulary[id].text for id in tokenizer.encode(kept)] == by_hand(learnt, kept)


def test_hugging_face_gives_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_hf_tokenizer(tokenizer, tmp_path, model_max_length=64)
    verify_hf_tokenizer(tokenizer, tmp_path, [*probe_texts(), *texts(50, seed=6)])


def test_shards_hold_the_text(tokenizer: Tokenizer, documents: Path, tmp_path: Path) -> None:
    manifest = encode_file(documents, tokenizer, tmp_path / "shard")
    shard = ShardReader(tmp_path / "shard")
    found = [tokenizer.decode(shard.document(index).tolist()) for index in range(manifest.documents)]
    assert sorted(found) == sorted(texts(200))


def test_the_vocabulary(tokenizer: Tokenizer) -> None:
    found = pieces(tokenizer)
    assert tokenizer.vocab_size == 600
    assert {chr(code) for code in range(0x21, 0x7F)} | {"▁", "\n"} <= found
    assert not [piece for piece in found if len(piece) > 1 and any(character.isdigit() for character in piece)]
    assert all(set(piece) <= found for piece in found), "a character occurs only inside of pieces"
    assert "▁words" in found
    assert max(map(len, found)) <= 16
    assert tokenizer.recipe["packages"].keys() == {"tokenizers"}


def test_the_alphabet_is_the_most_frequent_characters(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    kanji = [chr(0x4E00 + index) for index in range(200)]
    sample.write_text("\n".join("".join(kanji[: index + 1]) for index in range(200)) + "\n")
    config = change(limit_alphabet=145, vocab_size=450)
    known = pieces(train([sample], config, tmp_path / "limited")) - {"\n"}
    assert {piece for piece in known if len(piece) == 1 and ord(piece) > 0x7F} == {"▁", *kanji[:50]}
    assert all(set(piece) <= known for piece in known)
    everything = train([sample], change(character_coverage=1.0, vocab_size=600), tmp_path / "all")
    assert set(kanji) <= pieces(everything)


def test_the_same_bytes_in_every_process_with_any_number_of_threads(documents: Path, tmp_path: Path) -> None:
    # All characters occur equally often, and so do many pairs: what is random in the trainer shows.
    sample = tmp_path / "train-1.jsonl.zst"
    kanji = [chr(0x4E00 + index) for index in range(400)]
    write_documents(sample, [*texts(50), *("".join(kanji[start::7]) for start in range(7))])
    code = f"""
from pathlib import Path
from preprocessing.encode.train_tokenizer import TokenizerConfig, train
config = TokenizerConfig(trainer="tokenizers", model_type="bpe", vocab_size=650, limit_alphabet=300)
print(train([Path({str(sample)!r})], config, Path({str(tmp_path)!r}) / "out").fingerprint)
"""
    found = set()
    for threads, parallel in (("1", "false"), ("4", "true"), ("2", "true")):
        environment = os.environ | {
            "RAYON_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": parallel,
            "PYTHONHASHSEED": threads,
        }
        found.add(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment, text=True))
    assert len(found) == 1


def test_no_piece_crosses_a_word(documents: Path, tmp_path: Path) -> None:
    tokenizer = train([documents], change(pretokenize="mecab", vocab_size=560), tmp_path)
    found = pieces(tokenizer)
    assert not [piece for piece in found if len(piece) > 1 and "を" in piece]
    assert tokenizer.recipe["packages"].keys() == {"tokenizers", "fugashi", "unidic-lite"}


def test_vocabularies_that_cannot_be_name_those_that_can(documents: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"do not hold 9,000 pieces; the largest vocabulary that works is") as caught:
        train([documents], change(vocab_size=9000), tmp_path)
    works = int(str(caught.value).partition("works is ")[2].partition(".")[0].replace(",", ""))
    assert train([documents], change(vocab_size=works), tmp_path).vocab_size == works
    with pytest.raises(UserError, match=r"400 is too small: .* or lower tokenizer\.character_coverage"):
        train([documents], change(vocab_size=400), tmp_path)
    with pytest.raises(UserError, match=r"or lower tokenizer\.limit_alphabet"):
        train([documents], change(vocab_size=400, limit_alphabet=150), tmp_path)


def test_an_empty_sample_is_refused(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("\n\n")
    with pytest.raises(UserError, match="the sample is empty"):
        train([sample], CONFIG, tmp_path)


def test_a_sample_is_counted_once_though_it_is_read_twice(documents: Path) -> None:
    sample = Sample([documents], 10**9, None, 0)
    assert [len(list(sample.texts())) for _ in range(2)] == [200, 200]
    assert sample.sources["web"].documents == 200


def test_problems_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONFIG.problems() == []
    wrong = change(model_type="unigram", sample_bytes=3_000_000_000)
    assert [problem.partition(":")[0] for problem in wrong.problems()] == ["trainer", "sample_bytes"]
    assert "limit_alphabet: of trainer=tokenizers" in TokenizerConfig(limit_alphabet=5000).problems()[0]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert change(pretokenize="mecab").problems() == [
        "trainer: needs tokenizers: pip install 'jp-llm[corpus]'",
        "pretokenize: mecab needs fugashi and unidic_lite: pip install 'jp-llm[corpus]'",
    ]
