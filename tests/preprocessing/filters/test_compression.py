import random
import zlib

from raw import document

from preprocessing.filters.compression import CompressionFilter


def reason(text: str, **fields) -> str | None:
    return CompressionFilter(**fields).reason(document(text))


def test_ratio_of_zlib():
    rng = random.Random(0)
    noise = "".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(1000))
    assert reason("よく晴れた日でした。" * 100) == "repetitive"
    assert reason(noise) == "incompressible"
    ratio = len(zlib.compress(noise.encode(), 9)) / len(noise.encode())
    assert reason(noise, minimum=ratio, maximum=ratio) is None
    assert reason("") == "incompressible"


def test_only_the_beginning_of_long_texts():
    assert reason("あ" * 1000 + "".join(map(chr, range(0x4E00, 0x9000))), first_bytes=3000) == "repetitive"
