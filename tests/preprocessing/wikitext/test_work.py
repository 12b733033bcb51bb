"""The work that a page can make: counted, as nothing else tells a slow machine from a page that would never end."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.wikitext import extractor
from preprocessing.wikitext.brackets import TooComplex, spans_of
from preprocessing.wikitext.extractor import Extractor
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.render import MAX_DEPTH, Renderer
from preprocessing.wikitext.substitution import Substitution
from preprocessing.wikitext.templates import Templates

OWN = {"二重": "{1}{1}", "三重": "{a|1}、{1}、{-1}{*}", "長い": "あ" * 100}
MAX_GROWTH = 10_000


class CountingRenderer(Renderer):
    """Stops where more is rendered than a page of that length may ask for."""

    def __init__(self, text, spans, substitution):
        super().__init__(text, spans, substitution)
        self.limit = (MAX_DEPTH + 1) * (2 * len(text) + 2 * MAX_GROWTH + 1)
        self.work = self.calls = 0
        self.most_calls = len(text) + 1

    def _render(self, part, depth):
        # Before the work is done, so that what never ends does not pass.
        self.calls += 1
        self.work += part.end - part.start
        assert self.calls <= self.most_calls
        assert self.work <= self.limit
        text = super()._render(part, depth)
        self.work += len(text)
        assert self.work <= self.limit
        return text


def slowly(text):
    """Everything by spans."""
    losses = Losses()
    text = "\n" + text
    substitution = Substitution(Templates(OWN), "題", losses, len(text) + MAX_GROWTH)
    return CountingRenderer(text, spans_of(text, 1_000_000), substitution).run()


def work_is_bounded(text):
    for way in (slowly, Extractor(Templates(OWN), max_growth=MAX_GROWTH).plain_text):
        try:
            # Of what is not templates nothing is said twice; templates have their budget.
            assert len(way(text)) <= 2 * len(text) + MAX_GROWTH + 1
        except TooComplex:
            assert "重" in text or "長い" in text


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    monkeypatch.setattr(extractor, "Renderer", CountingRenderer)


# Every way in which one bracket can hold another, whole and broken: (before what is inside, after it).
LAYERS = [
    ("[[a|", "]]"),
    ("[[", "]]"),
    ("[[", "|b]]"),
    ("[[a<x|", "]]"),
    ("[[a{|", "]]"),
    ("[[a\n|", "]]"),
    ("[[<", "|b]]"),
    ("[[ファイル:a|", "]]"),
    ("[[ファイル:a<|", "]]"),
    ("[[{{nowrap|", "}}|b]]"),
    ("[[<{{nowrap|", "}}]]"),
    ("[[{{nowrap|[[", "]]}}<|b]]"),
    ("[[[", "]]]"),
    ("[http://a ", "]"),
    ("[http://a\n", "]"),
    ("[http://", " b]"),
    ("{{nowrap|", "}}"),
    ("{{nowrap|b=", "}}"),
    ("{{nowrap|", "=b}}"),
    ("{{nowrap|<", "=b}}"),
    ("{{nowrap|a|", "|b}}"),
    ("{{", "|b}}"),
    ("{{未知|", "}}"),
    ("{{仮リンク|a|en|", "|label=}}"),
    ("{{二重|", "}}"),
    ("{{三重|", "}}"),
    ("{{三重|a=", "}}"),
    ("{{長い|", "}}"),
    ("{{{a|", "}}}"),
    ("{{{", "|b}}}"),
    ("{{{{{a|", "}}}}}"),
    ("{{{{", "}}}}"),
    ("\n{|\n|", "\n|}"),
    ("\n{|\n|[[a|", "\n|}]]"),
    ("-{", "}-"),
    ("<sup>", "</sup>"),
    ("<ref>", "</ref>"),
    ("（", "、）"),
    ("'''", "'''"),
    ("[[a<x|", ""),
    ("", "]]"),
    ("{{nowrap|", ""),
    ("", "}}"),
    ("[http://a ", ""),
    ("", "]"),
    ("\n{|", ""),
    ("", "\n|}"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=["...".join(layer).replace("\n", "/") for layer in LAYERS])
@pytest.mark.parametrize("depth", [20, 60, 2000])
def test_one_kind_of_bracket_in_itself(layer, depth):
    work_is_bounded(layer[0] * depth + "本文" + layer[1] * depth)


@given(
    st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4),
    st.integers(1, 60),
    st.sampled_from(["", "本文", "|", "<"]),
)
@example([("[[a<x|", "]]")], 60, "本文")
@example([("{{二重|", "}}")], 60, "本文")
@example([("[[a<x|", "]]"), ("{{nowrap|", "}}")], 30, "本文")
def test_brackets_in_each_other(layers, depth, inside):
    chosen = (layers * depth)[:depth]
    opening = "".join(layer[0] for layer in chosen)
    work_is_bounded(opening + inside + "".join(layer[1] for layer in reversed(chosen)))
    work_is_bounded(opening + inside + "".join(layer[1] for layer in chosen))  # crossed


@given(
    st.recursive(
        st.sampled_from(["本", "|", "=", "<", "\n", ""]),
        lambda inner: st.builds(
            lambda layer, parts: layer[0] + "".join(parts) + layer[1],
            st.sampled_from(LAYERS),
            st.lists(inner, max_size=4),
        ),
        max_leaves=40,
    )
)
def test_trees_of_brackets(text):
    work_is_bounded(text)


def test_a_text_that_templates_double_is_refused():
    own = Extractor(Templates(OWN), max_growth=MAX_GROWTH)
    with pytest.raises(TooComplex):
        own.plain_text("{{二重|" * 39 + "本文" + "}}" * 39)
    assert own.plain_text("{{二重|" * 3 + "本文" + "}}" * 3) == "本文" * 8


def test_a_long_title_said_again_and_again_is_refused():
    with pytest.raises(TooComplex):
        Extractor().plain_text("{{PAGENAME}}" * 1000, "題" * 10_000)
    assert Extractor().plain_text("{{PAGENAME}}" * 1000, "題" * 255) == "題" * 255_000


@pytest.mark.parametrize("inside", ["", "[[甲{乙]]"], ids=["the short way", "the long way"])
def test_arguments_without_number_are_refused(inside):
    assert Extractor().plain_text("{{nowrap|" + "|" * 99_998 + "本文" + inside + "}}")
    with pytest.raises(TooComplex):
        Extractor().plain_text("{{nowrap|" + "|" * 100_000 + "本文" + inside + "}}")


def test_sixty_broken_links_in_each_other_keep_their_text():
    assert Extractor().plain_text("[[a<x|" * 30 + "本文" + "]]" * 30) == "a<x|" * 30 + "本文"
    text = Extractor().plain_text("前" + "[[a<x|" * 60 + "本文" + "]]" * 60 + "後")
    assert text.startswith("前a<x|a<x|")
    assert text.endswith("後")
