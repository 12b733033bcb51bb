import json
from pathlib import Path

import pytest
from small_tokenizer import texts, write_documents

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.manifest import MODEL_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.recipe import training_texts
from preprocessing.encode.sample import Sample
from preprocessing.encode.train_tokenizer import TokenizerConfig, TrainTokenizerConfig, _candidates, run, train
from preprocessing.segment.words import word_splitter

CONFIG = TokenizerConfig(vocab_size=700, num_threads=1)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A documents folder; its held-out documents say something that must not be learnt."""
    folder = tmp_path_factory.mktemp("documents")
    write_documents(folder / "web" / "train-00000-000.jsonl.zst", texts(120, seed=1), "web")
    write_documents(folder / "books" / "train-00000-000.jsonl.zst", texts(80, seed=2), "books")
    write_documents(folder / "web" / "validation-00000-000.jsonl.zst", ["秘密の言葉だ。"] * 500, "web")
    return folder


def training_files(documents: Path) -> list[Path]:
    return sorted(documents.rglob("train-*"))


def change(config: TokenizerConfig, **changes: object) -> TokenizerConfig:
    return TokenizerConfig(**(config.model_dump() | changes))


def test_the_same_recipe_gives_the_same_model(documents: Path, tmp_path: Path) -> None:
    files = training_files(documents)
    first, second = (train(files, CONFIG, tmp_path / name) for name in ("first", "second"))
    assert first.fingerprint == second.fingerprint
    assert train(files, change(CONFIG, sample_bytes=80_000), tmp_path / "third").fingerprint != first.fingerprint


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_the_vocabulary(documents: Path, tmp_path: Path, model_type: str) -> None:
    tokenizer = train(training_files(documents), change(CONFIG, model_type=model_type), tmp_path)
    pieces = {piece.text for piece in tokenizer.pieces() if piece.matches_text}
    assert tokenizer.vocab_size == 700
    assert {chr(code) for code in range(0x21, 0x7F)} | {"▁", "\n"} <= pieces
    assert any(len(piece) > 3 for piece in pieces)
    assert not [piece for piece in pieces if len(piece) > 1 and any(character.isdigit() for character in piece)]
    assert all(set(piece) <= pieces for piece in pieces), "a character occurs only inside of pieces"


def test_the_recipe_is_recorded(documents: Path, tmp_path: Path) -> None:
    recipe = train(training_files(documents), change(CONFIG, sample_bytes=60_000, seed=5), tmp_path).recipe
    assert TokenizerConfig(**{key: recipe[key] for key in TokenizerConfig.model_fields}).seed == 5
    assert list(recipe["sample"]) == ["books", "web"]
    assert 0 < recipe["sample"]["web"]["bytes"] < recipe["sample"]["web"]["total_bytes"]


def test_a_space_comes_back_though_the_sample_has_none(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("".join(text.replace(" ", "") + "\n" for text in texts(200)))
    tokenizer = train([sample], CONFIG, tmp_path)
    assert tokenizer.decode(tokenizer.encode("猫 と  犬 ")) == "猫 と  犬 "


def test_long_lines_are_learnt_from(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    line = "".join(text.replace("\n", "") for text in texts(200, seed=1))
    sample.write_text("短い行。\n" * 50 + line)
    assert len(line.encode()) > 50 * 4096
    tokenizer = train([sample], change(CONFIG, vocab_size=600), tmp_path)
    assert tokenizer.recipe["sample"][tmp_path.name]["documents"] == 51
    assert len(tokenizer.encode("東京の友人は図書館で古い地図を探している。")) < 15


def test_a_corpus_that_is_too_small_names_the_largest_vocabulary(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("".join(text + "\n" for text in texts(100)))
    with pytest.raises(
        UserError, match=r"vocab_size: .* do not hold 20,000 pieces; the largest .* is [\d,]+\."
    ) as caught:
        train([sample], change(CONFIG, vocab_size=20_000), tmp_path)
    works = int(str(caught.value).partition("works is ")[2].partition(".")[0].replace(",", ""))
    assert train([sample], change(CONFIG, vocab_size=works), tmp_path).vocab_size == works


def test_a_vocabulary_smaller_than_the_alphabet_names_the_smallest(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("".join(map(chr, range(0x4E00, 0x5000))) * 3)
    with pytest.raises(UserError, match=r"vocab_size: 450 is too small: .* are [\d,]+ pieces\. Raise it"):
        train([sample], change(CONFIG, vocab_size=450), tmp_path)


def test_an_empty_sample_and_unknown_sources_are_refused(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("\n\n")
    with pytest.raises(UserError, match="the sample is empty"):
        train([sample], CONFIG, tmp_path)
    sample.write_text("文\n")
    with pytest.raises(UserError, match=f"source_weights: no documents of wiki; found {tmp_path.name}"):
        train([sample], change(CONFIG, source_weights={"wiki": 1.0}), tmp_path)


def test_the_door_reads_the_training_documents_of_a_folder(
    documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tokenizer"
    run(TrainTokenizerConfig(inputs=(str(documents),), output_dir=str(output), tokenizer=CONFIG))
    tokenizer = Tokenizer.load(output)
    assert "秘" not in {piece.text for piece in tokenizer.pieces()}
    assert "web: 120 documents" in capsys.readouterr().out


def test_the_door_takes_patterns_of_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(100, seed=len(name))))
    pattern = str(tmp_path / "**" / "*.jsonl")
    run(TrainTokenizerConfig(inputs=(pattern, pattern), output_dir=str(tmp_path / "out"), tokenizer=CONFIG))
    sample = Tokenizer.load(tmp_path / "out").recipe["sample"]
    assert {name: source["documents"] for name, source in sample.items()} == {"a": 100, tmp_path.name: 100}


@pytest.mark.parametrize(("name", "problem"), [("absent/*.txt", "no such file"), ("", "holds no train-")])
def test_inputs_that_match_nothing_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        run(TrainTokenizerConfig(inputs=(f"{tmp_path}/{name}",), output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out" / MODEL_FILE).exists()


def test_problems_of_the_configuration() -> None:
    assert [problem.partition(":")[0] for problem in TrainTokenizerConfig().problems()] == ["inputs", "output_dir"]
    assert "above 0" in TokenizerConfig(source_weights={"web": 0.0}).problems()[0]
    assert TokenizerConfig().problems() == []


def train_largest(files: list[Path], config: TokenizerConfig, output: Path) -> Tokenizer:
    """With as many pieces as there are: words of a little grammar are few."""
    with pytest.raises(UserError, match="largest vocabulary") as caught:
        train(files, change(config, vocab_size=20_000), output)
    works = int(str(caught.value).partition("works is ")[2].partition(".")[0].replace(",", ""))
    return train(files, change(config, vocab_size=works), output)


def pieces_of(tokenizer: Tokenizer) -> set[str]:
    return {piece.text for piece in tokenizer.pieces() if piece.matches_text}


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_words_bound_the_pieces_but_text_is_encoded_as_it_is(documents: Path, tmp_path: Path, model_type: str) -> None:
    config = change(CONFIG, model_type=model_type)
    plain = train(training_files(documents), config, tmp_path)
    assert any(len(piece) > 1 and "を" in piece for piece in pieces_of(plain))
    tokenizer = train_largest(training_files(documents), change(config, pretokenize="mecab"), tmp_path)
    assert not any(len(piece) > 1 and "を" in piece for piece in pieces_of(tokenizer))
    # Always followed by another word: what SentencePiece's own search for candidates passes over.
    assert {"図書", "先生", "だっ"} <= pieces_of(tokenizer)
    assert "\t" not in "".join(pieces_of(tokenizer))
    assert "▁and" in pieces_of(tokenizer), "a space and the word behind it were parted"
    for text in ("東京の友人は 図書館で\tタブ。\n　The words", "\t", "<s>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_text_that_was_divided_before(tmp_path: Path) -> None:
    sample, divided = tmp_path / "sample.txt", tmp_path / "divided.txt"
    sentences = [line for text in texts(100) for line in text.split("\n") if line and " " not in line]
    sample.write_text("".join(f"{line}\n" for line in sentences))
    splitter = word_splitter("mecab")
    divided.write_text("".join(" ".join(splitter.words(line)) + "\n" for line in sentences))
    first = train_largest([sample], change(CONFIG, pretokenize="mecab"), tmp_path / "mecab")
    second = train_largest([divided], change(CONFIG, pretokenize="spaces"), tmp_path / "spaces")
    assert second.fingerprint == first.fingerprint


def test_lines_are_measured_before_they_are_divided(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("東京 の 猫 \n" * 40 + "一 二 三 四 五 六 七 八 九 十 " * 20 + "\n")
    config = change(CONFIG, pretokenize="spaces", max_sentence_bytes=64)
    lines = list(training_texts(Sample([sample], 10**6, None, 0), config))
    assert lines[0] == "東京\tの\t猫\t"
    assert set("一二三四五六七八九十") <= set("".join(lines))


def test_candidates_lie_in_words() -> None:
    found = _candidates({"猫背": 3, "猫": 9, "背中": 1, " the": 2, "あああ": 1}, max_length=3)
    assert found == {"猫背": 3, "▁t": 2, "▁th": 2, "th": 2, "the": 2, "he": 2, "ああ": 2}
