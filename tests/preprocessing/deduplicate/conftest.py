"""A corpus that repeats itself, and what comes out of it."""

import json

import pytest
from duplicates import config, texts

from preprocessing.run import run


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for source, written in texts().items():
        for part in range(3):
            # No double can hold these numbers.
            lines = [json.dumps({"text": text, "n": 10**20 + part}) for text in written[part::3]]
            (folder / f"{source}-{part}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, raw):
    output = tmp_path_factory.mktemp("finished") / "out"
    run(config(output, raw))
    return output
