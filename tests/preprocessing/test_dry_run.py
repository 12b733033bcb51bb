import json
import random

import pytest
from raw import COMPRESS, config

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from preprocessing import disk
from preprocessing.deduplicate.estimate import deduplicate_key_bytes
from preprocessing.disk import SourceEstimate, estimate_sources, estimate_stages
from preprocessing.dry_run import dry_run
from preprocessing.inputs import plan_of
from preprocessing.run import run

GIGABYTE = 1e9


def source(raw=100 * GIGABYTE, large=0.0, documents=50e6, text=50 * GIGABYTE):
    return SourceEstimate(
        source="web",
        files=1,
        units=1,
        input_bytes=int(raw / 3),
        raw_bytes=raw,
        large_bytes=large,
        split_seconds=100.0,
        longest_split_seconds=70.0,
        clean_seconds=3600.0,
        documents=documents,
        text_bytes=text,
        stored_bytes=20 * GIGABYTE,
        token_bytes=18 * GIGABYTE,
        is_measured=True,
        fetched=0,
    )


def lines(count, seed=0):
    rng = random.Random(seed)
    made = ["".join(chr(rng.randint(0x3041, 0x3093)) for _ in range(rng.randint(5, 80))) for _ in range(count)]
    return "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in made).encode()


def stages(wanted, *sources):
    return {stage.name: stage for stage in estimate_stages(wanted, list(sources))}


def test_disk_at_every_stage_by_hand(tmp_path):
    every = config(tmp_path, ["a"], stages=["encode"], deduplicate={})
    found = stages(every, source())
    assert list(found) == ["clean", "deduplicate", "tokenizer", "encode"]
    assert (found["clean"].peak_bytes, found["clean"].end_bytes) == (20e9, 20e9)
    # Band keys (12) and edges (16) of 14 bands, at least.
    assert found["deduplicate"].peak_bytes > 20e9 + 14 * 28 * 50e6
    keys = deduplicate_key_bytes(every.deduplicate, 50_000_000, 50_000_000_000)
    assert found["deduplicate"].peak_bytes == 20e9 + keys
    assert found["deduplicate"].core_seconds / 50e9 == pytest.approx(1 / 7.9e6, rel=0.02)
    assert found["deduplicate"].end_bytes == 20e9
    assert (found["encode"].peak_bytes, found["encode"].end_bytes) == (38e9, 38e9)
    dropping = stages(every.model_copy(update={"keep_documents": False}), source())
    assert (dropping["encode"].peak_bytes, dropping["encode"].end_bytes) == (20e9, 18e9)
    assert list(stages(config(tmp_path, ["a"]), source())) == ["clean"]


def test_chunks_of_large_files_are_counted_while_they_live(tmp_path):
    # All of one source is split; another is not: its documents stand beside the chunks.
    split, other = source(large=100e9), source(large=0.0)
    found = stages(config(tmp_path, ["a"], stages=["clean"]), split, other)
    assert list(found) == ["split", "clean"]
    assert found["split"].peak_bytes == pytest.approx(100e9 / 2.74)
    assert found["clean"].peak_bytes == pytest.approx(20e9 + 100e9 / 2.74)
    assert found["clean"].end_bytes == 40e9


@pytest.mark.parametrize("compression", [None, *COMPRESS])
def test_estimates_come_near_what_the_run_needs(tmp_path, tokenizer, compression):
    data = lines(8000)
    (tmp_path / "a").write_bytes(COMPRESS[compression](data) if compression else data)
    steps = [{"type": "unicode"}, {"type": "length", "minimum": 40}]
    wanted = config(
        tmp_path / "out",
        [tmp_path / "a"],
        reader={"type": "jsonl"},
        steps=steps,
        unit_bytes=100_000,
        stages=["clean", "tokenizer", "encode"],
        tokenizer={"path": str(tokenizer)},
    )
    (estimate,) = estimate_sources(wanted, plan_of(wanted), 400_000)
    run(wanted)
    counts = json.loads((tmp_path / "out" / "report.json").read_text())["total"]
    assert estimate.is_measured
    assert estimate.raw_bytes == pytest.approx(len(data), rel=0.3 if compression == "bz2" else 0.1)
    assert estimate.text_bytes == pytest.approx(counts["bytes"], rel=0.35)
    stored = sum(path.stat().st_size for path in (tmp_path / "out" / "documents").rglob("*.zst"))
    assert estimate.stored_bytes == pytest.approx(stored, rel=0.4)
    assert estimate.units == 1 if compression else estimate.units > 10


def test_what_a_run_would_need_is_printed_and_nothing_written(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(lines(1000))
    wanted = config(
        tmp_path / "out", [tmp_path / "a.jsonl"], reader={"type": "jsonl"}, stages=["encode"], num_workers=4
    )
    dry_run(wanted)
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line}
    assert rows["web"][1:3] == ["1", "1"]
    assert [name for name in rows if name in ("clean", "deduplicate", "tokenizer", "encode")] == [
        "clean",
        "tokenizer",
        "encode",
    ]
    assert "core-hours; with 4 workers" in printed
    assert f"peak below {tmp_path / 'out'}: " in printed
    assert not (tmp_path / "out").exists()


def test_what_one_process_does_alone_takes_as_long_with_many(tmp_path):
    wanted = config(tmp_path, ["a"], stages=["encode"], deduplicate={})
    found = stages(wanted, source(large=100e9))
    assert found["clean"].wall_seconds(100) == pytest.approx(36)
    assert found["split"].wall_seconds(1) == pytest.approx(100)
    assert found["split"].wall_seconds(100) == pytest.approx(70)  # one file is one process
    assert found["tokenizer"].wall_seconds(100) == found["tokenizer"].core_seconds == 600
    deduplication = found["deduplicate"]
    clusters = 2.3e-6 * 50e6
    assert deduplication.wall_seconds(1) == pytest.approx(deduplication.core_seconds)
    assert deduplication.wall_seconds(100) == pytest.approx(clusters + (deduplication.core_seconds - clusters) / 100)


def test_processes_of_all_elements_are_counted_and_one_prints(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.jsonl").write_bytes(lines(100))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "16")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    wanted = config(tmp_path / "out", [tmp_path / "a.jsonl"], reader={"type": "jsonl"}, num_workers=None)
    dry_run(wanted)
    assert "with 128 workers" in capsys.readouterr().out


def test_tokens_are_as_wide_as_the_tokenizer_that_is_given_needs(tmp_path, tokenizer):
    (tmp_path / "a.jsonl").write_bytes(lines(500))

    def token_bytes(**chosen):
        wanted = config(tmp_path / "out", [tmp_path / "a.jsonl"], reader={"type": "jsonl"}, tokenizer=chosen)
        (estimate,) = estimate_sources(wanted, plan_of(wanted))
        return estimate.token_bytes - 16 * estimate.documents

    narrow = token_bytes(vocab_size=8000)
    assert token_bytes(path=str(tokenizer)) == pytest.approx(narrow)
    assert token_bytes(path=str(tmp_path / "later")) == pytest.approx(narrow)
    wide = tmp_path / "wide"
    wide.mkdir()
    manifest = json.loads((tokenizer / MANIFEST_FILE).read_bytes())
    (wide / MANIFEST_FILE).write_text(json.dumps(manifest | {"vocab_size": 100_000}))
    assert token_bytes(path=str(wide)) == pytest.approx(2 * narrow)


def test_only_what_the_stages_write_is_in_use_by_the_corpus(tmp_path, monkeypatch):
    for name in ("documents/web/a", "shards/b", "notes/c", "d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(100))
    assert disk.used_bytes(tmp_path) == 200
    listed = disk.os.walk

    def walk(folder):
        for place, folders, names in listed(folder):
            yield place, folders, [*names, ".renamed-meanwhile.tmp"]

    monkeypatch.setattr(disk.os, "walk", walk)
    assert disk.used_bytes(tmp_path) == 200


def test_a_disk_that_is_too_small_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.jsonl").write_bytes(lines(2000))
    wanted = config(tmp_path / "out", [tmp_path / "a.jsonl"], reader={"type": "jsonl"})
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 50_000)
    with pytest.raises(UserError, match=r"the stage clean needs about .* where 0\.0 GB are free") as caught:
        dry_run(wanted)
    assert caught.value.code == ExitCode.CONFIG_REFUSED == 2
    assert "core-hours" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"the stage clean needs about .* check_disk=false") as caught:
        run(wanted)
    assert caught.value.code == ExitCode.PREFLIGHT_REFUSED
    assert not (tmp_path / "out" / "documents").exists()
    run(wanted.model_copy(update={"check_disk": False}))
    # What this corpus has already written counts as free.
    (tmp_path / "out" / "marks" / "clean" / "web-00000.json").unlink()
    run(wanted)


def test_a_source_that_cannot_be_read_now_is_planned_by_its_size(tmp_path, capsys):
    (tmp_path / "a.gz").write_bytes(COMPRESS["gzip"](lines(100))[:40])
    wanted = config(tmp_path / "out", [tmp_path / "a.gz"], reader={"type": "jsonl"})
    dry_run(wanted)
    assert "web (not measured)" in capsys.readouterr().out


def test_ten_terabytes_can_be_planned(tmp_path, capsys):
    for number in range(3000):
        path = tmp_path / f"{number // 1000}" / f"{number:06d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(b'{"text": "\xe6\x96\x87\xe6\x9b\xb8"}\n')
            file.truncate(10**13 // 3000)
    wanted = config(tmp_path / "out", [tmp_path / "?"], unit_bytes=4 << 30, reader={"type": "jsonl"})
    plan = plan_of(wanted)
    assert sum(unit.size for unit in plan.units) == 3000 * (10**13 // 3000)
    dry_run(wanted)
    assert "10,000.00" in capsys.readouterr().out
