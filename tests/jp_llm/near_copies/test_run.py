"""The two doors: what they write, and that nothing is lost."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jp_llm.config.app import run as run_door
from jp_llm.config.build import build
from jp_llm.near_copies import run
from jp_llm.near_copies.config import FindNearCopiesConfig, IndexNearCopiesConfig
from jp_llm.near_copies.format import MANIFEST
from jp_llm.near_copies.index import NearCopyIndex
from jp_llm.near_copies.run import find, index
from jp_llm.runtime.errors import ExitCode, UserError

NOVEL = (
    "親譲りの無鉄砲で小供の時から損ばかりしている。"
    "小学校に居る時分学校の二階から飛び降りて一週間ほど腰を抜かした事がある。"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "novel.txt").write_text(NOVEL)
    index(IndexNearCopiesConfig(data=(str(tmp_path / "novel.txt"),), output_dir=str(tmp_path / "index"), num_workers=1))
    return tmp_path


def configured(folder: Path, **values: str) -> FindNearCopiesConfig:
    names = {"index": "index", "texts": "texts.jsonl", "accepted": "new.jsonl", "rejected": "copies.jsonl"}
    paths = {key: str(folder / name) for key, name in (names | values).items()}
    return FindNearCopiesConfig(**{**paths, "index": (paths["index"],)})


def test_texts_are_divided_and_none_is_lost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        {"prompt": "", "text": "昨日は雨が降ったので、家で本を読んでいました。", "tokens": [1, 2], "big": 1e300},
        {"prompt": "", "text": "そして小供の時から損ばかりしている。小学校に居る時分学校の屋根", "number": 3},
        {"text": ""},
    ]
    lines = [json.dumps(record, ensure_ascii=number == 0) + "\n" for number, record in enumerate(records)]
    (folder / "texts.jsonl").write_text("".join(lines) + '{"text": "x", "odd": NaN}')
    find(configured(folder))
    assert (folder / "new.jsonl").read_text() == lines[0] + lines[2] + '{"text": "x", "odd": NaN}\n'
    (rejected,) = map(json.loads, (folder / "copies.jsonl").read_text().splitlines())
    copy = rejected.pop("near_copy")
    assert rejected == records[1]
    assert (copy["longest_run"], copy["run_source"], copy["document"]) == (25, "novel.txt", 0)
    assert copy["run_text"] == "小供の時から損ばかりしている。小学校に居る時分学校の"
    assert copy["reason"].startswith("a run of 25 characters is in novel.txt")
    assert copy["run_text"] in copy["passage"]
    assert "4 texts: 3 accepted" in capsys.readouterr().out


def test_a_text_is_rejected_that_one_of_several_indexes_rejects(folder: Path) -> None:
    other = "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。意地を通せば窮屈だ。"
    (folder / "other.txt").write_text(other)
    index(IndexNearCopiesConfig(data=(str(folder / "other.txt"),), output_dir=str(folder / "second"), num_workers=1))
    texts = [NOVEL, "昨日は雨が降ったので、家で本を読んでいました。", other]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    find(configured(folder).model_copy(update={"index": (str(folder / "index"), str(folder / "second"))}))
    assert [json.loads(line)["text"] for line in (folder / "new.jsonl").read_text().splitlines()] == texts[1:2]
    rejected = list(map(json.loads, (folder / "copies.jsonl").read_text().splitlines()))
    assert [record["near_copy"]["run_source"] for record in rejected] == ["novel.txt", "other.txt"]


def test_the_words_of_the_doors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"data={folder}/novel.txt", f"output_dir={folder}/index", "num_workers=1"]
    assert run_door("index_near_copies", IndexNearCopiesConfig, index, words) == ExitCode.PREFLIGHT_REFUSED
    assert "holds an index; set overwrite=true" in capsys.readouterr().err
    assert run_door("index_near_copies", IndexNearCopiesConfig, index, [*words, "overwrite=true"]) == ExitCode.DONE
    (folder / "texts.jsonl").write_text(json.dumps({"text": NOVEL[:20]}))
    names = {"index": "index", "texts": "texts.jsonl", "accepted": "new.jsonl", "rejected": "copies.jsonl"}
    words = [f"{key}={folder / name}" for key, name in names.items()]
    assert run_door("find_near_copies", FindNearCopiesConfig, find, [*words, "limits.longest_run=21"]) == ExitCode.DONE
    assert (folder / "copies.jsonl").read_text() == ""
    assert run_door("find_near_copies", FindNearCopiesConfig, find, words) == ExitCode.PREFLIGHT_REFUSED
    assert "new.jsonl: exists; overwrite=true" in capsys.readouterr().err
    words.append("overwrite=true")
    assert run_door("find_near_copies", FindNearCopiesConfig, find, [*words, "limits.longest_run=20"]) == ExitCode.DONE
    assert (folder / "new.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"text": "x"}\n{"text"', "line 2: not JSON"), ('{"body": 1}\n', "line 1: no object"), ("\n", "holds no texts")],
)
def test_a_file_that_cannot_be_judged_leaves_the_old_results(folder: Path, content: str, message: str) -> None:
    (folder / "texts.jsonl").write_text(content)
    (folder / "new.jsonl").write_text("old")
    with pytest.raises(UserError, match=message):
        find(configured(folder).model_copy(update={"overwrite": True}))
    assert (folder / "new.jsonl").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["index", "new.jsonl", "novel.txt", "texts.jsonl"]


def test_an_index_is_replaced_only_when_asked_and_only_by_a_whole_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (folder / "index" / MANIFEST).read_text()
    (folder / "novel.txt").write_text("山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。")
    values = {"data": (str(folder / "novel.txt"),), "output_dir": str(folder / "index"), "num_workers": 1}
    with pytest.raises(UserError, match="holds an index; set overwrite=true"):
        index(IndexNearCopiesConfig(**values))
    with monkeypatch.context() as patched:
        patched.setattr(run, "build_index", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index(IndexNearCopiesConfig(**values, overwrite=True))
    assert (folder / "index" / MANIFEST).read_text() == old
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename_except(folder / "index"))
        with pytest.raises(OSError, match="not now"):
            index(IndexNearCopiesConfig(**values, overwrite=True))
    assert (folder / "index" / MANIFEST).read_text() == old
    index(IndexNearCopiesConfig(**values, overwrite=True))
    near_copies = NearCopyIndex.open(folder / "index")
    assert near_copies.look_up("山路を登りながらこう考えた").longest_run == 13
    assert near_copies.look_up(NOVEL).longest_run == 0
    assert sorted(path.name for path in folder.iterdir()) == ["index", "novel.txt"]


def test_a_kill_between_the_old_and_the_new_index_loses_neither(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = (folder / "index" / MANIFEST).read_text()
    (folder / ".index.building").mkdir()
    (folder / "index").rename(folder / ".index.building" / "old")
    monkeypatch.setattr(run, "build_index", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index(IndexNearCopiesConfig(data=(str(folder / "novel.txt"),), output_dir=str(folder / "index")))
    assert (folder / "index" / MANIFEST).read_text() == old
    assert not (folder / ".index.building").exists()


def rename_except(folder: Path) -> Callable[[Path, Path], None]:
    """A rename that fails where something new shall become `folder`, but not where the old one shall come back."""
    rename = os.rename

    def renamed(source: Path, target: Path) -> None:
        if target == folder and source.name != "old":
            raise OSError("not now")
        rename(source, target)

    return renamed


def test_an_empty_working_folder_becomes_an_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder / "empty")
    index(IndexNearCopiesConfig(data=("../novel.txt",), output_dir=".", num_workers=1))
    assert NearCopyIndex.open(folder / "empty").manifest.documents == 1


def test_a_folder_with_something_else_is_left_alone(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no index"):
        index(IndexNearCopiesConfig(data=(str(folder / "novel.txt"),), output_dir=str(folder), overwrite=True))


def test_a_dataset_folder_means_its_training_documents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training documents"):
        index(IndexNearCopiesConfig(data=(str(tmp_path),), output_dir=str(tmp_path / "index"), num_workers=1))


def test_all_that_is_wrong_with_the_words_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        build(FindNearCopiesConfig, {"texts": "a.jsonl", "accepted": "./a.jsonl", "limits": {"containment": 0.5}})
    text = "\n".join(caught.value.problems)
    assert "index: must be named" in text
    assert "rejected: must be named" in text
    assert "three different files" in text
    with pytest.raises(UserError, match=r"accepted: a\.zst is written without compression"):
        build(FindNearCopiesConfig, {"index": "i", "texts": "t", "accepted": "a.zst", "rejected": "b.jsonl"})
    with pytest.raises(UserError, match=r"limits\.longest_run: .*greater than or equal to 11"):
        build(FindNearCopiesConfig, {"index": "i", "texts": "t", "limits": {"longest_run": 10}})
    with pytest.raises(UserError) as caught:
        build(IndexNearCopiesConfig, {})
    assert len(caught.value.problems) == 2
