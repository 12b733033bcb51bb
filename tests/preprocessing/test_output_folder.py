import pytest
import yaml
from raw import config

from jp_llm.runtime.errors import UserError
from preprocessing.output_folder import CONFIG_FILE, claimed, remove_leftovers


def test_the_configuration_is_kept_in_the_folder(tmp_path):
    wanted = config(tmp_path / "out", ["a.txt"], steps=[{"type": "length", "minimum": 5}])
    with claimed(wanted) as folder:
        assert yaml.safe_load((folder / CONFIG_FILE).read_bytes()) == wanted.model_dump(mode="json")


def test_another_configuration_is_refused_and_every_difference_named(tmp_path):
    with claimed(config(tmp_path, ["a.txt"], steps=[{"type": "length", "minimum": 5}], num_workers=1)):
        pass
    before = (tmp_path / CONFIG_FILE).read_bytes()
    other = config(tmp_path, ["a.txt"], steps=[{"type": "length", "minimum": 6}], unit_bytes=7, num_workers=2)
    with pytest.raises(UserError) as caught, claimed(other):
        pass
    assert [problem.partition(": ")[2] for problem in caught.value.problems[:-1]] == [
        "sources.web.steps was [{'type': 'length', 'minimum': 5}], now [{'type': 'length', 'minimum': 6}]",
        "unit_bytes was 67108864, now 7",
    ]
    assert "choose another output_dir, or delete it" in caught.value.problems[-1]
    assert (tmp_path / CONFIG_FILE).read_bytes() == before


def test_what_does_not_change_the_content_may_differ(tmp_path):
    with claimed(config(tmp_path, ["a.txt"], num_workers=1)):
        pass
    with claimed(config(tmp_path, ["a.txt"], num_workers=4, stages=["clean", "encode"], on_damaged_file="skip")):
        pass


def test_the_tokenizer_may_be_mended_until_it_is_made(tmp_path):
    with claimed(config(tmp_path, ["a.txt"], tokenizer={"vocab_size": 64_000})):
        pass
    with claimed(config(tmp_path, ["a.txt"], tokenizer={"vocab_size": 8_000})):
        (tmp_path / "marks" / "tokenizer").mkdir(parents=True)
        (tmp_path / "marks" / "tokenizer" / "train.json").touch()
    with (
        pytest.raises(UserError, match=r"tokenizer\.vocab_size was 8000, now 64000"),
        claimed(config(tmp_path, ["a.txt"], tokenizer={"vocab_size": 64_000})),
    ):
        pass


def test_one_run_at_a_time(tmp_path):
    wanted = config(tmp_path, ["a.txt"])
    with (
        claimed(wanted),
        pytest.raises(UserError, match="another run is working in this folder"),
        claimed(wanted),
    ):
        pass
    with claimed(wanted):
        pass


def test_what_a_killed_run_left_is_removed(tmp_path):
    wanted = config(tmp_path, ["a.txt"])
    with claimed(wanted):
        (tmp_path / "shards" / "web").mkdir(parents=True)
        (tmp_path / "shards" / "web" / ".train-00000.bin.123.tmp").write_bytes(b"half")
    with claimed(wanted):
        assert list((tmp_path / "shards" / "web").iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty, and no corpus folder"), claimed(config(tmp_path, ["a.txt"])):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/out: Not a directory; choose another folder"),
        claimed(config(tmp_path / "file" / "out", ["a"])),
    ):
        pass


def test_what_claims_are_about_to_remove_is_theirs(tmp_path):
    ours, theirs = tmp_path / "shards" / "claims", tmp_path / "claims" / "clean"
    for folder in (ours, theirs):
        folder.mkdir(parents=True)
        (folder / ".web-00000.123.tmp").touch()
    remove_leftovers(tmp_path)
    assert not list(ours.iterdir())  # a source of that name
    assert [path.name for path in theirs.iterdir()] == [".web-00000.123.tmp"]
