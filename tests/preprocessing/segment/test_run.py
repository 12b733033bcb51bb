from functools import partial
from pathlib import Path

import pytest
import zstandard
from small_tokenizer import texts, write_documents

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.batches import batches
from preprocessing.encode.train_tokenizer import TokenizerConfig, train
from preprocessing.segment.run import SegmentConfig, run, segmented

for package in ("fugashi", "tokenizers", "unidic_lite"):
    pytest.importorskip(package, reason=f"{package} is not installed (pip install 'jp-llm[corpus]')")


def test_a_sentence_is_a_line_of_words() -> None:
    text = "「はい。」と言った。本を読んだ。\n\n　空白  も the word。\n"
    assert segmented([text], "mecab").decode().splitlines() == [
        "「 はい 。 」 と 言っ た 。",
        "本 を 読ん だ 。",
        "空白 も the word 。",
    ]
    assert segmented([text, "終"], "none").decode().splitlines() == [
        "「はい。」と言った。",
        "本を読んだ。",
        "空白 も the word。",
        "終",
    ]


def test_workers_do_not_change_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preprocessing.segment.run.batches", partial(batches, characters=2000))
    documents = texts(60)
    write_documents(tmp_path / "in" / "web" / "train-00000-000.jsonl.zst", documents)
    write_documents(tmp_path / "in" / "web" / "validation-00000-000.jsonl.zst", ["秘密。"])
    for name, workers in (("one.txt", 1), ("two.txt.zst", 2)):
        output = str(tmp_path / name)
        run(SegmentConfig(inputs=(str(tmp_path / "in"),), output=output, num_workers=workers))
    expected = segmented(documents, "mecab")
    assert (tmp_path / "one.txt").read_bytes() == expected
    assert zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / "two.txt.zst").read_bytes()) == expected


def test_the_recipe_of_2022(tmp_path: Path) -> None:
    """Sentences, words, then BPE by `tokenizers` with a limited alphabet; but nothing becomes unknown."""
    write_documents(tmp_path / "train-0.jsonl", texts(100)).rename(tmp_path / "train-0.jsonl.zst")
    words = tmp_path / "words.txt"
    run(SegmentConfig(inputs=(str(tmp_path),), output=str(words), num_workers=1))
    config = TokenizerConfig(
        trainer="tokenizers", model_type="bpe", pretokenize="spaces", limit_alphabet=200, vocab_size=480
    )
    tokenizer = train([words], config, tmp_path / "tokenizer")
    longer = [piece.text for piece in tokenizer.pieces() if piece.matches_text and len(piece.text) > 1]
    assert "まで" in longer
    assert not any("を" in piece for piece in longer)
    for text in ("鬱蒼とした森。 Yes!\n", "図書館"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_damaged_input_leaves_no_output(tmp_path: Path) -> None:
    path = write_documents(tmp_path / "train-0.jsonl.zst", texts(100))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="cut off"):
        run(SegmentConfig(inputs=(str(path),), output=str(tmp_path / "out.txt"), num_workers=1, splitter="none"))
    assert not (tmp_path / "out.txt").exists()


def test_problems_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [problem.partition(":")[0] for problem in SegmentConfig().problems()] == ["inputs", "output", "splitter"]
    assert SegmentConfig(inputs=("a",), output="b", splitter="none").problems() == []
