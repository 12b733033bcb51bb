"""What the tables take, against what was expected."""

import random

import orjson
import pytest
from duplicates import config

from preprocessing.deduplicate.estimate import deduplicate_key_bytes
from preprocessing.executor import run_stage
from preprocessing.run import run


@pytest.mark.parametrize(
    ("characters", "copies", "rules"),
    [
        (36, 1, {}),
        (36, 4, {}),
        (36, 1, {"near": None}),
        (700, 2, {}),
        (700, 1, {"near": {"preset": "swallow"}}),
        (700, 2, {"near": None, "lines": None, "paragraphs": None}),
    ],
)
def test_the_tables_are_as_large_as_expected_at_most(tmp_path, monkeypatch, characters, copies, rules):
    """Of documents that are nearly equal, `copies` of each; lines of at most 20 characters."""
    rng = random.Random(0)
    texts = []
    for _ in range(600 // copies):
        text = [chr(rng.randint(0x4E00, 0x5FFF)) for _ in range(characters)]
        text[25::26] = "\n" * len(text[25::26])
        texts += ["".join(text[:-1]) + chr(0x3400 + copy) for copy in range(copies)]
    (tmp_path / "a-0.jsonl").write_bytes(b"\n".join(orjson.dumps({"text": text}) for text in texts))
    wanted = config(tmp_path / "out", tmp_path, deduplicate=rules, unit_bytes=1 << 20, documents_file_bytes=1 << 20)
    wanted = wanted.model_copy(update={"sources": {"a": wanted.sources["a"]}})
    sizes = []

    def performed(stage, *rest, **more):
        results = run_stage(stage, *rest, **more)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "out" / "deduplicate").rglob("*.bin")))
        return results

    monkeypatch.setattr("preprocessing.execution.local.run_stage", performed)
    run(wanted)
    expected = deduplicate_key_bytes(wanted.deduplicate, len(texts), sum(len(text.encode()) for text in texts))
    assert max(sizes) <= expected <= 2.5 * max(sizes)
