import json
import runpy
from pathlib import Path

import pytest
from small_tokenizer import small_tokenizer, texts, write_documents
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers

from jp_llm.evaluate.tokenizer_report import TokenizerReportConfig, measure, report, run, table
from jp_llm.evaluate.tokenizers import AnyTokenizer, open_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import write_json

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder with two sources, a tokenizer of ours, and one that loses things."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "tokenizer").symlink_to(small_tokenizer(folder / "training").folder)
    write_documents(folder / "documents" / "web" / "validation-00000-000.jsonl.zst", texts(30, seed=1), "web")
    write_documents(folder / "documents" / "web" / "train-00000-000.jsonl.zst", ["訓練"] * 9, "web")
    write_documents(folder / "documents" / "books" / "validation-00000-000.jsonl.zst", ["犬の本。", "鬱ⅣⅣ"], "books")
    lossy = Backend(models.WordLevel({"<unk>": 0, "犬": 1, "の": 2, "本": 3, "I": 4, "V": 5}, unk_token="<unk>"))
    lossy.normalizer = normalizers.NFKC()
    lossy.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    (folder / "lossy").mkdir()
    lossy.save(str(folder / "lossy" / "tokenizer.json"))
    write_json(
        folder / "lossy" / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"},
    )
    return folder


def letters() -> AnyTokenizer:
    """Small letters are tokens, A and B bytes, all else is unknown; a z comes back as ?."""
    return AnyTokenizer(
        name="letters",
        about={},
        vocab_size=30,
        encode=lambda texts: [[ord(c) if c in "abcxyz" else 1 if c in "AB" else 0 for c in text] for text in texts],
        decode=lambda ids: "".join("?" if id in (0, ord("z")) else "A" if id == 1 else chr(id) for id in ids),
        unknown_ids=frozenset({0}),
        byte_ids=frozenset({1}),
    )


def test_counts_by_hand() -> None:
    found = measure(letters(), ["abc", "aA猫", "xyz", ""], words=5)
    assert (found.documents, found.characters, found.bytes, found.tokens) == (4, 9, 11, 9)
    assert (found.unknown_tokens, found.byte_tokens, found.changed_documents) == (1, 1, 2)
    assert found.examples == [{"text": "aA猫", "back": "aA?"}, {"text": "xyz", "back": "xy?"}]
    shares = found.to_json()
    assert shares["bytes_per_token"] == pytest.approx(11 / 9)
    assert shares["characters_per_token"] == 1.0
    assert shares["unknown_share"] == shares["byte_share"] == pytest.approx(1 / 9)
    assert shares["tokens_per_word"] == pytest.approx(9 / 5)


def test_an_example_shows_the_surroundings_of_the_first_difference() -> None:
    found = measure(letters(), ["a" * 100 + "z" + "b" * 100 + "z"])
    assert found.examples == [{"text": "a" * 20 + "z" + "b" * 19, "back": "a" * 20 + "?" + "b" * 19}]
    shorter = AnyTokenizer("s", {}, 1, lambda texts: [[0] for _ in texts], lambda ids: "ab", frozenset(), frozenset())
    assert measure(shorter, ["abc"]).examples == [{"text": "abc", "back": "ab"}]


def test_side_by_side(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "report.json"
    names = (str(folder), str(folder / "lossy"))
    run(
        TokenizerReportConfig(tokenizers=names, data=(str(folder),), output=str(output), words="letters"),
        lambda lines: map(list, lines),
    )
    result = json.loads(output.read_text())
    ours, lossy = (result["tokenizers"][name]["sources"] for name in names)
    assert list(ours) == list(lossy) == ["books", "web", "(all)"]
    assert ours["books"]["words"] == len("犬の本。鬱ⅣⅣ")
    for source in ours:
        for key in ("documents", "characters", "bytes", "words"):
            assert ours[source][key] == lossy[source][key]
        assert ours[source]["unknown_tokens"] == ours[source]["changed_documents"] == 0
    assert ours["web"]["documents"] == 30
    assert ours["web"]["characters"] == sum(map(len, texts(30, seed=1)))
    assert ours["(all)"]["tokens"] == ours["web"]["tokens"] + ours["books"]["tokens"]
    # 犬 の 本 。 鬱 and twice IV: two of nine are unknown; both documents change.
    assert (lossy["books"]["tokens"], lossy["books"]["unknown_tokens"]) == (9, 2)
    assert lossy["books"]["changed_documents"] == 2
    printed = capsys.readouterr().out
    assert "| books |" in printed
    assert "22.222%" in printed
    assert "turns '鬱ⅣⅣ' into" in printed


def test_the_launcher_brings_the_words(folder: Path, tmp_path: Path) -> None:
    launcher = runpy.run_path(str(ROOT / "launch" / "tokenizer_report.py"))
    sample, output = tmp_path / "sample.txt", tmp_path / "report.json"
    sample.write_text("犬の本を 読んだ。\n本。")
    given = {"tokenizers": (str(folder),), "data": (str(sample),), "output": str(output)}
    assert launcher["TokenizerReportConfig"](**given).problems() == []
    launcher["run"](launcher["TokenizerReportConfig"](**given, words="mecab"))
    (found,) = json.loads(output.read_text())["tokenizers"][str(folder)]["sources"].values()
    assert found["words"] == len(["犬", "の", "本", "を", "読ん", "だ", "。", "本", "。"])


def test_ours_spells_rare_characters_in_bytes(folder: Path, tmp_path: Path) -> None:
    sample = tmp_path / "rare.txt"
    sample.write_text("鬱")
    result = report(TokenizerReportConfig(tokenizers=(str(folder),), data=(str(sample),)))
    (found,) = result["tokenizers"][str(folder)]["sources"].values()
    assert found["byte_tokens"] == 3
    assert found["byte_share"] == found["bytes_per_token"] == 1.0


def test_the_choice_of_documents_is_the_same_every_time(folder: Path) -> None:
    config = TokenizerReportConfig(tokenizers=(str(folder),), data=(str(folder),), max_characters=2000)
    first, second = (report(config)["tokenizers"][str(folder)]["sources"]["web"] for _ in range(2))
    assert {**first, "cpu_seconds": 0} | {"tokens_per_cpu_second": 0, "megabytes_per_cpu_second": 0} == {
        **second,
        "cpu_seconds": 0,
    } | {"tokens_per_cpu_second": 0, "megabytes_per_cpu_second": 0}
    assert 0 < first["characters"] <= 2000


def test_every_tokenizer_that_cannot_be_loaded_is_named(folder: Path, tmp_path: Path) -> None:
    names = (str(tmp_path / "a"), str(folder), str(tmp_path / "b"))
    with pytest.raises(UserError) as caught:
        report(TokenizerReportConfig(tokenizers=names, data=(str(folder),)))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [names[0], names[2]]


def test_no_text_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UserError, match="there is no text"):
        report(TokenizerReportConfig(tokenizers=(str(folder),), data=(str(tmp_path / "empty.txt"),)))


def test_a_name_with_a_bar_keeps_the_table_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a|b").symlink_to(folder)
    name = str(tmp_path / "a|b")
    result = report(TokenizerReportConfig(tokenizers=(name,), data=(str(folder),)))
    lines = table(result).split("\n")
    assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}
    assert open_tokenizer(name).name == name


def test_problems_of_the_configuration() -> None:
    assert [problem.partition(":")[0] for problem in TokenizerReportConfig().problems()] == ["tokenizers", "data"]
    assert TokenizerReportConfig(tokenizers=("a",), data=("b",)).problems() == []
