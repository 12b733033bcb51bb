"""Addresses lead to hosts that are reserved for examples, and stand where the record says."""

from random import Random
from urllib.parse import urlsplit

from preprocessing.sample.defects.planting import Planting
from preprocessing.sample.defects.urls import plant_urls


def test_addresses():
    for seed in range(200):
        planting = Planting("一行目の文。\n二行目の文。")
        plant_urls(Random(seed), planting)
        raw, defects = planting.raw()
        assert 1 <= len(defects) <= 3
        for defect in defects:
            assert raw[defect.start : defect.end] == defect.found
            parts = urlsplit(defect.found)
            assert parts.scheme in ("http", "https")
            assert "example" in parts.hostname.split(".")[-2:]
