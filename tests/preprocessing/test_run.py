import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import pytest
from other_tokenizers import open_calm
from raw import COMPRESS, cleaned, config, contents, tar
from small_tokenizer import texts

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.shards.reader import ShardReader
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.config import CorpusConfig, CorpusTokenizerConfig
from preprocessing.inputs import plan_of
from preprocessing.output_folder import record_config
from preprocessing.run import run

ROOT = Path(__file__).resolve().parents[2]
AOZORA = "題名\r\n作者\r\n\r\n　{}\r\n\r\n底本：「全集」\r\n入力：某\r\n"


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Three sources with 240 documents, 3 of which cannot be read."""
    folder = tmp_path_factory.mktemp("raw")
    written = texts(240)
    (folder / "plain.txt").write_bytes(b"\n\n".join(text.replace("\n\n", "\n").encode() for text in written[:80]))
    for part in range(4):
        lines = [json.dumps({"text": text, "url": f"http://{part}"}) for text in written[80 + part * 20 :][:20]]
        lines[3] = "{broken"
        data = COMPRESS[sorted(COMPRESS)[part]]("\n".join(lines).encode())
        (folder / f"part-{part}.jsonl").write_bytes(data)
    with tarfile.open(folder / "works.tar", "w") as archive:
        for number, text in enumerate(written[160:]):
            data = AOZORA.format(text.replace("\n", "\r\n")).encode("cp932")
            header = tarfile.TarInfo(f"{number}.txt")
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    (folder / "works.tar.zst").write_bytes(COMPRESS["zstd"]((folder / "works.tar").read_bytes()))
    return folder


def corpus(output, raw, tokenizer=None, **changes):
    steps = [{"type": "unicode"}, {"type": "whitespace"}, {"type": "length", "minimum": 10}]
    sources = {
        "plain": {"reader": {"type": "text", "document": "blank_line"}, "paths": [str(raw / "plain.txt")]},
        "web": {"reader": {"type": "jsonl", "meta_fields": ["url"]}, "paths": [str(raw / "part-*.jsonl")]},
        "books": {"reader": {"type": "aozora"}, "paths": [str(raw / "works.tar.zst")], "files": ["*.txt"]},
    }
    values = {
        "name": "test",
        "output_dir": str(output),
        "sources": {name: source | {"steps": steps} for name, source in sources.items()},
        "tokenizer": {"path": str(tokenizer)} if tokenizer else {},
        "num_workers": 1,
        "validation_fraction": 0.1,
        "unit_bytes": 20_000,
        "documents_file_bytes": 20_000,
    }
    return build(CorpusConfig, values | changes)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, raw, tokenizer):
    """An undisturbed run with one worker."""
    output = tmp_path_factory.mktemp("finished") / "out"
    run(corpus(output, raw, tokenizer))
    return output


def test_raw_files_become_a_dataset(finished, tokenizer):
    dataset = DatasetManifest.load(finished)
    assert dataset.check_files(finished, hashes=True) == []
    assert dataset.tokenizer.fingerprint == Tokenizer.load(tokenizer).fingerprint
    assert list(dataset.sources) == ["plain", "web", "books"]
    loaded = Tokenizer.load(finished / dataset.tokenizer.folder)
    for source in dataset.sources:
        for split in ("train", "validation"):
            decoded = []
            for shard in dataset.sources[source][split]:
                reader = ShardReader(finished / shard.name)
                decoded += [loaded.decode(reader.document(index)) for index in range(reader.num_documents)]
            expected = [record["text"] for record in cleaned(finished, source, split)]
            assert sorted(decoded) == sorted(expected)
            assert expected
            assert dataset.characters(split, source) == sum(map(len, expected))


def test_counts_are_those_of_the_files(finished):
    counts = json.loads((finished / "report.json").read_text())
    web = counts["sources"]["web"]
    assert web["rejected"] == {"json": 4}
    assert web["documents_in"] == 76 == sum(web["documents_out"].values()) + sum(web["dropped"].values())
    dataset = DatasetManifest.load(finished)
    for split in ("train", "validation"):
        assert counts["total"]["tokens"][split] == dataset.tokens(split)
        assert counts["total"]["documents_out"][split] == dataset.documents(split)
    assert counts["total"]["characters"] == dataset.characters("train") + dataset.characters("validation")
    assert 1 < counts["total"]["characters_per_token"] < 3


def test_the_number_of_workers_changes_no_byte(tmp_path, finished, raw, tokenizer):
    run(corpus(tmp_path / "out", raw, tokenizer, num_workers=2))
    one, two = contents(finished), contents(tmp_path / "out")
    assert one.keys() == two.keys()
    assert len([name for name in one if name.endswith(".bin")]) > 10
    assert [name for name in one if one[name] != two[name]] == []


def test_a_finished_run_is_only_summed_up(finished, raw, tokenizer, capsys):
    counts = (finished / "report.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in (finished / "shards").rglob("*.bin")}
    run(corpus(finished, raw, tokenizer, num_workers=2))
    assert capsys.readouterr().err == ""
    assert (finished / "report.json").read_text() == counts
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_cleaning_a_finished_corpus_again_forgets_nothing(finished, raw, tokenizer):
    report = (finished / "report.json").read_text()
    run(corpus(finished, raw, tokenizer, stages=["clean"]))
    assert (finished / "report.json").read_text() == report


def test_the_table_says_what_went_in_and_out(finished, raw, tokenizer, capsys):
    run(corpus(finished, raw, tokenizer))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["source", "read", "train", "validation", "characters", "tokens"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["plain", "80"],
        ["web", "80"],
        ["books", "80"],
        ["total", "240"],
    ]
    assert "web: rejected json 4" in lines


def test_stages_can_follow_one_another(tmp_path, finished, raw, tokenizer):
    with pytest.raises(UserError, match=r"stages: encode needs clean, of which .* tasks are not done; add clean"):
        run(corpus(tmp_path / "out", raw, tokenizer, stages=["encode"]))
    run(corpus(tmp_path / "out", raw, tokenizer, stages=["clean"]))
    assert not (tmp_path / "out" / "dataset.json").exists()
    with pytest.raises(UserError, match="stages: encode needs tokenizer"):
        run(corpus(tmp_path / "out", raw, tokenizer, stages=["encode"]))
    run(corpus(tmp_path / "out", raw, tokenizer, stages=["encode", "tokenizer"]))
    assert contents(tmp_path / "out") == contents(finished)


@pytest.mark.parametrize("stage", ["clean", "encode"])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path, finished, raw, tokenizer, stage):
    output = tmp_path / "out"
    script = f"""
        from test_run import *
        if __name__ == "__main__":
            run(corpus({str(output)!r}, Path({str(raw)!r}), {str(tokenizer)!r}, num_workers=2))
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(script))
    paths = [ROOT, ROOT / "tests" / "helpers", Path(__file__).parent]
    environment = os.environ | {"PYTHONPATH": ":".join(map(str, paths))}
    process = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env=environment, start_new_session=True)
    marks = output / "marks" / stage
    deadline = time.monotonic() + 60
    while not (marks.is_dir() and len(list(marks.glob("*.json"))) >= 2) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "dataset.json").exists()
    run(corpus(output, raw, tokenizer))
    assert contents(output) == contents(finished)


def test_another_configuration_for_the_folder_is_refused(finished, raw, tokenizer):
    before = contents(finished)
    with pytest.raises(UserError, match=r"validation_fraction was 0\.1, now 0\.2"):
        run(corpus(finished, raw, tokenizer, validation_fraction=0.2))
    assert contents(finished) == before


def test_inputs_that_changed_on_the_way_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("一番目の文書\n")
    (tmp_path / "b.txt").write_bytes(COMPRESS["gzip"](b"text")[:-3])
    wanted = config(tmp_path / "out", [tmp_path / "*.txt"], unit_bytes=10)
    with pytest.raises(UserError, match=r"b\.txt: the gzip stream is cut off"):
        run(wanted)
    (tmp_path / "a.txt").write_text("他の文書\n")
    with pytest.raises(UserError, match=r"(?s)a\.txt has changed.*was begun with other input files"):
        run(wanted)
    (tmp_path / "a.txt").write_text("一番目の文書\n")
    run(wanted.model_copy(update={"on_damaged_file": "skip"}))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == ["一番目の文書"]


def test_another_ratio_that_would_divide_an_archive_otherwise_is_refused(tmp_path):
    """The archive ends, for the lower ratio, before its last members."""
    # Zeros, which expand beyond any ratio: 64 MiB are free.
    members = {f"{number}.txt": f"{number}番目の文書".encode() * 20 for number in range(60)}
    members |= {"zeros.txt": bytes(80 << 20)} | {f"z{number}.txt": b"text" * 200 for number in range(60)}
    (tmp_path / "a.tar").write_bytes(COMPRESS["zstd"](tar(members)))
    changes = {"reader": {"type": "text"}, "files": ["[0-9z][0-9]*.txt"], "unit_bytes": 5_000}
    wanted = config(
        tmp_path / "out", [tmp_path / "a.tar"], on_damaged_file="skip", max_decompression_ratio=50, **changes
    )
    plan = plan_of(wanted)
    (tmp_path / "out" / "marks").mkdir(parents=True)
    (tmp_path / "out" / "marks" / "plan.json").write_bytes(plan.to_json())
    record_config(wanted, tmp_path / "out")
    assert len(plan.units) < len(plan_of(wanted.model_copy(update={"max_decompression_ratio": 1e6})).units)
    with pytest.raises(UserError, match=r"divided into other units of work than before.*max_decompression_ratio"):
        run(wanted.model_copy(update={"max_decompression_ratio": 1e6}))


def test_inputs_of_a_finished_stage_may_be_gone(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("一番目の文書\n")
    wanted = config(tmp_path / "out", [tmp_path / "a.txt"])
    run(wanted)
    (tmp_path / "a.txt").unlink()
    run(wanted)
    assert "web" in capsys.readouterr().out


def test_all_missing_inputs_are_named(tmp_path):
    source = {"reader": {"type": "text"}, "paths": [str(tmp_path / "*.txt")]}
    wanted = config(tmp_path / "out", [], sources={"one": source, "two": source | {"paths": [str(tmp_path / "x.gz")]}})
    with pytest.raises(UserError) as caught:
        run(wanted)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "sources.one.paths",
        "sources.two.paths",
    ]
    assert "*.txt: no file matches" in caught.value.problems[0]


def test_a_tokenizer_that_is_not_there_is_found_before_the_work(tmp_path, raw):
    with pytest.raises(UserError, match="nowhere"):
        run(corpus(tmp_path / "out", raw, tmp_path / "nowhere"))
    assert not (tmp_path / "out" / "documents").exists()


def test_a_vocabulary_that_is_too_large_can_be_mended(tmp_path, raw):
    def with_vocabulary(size):
        recipe = CorpusTokenizerConfig(vocab_size=size, num_threads=1)
        return corpus(tmp_path / "out", raw).model_copy(update={"tokenizer": recipe})

    with pytest.raises(UserError, match=r"tokenizer train: .* the largest vocabulary that works is"):
        run(with_vocabulary(60_000))
    run(with_vocabulary(700))
    assert Tokenizer.load(tmp_path / "out" / "tokenizer").vocab_size == 700


def test_an_empty_corpus_says_why(tmp_path):
    (tmp_path / "a.txt").write_bytes("短い\n短文\n".encode() + "別の\n".encode("cp932"))
    with pytest.raises(UserError) as caught:
        run(config(tmp_path / "out", [tmp_path / "a.txt"], steps=[{"type": "length", "minimum": 10}]))
    assert caught.value.problems[0] == (
        "sources.web: no training documents are left; 2 documents read; rejected: encoding 1 "
        f"(see {tmp_path}/out/rejects); dropped: length.too_short 2"
    )
    assert "delete" in caught.value.problems[1]


def test_a_file_in_another_encoding_says_so(tmp_path):
    (tmp_path / "a.txt").write_bytes("一行目\n二行目\n".encode("cp932"))
    with pytest.raises(UserError, match="rejected: encoding 2"):
        run(config(tmp_path / "out", [tmp_path / "a.txt"]))
    reader = {"type": "text", "document": "line", "encodings": ["utf-8", "cp932"]}
    run(config(tmp_path / "out2", [tmp_path / "a.txt"], reader=reader))
    assert [record["text"] for record in cleaned(tmp_path / "out2")] == ["一行目", "二行目"]


def test_a_full_disk_leaves_nothing_half_written_and_can_be_continued(tmp_path):
    rng = random.Random(0)
    lines = ["".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(400)) for _ in range(1000)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    script = f"""
        import resource, signal
        from raw import *
        from preprocessing.run import run
        if __name__ == "__main__":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            run(config(Path({str(tmp_path / "out")!r}), [{str(tmp_path / "a.txt")!r}], unit_bytes=500_000))
    """
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode
    expected = f"UserError: clean web-00000: {os.strerror(errno.EFBIG)} (writing below {tmp_path / 'out'}, where "
    assert expected in result.stderr
    assert "run the same command again" in result.stderr
    assert contents(tmp_path / "out") == {}
    assert not [path for path in (tmp_path / "out").rglob("*.tmp")]
    run(config(tmp_path / "out", [tmp_path / "a.txt"], unit_bytes=500_000))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == lines


def test_shards_for_the_model_of_somebody_else(tmp_path, capsys):
    source = open_calm(tmp_path / "model")
    (tmp_path / "raw.txt").write_text("\n\n".join(texts(20, seed=3)))
    values = {
        "name": "test",
        "output_dir": str(tmp_path / "out"),
        "sources": {"plain": {"reader": {"type": "text"}, "paths": [str(tmp_path / "raw.txt")]}},
        "tokenizer": {"path": str(source)},
        "num_workers": 1,
        "validation_fraction": 0,
    }
    run(build(CorpusConfig, values))
    dataset = DatasetManifest.load(tmp_path / "out")
    loaded = Tokenizer.load(tmp_path / "out" / dataset.tokenizer.folder)
    assert (dataset.tokenizer.package, dataset.tokenizer.fingerprint) == ("tokenizers", loaded.fingerprint)
    assert (dataset.tokenizer.bos_id, dataset.tokenizer.eos_id, dataset.tokenizer.start_id) == (0, 0, 0)
    (shard,) = dataset.sources["plain"]["train"]
    reader = ShardReader(tmp_path / "out" / shard.name)
    documents = [reader.document(index).tolist() for index in range(reader.num_documents)]
    assert {ids[0] for ids in documents} == {0}
    assert dataset.tokens("train") == sum(map(len, documents))
    assert sum(len(loaded.decode(ids)) for ids in documents) == dataset.characters("train")
    # The folder of the dataset names its tokenizer for another one.
    values |= {"output_dir": str(tmp_path / "again"), "tokenizer": {"path": str(tmp_path / "out")}}
    run(build(CorpusConfig, values))
    assert DatasetManifest.load(tmp_path / "again").fingerprint == dataset.fingerprint


def test_a_tokenizer_is_trained_on_the_training_documents(tmp_path, raw):
    recipe = {"vocab_size": 700, "num_threads": 1}
    run(corpus(tmp_path / "out", raw).model_copy(update={"tokenizer": CorpusTokenizerConfig(**recipe)}))
    trained = Tokenizer.load(tmp_path / "out" / "tokenizer")
    assert trained.vocab_size == 700
    sample = trained.recipe["sample"]
    assert {source: item["documents"] for source, item in sample.items()} == {
        source: len(cleaned(tmp_path / "out", source)) for source in sample
    }


PEAK = """
import random, resource, sys
from raw import *
from preprocessing.run import run
folder, blocks, tokenizer = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
words = ["昔々", "あるところに", "おじいさんと", "おばあさんが", "住んで", "いました。", "川へ", "洗濯に"]
rng = random.Random(0)
block = "".join("".join(rng.choices(words, k=64)) + "\\n" for _ in range(1000)).encode()
with (folder / "raw.txt").open("wb") as file:
    for _ in range(blocks):
        file.write(block)
steps = [{"type": name} for name in ("mojibake", "unicode", "whitespace", "length", "characters")]
sizes = {"unit_bytes": 1 << 30, "documents_file_bytes": 4 << 20}
stages = ["clean", "tokenizer", "encode"]
run(config(folder / "out", [folder / "raw.txt"], steps=steps, tokenizer={"path": tokenizer}, stages=stages, **sizes))
print((folder / "raw.txt").stat().st_size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_peak_memory_does_not_grow_with_the_corpus(tmp_path, tokenizer):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"}
    sizes, peaks = [], []
    for blocks in (6, 31):
        folder = tmp_path / str(blocks)
        folder.mkdir()
        command = [sys.executable, "-c", PEAK, str(folder), str(blocks), str(tokenizer)]
        result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        size, peak = map(int, result.stdout.split()[-2:])
        sizes.append(size)
        peaks.append(peak)
    assert sizes[0] < 5e6
    assert sizes[1] > 24e6
    assert peaks[1] - peaks[0] < 8 << 20  # as a rule, less than 1 << 20


def test_real_text(tmp_path, real_data, tokenizer):
    archive = real_data / "aozora-akutagawa.tar.zst"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    wanted = corpus(tmp_path / "out", tmp_path, tokenizer, unit_bytes=2 << 20, documents_file_bytes=64 << 20)
    books = wanted.sources["books"].model_copy(update={"paths": (str(archive),)})
    run(wanted.model_copy(update={"sources": {"books": books}}))
    found = cleaned(tmp_path / "out", "books") + cleaned(tmp_path / "out", "books", "validation")
    assert len(found) > 350
    assert not any(sign in record["text"] for record in found for sign in ("《", "［＃", "底本：", "青空文庫", "-----"))
    assert {record["meta"]["author"] for record in found} == {"芥川龍之介", "芥川竜之介"}


def test_a_lost_documents_file_is_missed_until_it_is_encoded(finished, raw, tokenizer, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    before = (output / "dataset.json").read_bytes()
    lost = sorted((output / "documents" / "plain").glob("train-*"))[0]
    lost.unlink()
    # Encoded long ago: nothing is missing from the dataset.
    run(corpus(output, raw, tokenizer))
    assert (output / "dataset.json").read_bytes() == before
    # Its shard is gone too: now it is needed.
    shard = output / "shards" / "plain" / "train-00000.bin"
    shard.unlink()
    with pytest.raises(UserError, match=r"lost or changed since it was cleaned.*marks/clean/plain-00000\.json"):
        run(corpus(output, raw, tokenizer))
    (output / "marks" / "clean" / "plain-00000.json").unlink()
    run(corpus(output, raw, tokenizer))
    assert (output / "dataset.json").read_bytes() == before
    assert shard.is_file()


def test_a_shard_of_another_size_is_written_anew(finished, raw, tokenizer, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    shard = output / "shards" / "plain" / "train-00000.bin"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-2])
    run(corpus(output, raw, tokenizer))
    assert shard.read_bytes() == whole


def test_mojibake_behind_a_mapper_is_refused(raw, tokenizer, tmp_path):
    wrong = (
        corpus(tmp_path / "out", raw, tokenizer)
        .sources["plain"]
        .model_copy(update={"steps": ({"type": "unicode"}, {"type": "mojibake"})})
    )
    assert any("mojibake must stand before unicode" in problem for problem in wrong.problems())
