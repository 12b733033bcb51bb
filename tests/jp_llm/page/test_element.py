import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsed_html import ParsedHtml

from jp_llm.page.element import Html, element, escaped, joined


def test_texts_are_escaped_and_elements_are_not():
    assert element("p", "a<b", Html("<i>"), 3, class_="x", data_y='"', z=None) == (
        '<p class="x" data-y="&quot;">a&lt;b<i>3</p>'
    )
    assert joined("&", element("br")) == "&amp;<br></br>"


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\ud800", "\ufffe", "\r"])
def test_what_html_does_not_allow_is_shown_as_unknown(character):
    assert escaped(f"a{character}b\n") == "a\ufffdb\n"


@given(st.text(), st.text())
def test_no_text_becomes_markup(content, attribute):
    parsed = ParsedHtml(element("pre", content, title=attribute))
    assert [tag for tag, _ in parsed.tags] == ["pre"]
    # A browser does not show the first line break of a <pre>; Python's parser does.
    assert "".join(parsed.text) == "\n" * content.startswith("\n") + escaped_twin(content)
    assert parsed.tags[0][1]["title"] == escaped_twin(attribute)


def escaped_twin(text):
    """What must be seen: everything but what HTML does not allow."""
    return html.unescape(escaped(text))
