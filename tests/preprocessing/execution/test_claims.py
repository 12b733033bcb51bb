import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from preprocessing.execution.claims import Claims


def dead_process() -> int:
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def foreign(folder: Path, name: str, **changes) -> Path:
    """A claim that some other process has made; by default one of another machine."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"host": "elsewhere", "process": 1, "started": "1", "token": "0", "time": 0.0} | changes)
    )
    return path


def own_host(folder: Path) -> str:
    with Claims(folder) as claims:
        claims.take("probe")
        return str(json.loads((folder / "probe").read_bytes())["host"])


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_of_many_processes_one_has_a_claim(tmp_path):
    names = [f"clean/web-{number:05d}" for number in range(50)]
    taken: list[list[str]] = [[] for _ in range(8)]

    def work(index: int) -> None:
        with Claims(tmp_path) as claims:
            start.wait()
            taken[index] = [name for name in names if claims.take(name)]
            end.wait()

    start, end = threading.Barrier(8), threading.Barrier(8)
    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(name for part in taken for name in part) == dict.fromkeys(names, 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_claim_can_be_given_back(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a")
        assert not other.take("a")
        assert not one.take("a")
        one.release("a")
        assert other.take("a")


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path):
    foreign(tmp_path, "a", host=own_host(tmp_path), process=dead_process())
    with Claims(tmp_path) as claims:
        assert claims.take("a")
        assert not claims.take("a")


def test_a_living_process_keeps_its_claim_and_one_that_has_its_number_does_not(tmp_path):
    host = own_host(tmp_path)
    started = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    foreign(tmp_path, "a", host=host, process=os.getpid(), started=started)
    foreign(tmp_path, "b", host=host, process=os.getpid(), started="1")
    with Claims(tmp_path) as claims:
        assert not claims.take("a")
        assert claims.take("b")


@pytest.mark.parametrize("half_written", [False, True])
def test_a_silent_machine_loses_its_claim(tmp_path, half_written):
    path = foreign(tmp_path, "a")
    if half_written:
        path.write_bytes(b"")
    with Claims(tmp_path, stale_seconds=60) as claims:
        age(path, 50)
        assert not claims.take("a")
        age(path, 70)
        assert claims.take("a")
        assert time.time() - path.stat().st_mtime < 50


def test_a_claim_is_kept_fresh(tmp_path):
    with Claims(tmp_path, beat_seconds=0.05) as claims:
        assert claims.take("a")
        age(tmp_path / "a", 1000)
        deadline = time.monotonic() + 30
        while time.time() - (tmp_path / "a").stat().st_mtime > 500 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - (tmp_path / "a").stat().st_mtime < 500


def test_a_new_claim_in_the_place_of_a_stale_one_is_left_alone(tmp_path):
    path = foreign(tmp_path, "a")
    age(path, 1000)
    with Claims(tmp_path) as slow, Claims(tmp_path) as fast:
        seen = slow._stale(path)
        assert seen
        assert fast.take("a")
        content = path.read_bytes()
        assert not slow._remove(path, seen)
        assert path.read_bytes() == content
        assert not slow.take("a")


def test_a_claim_that_was_taken_away_by_mistake_is_put_back(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "link")  # FAT, some network disks
    with Claims(tmp_path) as owner, Claims(tmp_path) as other:
        assert owner.take("a")
        content = (tmp_path / "a").read_bytes()
        assert not other._remove(tmp_path / "a", b"an older claim")
        assert (tmp_path / "a").read_bytes() == content
        owner.release("a")
        assert other.take("a")


def test_a_claim_that_another_has_taken_over_is_left_to_it(tmp_path):
    with Claims(tmp_path, stale_seconds=60) as late, Claims(tmp_path, stale_seconds=60) as other:
        for name in ("a", "b"):
            assert late.take(name)
            age(tmp_path / name, 70)
            assert other.take(name)
        theirs = (tmp_path / "a").read_bytes()
        late.release("a")
        late.__exit__()  # b
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == theirs
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
