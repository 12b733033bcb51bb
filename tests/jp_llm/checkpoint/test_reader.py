"""Any range of any box, out of a parameter that was stored in any other ranges of boxes."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.checkpoint.boxes import FlatRange
from jp_llm.checkpoint.format import KINDS, Fragment, Manifest, write_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.tensor_file import write_tensors
from jp_llm.parallel.slices import Piece, Slice
from jp_llm.runtime.errors import UserError

FILE = "fragments/rank_00000.safetensors"
NAME = "layers.0.weight"
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def name_of(copy: int) -> str:
    return f"layers.{copy}.weight"


def index_of(part: FlatRange) -> tuple[slice, ...]:
    return tuple(slice(o, o + n) for o, n in zip(part.offset, part.shape, strict=True))


def store(folder: Path, array: Array, parts: Sequence[FlatRange], copies: int = 1) -> None:
    """A checkpoint of `copies` parameters with the same values, in the fragments that `parts` name."""
    values, fragments = {}, []
    for copy in range(copies):
        for number, part in enumerate(parts):
            key = f"{copy}/{number}"
            values[key] = torch.tensor(array[index_of(part)].reshape(-1)[part.start : part.stop])
            place = {"offset": part.offset, "shape": part.shape, "start": part.start, "stop": part.stop}
            fragments += [
                Fragment(file=FILE, key=key, name=name_of(copy), kind=kind, **place)  # type: ignore[arg-type]
                for kind in KINDS
            ]
    shapes = {key: tuple(tensor.shape) for key, tensor in values.items()}
    files = {FILE: write_tensors(folder / FILE, shapes, values.__getitem__, torch.float32)}
    manifest = Manifest(
        producer="test",
        state={},
        seed=0,
        layout={},
        config={},
        config_sha256="",
        tokenizer_fingerprint="",
        data_fingerprint="",
        parameters={name_of(copy): array.shape for copy in range(copies)},
        fragments=tuple(fragments),
        files=files,
    )
    write_manifest(folder, manifest)


@st.composite
def divisions(draw: st.DrawFn, whole: tuple[int, ...]) -> list[FlatRange]:
    """The parameter cut into boxes along every dimension, each box into flat ranges."""
    boxes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
    for size in whole:
        cuts = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=2))})
        spans = list(itertools.pairwise(cuts))
        boxes = [((*offset, a), (*shape, b - a)) for offset, shape in boxes for a, b in spans]
    found = []
    for offset, shape in boxes:
        numel = int(np.prod(shape))
        cuts = sorted({0, numel, *draw(st.lists(st.integers(0, numel), max_size=2))})
        found += [FlatRange(offset, shape, a, b) for a, b in itertools.pairwise(cuts)]
    return draw(st.permutations(found))


@st.composite
def pieces(draw: st.DrawFn, whole: tuple[int, ...]) -> Piece:
    """Any range of any box."""
    ends = [sorted((draw(st.integers(0, size)), draw(st.integers(0, size)))) for size in whole]
    part = Slice(NAME, whole, tuple(start for start, _ in ends), tuple(stop - start for start, stop in ends))
    start, stop = sorted((draw(st.integers(0, part.numel)), draw(st.integers(0, part.numel))))
    return Piece(part, start, stop)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), whole=st.lists(st.integers(1, 6), min_size=0, max_size=4).map(tuple))
def test_any_range_of_any_box_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, whole: tuple[int, ...]
) -> None:
    array = np.arange(int(np.prod(whole)), dtype=np.float32).reshape(whole)
    folder = tmp_path_factory.mktemp("checkpoint")
    store(folder, array, data.draw(divisions(whole)))
    reader = CheckpointReader(folder)
    assert np.array_equal(reader.read(NAME).numpy(), array)
    for piece in data.draw(st.lists(pieces(whole), min_size=1, max_size=5)):
        expected = array[piece.part.index].reshape(-1)[piece.start : piece.stop]
        assert np.array_equal(reader.read_piece(piece, "exp_avg").numpy(), expected)


def test_only_the_needed_part_of_a_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(600, dtype=np.float32).reshape(20, 30)
    store(tmp_path, array, [FlatRange((0, 0), (10, 30), 0, 300), FlatRange((10, 0), (10, 30), 0, 300)])
    reader = CheckpointReader(tmp_path)
    asked: list[int] = []
    real = torch.Tensor.as_strided

    def watched(self: torch.Tensor, *arguments: object) -> torch.Tensor:
        asked.append(self.numel())
        return real(self, *arguments)

    monkeypatch.setattr(torch.Tensor, "as_strided", watched)
    # Rows 2 and 3 of the first file, then columns 5 to 9 of rows 4 to 5: from (4, 5) to (5, 9).
    rows = Slice(NAME, (20, 30), (2, 0), (2, 30))
    assert torch.equal(reader.read_piece(Piece(rows, 0, 60), "weight"), torch.tensor(array[2:4].reshape(-1)))
    columns = Slice(NAME, (20, 30), (4, 5), (2, 5))
    assert torch.equal(reader.read_piece(Piece(columns, 0, 10), "weight"), torch.tensor(array[4:6, 5:10].reshape(-1)))
    assert asked == [60, 60, 35, 10]


def test_fragments_that_are_no_cover_are_refused(tmp_path: Path) -> None:
    array = np.zeros((4, 3), dtype=np.float32)
    # Twelve elements are stored, one of them twice and one not at all.
    store(tmp_path, array, [FlatRange((0, 0), (4, 3), 0, 5), FlatRange((0, 0), (4, 3), 4, 11)])
    with pytest.raises(UserError, match=r"layers\.0\.weight \(weight\): elements \[4, 5\) .* are stored twice"):
        CheckpointReader(tmp_path)


EXPORT = """
import re, sys
from pathlib import Path
import torch
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.export.weights import write_weights

folder = Path(sys.argv[1])
torch.zeros(2 << 20).bfloat16()

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

Path("/proc/self/clear_refs").write_text("5")  # the peak begins again, at what is in memory now
before = peak()
reader = CheckpointReader(folder)
shapes = {name: reader.shape(name) for name in reader.names}
write_weights(folder, shapes, reader.read, dtype=torch.bfloat16, max_bytes=1 << 40)
print(peak() - before)
"""


def test_export_needs_memory_for_one_tensor_however_many_there_are(tmp_path: Path) -> None:
    """Each is stored as two boxes of columns. In memory: the tensor, and its rounding or the half that is mapped."""
    tensors, megabytes = 8, 16
    halves = [FlatRange((0, column), (2048, 1024), 0, 2 << 20) for column in (0, 1024)]
    store(tmp_path, np.ones((2048, 2048), dtype=np.float32), halves, copies=tensors)
    assert (tmp_path / FILE).stat().st_size > tensors * megabytes * 2**20
    # glibc keeps freed blocks of up to 32 MiB unless it is told a limit; that is not what is measured.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    command = [sys.executable, "-c", EXPORT, str(tmp_path)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert megabytes < int(found.stdout) / 2**10 < 4 * megabytes, found.stdout
