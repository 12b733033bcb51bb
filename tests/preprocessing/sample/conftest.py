"""One small sample corpus for all tests of this room, and what our own readers make of it."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from jp_llm.config.build import build
from jp_llm.texts.streams import decompressed
from preprocessing.config import SourceConfig
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.sample.generate import generate

CHARACTERS = 80_000
DEMO = Path(__file__).resolve().parents[3] / "configs" / "corpus" / "demo.yaml"

Record = Document | Rejected
Answer = Mapping[str, Any]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sample corpus."""
    folder = tmp_path_factory.mktemp("corpora") / "sample"
    generate(folder, seed=7, characters=CHARACTERS)
    return folder


@pytest.fixture(scope="session")
def answers(corpus: Path) -> list[Answer]:
    """The lines of its answer key."""
    return [json.loads(line) for line in (corpus / "answer_key.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.fixture(scope="session")
def demo_sources() -> dict[str, SourceConfig]:
    """The sources as the demo reads them, by the name of their folder."""
    config = yaml.safe_load(DEMO.read_bytes())
    return {Path(source["paths"][0]).name: build(SourceConfig, source) for source in config["sources"].values()}


@pytest.fixture(scope="session")
def read_file(corpus: Path, demo_sources: dict[str, SourceConfig]) -> Callable[[str], list[Record]]:
    """What the demo's reader makes of a file of the corpus, in order."""

    def read(file: str) -> list[Record]:
        reader = demo_sources[file.partition("/")[0]].build_reader()
        with (corpus / file).open("rb") as stream:
            raw = RawFile("sample", file, None, file, decompressed(stream, file, 200.0))
            return list(reader.read(raw))

    return read


@pytest.fixture(scope="session")
def records(
    answers: list[Answer], demo_sources: dict[str, SourceConfig], read_file: Callable[[str], list[Record]]
) -> Sequence[tuple[Answer, Record]]:
    """Every line of the answer key that the demo reads, with the record that our reader found in that place."""
    expected = defaultdict(list)
    for answer in answers:
        if answer["file"].partition("/")[0] in demo_sources:
            expected[answer["file"]].append(answer)
    pairs = []
    for file, lines in expected.items():
        assert [answer["ordinal"] for answer in lines] == list(range(len(lines)))
        pairs += list(zip(lines, read_file(file), strict=True))
    return pairs
