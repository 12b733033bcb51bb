"""Which checkpoints a run has, which is meant, which are kept."""

from pathlib import Path

import pytest

from jp_llm.checkpoint.format import MANIFEST, MANIFEST_HASH, FileRecord, Manifest, read_manifest, write_manifest
from jp_llm.checkpoint.store import LATEST, CheckpointStore, resolve
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of


def write_checkpoint(folder: Path) -> None:
    """A checkpoint of one file and no parameters."""
    (folder / "fragments").mkdir(parents=True)
    (folder / "fragments" / "x").write_bytes(b"12345")
    manifest = Manifest(
        producer="test",
        state={"step": 1},
        seed=0,
        layout={},
        config={},
        config_sha256="",
        tokenizer_fingerprint="",
        data_fingerprint="",
        parameters={},
        fragments=(),
        files={"fragments/x": FileRecord(bytes=5, sha256=sha256_of(folder / "fragments" / "x"))},
    )
    write_manifest(folder, manifest)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A run with checkpoints of steps 10, 20 and 30."""
    found = CheckpointStore(tmp_path)
    for step in (10, 20, 30):
        write_checkpoint(found.path(step))
    found.point(30)
    return found


def test_what_is_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (10, 20, 30, 40, 50):
        write_checkpoint(store.path(step))
    store.prune(keep_last=2, keep_every_steps=20)
    assert store.steps() == [20, 40, 50]
    store.set_aside(50)
    store.prune(keep_last=1, keep_every_steps=0)
    assert store.steps() == [40]
    assert sorted(entry.name for entry in store.folder.iterdir()) == ["damaged_step_00000050", "step_00000040"]


@pytest.mark.parametrize("distance", [1, 7, 10, 100, 1000])
@pytest.mark.parametrize("every", [1, 10, 25, 1000])
@pytest.mark.parametrize("keep_last", [1, 2, 5])
def test_there_is_always_one_far_enough_behind_and_few_more(
    tmp_path: Path, distance: int, every: int, keep_last: int
) -> None:
    store = CheckpointStore(tmp_path)
    for step in range(every, 40 * every + 1, every):
        store.path(step).mkdir(parents=True)
        store.prune(keep_last, 0, distance)
        kept = store.steps()
        assert kept[-1] == step
        assert len(kept) <= keep_last + 2
        behind = [each for each in kept if each <= step - distance]
        # The first one, while none is; then one that is not much too far behind.
        assert behind or kept[0] == every
        assert not behind or step - behind[-1] < 2 * distance + 2 * every


def test_what_was_given_up_is_no_checkpoint_and_one_of_it_stays(store: CheckpointStore) -> None:
    assert store.abandon([20, 30]) == store.folder / "abandoned_step_00000030"
    assert store.steps() == [10]
    assert sorted(entry.name for entry in store.folder.iterdir() if "step" in entry.name) == [
        "abandoned_step_00000030",
        "step_00000010",
    ]
    assert store.abandon([]) is None
    assert (store.folder / "abandoned_step_00000030").is_dir()
    # Nothing is left to continue: an empty run, and no folder of somebody else.
    store.abandon([10])
    assert store.steps() == []
    assert [entry.name for entry in store.folder.iterdir()] == ["abandoned_step_00000010"]


def test_what_is_set_aside_is_never_overwritten(store: CheckpointStore) -> None:
    assert store.set_aside(30).name == "damaged_step_00000030"
    write_checkpoint(store.path(30))
    assert store.set_aside(30).name == "damaged_step_00000030_2"
    assert store.steps() == [10, 20]


def test_the_newest_good_one_is_meant(store: CheckpointStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = store.folder.parent
    assert resolve(run_dir) == store.path(30)
    assert resolve(store.path(10)) == store.path(10)
    assert capsys.readouterr().err == ""
    short = store.path(30) / "fragments" / "x"
    short.write_bytes(b"1234")
    (store.path(20) / MANIFEST_HASH).unlink()
    assert resolve(run_dir) == store.path(10)
    said = capsys.readouterr().err
    assert f"{short}: 4 bytes instead of 5" in said
    assert f"{store.path(20) / MANIFEST_HASH}: missing" in said
    assert said.count("step_00000010 is used") == 2
    (store.path(10) / MANIFEST).write_text("{}")
    with pytest.raises(UserError, match="no checkpoint is whole") as caught:
        resolve(run_dir)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("content", [None, b"", b"step_00000020\n", b"step_00000030", b"\xff\n"])
def test_a_wrong_latest_is_said_and_costs_nothing(
    store: CheckpointStore, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.folder / LATEST
    assert path.read_text() == "step_00000030\n"
    assert store.latest_problem() is None
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert resolve(store.folder.parent) == store.path(30)
    said = capsys.readouterr().err
    assert str(path) in said
    assert "the newest checkpoint is step_00000030" in said


def test_every_flipped_bit_of_the_manifest_and_its_hash_is_found(store: CheckpointStore) -> None:
    folder = store.path(10)
    for path in (folder / MANIFEST, folder / MANIFEST_HASH):
        content = path.read_bytes()
        for position in range(len(content)):
            for bit in range(8):
                changed = bytearray(content)
                changed[position] ^= 1 << bit
                path.write_bytes(changed)
                with pytest.raises(UserError) as caught:
                    read_manifest(folder)
                assert str(path) in str(caught.value)
        path.write_bytes(content)
    assert read_manifest(folder).state == {"step": 1}


def test_the_hash_is_what_sha256sum_checks(store: CheckpointStore) -> None:
    line = (store.path(10) / MANIFEST_HASH).read_text()
    assert line == f"{sha256_of(store.path(10) / MANIFEST)}  {MANIFEST}\n"


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "global_step100").mkdir(parents=True)
    with pytest.raises(UserError, match=r"global_step100.*choose another run_dir"):
        CheckpointStore(tmp_path).steps()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="neither a checkpoint"):
        resolve(tmp_path / "model")
    with pytest.raises(UserError, match="not a jp-llm checkpoint"):
        read_manifest(tmp_path / "model")
