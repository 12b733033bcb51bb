"""`corpus=finetune` and its sisters: a person's few texts in, every one of them encoded, or words that say why not."""

import json
from pathlib import Path

import pytest
from small_tokenizer import small_tokenizer
from tiny import run_config

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.shards.reader import ShardReader
from jp_llm.tokenizer.tokenizer import Tokenizer
from jp_llm.train.preflight import check
from jp_llm.train.summary import summary
from preprocessing.config import CorpusConfig
from preprocessing.run import run

LINES = [
    "草",
    "えっ",
    "･ﾟ･(ﾉД`)･ﾟ･｡",
    "wwwwwwwwwwwwwwwwwwww",
    "！？",
    "今日も　いい天気　だなあ",
    "ｶﾞｰﾝ",
    "2",
    *(f"きょうは{number}回めのごはんをたべた。" for number in range(12)),
]
"""A persona of twenty lines, which every rule for web pages would drop."""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    small_tokenizer(folder)
    return folder / "unigram"


def preprocess(corpus: str, raw: Path, tokenizer: Path, output: Path, *words: str) -> None:
    """What the door does with these words."""
    given = (f"corpus={corpus}", f"sources.author.paths=[{raw}]", f"tokenizer.path={tokenizer}", f"output_dir={output}")
    values, problems = composed("corpus", [*given, "num_workers=1", *words])
    run(build(CorpusConfig, values, problems))


def texts(folder: Path) -> list[str]:
    """All documents, decoded again."""
    manifest, tokenizer = DatasetManifest.load(folder), Tokenizer.load(folder / "tokenizer")
    readers = [ShardReader(folder / shard.name) for shard in manifest.shards()]
    return [
        tokenizer.decode(reader.document(number)[1:-1].tolist())
        for reader in readers
        for number in range(reader.num_documents)
    ]


def test_every_line_of_a_persona_is_kept_as_it_is(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "persona.txt").write_text("\n".join([*LINES, LINES[0], ""]))
    preprocess("finetune", tmp_path / "persona.txt", tokenizer, tmp_path / "out")
    # The copy of a line is the only thing that goes, and it is counted.
    assert sorted(texts(tmp_path / "out")) == sorted(LINES)
    manifest = DatasetManifest.load(tmp_path / "out")
    assert manifest.tokenizer.fingerprint == Tokenizer.load(tokenizer).fingerprint
    data = {"path": str(tmp_path / "out"), "documents": "cut"}
    model = {"model__max_position_embeddings": 512, "model__vocab_size": None, "run_dir": str(tmp_path / "run")}
    with pytest.raises(UserError, match=r"source 'author' has .* set data\.documents=whole \(which pads\)"):
        check(run_config(data=data, **model))
    found = check(run_config(data=data | {"documents": "whole"}, **model))
    assert found.config.model.document_mask
    # One after the other they are less than a window: `<s>` is not predicted.
    assert found.train_data.predicted([0]) == manifest.tokens("train") - manifest.documents("train")
    assert "in whole documents, which fill" in summary(found)
    replay = check(run_config(data=data | {"documents": "whole", "replay": {"path": data["path"]}}, **model))
    assert replay.train_data.sources == ("author", "replay/author")
    assert "10.0% of the samples from" in summary(replay)


def test_texts_of_several_lines_and_files(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "poems.txt").write_text("春\n\n夏の\n夜\n\n秋\n")
    words = ("validation_fraction=0", "sources.author.reader.document=blank_line")
    preprocess("finetune", tmp_path / "poems.txt", tokenizer, tmp_path / "blank", *words)
    assert sorted(texts(tmp_path / "blank")) == ["夏の\n夜", "春", "秋"]
    words = ("validation_fraction=0", "sources.author.reader.document=file")
    preprocess("finetune", tmp_path / "poems.txt", tokenizer, tmp_path / "file", *words)
    assert texts(tmp_path / "file") == ["春\n\n夏の\n夜\n\n秋"]


def test_json_lines_and_aozora(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps({"body": line}) + "\n" for line in LINES))
    words = ("sources.author.reader.text_field=body",)
    preprocess("finetune_jsonl", tmp_path / "posts.jsonl", tokenizer, tmp_path / "posts", *words)
    assert sorted(texts(tmp_path / "posts")) == sorted(LINES)
    work = "題\r\n著者\r\n\r\n短《みじか》い。\r\n".encode("cp932")
    (tmp_path / "work.txt").write_bytes(work)
    preprocess("finetune_aozora", tmp_path / "work.txt", tokenizer, tmp_path / "works", "validation_fraction=0")
    assert texts(tmp_path / "works") == ["短い。"]


@pytest.mark.parametrize(
    ("corpus", "data", "words"),
    [
        ("finetune", b"", "these files hold no text"),
        ("finetune", b"\n\n  \n", "dropped: empty 1"),
        ("finetune", "私は\n君は\n".encode("cp932"), r"reader\.encodings: this is not UTF-8; .* set it to \[cp932\]"),
        ("finetune", "私は\n君は\n".encode("utf-16"), "this is UTF-16; write it as UTF-8 first"),
        ("finetune_jsonl", "私は\n".encode(), "there is not a JSON object on every line; corpus=finetune reads plain"),
        ("finetune_jsonl", b'{"body": "a"}\n', r"reader\.text_field: name the key under which the text stands"),
    ],
)
def test_a_file_with_nothing_to_learn_says_what_to_do(
    corpus: str, data: bytes, words: str, tokenizer: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(data)
    with pytest.raises(UserError, match=words) as caught:
        preprocess(corpus, tmp_path / "raw", tokenizer, tmp_path / "out")
    assert caught.value.problems[0].startswith("sources.author: no training documents are left")


def test_one_text_that_is_held_out_says_what_to_do(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("私は\n")
    with pytest.raises(UserError, match="too few documents to hold some out; set validation_fraction=0"):
        preprocess("finetune", tmp_path / "raw", tokenizer, tmp_path / "out", "validation_fraction=0.999999")


def test_what_must_be_given_is_named_at_once() -> None:
    values, problems = composed("corpus", ["corpus=finetune"])
    with pytest.raises(UserError) as caught:
        build(CorpusConfig, values, problems)
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["tokenizer.path", "sources.author.paths"]
