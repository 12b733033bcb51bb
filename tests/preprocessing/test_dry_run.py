import json
import random

import pytest
from raw import COMPRESS, config

from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing import disk
from preprocessing.disk import SourceEstimate, estimate_sources, estimate_stages
from preprocessing.dry_run import dry_run
from preprocessing.inputs import plan_of
from preprocessing.run import run

GIGABYTE = 1e9


def source(raw=100 * GIGABYTE, large=0.0, text=50 * GIGABYTE, stored=20 * GIGABYTE, tokens=18 * GIGABYTE):
    return SourceEstimate("web", 1, 1, int(raw / 3), raw, large, 100.0, 3600.0, text, stored, tokens, True, 0)


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
    assert found["deduplicate"].peak_bytes == pytest.approx(20e9 + 0.15 * 50e9)
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
