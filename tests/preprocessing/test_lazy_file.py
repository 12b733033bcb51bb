from contextlib import suppress

import pytest
import zstandard

from preprocessing.lazy_file import LazyFile


def test_a_file_appears_whole_when_it_is_finished(tmp_path):
    with LazyFile(tmp_path / "a" / "b") as file:
        file.write(b"one")
        file.write(b"two")
        assert not file.path.exists()
        assert file.exists
    assert file.path.read_bytes() == b"onetwo"
    assert file.size == 6


def test_it_is_compressed_with_a_checksum(tmp_path):
    with LazyFile(tmp_path / "a", level=3) as file:
        file.write(b"text" * 100)
    assert zstandard.ZstdDecompressor().stream_reader(file.path.read_bytes()).read() == b"text" * 100
    assert zstandard.get_frame_parameters(file.path.read_bytes()).has_checksum
    assert file.size == 400


def test_without_content_there_is_no_file(tmp_path):
    with LazyFile(tmp_path / "a") as file:
        pass
    assert not file.exists
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", [None, 3])
def test_an_error_leaves_the_file_that_was_there(tmp_path, level):
    (tmp_path / "a").write_bytes(b"old")
    with suppress(KeyboardInterrupt), LazyFile(tmp_path / "a", level) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
