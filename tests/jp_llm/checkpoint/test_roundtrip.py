"""What is written by any division into fragments comes back under any other."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from gloo import Processes
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.checkpoint.format import KINDS, MANIFEST, MANIFEST_HASH, damage, read_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.writer import Contents, write
from jp_llm.parallel.slices import Piece, Slice, flat_pieces, whole_slice
from jp_llm.runtime.errors import UserError

SHAPES: dict[str, tuple[int, ...]] = {"a.weight": (5, 6), "b.weight": (7,), "c.weight": (3, 4)}


def whole(name: str, kind: str) -> torch.Tensor:
    """Distinct values for every element of every parameter and kind."""
    start = 1000 * list(SHAPES).index(name) + {"weight": 0, "exp_avg": 100, "exp_avg_sq": 200}[kind]
    return torch.arange(start, start + torch.Size(SHAPES[name]).numel(), dtype=torch.float32).view(SHAPES[name])


def rows(name: str, first: int, last: int) -> Slice:
    shape = SHAPES[name]
    return Slice(name, shape, (first, *[0] * (len(shape) - 1)), (last - first, *shape[1:]))


def columns(name: str, first: int, last: int) -> Slice:
    shape = SHAPES[name]
    return Slice(name, shape, (0, first), (shape[0], last - first))


def layouts() -> list[list[Slice]]:
    """Slices that cover every parameter once: undivided, divided by rows, divided by columns."""
    plain = [whole_slice(name, shape) for name, shape in SHAPES.items()]
    by_rows = [rows("a.weight", 0, 2), rows("a.weight", 2, 5), rows("b.weight", 0, 7), rows("c.weight", 0, 3)]
    by_columns = [columns("a.weight", 0, 3), columns("a.weight", 3, 6), rows("b.weight", 0, 7)]
    return [plain, by_rows, [*by_columns, columns("c.weight", 0, 1), columns("c.weight", 1, 4)]]


def pieces(layout: list[Slice], parts: int, rank: int) -> list[Piece]:
    """What rank `rank` of `parts` owns when the flattened layout is divided evenly."""
    total = sum(part.numel for part in layout)
    share = -(-total // parts)
    return list(flat_pieces(layout, rank * share, (rank + 1) * share))


def values_of(piece: Piece, kind: str) -> torch.Tensor:
    return whole(piece.part.name, kind)[piece.part.index].reshape(-1)[piece.start : piece.stop]


def save(target: Path, layout_number: int, tokenizer: Path) -> None:
    size, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    own = pieces(layouts()[layout_number], size, rank)
    contents = Contents(
        state={"step": 3},
        seed=1,
        layout={"world_size": size},
        config={"seed": 1},
        parameters=SHAPES,
        tokenizer_folder=tokenizer,
        tokenizer_fingerprint="t",
        data_fingerprint="d",
    )
    write(target, ((piece, {kind: values_of(piece, kind) for kind in KINDS}) for piece in own), contents)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "sentencepiece.model").write_bytes(b"model")
    return folder


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, one_process: Processes, two_processes: Processes
) -> list[Path]:
    """One checkpoint per (layout, number of processes)."""
    folder, found = tmp_path_factory.mktemp("written"), []
    for number in range(len(layouts())):
        for processes in (one_process, two_processes):
            target = folder / f"run_{number}_{processes.size}" / "checkpoints" / "step_00000003"
            processes.run(save, target, number, tokenizer_folder)
            found.append(target)
    return found


@pytest.mark.distributed
def test_whole_parameters_come_back(written: list[Path]) -> None:
    for folder in written:
        reader = CheckpointReader(folder)
        assert reader.names == list(SHAPES)
        for name in SHAPES:
            for kind in ("weight", "exp_avg", "exp_avg_sq"):
                assert torch.equal(reader.read(name, kind), whole(name, kind)), (folder, name, kind)


@pytest.mark.distributed
@given(data=st.data())
def test_any_range_of_any_box_comes_back(data: st.DataObject, written: list[Path]) -> None:
    reader = CheckpointReader(data.draw(st.sampled_from(written)))
    layout = data.draw(st.sampled_from(layouts()))
    total = sum(part.numel for part in layout)
    start = data.draw(st.integers(0, total))
    for piece in flat_pieces(layout, start, data.draw(st.integers(start, total))):
        assert torch.equal(reader.read_piece(piece, "exp_avg"), values_of(piece, "exp_avg"))


@pytest.mark.distributed
def test_every_kind_of_damage_to_every_file_is_named(written: list[Path], tmp_path: Path) -> None:
    files = sorted(read_manifest(written[-1]).files)
    assert len(files) == 3
    for relative in files:
        for number, harm in enumerate(("truncate", "flip", "delete")):
            copy = tmp_path / f"{relative.replace('/', '_')}_{number}"
            shutil.copytree(written[-1], copy)
            path = copy / relative
            content = bytearray(path.read_bytes())
            if harm == "truncate":
                path.write_bytes(content[: len(content) // 2])
            elif harm == "flip":
                content[-1] ^= 1
                path.write_bytes(content)
            else:
                path.unlink()
            found = damage(copy, read_manifest(copy))
            assert len(found) == 1
            assert relative in found[0]
    assert damage(written[-1], read_manifest(written[-1])) == []


def sign(folder: Path, manifest: str) -> None:
    """Replace the manifest and its hash, as somebody with a reason could."""
    (folder / MANIFEST).write_text(manifest)
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    (folder / MANIFEST_HASH).write_text(f"{digest}  {MANIFEST}\n")


@pytest.mark.distributed
def test_a_damaged_manifest_is_named(written: list[Path], tmp_path: Path) -> None:
    shutil.copytree(written[0], tmp_path / "copy")
    manifest = tmp_path / "copy" / MANIFEST
    whole_text = manifest.read_text()
    for text in (whole_text[: len(whole_text) // 2], whole_text.replace('"step": 3', '"step": 2'), "{}"):
        manifest.write_text(text)
        with pytest.raises(UserError, match=r"manifest\.json: its sha256 is not what .*manifest\.sha256 says"):
            read_manifest(tmp_path / "copy")
    sign(tmp_path / "copy", whole_text.replace('"format": 2', '"format": 1'))
    with pytest.raises(UserError, match=r"manifest\.json: of another format \(format: "):
        read_manifest(tmp_path / "copy")


@pytest.mark.distributed
def test_missing_elements_are_noticed(written: list[Path], tmp_path: Path) -> None:
    shutil.copytree(written[0], tmp_path / "copy")
    manifest = tmp_path / "copy" / MANIFEST
    values: dict[str, Any] = json.loads(manifest.read_text())
    for kind in KINDS:
        rest = [f for f in values["fragments"] if (f["name"], f["kind"]) != ("b.weight", kind)]
        sign(tmp_path / "copy", json.dumps(values | {"fragments": rest}))
        with pytest.raises(UserError, match=rf"b\.weight \({kind}\): 0 of 7 elements are stored"):
            CheckpointReader(tmp_path / "copy")


def save_where_nothing_can_be_written(target: Path, tokenizer: Path) -> str:
    """The last process finds the disk full."""
    import jp_llm.checkpoint.writer as writer

    original = writer.write_tensors

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if torch.distributed.get_rank() == torch.distributed.get_world_size() - 1:
        writer.write_tensors = full
    try:
        save(target, 0, tokenizer)
    except OSError as error:
        return str(error)
    finally:
        writer.write_tensors = original
    return "written"


@pytest.mark.distributed
def test_a_full_disk_on_one_process_leaves_nothing_and_tells_all(
    tmp_path: Path, tokenizer_folder: Path, two_processes: Processes
) -> None:
    target = tmp_path / "checkpoints" / "step_00000003"
    answers = two_processes.run(save_where_nothing_can_be_written, target, tokenizer_folder)
    assert len(set(answers)) == 1
    assert "No space left on device" in answers[0]
    assert list(target.parent.iterdir()) == []
    # What a killed process left behind is cleared away.
    (target.parent / ".step_00000002.tmp" / "fragments").mkdir(parents=True)
    # The next attempt succeeds.
    two_processes.run(save, target, 0, tokenizer_folder)
    assert damage(target, read_manifest(target)) == []
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]


def save_with_a_broken_start(target: Path, tokenizer: Path) -> str:
    try:
        save(target, 0, tokenizer)
    except OSError as error:
        return str(error)
    return "written"


@pytest.mark.distributed
def test_a_problem_of_the_main_process_alone_is_told_to_all(tmp_path: Path, two_processes: Processes) -> None:
    answers = two_processes.run(save_with_a_broken_start, tmp_path / "step_00000003", tmp_path / "no tokenizer")
    assert len(set(answers)) == 1
    assert "no tokenizer" in answers[0]
