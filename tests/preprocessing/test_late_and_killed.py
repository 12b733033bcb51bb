"""Workers that seemed dead and finish late, and kills between any two changes of the disk."""

import os
import random
import shutil
from pathlib import Path

import orjson
import pytest
from raw import COMPRESS, contents

from jp_llm.config.build import build
from preprocessing import executor
from preprocessing.config import CorpusConfig
from preprocessing.deduplicate import select
from preprocessing.documents import DocumentWriter
from preprocessing.run import run


def sentences(rng, count):
    return "".join("".join(chr(rng.randint(0x4E00, 0x5FFF)) for _ in range(29)) + "。" for _ in range(count))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two files, one compressed and to be split, with an equal page, a similar one and a line that cannot be read."""
    folder = tmp_path_factory.mktemp("raw")
    rng = random.Random(0)
    pages = [sentences(rng, 8) for _ in range(16)]
    more = [pages[0], pages[1][:-2] + "違。", *(sentences(rng, 8) for _ in range(10))]
    (folder / "a.jsonl").write_bytes(b"\n".join([b"{broken", *(orjson.dumps({"text": page}) for page in pages)]))
    (folder / "b.jsonl").write_bytes(COMPRESS["xz"](b"\n".join(orjson.dumps({"text": page}) for page in more)))
    return folder


def config(output, raw, tokenizer, **changes):
    reader = {"type": "jsonl"}
    steps = [{"type": "length", "minimum": 10}]
    values = {
        "name": "test",
        "output_dir": str(output),
        "sources": {"web": {"reader": reader, "paths": [str(raw / "*.jsonl")], "steps": steps}},
        "tokenizer": {"path": str(tokenizer)},
        "num_workers": 1,
        "validation_fraction": 0.2,
        "unit_bytes": 6_000,
        "split_above_bytes": 1_000,
        "documents_file_bytes": 4_000,
        "deduplicate": {"near": {"minimum_similarity": 0.6}},
    }
    return build(CorpusConfig, values | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, raw, tokenizer):
    output = tmp_path_factory.mktemp("finished") / "out"
    run(config(output, raw, tokenizer))
    assert not list((output / "cleaned").rglob("*.zst"))
    assert len(list((output / "shards").rglob("*.bin"))) > 5
    return contents(output)


def without_documents(files):
    return {name: data for name, data in files.items() if not name.startswith("documents/")}


@pytest.fixture
def late(monkeypatch):
    """Does a task of `stage` whose worker falls asleep in `place`, while another run finishes everything."""

    def do(stage_name, place, owner, wanted):
        class Asleep(BaseException):
            pass

        seen = []

        def remember(stage, task):
            if stage.name == stage_name and stage.function.__name__ == place[0]:
                seen.append((stage, task))
                raise Asleep
            return original(stage, task)

        original = executor._perform
        with monkeypatch.context() as patch:
            patch.setattr(executor, "_perform", remember)
            with pytest.raises(Asleep):
                run(wanted)
        stage, task = seen[0]
        inner = getattr(owner, place[1])
        slept = []

        def sleep(*arguments, **options):
            if not slept:
                slept.append(True)
                run(wanted)
            return inner(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(owner, place[1], sleep)
            executor._perform(stage, task)
        assert slept

    return do


PLACES = [
    ("clean", ("clean_unit", "__init__"), DocumentWriter, False),
    ("clean", ("clean_unit", "__exit__"), DocumentWriter, True),
    ("deduplicate", ("select", "exact_duplicates"), select, True),
    ("deduplicate", ("select", "documents_file"), select, False),
]


@pytest.mark.parametrize(("stage", "place", "owner", "keep"), PLACES)
def test_a_worker_that_finishes_late_loses_nothing(tmp_path, raw, tokenizer, finished, late, stage, place, owner, keep):
    wanted = config(tmp_path / "out", raw, tokenizer, keep_documents=keep)
    late(stage, place, owner, wanted)
    run(wanted)
    found = contents(tmp_path / "out")
    assert (found if keep else without_documents(found)) == (finished if keep else without_documents(finished))
    assert not list((tmp_path / "out" / "cleaned").rglob("*.zst"))


WATCHED = ("split", "cleaned", "documents", "marks/split", "marks/clean", "marks/deduplicate/select", "marks/encode")


def test_a_kill_between_any_two_changes_loses_nothing(tmp_path, raw, tokenizer, monkeypatch):
    """The folder as it was before every output, mark and removal of the tasks is copied, and the copy continued."""
    output = tmp_path / "out"
    large = {"unit_bytes": 12_000, "documents_file_bytes": 1 << 20, "keep_documents": False}
    large |= {"validation_fraction": 0.0, "deduplicate": {"lines": None, "paragraphs": None, "near": None}}
    copies = []

    def copied_before(function, place):
        def change(*arguments, **options):
            path = Path(arguments[place])
            name = path.relative_to(output).as_posix() if path.is_relative_to(output) else ""
            if name.startswith(WATCHED) and (place or path.exists()):
                copies.append((name, shutil.copytree(output, tmp_path / f"killed-{len(copies)}")))
            return function(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", copied_before(os.replace, 1))
        patch.setattr(Path, "unlink", copied_before(Path.unlink, 0))
        run(config(output, raw, tokenizer, **large))
    expected = contents(output)
    assert {name.rpartition("/")[0].removesuffix("/web") for name, _ in copies} == set(WATCHED)
    for name, killed in copies:
        run(config(killed, raw, tokenizer, **large))
        assert contents(killed) == expected, name
        assert not list((killed / "cleaned").rglob("*.zst")), name
