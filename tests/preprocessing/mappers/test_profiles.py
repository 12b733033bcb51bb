"""The profiles of normalisation: one preset per kind of source."""

from collections import Counter

import pytest
from raw import document

from jp_llm.config.build import build
from preprocessing.config import SourceConfig
from preprocessing.step import Mapper

TEXT = "\u3000すごーーーーい！！！！　ＡＢＣ，１２，ｶﾞ．\u200b\n\n\n\u3000次は，そう．"


def normalised(profile: str, text: str) -> str:
    source = {"reader": {"type": "text"}, "paths": ["x.txt"], "steps": [{"preset": f"normalise_{profile}"}]}
    item = document(text)
    for step in build(SourceConfig, source).build_steps():
        assert isinstance(step, Mapper)
        item.text = step.map(item, Counter())
    return item.text


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("web", "\u3000すごーーーい！！！　ABC，12，ガ。\n\n\n\u3000次は、そう。"),
        ("wiki", "\u3000すごーーーーい！！！！ ABC，12，ガ。\n\n\u3000次は、そう。"),
        ("books", "\u3000すごーーーーい！！！！ ＡＢＣ，１２，ガ．\n\n\u3000次は，そう．"),
        ("tweets", " すごーーーい！！！ ABC，12，ガ．\n 次は，そう．"),
    ],
)
def test_profiles(profile, expected):
    assert normalised(profile, TEXT) == expected


def test_entities_of_web_pages_are_read():
    assert normalised("web", "A&nbsp;&amp;&quot;か") == 'A\u00a0&"か'
    assert normalised("wiki", "&amp;") == "&amp;"
