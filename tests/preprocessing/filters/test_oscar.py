import pytest
from raw import document

from preprocessing.filters.oscar import OscarFilter


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({}, None),
        ({"quality_warnings": ["header", "footer", "tiny", "short_sentences"]}, None),
        ({"quality_warnings": ["tiny", "noisy"]}, "warning_noisy"),
        ({"quality_warnings": ["noisy", "adult"]}, "warning_adult"),
        ({"categories": ["blog"]}, None),
        ({"categories": ["blog", "gambling"]}, "category_gambling"),
        ({"harmful_pp": 3.0}, "harmful"),
        ({"harmful_pp": 25.0}, None),
        ({"harmful_pp": "3"}, None),
    ],
)
def test_reasons(meta, reason):
    page = document("本文")
    page.meta.update(meta)
    assert OscarFilter(minimum_harmful_pp=25.0).reason(page) == reason


def test_all_can_be_switched_off():
    page = document("本文")
    page.meta.update({"quality_warnings": ["adult"], "categories": ["adult"], "harmful_pp": 1.0})
    assert OscarFilter(warnings=(), categories=()).reason(page) is None
