import io
from hashlib import blake2b

import pytest

from preprocessing.hashed_file import HashedFile

DATA = bytes(range(256)) * 5000
DIGEST = blake2b(DATA, digest_size=16).hexdigest()


def test_the_hash_is_of_the_whole_file_in_whatever_order_it_was_read():
    in_order = HashedFile(io.BytesIO(DATA), "a")
    assert (in_order.read(10), in_order.seek(0, io.SEEK_CUR)) == (DATA[:10], 10)
    assert in_order.finish() == DIGEST
    file = HashedFile(io.BytesIO(DATA), "a")
    assert file.seek(-4, io.SEEK_END) == file.tell() == len(DATA) - 4
    assert file.read(4) == DATA[-4:]
    file.seek(7)
    assert file.read(3) == DATA[7:10]
    assert file.finish() == DIGEST


def test_a_range_is_read_in_order():
    file = HashedFile(io.BytesIO(DATA), "a", 100)
    assert not file.seekable()
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)
    assert file.finish() == blake2b(DATA[:100], digest_size=16).hexdigest()
