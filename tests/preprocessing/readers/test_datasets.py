import json
import re

import pytest
from raw import cleaned, texts

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from preprocessing.config import CorpusConfig
from preprocessing.readers.datasets import DatasetsReader
from preprocessing.run import run

datasets = pytest.importorskip("datasets", reason="datasets is not installed (pip install 'jp-llm[corpus]')")

TEXTS = [f"{number}番目の文書です。" for number in range(30)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A dataset of three JSONL files."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    for part in range(3):
        lines = [json.dumps({"text": text, "n": number}) for number, text in enumerate(TEXTS)][
            part * 10 : part * 10 + 10
        ]
        (tmp_path / "data" / f"train-{part}.jsonl").write_text("\n".join(lines))
    return tmp_path / "data"


def everything(reader):
    return [record for part in reader.parts() for record in reader.read_part("web", part)]


def test_every_shard_is_a_part(folder):
    reader = DatasetsReader(path=str(folder), meta_fields=("n",))
    assert reader.parts() == tuple(f"train-0000{index}-of-00003" for index in range(3))
    found = everything(reader)
    assert texts(found) == TEXTS
    assert [document.id for document in found[9:11]] == ["web/train-00000-of-00003#9", "web/train-00001-of-00003#0"]
    assert found[11].meta == {"n": 11}


def test_a_folder_of_parquet(tmp_path):
    for part in range(2):
        table = datasets.Dataset.from_dict({"text": TEXTS[part * 15 : part * 15 + 15], "n": list(range(15))})
        table.to_parquet(tmp_path / "data" / f"train-{part}.parquet", batch_size=4)
    found = everything(DatasetsReader(path=str(tmp_path / "data")))
    assert texts(found) == TEXTS
    assert len({document.id for document in found}) == 30


def test_a_damaged_shard_stops_the_run_or_is_counted(folder, tmp_path):
    (folder / "train-1.jsonl").write_text('{"text": "一"}\n{"text": "二"}\n{"te')
    with pytest.raises(UserError, match=r"shard 1 of 3 is damaged after row .* on_damaged_file=skip"):
        run(corpus(tmp_path / "out", folder))
    run(corpus(tmp_path / "out", folder, on_damaged_file="skip"))
    found = [record["text"] for record in cleaned(tmp_path / "out")]
    assert [text for text in found if text in TEXTS] == TEXTS[:10] + TEXTS[20:]


def test_files_of_a_format_by_name(folder):
    reader = DatasetsReader(path="json", data_files=(str(folder / "train-1.jsonl"),))
    assert reader.parts() == ("train-00000-of-00001",)
    assert texts(everything(reader)) == TEXTS[10:20]


@pytest.mark.parametrize("with_splits", [False, True])
def test_a_dataset_that_was_saved(tmp_path, with_splits):
    saved = datasets.Dataset.from_dict({"text": [*TEXTS, None]})
    if with_splits:
        saved = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["別"]}), "test": saved})
    saved.save_to_disk(
        tmp_path / "saved", **({"num_shards": {"train": 1, "test": 2}} if with_splits else {"num_shards": 2})
    )
    split = "test" if with_splits else "train"
    reader = DatasetsReader(path=str(tmp_path / "saved"), split=split)
    assert reader.parts() == (f"{split}-00000-of-00002", f"{split}-00001-of-00002")
    assert texts(everything(reader)) == [*TEXTS, "<no_text>"]


def test_rows_that_are_no_text(tmp_path):
    datasets.Dataset.from_dict({"text": [["一"], ["二"]], "body": ["長" * 10, "短"]}).save_to_disk(tmp_path / "saved")
    assert texts(everything(DatasetsReader(path=str(tmp_path / "saved")))) == ["<text_is_no_string>"] * 2
    reader = DatasetsReader(path=str(tmp_path / "saved"), text_field="body", max_document_bytes=10)
    found = everything(reader)
    assert texts(found) == ["<too_large>", "短"]
    assert (found[0].position, found[0].file) == (0, f"{tmp_path}/saved/train-00000-of-00001")


def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(UserError, match=r"dataset .*nowhere: cannot be opened .* download it and name its folder"):
        DatasetsReader(path=str(tmp_path / "nowhere")).parts()
    with pytest.raises(UserError, match="cannot be opened"):
        DatasetsReader(path=str(folder), split="dev").parts()
    reader = DatasetsReader(path=str(folder), text_field="body")
    with pytest.raises(UserError, match=r"'body'.*text"):
        everything(reader)


def test_a_dataset_with_other_shards_than_planned_is_refused(folder):
    with pytest.raises(UserError, match="has 3 shards and had 4 when the work was planned"):
        list(DatasetsReader(path=str(folder)).read_part("web", "train-00000-of-00004"))


def corpus(output, folder, **changes):
    top = {key: changes.pop(key) for key in ("on_damaged_file",) if key in changes}
    source = {"reader": {"type": "datasets", "path": str(folder)}} | changes
    return build(
        CorpusConfig,
        {
            "name": "test",
            "output_dir": str(output),
            "sources": {"web": source},
            "stages": ["clean"],
            "num_workers": 1,
            "validation_fraction": 0.0,
        }
        | top,
    )


def test_a_configuration_is_checked_without_opening_the_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(DatasetsReader, "parts", None)
    corpus(tmp_path / "out", "owner/name")
    with pytest.raises(UserError, match=re.escape("sources.web.paths: this reader takes none")):
        corpus(tmp_path / "out", "owner/name", paths=["x"])


@pytest.mark.parametrize(("type_", "package"), [("datasets", "datasets"), ("parquet", "pyarrow")])
def test_a_missing_package_is_found_when_the_configuration_is_checked(tmp_path, monkeypatch, type_, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else object())
    reader = {"type": type_} | ({"path": "x"} if type_ == "datasets" else {})
    with pytest.raises(UserError, match=r"reader\.type: .*pip install 'jp-llm\[corpus\]'"):
        corpus(tmp_path / "out", "x", reader=reader, **({} if type_ == "datasets" else {"paths": ["x"]}))


def test_a_whole_run(folder, tmp_path):
    run(corpus(tmp_path / "out", folder))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == TEXTS
    run(corpus(tmp_path / "out", folder))
    assert len(cleaned(tmp_path / "out")) == 30
