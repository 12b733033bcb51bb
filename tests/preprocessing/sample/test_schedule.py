"""Which documents get which defect."""

from collections import Counter

from preprocessing.sample.schedule import ONE_IN, Schedule


def test_rates_are_kept():
    schedule = Schedule(1, "web")
    found = Counter(kind for index in range(6000) for kind in schedule.defects(index))
    assert {kind: 6000 // period for kind, period in ONE_IN.items()} == dict(found)


def test_every_kind_comes_early():
    schedule = Schedule(1, "web")
    assert {kind for index in range(24) for kind in schedule.defects(index)} == ONE_IN.keys()


def test_seed_and_source_decide():
    def places(seed, source):
        return [Schedule(seed, source).defects(index) for index in range(200)]

    assert places(1, "a") == places(1, "a")
    assert places(1, "a") != places(2, "a")
    assert places(1, "a") != places(1, "b")
