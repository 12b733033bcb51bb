import pytest
from raw import document

from preprocessing.filters.markup import MarkupFilter


def reason(text: str, **fields) -> str | None:
    return MarkupFilter(**fields).reason(document(text))


@pytest.mark.parametrize(
    "remains",
    [
        "{{Infobox}}",
        "[[日本|国]]",
        "{| class",
        "'''太字'''",
        "__NOTOC__",
        "&nbsp;",
        '<ref name="a">',
        "</div>",
        "<br />",
    ],
)
def test_remains(remains):
    assert reason(remains + "文" * 100, maximum=0) == "markup"
    assert reason(remains + "文" * 1000) is None


def test_ordinary_signs():
    assert reason("A&B、x < y、「[1]」、it's、__init__、<読み仮名>、{a}", maximum=0) is None
